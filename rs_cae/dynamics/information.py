"""How much a unit's activation says of its next one: mutual information between successive sublayers (Figure 1G)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from rs_cae.dynamics.estimators import ESTIMATORS, Estimator
from rs_cae.dynamics.exchange import exchange_order, exchange_updates
from rs_cae.dynamics.kinematics import refuse_other_shapes

UNITS_AT_ONCE = 8
"""So that a block of units fits into the processor's cache, and progress shows."""


def mutual_information(
    trajectories: Tensor, estimator: Estimator = "ksg", progress: Callable[[int], object] | None = None
) -> Tensor:
    """Information between successive sublayers, over samples, of each unit with itself.

    Runs on as many threads as PyTorch does.

    Args:
        trajectories: [samples, sublayers, units].
        estimator: ``ksg``, ``binned`` or ``gaussian``; see ``dynamics.estimators``.
        progress: Called after each block of units with how many it held.

    Returns:
        [sublayers - 1, units] in float64, in nats.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    refuse_other_shapes(trajectories)
    return _over_units(trajectories, lambda block: (block[:, :-1], block[:, 1:]), estimator, progress)


def information_of_unrelated_updates(
    trajectories: Tensor,
    estimator: Estimator = "ksg",
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Tensor:
    """What ``mutual_information`` would be if each update had nothing to do with the state that it is added to.

    Every sample gets another sample's update, all units the same sample's: what is left is what a sum of this kind
    shares with its first term. Ours.

    Args:
        trajectories: [samples, sublayers, units].
        estimator: ``ksg``, ``binned`` or ``gaussian``; see ``dynamics.estimators``.
        seed: Of the exchange.
        progress: Called after each block of units with how many it held.

    Returns:
        [sublayers - 1, units] in float64, in nats.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    refuse_other_shapes(trajectories)
    other = exchange_order(len(trajectories), seed)
    return _over_units(trajectories, lambda block: exchange_updates(block, other), estimator, progress)


def tied_share(trajectories: Tensor) -> Tensor:
    """Share of samples whose value of a unit another sample has too.

    Args:
        trajectories: [samples, sublayers, units].

    Returns:
        [sublayers, units] in float64, in [0, 1].
    """

    def of_block(block: Tensor) -> Tensor:
        columns = block.flatten(1).T.double().contiguous().cpu()
        ordered = np.sort(columns.numpy(), axis=1)  # NumPy sorts short rows ten times as fast as PyTorch does
        same = np.diff(ordered, axis=1) == 0
        edge = np.zeros((len(same), 1), dtype=bool)
        tied = np.concatenate([edge, same], axis=1) | np.concatenate([same, edge], axis=1)
        return torch.from_numpy(tied.mean(axis=1)).reshape(block.shape[1:]).to(block.device)

    return _by_threads(trajectories, of_block, None)


def _over_units(
    trajectories: Tensor,
    pairs: Callable[[Tensor], tuple[Tensor, Tensor]],
    estimator: Estimator,
    progress: Callable[[int], object] | None,
) -> Tensor:
    """The estimator's result for the pairs that are made of each block of units."""
    return _by_threads(trajectories, lambda block: ESTIMATORS[estimator](*pairs(block)), progress)


def _by_threads(
    trajectories: Tensor, of_block: Callable[[Tensor], Tensor], progress: Callable[[int], object] | None
) -> Tensor:
    """A function of a few units [samples, sublayers, few] at a time, its results [..., few] joined."""
    found = []
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for part in threads.map(of_block, trajectories.split(UNITS_AT_ONCE, dim=2)):
            found.append(part)
            if progress is not None:
                progress(part.shape[-1])
    return torch.cat(found, dim=-1)

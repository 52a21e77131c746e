"""Mutual information of two variables, in nats, for many pairs at once.

An estimator takes x and y [samples, ...] and gives the information of each pair [...], NaN where a variable is constant
or not finite. Source of the question: arXiv 2502.12131, Figure 1G; which estimator it used is not known.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import numpy as np
import scipy.special
import torch
from torch import Tensor

from rs_cae.dynamics.kinematics import refuse_other_shapes

Estimator = Literal["ksg", "binned", "gaussian"]
JITTER = 1e-10
UNITS_AT_ONCE = 8
"""So that a block of units fits into the processor's cache, and progress shows."""


def ksg(x: Tensor, y: Tensor, seed: int = 0) -> Tensor:
    """Kraskov, Stögbauer and Grassberger's first estimator (2004) with three neighbours.

    psi(N) + psi(3) - <psi(nx + 1) + psi(ny + 1)>, floored at 0, as in scikit-learn's ``mutual_info_regression``: each
    variable is divided by its standard deviation, distances are the greater of both. scikit-learn adds random
    jitter to everything; here only a variable in which values repeat gets one, of 1e-10 of its scale: without it, the
    ties of low precision bias the estimate by up to 0.24 nats.

    Of independent variables the floor makes the mean slightly positive: about 0.01 with 1000 samples.

    Args:
        x: [samples, ...].
        y: The same shape.
        seed: Of the jitter.

    Returns:
        [...] in float64, on the device of x; NaN also with three samples or fewer.
    """
    from rs_cae.dynamics.neighbours import NEIGHBOURS, mean_log_counts  # numba takes a second to import

    samples = len(x)
    pairs = [np.ascontiguousarray(part.double().cpu().reshape(samples, -1).T.numpy()) for part in (x, y)]
    information = np.full(len(pairs[0]), np.nan)
    known = _varying(pairs[0]) & _varying(pairs[1])
    if samples > NEIGHBOURS and known.any():
        noise = np.random.default_rng(seed).standard_normal((2, samples))
        scaled = [_untied(part[known], jitter) for part, jitter in zip(pairs, noise, strict=True)]
        digamma = _digamma(samples)
        constant = digamma[samples] + digamma[NEIGHBOURS]
        counts = [mean_log_counts(*columns, digamma) for columns in _in_order(*scaled)]  # type: ignore[call-arg]
        information[known] = np.maximum(0, constant - np.array(counts))
    return torch.from_numpy(information).reshape(x.shape[1:]).to(x.device)


def binned(x: Tensor, y: Tensor, bins: int | None = None) -> Tensor:
    """The plug-in estimate over bins of equal mass, with Miller and Madow's correction (1955).

    Equal values share a bin. Coarse: it cannot see what happens within a bin, and so falls short where the information
    is high (with 14 bins and r = 0.99, by a fifth); near independence it is right to about 0.01, and may be negative.

    Args:
        x: [samples, ...].
        y: The same shape.
        bins: For each variable; by default so that a cell holds five samples of independent variables.

    Returns:
        [...] in float64.
    """
    samples = len(x)
    bins = bins or max(2, int((samples / 5) ** 0.5))
    first, second = _bin_of(x, bins), _bin_of(y, bins)
    entropies = [_entropy(labels, count) for labels, count in ((first, bins), (second, bins))]
    joint = _entropy(first * bins + second, bins * bins)
    return (entropies[0] + entropies[1] - joint).where(_vary(x) & _vary(y), torch.nan)


def gaussian(x: Tensor, y: Tensor) -> Tensor:
    """-log(1 - r^2) / 2: exact where both are jointly Gaussian, a lower bound where each of them is alone.

    Args:
        x: [samples, ...].
        y: The same shape.

    Returns:
        [...] in float64, at least 0; infinite where one is a multiple of the other.
    """
    centred = [part.double() - part.double().mean(dim=0) for part in (x, y)]
    product, *squares = ((a * b).sum(dim=0) for a, b in (centred, centred[:1] * 2, centred[1:] * 2))
    r = (product / (squares[0] * squares[1]).sqrt()).clamp(-1, 1)
    return (-0.5 * torch.log1p(-r.square())).where(_vary(x) & _vary(y), torch.nan)


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ksg": ksg, "binned": binned, "gaussian": gaussian}


def mutual_information(
    trajectories: Tensor, estimator: Estimator = "ksg", progress: Callable[[int], object] | None = None
) -> Tensor:
    """Information between successive sublayers, over samples, of each unit with itself.

    Runs on as many threads as PyTorch does.

    Args:
        trajectories: [samples, sublayers, units].
        estimator: Which.
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
        estimator: Which.
        seed: Of the exchange.
        progress: Called after each block of units with how many it held.

    Returns:
        [sublayers - 1, units] in float64, in nats.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    refuse_other_shapes(trajectories)
    order = torch.randperm(len(trajectories), generator=torch.Generator().manual_seed(seed))
    other = order[torch.argsort(order).add(1) % len(order)].to(trajectories.device)  # nobody keeps his own

    def exchanged(block: Tensor) -> tuple[Tensor, Tensor]:
        start, update = block[:, :-1].double(), block.double().diff(dim=1)
        return start, start + update[other]

    return _over_units(trajectories, exchanged, estimator, progress)


def tied_share(trajectories: Tensor) -> Tensor:
    """Share of samples whose value of a unit another sample has too.

    Args:
        trajectories: [samples, sublayers, units].

    Returns:
        [sublayers, units] in float64, in [0, 1].
    """
    blocks = []
    for block in trajectories.split(UNITS_AT_ONCE, dim=2):
        same = torch.sort(block, dim=0).values.diff(dim=0) == 0
        edge = torch.zeros_like(same[:1])
        blocks.append((torch.cat([edge, same]) | torch.cat([same, edge])).double().mean(dim=0))
    return torch.cat(blocks, dim=1)


def _over_units(
    trajectories: Tensor,
    pairs: Callable[[Tensor], tuple[Tensor, Tensor]],
    estimator: Estimator,
    progress: Callable[[int], object] | None,
) -> Tensor:
    """The estimator's result of a few units at a time, by threads."""
    estimate = ESTIMATORS[estimator]

    def of_block(block: Tensor) -> Tensor:
        return estimate(*pairs(block))

    found = []
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for part in threads.map(of_block, trajectories.split(UNITS_AT_ONCE, dim=2)):
            found.append(part)
            if progress is not None:
                progress(part.shape[-1])
    return torch.cat(found, dim=-1)


@cache
def _digamma(samples: int) -> np.ndarray:
    return np.concatenate([[np.nan], scipy.special.digamma(np.arange(1, samples + 1))])


def _varying(pairs: np.ndarray) -> np.ndarray:
    """[pairs], whether the samples [pairs, samples] are finite and differ."""
    finite: np.ndarray = np.isfinite(pairs).all(axis=1)
    return finite & (pairs.max(axis=1) > pairs.min(axis=1))


def _vary(values: Tensor) -> Tensor:
    """[...], whether the samples [samples, ...] are finite and differ."""
    return values.isfinite().all(dim=0) & (values.amax(dim=0) > values.amin(dim=0))


def _untied(pairs: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Each variable [pairs, samples] over its standard deviation; where values repeat, with a trace of noise."""
    scaled = pairs / pairs.std(axis=1, keepdims=True)
    tied = (np.diff(np.sort(scaled, axis=1), axis=1) == 0).any(axis=1)
    scaled[tied] += JITTER * np.maximum(1, np.abs(scaled[tied]).mean(axis=1, keepdims=True)) * noise
    return scaled


def _in_order(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """What the compiled search takes of each pair."""
    by_x, by_y = np.argsort(x, axis=1), np.argsort(y, axis=1)
    rank = np.empty_like(by_y)
    np.put_along_axis(rank, by_y, np.arange(x.shape[1])[None], axis=1)
    rows = (x, by_x), (y, by_x), (y, by_y), (rank, by_x)
    yield from zip(*(np.take_along_axis(values, order, axis=1) for values, order in rows), strict=True)


def _bin_of(values: Tensor, bins: int) -> Tensor:
    """The bin of each sample, by how many are below it."""
    columns = values.reshape(len(values), -1).T.contiguous()
    below = torch.searchsorted(torch.sort(columns, dim=1).values, columns)
    return (below * bins // len(values)).T.reshape(values.shape)


def _entropy(labels: Tensor, count: int) -> Tensor:
    """Entropy in nats of labels [samples, ...] in [0, count), Miller and Madow's correction added."""
    samples = len(labels)
    flat = labels.reshape(samples, -1)
    cells = torch.zeros(count, flat.shape[1], dtype=torch.float64, device=labels.device)
    cells.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.float64))
    plain = torch.special.entr(cells / samples).sum(dim=0)
    return (plain + ((cells > 0).sum(dim=0) - 1) / (2 * samples)).reshape(labels.shape[1:])

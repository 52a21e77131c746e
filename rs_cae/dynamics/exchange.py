"""Updates exchanged between samples: what is left of a likeness if they have nothing to do with the states.

The stream is a sum of updates. A state resembles the one before even if the update in between belongs to another
sample; a likeness is worth something only beyond that. Ours.
"""

import torch
from torch import Tensor

from rs_cae.dynamics.kinematics import Kinematics, refuse_other_shapes


def exchange_order(samples: int, seed: int = 0) -> Tensor:
    """[samples], whose update each sample gets: a cycle through all of them, so that none keeps its own."""
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(-1)
    return other


def exchange_updates(trajectories: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """States, and the states that they would become by the update of another sample, the same one at all sublayers.

    Args:
        trajectories: [samples, sublayers, units].
        other: [samples], whose update each gets.

    Returns:
        Start and end of each transition, [samples, sublayers - 1, units] in float64.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    refuse_other_shapes(trajectories)
    start, update = trajectories[:, :-1].double(), trajectories.double().diff(dim=1)
    return start, start + update[other.to(trajectories.device)]


def cosine_beyond_exchange(trajectories: Tensor, exchanges: int = 4, seed: int = 0) -> Tensor:
    """By how much the cosine of successive states exceeds what it is with exchanged updates.

    Args:
        trajectories: [samples, sublayers, width]; all units of the stream.
        exchanges: How many are averaged.
        seed: Of the exchanges.

    Returns:
        [samples, sublayers - 1] in float64.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    beyond = Kinematics.of(trajectories).cosine_similarity
    for number in range(exchanges):
        start, end = exchange_updates(trajectories, exchange_order(len(trajectories), seed + number))
        beyond -= torch.nn.functional.cosine_similarity(start, end, dim=-1, eps=0) / exchanges
    return beyond

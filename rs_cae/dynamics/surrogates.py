"""Nulls of the rotation count: traces that keep some of what the measured ones have, and lose their order.

A stream that is a sum of unrelated updates turns too: hold a count against these. Each draw rearranges the traces of
all units alike, because units are correlated: shuffled apart, their mean would vary far too little, and look
significant in 58 % of cases at 0.05 (rank-3 simulation). Source: the point shuffle is what arXiv 2502.12131 seems to
have; the others and the sharing are ours.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from rs_cae.dynamics.rotations import gradient, rotation_count, turning


class Rearrangement(NamedTuple):
    """One draw: what happens to the points or the increments of every unit's trace.

    Attributes:
        order: [T], which of them comes first, second, ...
        sign: [T], what it is multiplied by.
        mixing: [T, T], by which they are multiplied first; None for nothing.
    """

    order: np.ndarray
    sign: np.ndarray
    mixing: np.ndarray | None = None


@dataclass(frozen=True)
class Surrogate:
    """A null model of traces.

    Attributes:
        keeps: What of the measured traces it keeps, for captions.
        draw: Draws a rearrangement, from the kinds of the increments [T].
        of_increments: Whether increments are rearranged, or points.
        carries_gradient: Whether each point keeps the gradient that it had.
    """

    keeps: str
    draw: Callable[[np.random.Generator, np.ndarray], Rearrangement]
    of_increments: bool = True
    carries_gradient: bool = False


def _permuted(generator: np.random.Generator, kinds: np.ndarray) -> Rearrangement:
    return Rearrangement(generator.permutation(len(kinds)), np.ones(len(kinds)))


def _permuted_points(generator: np.random.Generator, kinds: np.ndarray) -> Rearrangement:
    return Rearrangement(generator.permutation(len(kinds) + 1), np.ones(len(kinds) + 1))


def _permuted_within_kind(generator: np.random.Generator, kinds: np.ndarray) -> Rearrangement:
    order = np.arange(len(kinds))
    for kind in np.unique(kinds):
        order[kinds == kind] = generator.permutation(order[kinds == kind])
    return Rearrangement(order, np.ones(len(kinds)))


def _flipped(generator: np.random.Generator, kinds: np.ndarray) -> Rearrangement:
    return Rearrangement(np.arange(len(kinds)), generator.choice([-1.0, 1.0], len(kinds)))


def _mixed(generator: np.random.Generator, kinds: np.ndarray) -> Rearrangement:
    """Gaussian mixtures of a unit's increments: zero mean, its own RMS, and correlated with other units as they are."""
    count = len(kinds)
    mixing = generator.standard_normal((count, count)) / np.sqrt(count)
    return Rearrangement(np.arange(count), np.ones(count), mixing)


SURROGATES = {
    "increment_sign_flip": Surrogate("sizes of the steps by depth", _flipped),
    "increment_shuffle": Surrogate("the steps, in any order", _permuted),
    "increment_shuffle_within_kind": Surrogate(
        "the steps, those of attention and MLP apart, in any order", _permuted_within_kind
    ),
    "gaussian_walk": Surrogate("the RMS of the steps", _mixed),
    "layer_shuffle": Surrogate("the activations, in any order", _permuted_points, of_increments=False),
    "point_shuffle": Surrogate(
        "the points of the portrait, in any order", _permuted_points, of_increments=False, carries_gradient=True
    ),
}
"""By name, the headline null first: it alone keeps how large a unit's steps are at each depth."""

HEADLINE = "increment_sign_flip"


def surrogate_counts(traces: Tensor, kinds: list[str], name: str, draws: int = 1000, seed: int = 0) -> Tensor:
    """Rotation counts of all units in each draw of a surrogate.

    Memory beyond the result does not grow with the number of draws. Runs on as many threads as PyTorch does.

    Args:
        traces: [sublayers, units], sample-mean traces.
        kinds: Kind of each transition, sublayers - 1 of them.
        name: Of a surrogate of ``SURROGATES``.
        draws: How many.
        seed: Of the draws.

    Returns:
        [draws, units] in float64, in turns; NaN where ``rotation_count`` is.

    Raises:
        ValueError: If there is no such surrogate, or not a kind for each transition.
    """
    from rs_cae.dynamics.winding import wind  # numba takes a second to import

    surrogate, undefined = _checked(traces, kinds, name), rotation_count(traces).isnan()
    counts = np.full((draws, traces.shape[1]), np.nan)
    if undefined.all():
        return torch.from_numpy(counts).to(traces.device)
    points = np.ascontiguousarray(traces.double().cpu().numpy())
    slopes = np.ascontiguousarray(gradient(traces.double()).cpu().numpy())
    values = np.diff(points, axis=0) if surrogate.of_increments else points

    def count(draw: int) -> None:
        arrangement = surrogate.draw(np.random.default_rng([seed, draw]), np.asarray(kinds))
        mixed = values if arrangement.mixing is None else arrangement.mixing @ values
        flags = surrogate.of_increments, surrogate.carries_gradient
        wind(mixed, arrangement.order, arrangement.sign, slopes, *flags, counts[draw])

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(count, range(draws)))
    return torch.from_numpy(counts).to(traces.device).masked_fill(undefined, torch.nan)


def surrogate_turning(traces: Tensor, kinds: list[str], name: str, draws: int, seed: int = 0) -> Tensor:
    """Mean over units of the turning at each inner sublayer, in each draw of a surrogate.

    Args:
        traces: [sublayers, units], sample-mean traces.
        kinds: Kind of each transition, sublayers - 1 of them.
        name: Of a surrogate of ``SURROGATES`` whose points do not carry their gradient.
        draws: How many.
        seed: Of the draws, which are those of ``surrogate_counts``.

    Returns:
        [draws, sublayers - 2] in float64, in turns; units with a constant trace do not count.

    Raises:
        ValueError: If there is no such surrogate, or not a kind for each transition.
    """
    surrogate, undefined = _checked(traces, kinds, name), rotation_count(traces).isnan()
    if surrogate.carries_gradient:
        raise ValueError(f"the points of {name} carry their gradient, and have no trace of their own")
    turns = traces.new_empty(draws, max(len(traces) - 2, 0), dtype=torch.float64)
    for draw in range(draws):
        walk = rearranged(traces, surrogate, surrogate.draw(np.random.default_rng([seed, draw]), np.asarray(kinds)))
        turns[draw] = turning(walk).masked_fill(undefined, torch.nan).nanmean(dim=1)
    return turns


def rearranged(traces: Tensor, surrogate: Surrogate, arrangement: Rearrangement) -> Tensor:
    """The traces [sublayers, units] of one draw, put together step by step."""
    order, sign = (torch.from_numpy(part).to(traces.device) for part in arrangement[:2])
    values = traces.double().diff(dim=0) if surrogate.of_increments else traces.double()
    if arrangement.mixing is not None:
        values = torch.from_numpy(arrangement.mixing).to(traces.device) @ values
    values = sign[:, None] * values[order]
    return torch.nn.functional.pad(values.cumsum(dim=0), (0, 0, 1, 0)) if surrogate.of_increments else values


def _checked(traces: Tensor, kinds: list[str], name: str) -> Surrogate:
    if name not in SURROGATES:
        raise ValueError(f"no surrogate {name!r}; there are {', '.join(SURROGATES)}")
    if len(kinds) != len(traces) - 1:
        raise ValueError(f"expected the kinds of {len(traces) - 1} transitions, got {len(kinds)}")
    return SURROGATES[name]

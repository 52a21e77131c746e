"""How sharply a trajectory turns and how straight it is, and what the same steps would do in another order.

Both follow from the inner products of a trajectory's steps alone, its Gram matrix: [steps, steps] in place of
[sublayers, width]. That a path is curved is no finding: any walk is. What can be one is that the order of its steps, or
that their signs, matter. A draw does the same to all samples, because samples are correlated: rearranged apart, their
mean would vary far too little. Source: turning and length of paths are textbook geometry; nulls and sharing are ours.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rs_cae.dynamics.kinematics import refuse_other_shapes
from rs_cae.dynamics.surrogates import SURROGATES

ROUNDING = 1e-12
"""Cosines that are closer to 1 or -1, and squared distances that are a smaller share of the squared path, are rounding:
an arc cosine would make 1e-6 degrees of it, and the inverse of a distance 1e8."""

SAMPLES_AT_ONCE = 16
"""So that steps in float64 take little memory beside their states."""

DRAWS_AT_ONCE = 100
"""So that what is computed from signs takes little memory."""


def steps_gram(trajectories: Tensor) -> Tensor:
    """Inner products of all steps of a trajectory: G[t, t'] = (h[t + 1] - h[t]) . (h[t' + 1] - h[t']).

    Args:
        trajectories: [samples, sublayers, width].

    Returns:
        [samples, sublayers - 1, sublayers - 1] in float64, in squared units of the activations.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    refuse_other_shapes(trajectories)
    steps = (part.double().diff(dim=1) for part in trajectories.split(SAMPLES_AT_ONCE))
    grams = [part @ part.mT for part in steps]
    count = trajectories.shape[1] - 1
    return torch.cat(grams) if grams else trajectories.new_empty(0, count, count, dtype=torch.float64)


def angles_between_steps(gram: Tensor) -> Tensor:
    """Angle between any two steps of a trajectory.

    Args:
        gram: [..., steps, steps], as of ``steps_gram``.

    Returns:
        [..., steps, steps] in degrees, in [0, 180]; NaN where either step has no length.
    """
    lengths = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    cosine = gram / lengths.unsqueeze(-1) / lengths.unsqueeze(-2)
    cosine = torch.where(cosine.abs() > 1 - ROUNDING, cosine.sign(), cosine)
    return cosine.acos().rad2deg()


def successive_angles(angles: Tensor) -> Tensor:
    """Those [..., steps - 1] of the angles [..., steps, steps] that are between a step and the next one."""
    return angles.diagonal(offset=1, dim1=-2, dim2=-1)


def turning_angle(trajectories: Tensor) -> Tensor:
    """Angle between a step and the next one, at every sublayer but the first and the last.

    0 goes straight on, 180 goes back; unrelated steps in many dimensions are at about 90.

    Args:
        trajectories: [samples, sublayers, width].

    Returns:
        [samples, sublayers - 2] in degrees; NaN where either step has no length.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.

    Example:
        >>> turning_angle(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 1.0]]]))
        tensor([[ 0., 90.]], dtype=torch.float64)
    """
    return successive_angles(angles_between_steps(steps_gram(trajectories)))


def straightness(gram: Tensor) -> Tensor:
    """End-to-end distance over path length: 1 if straight, 0 if the path ends where it began.

    It is bounded, so that means over samples exist where those of its inverse, ``tortuosity``, do not: the ends of a
    walk in one or two dimensions may meet.

    Args:
        gram: [..., steps, steps], as of ``steps_gram``.

    Returns:
        [...] in [0, 1]; NaN where nothing moves.
    """
    lengths = gram.diagonal(dim1=-2, dim2=-1).sqrt().sum(dim=-1)
    return (gram.sum(dim=(-2, -1)).clamp(min=0).sqrt() / lengths).clamp(max=1)


def tortuosity(straight: Tensor) -> Tensor:
    """Path length over end-to-end distance, the inverse of straightness: 1 if straight.

    The tortuosity of a mean straightness is the harmonic mean of the samples' tortuosities. Averaging so is ours.

    Args:
        straight: [...], as of ``straightness``, or means of it.

    Returns:
        [...], at least 1; NaN where the path ends where it began, but for rounding.
    """
    return torch.where(straight > ROUNDING**0.5, 1 / straight, torch.nan)


class RearrangedSteps(NamedTuple):
    """Draws of a null model of steps.

    Attributes:
        orders: [draws, steps], which step comes first, second, ...
        signs: [draws, steps], what each is multiplied with, 1 or -1.
    """

    orders: Tensor
    signs: Tensor


def rearranged_steps(name: str, kinds: list[str], draws: int = 1000, seed: int = 0) -> RearrangedSteps:
    """Draws of a null model of steps, to be applied to all samples alike.

    Args:
        name: Of a surrogate of ``SURROGATES`` that permutes steps or changes their signs.
        kinds: Kind of each transition.
        draws: How many.
        seed: Of the draws.
    """
    generators = (np.random.default_rng([seed, draw]) for draw in range(draws))
    drawn = [SURROGATES[name].draw(generator, np.asarray(kinds)) for generator in generators]
    orders, signs = (np.stack([getattr(part, field) for part in drawn]) for field in ("order", "sign"))
    return RearrangedSteps(torch.from_numpy(orders), torch.from_numpy(signs))


def reordered_turning_angle(angles: Tensor, orders: Tensor) -> Tensor:
    """Mean turning angle of the same steps in other orders.

    Args:
        angles: [steps, steps] in degrees, between any two steps, of one trajectory or averaged over samples.
        orders: [draws, steps], as of ``rearranged_steps``.

    Returns:
        [draws] in degrees; NaN angles do not count.
    """
    orders = orders.to(angles.device)
    return angles[orders[:, :-1], orders[:, 1:]].nanmean(dim=1)


def expected_turning_angle(angles: Tensor, kinds: list[str] | None = None) -> Tensor:
    """Mean turning angle at each inner sublayer over all orders of the steps; ``reordered_turning_angle`` has some.

    Args:
        angles: [steps, steps] in degrees.
        kinds: Kind of each step, where those of a kind change places among themselves alone; None if all do.

    Returns:
        [steps - 1] in degrees.
    """
    count = len(angles)
    distinct = ~torch.eye(count, dtype=torch.bool, device=angles.device)
    names = kinds or [""] * count
    places = {name: torch.tensor([name == other for other in names], device=angles.device) for name in set(names)}
    means = [
        angles[places[before].unsqueeze(1) & places[after] & distinct].nanmean() for before, after in pairwise(names)
    ]
    return torch.stack(means) if means else angles.new_empty(0)


def flipped_straightness(gram: Tensor, signs: Tensor) -> Tensor:
    """Straightness of paths of the same steps with other signs: the end-to-end distance is sqrt(e . G e).

    Path length over end-to-end distance is the same for every order of the steps, whose sum and lengths no order
    changes: shuffled increments are no null of it. Signs change the sum, and keep the size of each step. The choice of
    this null is ours.

    Args:
        gram: [samples, steps, steps], as of ``steps_gram``.
        signs: [draws, steps], as of ``rearranged_steps``.

    Returns:
        [samples, draws] in [0, 1]; NaN where nothing moves.
    """
    lengths = gram.diagonal(dim1=-2, dim2=-1).sqrt().sum(dim=-1)
    squares = [
        ((some @ gram) * some).sum(dim=-1).clamp(min=0) for some in signs.to(gram.device).double().split(DRAWS_AT_ONCE)
    ]
    return (torch.cat(squares, dim=-1).sqrt() / lengths.unsqueeze(-1)).clamp(max=1)

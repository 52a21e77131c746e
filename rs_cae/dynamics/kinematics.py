"""Where a trajectory is at each sublayer, and how far and whereto it moves to the next."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Kinematics(NamedTuple):
    """Where each state is, and how it gets to the next: everything of Figure 1 that needs no second sample.

    All in float64; NaN where a zero norm divides.

    Attributes:
        norm: [samples, sublayers], L2 norm, in units of the activations.
        mean_abs: [samples, sublayers], mean over units of the absolute value, in the same units.
        participation_ratio: [samples, sublayers], (sum h^2)^2 / (width sum h^4): the share of units that carry the
            state, in [1 / width, 1]; a Gaussian vector has 1/3. One reading of "denser"; the choice is ours.
        velocity: [samples, sublayers - 1], L2 norm of the step. Source: arXiv 2502.12131, Figure 1F; the norm is ours.
        relative_velocity: [samples, sublayers - 1], velocity over the norm that it starts from.
        cosine_similarity: [samples, sublayers - 1], of successive states. Source: Figure 1E.
    """

    norm: Tensor
    mean_abs: Tensor
    participation_ratio: Tensor
    velocity: Tensor
    relative_velocity: Tensor
    cosine_similarity: Tensor

    @classmethod
    def of(cls, trajectories: Tensor) -> Kinematics:
        """Of trajectories [samples, sublayers, width], which are read once.

        Raises:
            ValueError: If not 3-D or fewer than two sublayers.
        """
        refuse_other_shapes(trajectories)
        samples, sublayers, width = trajectories.shape
        sums = trajectories.new_empty(5, samples, sublayers, dtype=torch.float64)
        squared, fourth, absolute, product, step = sums
        before = trajectories[:, 0].double()
        for sublayer in range(sublayers):  # one sublayer of a batch stays in the processor's cache
            state = trajectories[:, sublayer].double() if sublayer else before
            squares = state.square()
            squared[:, sublayer] = squares.sum(dim=-1)
            fourth[:, sublayer] = squares.square_().sum(dim=-1)
            absolute[:, sublayer] = state.abs().sum(dim=-1)
            product[:, sublayer] = torch.linalg.vecdot(before, state)
            step[:, sublayer] = (state - before).square_().sum(dim=-1)
            before = state
        norm, velocity = squared.sqrt(), step[:, 1:].sqrt()
        return cls(
            norm=norm,
            mean_abs=absolute / width,
            participation_ratio=_ratio(squared.square(), width * fourth),
            velocity=velocity,
            relative_velocity=_ratio(velocity, norm[:, :-1]),
            cosine_similarity=_ratio(product[:, 1:], norm[:, :-1] * norm[:, 1:]).clamp(-1, 1),
        )

    def to_columns(self) -> Tensor:
        """[samples, 3 sublayers + 3 transitions], one quantity after the other."""
        return torch.cat([*self], dim=1)

    @classmethod
    def from_columns(cls, columns: Tensor, sublayers: int) -> Kinematics:
        """What ``to_columns`` was made of."""
        return cls(*columns.split([sublayers] * 3 + [sublayers - 1] * 3, dim=1))


def velocity(trajectories: Tensor) -> Tensor:
    """Distance travelled at each transition, the L2 norm of the step.

    Unit: that of the activations. Source: arXiv 2502.12131, Figure 1F; the norm is our choice.

    Args:
        trajectories: [samples, sublayers, width].

    Returns:
        [samples, sublayers - 1] in float64, at least 0.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.

    Example:
        >>> velocity(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[5.]], dtype=torch.float64)
    """
    refuse_other_shapes(trajectories)
    return torch.linalg.vector_norm(trajectories.double().diff(dim=1), dim=-1)


def participation_ratio_of_noise(width: int, samples: int = 1000, seed: int = 0) -> float:
    """Mean participation ratio of Gaussian vectors, by simulation: 0.34 at a width of 128, and 1/3 in the limit."""
    noise = torch.randn(samples, 1, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return float(Kinematics.of(noise.expand(-1, 2, -1)).participation_ratio.mean())


def layer_distance(latents: Tensor) -> Tensor:
    """Mean distance, over samples, between successive sublayers in one shared latent space.

    It is the mean of the velocity of latent trajectories, in units of the latents. Source: arXiv 2502.12131, Figure 3C;
    the mean of the distances, not the distance of the means, is our choice.

    Args:
        latents: [samples, sublayers, bottleneck], all sublayers in the same space.

    Returns:
        [sublayers - 1] in float64.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    return velocity(latents).mean(dim=0)


def norm_outliers(norms: Tensor, factor: float) -> Tensor:
    """Which samples have, at any sublayer, a norm above ``factor`` medians of that sublayer.

    Single tokens, the first of a text above all, can carry norms a hundredfold of the others', which then make up most
    of a variance. The rule is ours.

    Args:
        norms: [samples, sublayers], L2 norms of the states.
        factor: Norms allowed, in medians over samples.

    Returns:
        [samples], boolean.

    Example:
        >>> norm_outliers(torch.tensor([[1.0], [2.0], [3.0], [9.0], [2.0]]), factor=4)
        tensor([False, False, False,  True, False])
    """
    return (norms > factor * norms.median(dim=0).values).any(dim=1)


def refuse_other_shapes(trajectories: Tensor) -> None:
    """Raise a ValueError unless trajectories are [samples, sublayers, width] with a transition among them."""
    shape = tuple(trajectories.shape)
    if len(shape) != 3 or shape[1] < 2:
        raise ValueError(f"expected [samples, sublayers, width] with at least 2 sublayers, got {shape}")


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator, torch.nan)

"""States that are tried in place of a stream's own: on the reduced plane, and around it in full width."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rs_cae.reducers.base import Reducer

Offplane = Literal["mean", "keep"]

SIZES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Of displacements, relative to the norm of the stream's own state."""

DIRECTIONS = 8
"""Random directions of each size, and principal ones, half of them forwards and half of them backwards."""


def widened_range(latents: Tensor, margin: float = 0.05) -> Tensor:
    """Range of each latent over samples and sublayers, widened on each side: the plane that a later study covers.

    Args:
        latents: [samples, sublayers, bottleneck].
        margin: Share of the range that is added on each side.

    Returns:
        [bottleneck, 2], low and high, in latent units.
    """
    low, high = latents.amin(dim=(0, 1)), latents.amax(dim=(0, 1))
    return torch.stack([low - margin * (high - low), high + margin * (high - low)], dim=1)


def grid_points(extent: Tensor, size: int) -> Tensor:
    """Points evenly over the first two latents, or over the only one.

    Args:
        extent: [latents, 2], low and high of each.
        size: Points along each.

    Returns:
        [size^axes, axes], the first latent slowest.

    Example:
        >>> grid_points(torch.tensor([[0.0, 1.0], [4.0, 6.0]]), 2).tolist()
        [[0.0, 4.0], [0.0, 6.0], [1.0, 4.0], [1.0, 6.0]]
    """
    axes = [torch.linspace(float(low), float(high), size, dtype=extent.dtype) for low, high in extent[:2]]
    return torch.cartesian_prod(*axes).reshape(-1, len(axes)).to(extent.device)


class Plane:
    """The reduced plane through what a reducer makes of one state.

    Args:
        reducer: For the state's sublayer alone.
        state: [width].
        offplane: Of a point p, ``mean`` makes decode(p), as in the paper; ``keep`` adds what decode(encode(state))
            lacks of the state, so that the state's own latents lead back to it.

    Attributes:
        latents: [latents], the state's own.
    """

    def __init__(self, reducer: Reducer, state: Tensor, offplane: Offplane) -> None:
        self.reducer = reducer
        self.latents = reducer.encode(state[None])[0]
        self.rest = state - self._decode(self.latents[None])[0] if offplane == "keep" else torch.zeros_like(state)

    def states(self, points: Tensor) -> Tensor:
        """States [points, width] at points [points, axes]; latents beyond the axes are the state's own."""
        latents = self.latents.repeat(len(points), 1)
        latents[:, : points.shape[1]] = points.to(latents)
        return self._decode(latents) + self.rest

    def rotated(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Each point turned about the state's own by an angle of its own; mirrored where there is one axis alone."""
        centre = self.latents[: points.shape[1]]
        apart = points.to(centre) - centre
        if points.shape[1] == 1:
            return centre - apart
        angles = 2 * torch.pi * torch.rand(len(points), generator=generator, dtype=torch.float64)
        cosine, sine = angles.cos().to(centre), angles.sin().to(centre)
        first, second = apart.unbind(dim=1)
        return centre + torch.stack([cosine * first - sine * second, sine * first + cosine * second], dim=1)

    def _decode(self, latents: Tensor) -> Tensor:
        return self.reducer.decode(latents[:, None])[:, 0]


class Targets(NamedTuple):
    """What is tried at one sublayer, each [points, width].

    Attributes:
        plane: On the reduced plane.
        rotated: There too, turned about the state's own place.
        random: As far from the state as those on the plane, in random directions of the full width.
        doses: [2, sizes, directions, width] flat: random and principal directions at each of ``SIZES``.
    """

    plane: Tensor
    rotated: Tensor
    random: Tensor
    doses: Tensor


def make_targets(plane: Plane, state: Tensor, points: Tensor, principal: Tensor, generator: torch.Generator) -> Targets:
    """All that is tried in place of one state.

    Args:
        plane: Through it.
        state: [width].
        points: [points, axes] on the plane.
        principal: [directions, width], orthonormal or zero.
        generator: Of what is drawn, on the CPU.
    """
    on_plane = plane.states(points)
    apart = (on_plane - state).norm(dim=1, keepdim=True)
    random = state + apart * random_directions(len(points), state, generator)
    both = random_directions(DIRECTIONS, state, generator), _forwards_and_backwards(principal.to(state))
    sizes = state.norm() * torch.tensor(SIZES, dtype=torch.float64).to(state)
    doses = torch.stack([sizes[:, None, None] * directions for directions in both])
    rotated = plane.states(plane.rotated(points, generator))
    return Targets(on_plane, rotated, random, (state + doses).flatten(0, 2))


def random_directions(count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Unit vectors [count, width], evenly over all directions, of the kind of a state [width]."""
    drawn = torch.randn(count, len(like), generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm(dim=1, keepdim=True)).to(like)


def principal_directions(states: Tensor) -> Tensor:
    """The directions in which states vary most, at each sublayer.

    Args:
        states: [samples, sublayers, width].

    Returns:
        [sublayers, DIRECTIONS / 2, width], orthonormal, by falling variance; zero where the states vary in fewer.
    """
    count = DIRECTIONS // 2
    centred = (states.double() - states.double().mean(dim=0)).transpose(0, 1)
    values, directions = torch.linalg.svd(centred, full_matrices=False)[1:]
    varies = values > 1e-6 * centred.norm(dim=(1, 2))[:, None]
    directions = (directions * varies[..., None])[:, :count]
    return pad(directions, (0, 0, 0, count - directions.shape[1]))


def _forwards_and_backwards(directions: Tensor) -> Tensor:
    return torch.cat([directions, -directions])

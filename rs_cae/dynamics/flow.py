"""Fields of arrows on a grid in a latent plane or line: their divergence, and their zeros with their stability.

An arrow is one jump of K sublayers, F(z) = z_K - z_0, not the velocity of a flow, and other sublayers would jump
otherwise. Divergences and kinds are those of the field taken for a flow dz/dt = F(z), which is ours: repeated jumps
z -> z + F(z) leave even a stable zero if they overshoot it. Source of the kinds: linear stability in the plane of trace
and determinant, Strogatz, Nonlinear Dynamics and Chaos, chapters 5 and 6.

Arrows begin where an encoder puts the grid's points, which need not be a regular grid. Both places and arrows are
interpolated bilinearly in the grid's cells, over u and v, each from 0 to 1. A line is computed as a plane of two equal
rows, of which the field leads away.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rs_cae.dynamics.bilinear import Cells, corners_of, zeros

KINDS = ("stable node", "stable focus", "saddle", "unstable node", "unstable focus")
SADDLE = KINDS.index("saddle")

FOLDED = 1e-5
"""A cell with less than this share of the area that it would have if the grid's extent were shared evenly is a line."""

EQUAL = 1e-9
"""Eigenvalues are complex if the square of the trace is less than 4 determinants by more than this share."""


class FixedPoints(NamedTuple):
    """Zeros of one or many fields, in order of fields and cells.

    Attributes:
        batch: [zeros], which field each belongs to, an index into the flattened leading axes.
        place: [zeros, axes], in units of the latents.
        jacobian: [zeros, axes, axes], of the displacement (rows) with respect to the place (columns); unit: 1.
        kind: [zeros], index into KINDS.
    """

    batch: Tensor
    place: Tensor
    jacobian: Tensor
    kind: Tensor

    @property
    def names(self) -> list[str]:
        """What each zero is, one of KINDS."""
        return [KINDS[kind] for kind in self.kind.tolist()]


def jacobians(places: Tensor, displacement: Tensor) -> Tensor:
    """Local Jacobian dF/dz of the field at the centre of each cell of the grid, (dF/d(u, v)) (dz/d(u, v))^-1.

    Unit: 1, displacement per distance. Exact for a linear field, wherever its arrows begin. Ours.

    Args:
        places: [..., rows, columns, 2], or [..., points, 1] on a line: where each arrow begins.
        displacement: The same shape, the arrows; leading axes may be broadcast.

    Returns:
        [..., rows - 1, columns - 1, 2, 2] or [..., points - 1, 1, 1] in float64; NaN where the cell's places are folded
        onto a line or anything is NaN.

    Raises:
        ValueError: If shapes are others than these, or fewer than two places lie along an axis.
    """
    axes = places.shape[-1]
    places, displacement = _planes(places, displacement)
    cells, field = Cells.of(corners_of(places)), Cells.of(corners_of(displacement))
    middle = (places.new_tensor(0.5),) * 2
    found = _per_latent(field.slopes(*middle), cells.slopes(*middle), _least_area(places)[..., None, None])
    found = found[..., 0, :1, :1] if axes == 1 else found
    return found.where(found.isfinite().all(dim=-1).all(dim=-1)[..., None, None], torch.nan)


def mean_divergence(places: Tensor, displacement: Tensor) -> Tensor:
    """Mean over cells of the Jacobian's trace: below 0 the arrows draw together, above 0 they spread.

    Unit: 1. Cells without a Jacobian are left out. Exactly trace A for a field A z + b. Ours.

    Args:
        places: [..., rows, columns, 2] or [..., points, 1].
        displacement: The same shape; leading axes may be broadcast.

    Returns:
        [...] in float64; NaN where no cell is left.

    Raises:
        ValueError: As ``jacobians``.

    Example:
        >>> places = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).reshape(4, 4, 2)
        >>> mean_divergence(places, -0.5 * places)
        tensor(-1., dtype=torch.float64)
    """
    trace = jacobians(places, displacement).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return trace.flatten(-places.shape[-1]).nanmean(dim=-1)


def fixed_points(places: Tensor, displacement: Tensor) -> FixedPoints:
    """Zeros of the interpolated field inside the grid, and what they are if its arrows are taken for a flow.

    Each cell's bilinear field is solved for (u, v) exactly, which gives up to two zeros, one of them a saddle. Zeros on
    a border count once, in the cell that begins there. Those that are not isolated, or where places are folded onto a
    line, are none: a field that is 0 everywhere has none. A negative determinant makes a saddle, else the sign of the
    trace says whether it is stable: a centre, whose trace is 0, is unstable, or what rounding makes of it. Equal
    eigenvalues make a node. The interpolation, and so the zeros, are ours.

    Args:
        places: [..., rows, columns, 2] or [..., points, 1].
        displacement: The same shape; leading axes may be broadcast.

    Returns:
        All that were found, in float64. Cells with a NaN have none.

    Raises:
        ValueError: As ``jacobians``.
    """
    axes = places.shape[-1]
    places, displacement = (_flattened(values) for values in _planes(places, displacement))
    found = zeros(displacement)
    batch, cells = found.cell[:, 0], found.within(places)
    slopes = found.within(displacement).slopes(found.u, found.v)
    slopes = _per_latent(slopes, cells.slopes(found.u, found.v), _least_area(places)[batch])[:, :axes, :axes]
    known = slopes.isfinite().all(dim=-1).all(dim=-1)
    slopes = slopes[known]
    return FixedPoints(batch[known], cells.at(found.u, found.v)[known, :axes], slopes, _kinds(slopes))


def persistence(found: FixedPoints, draws: FixedPoints, resamples: int, radius: Tensor) -> Tensor:
    """Share of resampled fields that have a zero of the same stability near each zero of one field.

    Node and focus are the same here: what persists is attraction, repulsion or a saddle. Ours.

    Args:
        found: Zeros of one field.
        draws: Zeros of the resampled fields, a batch of them.
        resamples: How many fields were resampled, those without a zero included.
        radius: [axes], half axes of the ellipse around each zero in which it is still the same one, in units of the
            latents, such as ``grid_spacing``.

    Returns:
        [zeros] in float64, from 0 to 1; NaN without a resample.
    """
    apart = (found.place[:, None] - draws.place) / radius.to(draws.place)
    same = _stability(found.kind)[:, None] == _stability(draws.kind)
    near = same & (apart.square().sum(dim=-1) <= 1)
    counts = apart.new_zeros(len(found.place), resamples).index_add_(1, draws.batch, near.double())
    return (counts > 0).double().mean(dim=1)


def grid_spacing(places: Tensor) -> Tensor:
    """Extent of the places along each latent over the steps of the grid's axis of the same number.

    Args:
        places: [..., rows, columns, 2] or [..., points, 1].

    Returns:
        [..., axes] in float64, in units of the latents; NaN places are left out.
    """
    axes = places.shape[-1]
    steps = torch.tensor(places.shape[-1 - axes : -1], device=places.device) - 1
    rows = places.double().flatten(-1 - axes, -2)
    highest = rows.nan_to_num(nan=-torch.inf).amax(dim=-2)
    lowest = rows.nan_to_num(nan=torch.inf).amin(dim=-2)
    return (highest - lowest) / steps


def _planes(places: Tensor, displacement: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64, of the same shape [..., rows, columns, 2]; a line gets a second row."""
    axes, shape = places.shape[-1], tuple(places.shape)
    grid = shape[-1 - axes :]
    if axes not in (1, 2) or len(shape) <= axes or min(grid[:-1]) < 2 or tuple(displacement.shape)[-1 - axes :] != grid:
        raise ValueError(
            "expected places and displacement of one shape, [..., rows, columns, 2] or [..., points, 1], "
            f"two or more along an axis; got {shape} and {tuple(displacement.shape)}"
        )
    places, displacement = torch.broadcast_tensors(places.double(), displacement.double())
    if axes == 2:
        return places, displacement
    row = torch.ones_like(places)
    below, above = torch.cat([places, 0 * row], dim=-1), torch.cat([places, row], dim=-1)
    inwards, outwards = (torch.cat([displacement, push * row], dim=-1) for push in (-0.5, 0.5))
    return torch.stack([below, above], dim=-2), torch.stack([inwards, outwards], dim=-2)


def _flattened(values: Tensor) -> Tensor:
    """[batch, rows, columns, 2], of all leading axes, be there none."""
    return values.reshape(math.prod(values.shape[:-3]), *values.shape[-3:])


def _least_area(places: Tensor) -> Tensor:
    """[...], of a cell that is not folded onto a line."""
    return FOLDED * grid_spacing(places).prod(dim=-1)


def _per_latent(field: Tensor, places: Tensor, least: Tensor) -> Tensor:
    """[..., 2, 2]: slopes of the field per step of the grid, made slopes per unit of the latents."""
    (zu, zv), (wu, wv) = (row.unbind(dim=-1) for row in places.unbind(dim=-2))
    area = zu * wv - zv * wu
    area = area.where(area.abs() > least, torch.nan)[..., None, None]
    adjugate = torch.stack([torch.stack([wv, -zv], dim=-1), torch.stack([-wu, zu], dim=-1)], dim=-2)
    return field @ adjugate / area


def _kinds(jacobian: Tensor) -> Tensor:
    """[zeros], index into KINDS."""
    trace = jacobian.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    kind = torch.where(trace < 0, 0, KINDS.index("unstable node"))
    if jacobian.shape[-1] == 1:
        return kind
    determinant = torch.linalg.det(jacobian)
    kind = kind + (trace.square() < 4 * (1 - EQUAL) * determinant)
    return kind.where(determinant >= 0, SADDLE)


def _stability(kind: Tensor) -> Tensor:
    """-1 where it attracts, 0 at a saddle, 1 where it repels."""
    return (kind - SADDLE).sign()

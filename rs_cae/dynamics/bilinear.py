"""Values at the corners of a grid's cells, interpolated bilinearly, and where in a cell two of them are 0."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BORDER = 1e-7
"""In cells: zeros as close as that to a border are on it."""

SINGULAR = 1e-7
"""A field's determinant as small as that, beside the product of its components' sizes in the cell, is 0."""


def corners_of(values: Tensor) -> Tensor:
    """[4, ..., rows - 1, columns - 1, 2], of each cell at (u, v) = (0, 0), (1, 0), (0, 1), (1, 1)."""
    behind, ahead = values[..., :-1, :, :], values[..., 1:, :, :]
    return torch.stack([behind[..., :-1, :], ahead[..., :-1, :], behind[..., 1:, :], ahead[..., 1:, :]])


class Cells(NamedTuple):
    """Bilinear interpolants: value = origin + first u + second v + mixed u v, each [..., 2]."""

    origin: Tensor
    first: Tensor
    second: Tensor
    mixed: Tensor

    @classmethod
    def of(cls, corners: Tensor) -> Cells:
        """Through corners as ``corners_of`` puts them."""
        origin, first, second, both = corners
        return cls(origin, first - origin, second - origin, both - first - second + origin)

    def at(self, u: Tensor, v: Tensor) -> Tensor:
        """[..., 2], the value there."""
        u, v = u[..., None], v[..., None]
        return self.origin + self.first * u + self.second * v + self.mixed * u * v

    def slopes(self, u: Tensor, v: Tensor) -> Tensor:
        """[..., 2, 2], with respect to u (first column) and v."""
        return torch.stack([self.first + self.mixed * v[..., None], self.second + self.mixed * u[..., None]], dim=-1)


class Zeros(NamedTuple):
    """Where grids of values are 0.

    Attributes:
        cell: [zeros, 3], batch, row and column of the cell that each is in.
        u: [zeros], from 0 to 1, from the cell's row to the next.
        v: [zeros], from its column to the next.
    """

    cell: Tensor
    u: Tensor
    v: Tensor

    def within(self, values: Tensor) -> Cells:
        """The cells of other values on the same grid in which the zeros are, [zeros, 2] each."""
        return Cells.of(corners_of(values)[(slice(None), *self.cell.T)])


def zeros(values: Tensor) -> Zeros:
    """Isolated zeros of the interpolants of values [batch, rows, columns, 2], up to two in a cell.

    Those on a border count once, in the cell that begins there; cells with a NaN have none. In order of cells.
    """
    corners = corners_of(values)
    lowest, highest = corners.amin(dim=0), corners.amax(dim=0)
    margin = 10 * BORDER * (highest - lowest)
    possible = ((lowest <= margin) & (highest >= -margin)).all(dim=-1)  # a cell's values are between its corners'
    cell, corners = possible.nonzero(), corners[:, possible]
    u, v = _solved(Cells.of(corners), corners.abs().amax(dim=0).prod(dim=-1))
    inside = _owned(u, cell[:, 1:2], possible.shape[1]) & _owned(v, cell[:, 2:], possible.shape[2])
    return Zeros(cell[inside.nonzero()[:, 0]], u[inside].clamp(0, 1), v[inside].clamp(0, 1))


def _cross(left: Tensor, right: Tensor) -> Tensor:
    return left[..., 0] * right[..., 1] - left[..., 1] * right[..., 0]


def _solved(field: Cells, size: Tensor) -> tuple[Tensor, Tensor]:
    """u and v, [cells, 2] each, of both zeros of each interpolant, inside or outside; NaN where none is isolated.

    Eliminating v leaves a quadratic in u, and the other way round. Both have the same discriminant; its root is the
    field's determinant at one zero and minus that at the other, which tells whose v belongs to whose u. Derived by us.
    """
    a, b, c, d = field
    along, across = _cross(a, d), _cross(b, c)
    flat, square = _cross(a, c), _cross(b, d)
    determinant = ((along + across).square() - 4 * flat * square).clamp(min=0).sqrt()
    determinant = determinant.where(determinant > SINGULAR * size, torch.nan)
    both = torch.stack([determinant, -determinant], dim=-1)
    u = _root(square, along + across, flat, both)
    return u, _root(_cross(c, d), along - across, _cross(a, b), -both)


def _root(square: Tensor, linear: Tensor, constant: Tensor, slope: Tensor) -> Tensor:
    """Where square x^2 + linear x + constant is 0 and has that slope, without cancellation; square may be 0."""
    square, linear, constant = square[:, None], linear[:, None], constant[:, None]
    return torch.where(linear * slope > 0, -2 * constant / (linear + slope), (slope - linear) / (2 * square))


def _owned(share: Tensor, index: Tensor, cells: int) -> Tensor:
    """Whether a place, as a share of the cell of that index, is in it: half open, closed at the last cell."""
    place = index + share
    place = torch.where((place - place.round()).abs() <= BORDER, place.round(), place)
    return place.floor() - (place == cells).double() == index

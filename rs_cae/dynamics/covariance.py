"""Covariances that arrive in parts, and their principal axes: exact to merge, centred, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

OVERSAMPLING = 20
"""Vectors of a probe more than axes that are asked for, which makes these exact sooner."""


BLOCKS = 8


@dataclass
class Scatter:
    """Sum over rows x of (x - mean)(x - mean)^T, or its product with a few probe vectors, for each of several maps.

    Deviations are taken from each part's own mean, never as E[x x^T] - mean mean^T; parts merge by the pairwise formula
    of Chan, Golub and LeVeque (1979). Memory depends on the width alone, not on how many rows there are.

    Attributes:
        count: Rows that were added to each map.
        mean: [maps, width].
        product: [maps, width, probes]: the product with the probe; without one the scatter itself, of which the upper
            triangle counts: see ``whole``.
        probe: [maps, width, probes]; None for the scatter itself.
    """

    count: int
    mean: Tensor
    product: Tensor
    probe: Tensor | None = None

    @classmethod
    def zeros(cls, maps: int, width: int, device: torch.device | None = None, probe: Tensor | None = None) -> Scatter:
        """Of no rows at all."""
        mean = torch.zeros(maps, width, dtype=torch.float64, device=device)
        columns = width if probe is None else probe.shape[-1]
        return cls(0, mean, mean.new_zeros(maps, width, columns), probe)

    def emptied(self, probe: Tensor | None) -> Scatter:
        """Of no rows, on the same device, with this probe."""
        return Scatter.zeros(len(self.mean), self.mean.shape[1], self.mean.device, probe)

    def add(self, rows: Tensor) -> None:
        """Take in rows [maps, rows, width]."""
        if not rows.shape[1]:
            return
        rows = rows.double()
        mean = rows.mean(dim=1)
        centred = rows - mean[:, None]
        for total, part, probed in zip(self.product, centred, self._probed(centred), strict=True):
            if self.probe is None:
                _add_upper_triangle(total, part)
            else:
                total.addmm_(part.T, probed)
        self._move(rows.shape[1], mean)

    def merge(self, other: Scatter) -> None:
        """Take in what another scatter with the same probe has been given."""
        if not other.count:
            return
        self.product += other.product
        self._move(other.count, other.mean)

    def seen_by(self, probe: Tensor) -> Scatter:
        """The product of a scatter that is kept whole with a probe [maps, width, probes]."""
        return Scatter(self.count, self.mean, self.whole @ probe, probe)

    @property
    def whole(self) -> Tensor:
        """[maps, width, width], the scatter where there is no probe."""
        return self.product.triu() + self.product.triu(1).mT

    def _move(self, count: int, mean: Tensor) -> None:
        """Add what lies between both means, and go to the mean of all."""
        together = self.count + count
        apart, share = mean - self.mean, count / together
        for total, gap, probed in zip(self.product, apart, self._probed(apart[:, None]), strict=True):
            total.addr_(gap, probed[0], alpha=self.count * share)
        self.mean += share * apart
        self.count = together

    def _probed(self, rows: Tensor) -> Tensor:
        return rows if self.probe is None else rows @ self.probe


def _add_upper_triangle(total: Tensor, rows: Tensor) -> None:
    """Add rows^T rows to the upper triangle of a matrix, block by block: with eight of them, 9/16 of the work."""
    width = len(total)
    blocks = BLOCKS if width > 64 * BLOCKS else 1
    for first, last in pairwise(width * number // blocks for number in range(blocks + 1)):
        total[first:last, first:].addmm_(rows[:, first:last].T, rows[:, first:])


class PrincipalAxes(NamedTuple):
    """Directions in which rows vary most.

    Attributes:
        mean: [maps, width].
        directions: [maps, axes, width], orthonormal, by falling variance; the entry of largest magnitude is positive.
        variances: [maps, axes], along them; divided by one less than the number of rows.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor


def principal_axes(scatter: Scatter, axes: int) -> PrincipalAxes:
    """The principal axes of what was added up, by ``eigh``.

    From a scatter's product with a probe of orthonormal columns these are the best axes within their span (Rayleigh and
    Ritz); see ``next_probe``.

    Args:
        scatter: Of at least two rows.
        axes: How many, at most as many as columns.

    Raises:
        ValueError: If there are fewer than two rows or columns than axes.
    """
    if scatter.count < 2 or axes > scatter.product.shape[-1]:
        have = f"{scatter.count} rows and {scatter.product.shape[-1]} columns"
        raise ValueError(f"{axes} axes need at least two rows and as many columns, there are {have}")
    directions, variances = [], []
    for index, product in enumerate(scatter.product):
        probe = None if scatter.probe is None else scatter.probe[index]
        values, vectors = torch.linalg.eigh(product if probe is None else probe.T @ product, UPLO="U")
        vectors = vectors[:, -axes:].flip(1)
        vectors = vectors if probe is None else probe @ vectors
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        directions.append((vectors * largest.sign()).T)
        variances.append(values[-axes:].flip(0).clamp(min=0) / (scatter.count - 1))
    return PrincipalAxes(scatter.mean.clone(), torch.stack(directions), torch.stack(variances))


def leading_axes(scatter: Scatter, axes: int, steps: int = 12) -> PrincipalAxes:
    """The first principal axes of a scatter that is kept whole, where a few of many are wanted.

    By subspace iteration with as many vectors more as ``OVERSAMPLING``; ``eigh`` would take width^3 steps for each map.
    Exact where that is the whole width, else as exact as the variances fall.
    """
    maps, width = scatter.mean.shape
    probe = first_probe(maps, width, min(width, axes + OVERSAMPLING), device=scatter.mean.device)
    for _ in range(steps):
        probe = next_probe(scatter.seen_by(probe))
    return principal_axes(scatter.seen_by(probe), axes)


def first_probe(maps: int, width: int, columns: int, seed: int = 0, device: torch.device | None = None) -> Tensor:
    """Orthonormal columns [maps, width, columns] at random, with which a randomized range finder begins.

    Source: Halko, Martinsson and Tropp (2011).
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(maps, width, columns, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn.to(device)).Q


def next_probe(scatter: Scatter) -> Tensor:
    """Orthonormal columns of a scatter's product with its probe: one step of power iteration nearer the main axes."""
    return torch.linalg.qr(scatter.product).Q

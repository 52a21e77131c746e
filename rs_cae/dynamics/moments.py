"""Mean and variance of samples that arrive in parts: exact to merge, centred, in float64."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """Count, mean and summed squared deviations of samples, for each of several groups of them.

    Sums of squares are taken about the mean, never as E[x^2] - E[x]^2, which loses every digit where the mean is large.
    Parts merge by the pairwise formula of Chan, Golub and LeVeque (1979), in any order.

    Attributes:
        count: [groups], the number of samples.
        mean: [groups, ...], 0 for an empty group.
        squared_deviations: [groups, ...], the sum over samples of (x - mean)^2.

    Example:
        >>> halves = Moments.of(torch.tensor([[1.0], [2.0]])), Moments.of(torch.tensor([[6.0]]))
        >>> Moments.merge(*halves).mean
        tensor([[3.]], dtype=torch.float64)
    """

    count: Tensor  # type: ignore[assignment]  # in place of the tuple's method, which nobody calls
    mean: Tensor
    squared_deviations: Tensor

    @classmethod
    def zeros(cls, groups: int, *shape: int, device: torch.device | None = None) -> Moments:
        """Moments of no samples at all."""
        empty = torch.zeros(groups, *shape, dtype=torch.float64, device=device)
        return cls(torch.zeros(groups, dtype=torch.float64, device=device), empty, empty.clone())

    @classmethod
    def of(cls, samples: Tensor, group: Tensor | None = None, groups: int = 1) -> Moments:
        """Moments of a batch.

        Args:
            samples: [samples, ...].
            group: [samples], the group of each sample in [0, groups); all in group 0 when left out.
            groups: Number of groups.
        """
        samples = samples.double()
        if group is None:
            group = torch.zeros(len(samples), dtype=torch.long, device=samples.device)
        zeros = cls.zeros(groups, *samples.shape[1:], device=samples.device)
        count = zeros.count.index_add(0, group, torch.ones_like(group, dtype=torch.float64))
        mean = zeros.mean.index_add(0, group, samples) / _align(count, samples.ndim - 1).clamp(min=1)
        squares = (samples - mean[group]).square_()
        return cls(count, mean, zeros.squared_deviations.index_add(0, group, squares))

    @classmethod
    def merge(cls, *parts: Moments) -> Moments:
        """Moments of the union, group by group."""
        stacked = cls(*(torch.stack(field, dim=1) for field in zip(*parts, strict=True)))
        return stacked._union(dim=1)

    def pooled(self) -> Moments:
        """Moments of all groups taken together, as one group."""
        return Moments(*(field.unsqueeze(0) for field in self._union(dim=0)))

    def leave_one_out(self) -> Moments:
        """For each group, the moments of all the others."""
        groups = range(len(self.count))
        others = [Moments(*(field[torch.arange(len(field)) != group] for field in self)).pooled() for group in groups]
        return Moments(*(torch.cat(field) for field in zip(*others, strict=True)))

    def rescaled(self, scale: Tensor, offset: Tensor | None = None) -> Moments:
        """Moments of (x - offset) / scale, both of which fit the trailing axes."""
        mean = self.mean if offset is None else self.mean - offset.double()
        return Moments(self.count, mean / scale.double(), self.squared_deviations / scale.double().square())

    @property
    def variance(self) -> Tensor:
        """[groups, ...], the population variance; NaN for an empty group."""
        return self.squared_deviations / _align(self.count, self.mean.ndim - 1)

    @property
    def squares(self) -> Tensor:
        """[groups, ...], the sum over samples of x^2."""
        return self.squared_deviations + _align(self.count, self.mean.ndim - 1) * self.mean.square()

    def _union(self, dim: int) -> Moments:
        axes = self.mean.ndim - self.count.ndim
        weight, total = _align(self.count, axes), self.count.sum(dim)
        mean = (weight * self.mean).sum(dim) / _align(total, axes).clamp(min=1)
        between = (weight * (self.mean - mean.unsqueeze(dim)).square()).sum(dim)
        return Moments(total, mean, self.squared_deviations.sum(dim) + between)


def _align(count: Tensor, axes: int) -> Tensor:
    """The count with this many trailing axes of length one."""
    return count.reshape(*count.shape, *[1] * axes)

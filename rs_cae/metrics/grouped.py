"""Moments and means by groups of texts, from which intervals follow by jackknife."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rs_cae.dynamics.moments import Moments


class GroupedMoments(Metric):
    """Accumulates moments in float64, by groups of texts.

    Memory does not grow with the number of samples; the order of updates does not matter; processes merge exactly.

    Args:
        sublayers: Places at which the stream is read.
        size: Values at each of them.
        groups: Groups into which texts are dealt by their number, for intervals by jackknife; 1 for none.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = True  # forward() then updates as update() does, instead of merging field by field
    is_differentiable = False
    names: tuple[str, ...] = ("values",)

    def __init__(self, sublayers: int, size: int, groups: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = groups
        for name in self.names:
            empty = Moments.zeros(groups, sublayers, size)
            for field, value in zip(Moments._fields, empty, strict=True):
                self.add_state(f"{name}_{field}", default=value, dist_reduce_fx=None)

    def update(self, values: Tensor, texts: Tensor) -> None:
        """Take in a batch: values [batch, sublayers, size] of samples of these texts [batch]."""
        self._add("values", Moments.of(values.double(), texts.to(values.device) % self.groups, self.groups))

    def compute(self) -> Any:
        """Moments [groups, sublayers, size] of each name in turn, empty groups left out."""
        merged = [self._merged(name) for name in self.names]
        filled = merged[0].count > 0
        return tuple(Moments(*(field[filled] for field in moments)) for moments in merged)

    def moments(self) -> tuple[Moments, ...]:
        """What ``compute`` gives, with the groups' axis that torchmetrics takes from a lone group's count."""
        return tuple(Moments(torch.atleast_1d(part.count), *part[1:]) for part in self.compute())

    def _get(self, name: str) -> Moments:
        return Moments(*(getattr(self, f"{name}_{field}") for field in Moments._fields))

    def _add(self, name: str, batch: Moments) -> None:
        for field, value in zip(Moments._fields, Moments.merge(self._get(name), batch), strict=True):
            setattr(self, f"{name}_{field}", value)

    def _merged(self, name: str) -> Moments:
        """This process's moments or, after a synchronization that stacked them, those of all processes."""
        moments = self._get(name)
        if moments.count.ndim == 1:
            return moments
        return Moments.merge(*(Moments(*fields) for fields in zip(*moments, strict=True)))


class GroupedMean(Metric):
    """Accumulates the mean over samples, and that without each of several groups of texts, for a jackknife.

    Of many units at many sublayers it takes a tenth of the time of ``GroupedMoments`` and a third of the memory.

    Args:
        shape: Of a sample's values.
        groups: Groups into which texts are dealt by their number.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False
    is_differentiable = False
    sums: Tensor
    count: Tensor

    def __init__(self, *shape: int, groups: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = groups
        self.add_state("sums", torch.zeros(groups, *shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(groups, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, texts: Tensor) -> None:
        """Take in a batch: values [batch, ...] of samples of these texts [batch]."""
        group = texts.to(values.device) % self.groups
        for number in group.unique().tolist():  # no copy of the whole batch in float64
            chosen = group == number
            self.sums[number] += values[chosen].sum(dim=0, dtype=torch.float64)
            self.count[number] += chosen.sum()

    def compute(self) -> Tensor:
        """[1 + groups, ...]: the mean, then those without each group; groups that have no text are left out."""
        filled = self.count > 0
        sums, count = self.sums[filled], self.count[filled].reshape(-1, *[1] * (self.sums.ndim - 1))
        whole, number = sums.sum(dim=0, keepdim=True), count.sum(dim=0, keepdim=True)
        return torch.cat([whole / number, (whole - sums) / (number - count)])

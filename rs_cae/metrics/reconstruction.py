"""Moments of states and of a reconstruction's residuals, from which every kind of explained variance follows."""

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


class ReconstructionMoments(GroupedMoments):
    """Moments of states h and of residuals h - reconstruction; see ``GroupedMoments``."""

    names = ("targets", "residuals")

    def update(self, trajectories: Tensor, reconstructions: Tensor, texts: Tensor) -> None:  # type: ignore[override]
        """Take in a batch.

        Args:
            trajectories: [batch, sublayers, width].
            reconstructions: The same shape and units.
            texts: [batch], the number of each sample's text: the samples of a text share a group.
        """
        group = texts.to(trajectories.device) % self.groups
        states = trajectories.double()
        self._add("targets", Moments.of(states, group, self.groups))
        self._add("residuals", Moments.of(states - reconstructions.double(), group, self.groups))

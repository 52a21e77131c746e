"""Moments of states and of a reconstruction's residuals, from which every kind of explained variance follows."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rs_cae.dynamics.moments import Moments


class ReconstructionMoments(Metric):
    """Accumulates the moments of states h and residuals h - reconstruction in float64, by groups of texts.

    Memory does not grow with the number of samples; the order of updates does not matter; processes merge exactly.

    Args:
        sublayers: Places at which the stream is read.
        width: Units of the residual stream.
        groups: Groups into which texts are dealt by their number, for intervals by jackknife; 1 for none.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = True  # forward() then updates as update() does, instead of merging field by field
    is_differentiable = False

    def __init__(self, sublayers: int, width: int, groups: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = groups
        for name in ("targets", "residuals"):
            empty = Moments.zeros(groups, sublayers, width)
            for field, value in zip(Moments._fields, empty, strict=True):
                self.add_state(f"{name}_{field}", default=value, dist_reduce_fx=None)

    def update(self, trajectories: Tensor, reconstructions: Tensor, texts: Tensor) -> None:
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

    def compute(self) -> tuple[Moments, Moments]:
        """Moments of the states and of the residuals, [groups, sublayers, width], empty groups left out."""
        targets, residuals = self._merged("targets"), self._merged("residuals")
        filled = targets.count > 0
        return Moments(*(field[filled] for field in targets)), Moments(*(field[filled] for field in residuals))

    def moments(self) -> tuple[Moments, Moments]:
        """What ``compute`` gives, with the groups' axis that torchmetrics takes from a lone group's count."""
        targets, residuals = self.compute()
        restored = [Moments(torch.atleast_1d(part.count), *part[1:]) for part in (targets, residuals)]
        return restored[0], restored[1]

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

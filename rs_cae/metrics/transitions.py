"""Moments of every unit at every sublayer and from one to the next: mean activation, variance, correlation."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rs_cae.dynamics.correlation import TransitionMoments


class TransitionStatistics(Metric):
    """Accumulates ``TransitionMoments``: centred, in float64, in constant memory; processes merge exactly.

    Args:
        sublayers: Places at which the stream is read.
        width: Units of the residual stream.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = True  # forward() then updates as update() does, instead of merging field by field
    is_differentiable = False

    def __init__(self, sublayers: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in TransitionMoments.zeros(sublayers, width)._asdict().items():
            self.add_state(name, default=value, dist_reduce_fx=None)

    def update(self, trajectories: Tensor) -> None:
        """Take in a batch [batch, sublayers, width]."""
        merged = TransitionMoments.merge(self._held(), TransitionMoments.of(trajectories))
        for name, value in merged._asdict().items():
            setattr(self, name, value)

    def compute(self) -> TransitionMoments:
        """This process's moments or, after a synchronization that stacked them, those of all processes."""
        held = self._held()
        if held.mean.ndim == 2:
            return held
        return TransitionMoments.merge(*(TransitionMoments(*fields) for fields in zip(*held, strict=True)))

    def moments(self) -> TransitionMoments:
        """What ``compute`` gives; torchmetrics may have given the count an axis."""
        moments = self.compute()
        return moments._replace(count=torch.as_tensor(moments.count).reshape(()))

    def _held(self) -> TransitionMoments:
        return TransitionMoments(*(getattr(self, name) for name in TransitionMoments._fields))

"""Values kept for every sample, in the corpus's order."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerSample(Metric):
    """Keeps one row per text and gives the rows back in the order of the texts, each once, whatever the batches were.

    Args:
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False
    is_differentiable = False
    values: list[Tensor]
    index: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, index: Tensor) -> None:
        """Take in a batch: values [batch, ...] of the texts with these numbers, [batch]."""
        self.values.append(values.detach())
        self.index.append(index.to(values.device))

    def rows(self) -> Tensor:
        """What ``compute`` gives, with the samples' axis that torchmetrics takes from a lone number."""
        return torch.atleast_1d(self.compute())

    def compute(self) -> Tensor:
        """[samples, ...], by ascending index."""
        index, values = dim_zero_cat(self.index), dim_zero_cat(self.values)
        order = torch.argsort(index, stable=True)
        first = torch.cat([torch.ones_like(index[:1], dtype=torch.bool), index[order].diff() != 0])
        return values[order][first]

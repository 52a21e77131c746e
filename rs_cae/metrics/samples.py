"""Values kept for every sample, in the corpus's order."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class PerSample(Metric):
    """Keeps a row per sample and gives them back in the corpus's order, each once, whatever the batches were.

    Args:
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False
    is_differentiable = False
    values: list[Tensor]
    samples: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.add_state("samples", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, samples: Tensor) -> None:
        """Take in a batch: values [batch, ...] of the samples with these numbers, [batch]."""
        self.values.append(values.detach())
        self.samples.append(samples.to(values.device))

    def rows(self) -> Tensor:
        """What ``compute`` gives, with the axes that torchmetrics takes from a lone number."""
        found: Tensor = self.compute()
        return found.reshape(-1, *self.values[0].shape[1:]) if self.values else torch.atleast_1d(found)

    def compute(self) -> Tensor:
        """[samples, ...], by ascending number."""
        samples, values = dim_zero_cat(self.samples), dim_zero_cat(self.values)
        order = torch.argsort(samples, stable=True)
        first = torch.cat([torch.ones_like(samples[:1], dtype=torch.bool), samples[order].diff() != 0])
        return values[order][first]

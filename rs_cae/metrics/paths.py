"""How trajectories turn and how straight they are, and their nulls, as the samples go by.

Memory does not grow with the number of samples, but for a number per sample; batches do not matter, processes merge.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from rs_cae.dynamics.curvature import (
    angles_between_steps,
    flipped_straightness,
    rearranged_steps,
    steps_gram,
    straightness,
    successive,
)
from rs_cae.metrics.resampled import ResampledMean
from rs_cae.metrics.samples import PerSample

SIGN_FLIP = "increment_sign_flip"

GROUPS = 20
"""Of texts, behind the jackknife of the mean trajectory: its bootstrap would not fit into memory."""


class GroupedMean(Metric):
    """The mean over samples, and that without each of several groups of texts, for a jackknife.

    Args:
        shape: Of a sample's values.
        groups: Groups into which texts are dealt by their number.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False
    is_differentiable = False
    sums: Tensor
    count: Tensor

    def __init__(self, *shape: int, groups: int = GROUPS, **kwargs: Any) -> None:
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


class Paths(NamedTuple):
    """What ``PathStatistics`` gives; steps are the transitions, angles in degrees.

    Attributes:
        turning: [1 + resamples, steps - 1], turning angle at inner sublayers, mean over samples.
        straightness: [1 + resamples, 2], mean over samples, of whole paths and of those without the first step.
        angles: [steps, steps], between any two steps, mean over samples.
        flipped: [2, draws], mean straightness with other signs, of whole paths and of those without the first step.
        mean_gram: [1 + groups, steps, steps], of the mean trajectory, and of those without each group of texts.
        mean_flipped: [2, draws], straightness of the mean trajectory with other signs, as ``flipped``.
        per_sample: [samples], straightness of each.
        texts: How many there are.
    """

    turning: Tensor
    straightness: Tensor
    angles: Tensor
    flipped: Tensor
    mean_gram: Tensor
    mean_flipped: Tensor
    per_sample: Tensor
    texts: int


class PathStatistics:
    """Accumulates how trajectories turn and how straight they are, and what they would do with other signs.

    Args:
        kinds: Kind of each transition.
        width: Of the space: units of the stream, or latents.
        draws: Of the signs, shared by all samples.
        resamples: Of the texts, behind intervals.
        seed: Of both.
        device: Where batches are.
    """

    def __init__(
        self, kinds: list[str], width: int, draws: int, resamples: int, seed: int, device: torch.device
    ) -> None:
        self.steps = len(kinds)
        self.signs = rearranged_steps(SIGN_FLIP, kinds, draws, seed)[1].to(device)
        self.resampled = ResampledMean(self.steps - 1 + 2, resamples, seed).to(device)
        self.angles = ResampledMean(self.steps**2, draws=0).to(device)
        self.flipped = ResampledMean(2 * draws, draws=0).to(device)
        self.mean = GroupedMean(self.steps + 1, width).to(device)
        self.per_sample, self.texts = PerSample().to(device), PerSample().to(device)

    def update(self, trajectories: Tensor, texts: Tensor, samples: Tensor) -> None:
        """Take in a batch of trajectories [batch, sublayers, width], the text and the number [batch] of each."""
        gram = steps_gram(trajectories)
        angles = angles_between_steps(gram)
        straight = torch.stack([straightness(gram), straightness(gram[:, 1:, 1:])], dim=1)
        self.resampled.update(torch.cat([successive(angles), straight], dim=1), texts)
        self.angles.update(angles.flatten(1), texts)
        self.flipped.update(self._flipped(gram).flatten(1), texts)
        self.mean.update(trajectories, texts)
        self.per_sample.update(straight[:, 0], samples)
        self.texts.update(texts, samples)

    def compute(self) -> Paths:
        """Of all samples of all processes."""
        gram = steps_gram(self.mean.compute())
        turning, straight = self.resampled.compute().split([self.steps - 1, 2], dim=1)
        return Paths(
            turning,
            straight,
            self.angles.compute().reshape(self.steps, self.steps),
            self.flipped.compute().reshape(2, -1),
            gram,
            self._flipped(gram[:1])[0],
            self.per_sample.rows(),
            len(self.texts.rows().unique()),
        )

    def _flipped(self, gram: Tensor) -> Tensor:
        """[batch, 2, draws], straightness with other signs; those of the later steps are as good as drawn apart."""
        whole = flipped_straightness(gram, self.signs)
        return torch.stack([whole, flipped_straightness(gram[:, 1:, 1:], self.signs[:, 1:])], dim=1)

"""How trajectories turn and how straight they are, and their nulls, as the samples go by.

Memory does not grow with the number of samples, but for a number per sample; batches do not matter, processes merge.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rs_cae.dynamics.curvature import (
    angles_between_steps,
    flipped_straightness,
    rearranged_steps,
    steps_gram,
    straightness,
    successive_angles,
)
from rs_cae.metrics.grouped import GroupedMean
from rs_cae.metrics.resampled import ResampledMean
from rs_cae.metrics.samples import PerSample

SIGN_FLIP = "increment_sign_flip"

GROUPS = 20
"""Of texts, behind the jackknife of the mean trajectory: its bootstrap would not fit into memory."""


class Paths(NamedTuple):
    """What ``PathStatistics`` gives; steps are the transitions, angles in degrees.

    Attributes:
        turning: [1 + resamples, steps - 1], turning angle at inner sublayers, mean over samples.
        straightness: [1 + resamples, 2], mean over samples, of whole paths and of those without the first step.
        angles: [steps, steps], between any two steps, mean over samples.
        flipped_straightness: [2, draws], with other signs, mean over samples, of whole paths and of those without the
            first step.
        gram_of_mean: [1 + groups, steps, steps], of the mean trajectory, and of those without each group of texts.
        flipped_straightness_of_mean: [2, draws], likewise, of the mean trajectory.
        per_sample: [samples], straightness of each.
        texts: How many there are.
    """

    turning: Tensor
    straightness: Tensor
    angles: Tensor
    flipped_straightness: Tensor
    gram_of_mean: Tensor
    flipped_straightness_of_mean: Tensor
    per_sample: Tensor
    texts: int


class PathStatistics:
    """Accumulates how trajectories turn and how straight they are, and what they would do with other signs.

    It is no ``Metric`` but holds several, of which each synchronizes processes by itself.

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
        self.signs = rearranged_steps(SIGN_FLIP, kinds, draws, seed).signs.to(device)
        self.turning_and_straightness = ResampledMean((self.steps - 1) + 2, resamples, seed).to(device)
        self.angles = ResampledMean(self.steps**2, draws=0).to(device)
        self.flipped_straightness = ResampledMean(2 * draws, draws=0).to(device)
        self.mean = GroupedMean(self.steps + 1, width, groups=GROUPS).to(device)
        self.per_sample, self.texts = PerSample().to(device), PerSample().to(device)

    def update(self, trajectories: Tensor, texts: Tensor, samples: Tensor) -> None:
        """Take in a batch of trajectories [batch, sublayers, width], the text and the number [batch] of each."""
        gram = steps_gram(trajectories)
        angles = angles_between_steps(gram)
        straight = torch.stack([straightness(gram), straightness(gram[:, 1:, 1:])], dim=1)
        self.turning_and_straightness.update(torch.cat([successive_angles(angles), straight], dim=1), texts)
        self.angles.update(angles.flatten(1), texts)
        self.flipped_straightness.update(self._with_other_signs(gram).flatten(1), texts)
        self.mean.update(trajectories, texts)
        self.per_sample.update(straight[:, 0], samples)
        self.texts.update(texts, samples)

    def compute(self) -> Paths:
        """Of all samples of all processes."""
        gram = steps_gram(self.mean.compute())
        turning, straight = self.turning_and_straightness.compute().split([self.steps - 1, 2], dim=1)
        return Paths(
            turning,
            straight,
            self.angles.compute().reshape(self.steps, self.steps),
            self.flipped_straightness.compute().reshape(2, -1),
            gram,
            self._with_other_signs(gram[:1])[0],
            self.per_sample.rows(),
            len(self.texts.rows().unique()),
        )

    def _with_other_signs(self, gram: Tensor) -> Tensor:
        """[batch, 2, draws], straightness with other signs; those of the later steps are as good as drawn apart."""
        whole = flipped_straightness(gram, self.signs)
        return torch.stack([whole, flipped_straightness(gram[:, 1:, 1:], self.signs[:, 1:])], dim=1)

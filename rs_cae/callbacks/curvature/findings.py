"""What the paths that were accumulated say, in numbers and in sentences."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from rs_cae.callbacks.depth import WITHOUT_EMBEDDING
from rs_cae.callbacks.verdicts import LEAST_TEXTS, SIGNIFICANT, Verdict, with_sentence
from rs_cae.dynamics.curvature import (
    angles_between_steps,
    expected_turning_angle,
    rearranged_steps,
    reordered_turning_angle,
    straightness,
    successive_angles,
    tortuosity,
)
from rs_cae.dynamics.resampling import jackknife_interval, standard_error_interval
from rs_cae.dynamics.significance import two_sided_p
from rs_cae.metrics.paths import Paths
from rs_cae.results import Findings, Headline

SHUFFLE, WITHIN_KIND = "increment_shuffle", "increment_shuffle_within_kind"

UNRELATED = "each sublayer has a latent space of its own"

TURNS = Verdict(
    null="the same steps in another order",
    above="in the order that they have, they turn more sharply",
    undecided="the order that they have is not told apart from any other",
    below="in the order that they have, they turn less sharply",
)
WINDS = Verdict(
    null="the same steps with random signs",
    above="more winding than those",
    undecided="not told apart from those",
    below="straighter than those",
)

ANGLE = "angle between the steps to and from a sublayer"


class Trajectory(NamedTuple):
    """Whose turning and straightness are measured: those of samples, on average, or of the mean over samples.

    Attributes:
        name: Ends the names of headlines.
        words: What sentences call it.
        curve: Name of its turning angles by sublayer.
        meaning: Of these.
    """

    name: str
    words: str
    curve: str
    meaning: str


OF_SAMPLES = Trajectory("", "a sample's path", "turning_angle_mean", f"{ANGLE}, mean over samples")
OF_MEAN = Trajectory(
    name="_mean_trajectory",
    words="the mean trajectory",
    curve="turning_angle_mean_trajectory",
    meaning=f"{ANGLE}, of the mean trajectory",
)
TORTUOSITY = "path length over end-to-end distance"


class Variant(NamedTuple):
    """Whole paths, or paths without the step from the embedding.

    Attributes:
        name: Ends the names of headlines.
        words: End the subjects of sentences.
        skips: Steps that are left out.
    """

    name: str
    words: str
    skips: int


VARIANTS = (Variant("", "", 0), Variant(WITHOUT_EMBEDDING, " without the step from the embedding", 1))


class Measured(NamedTuple):
    """What is measured of one of both.

    Attributes:
        of: Which.
        where: Ends what sentences call them.
        turning: [1 + replicates, steps - 1], turning angles, then those of other texts.
        angles: [steps, steps], between any two steps.
        straightness: [2, 1 + replicates], of whole paths and of those without the first step.
        flipped: [2, draws], the same with other signs.
        interval: From a value and its replicates.
    """

    of: Trajectory
    where: str
    turning: Tensor
    angles: Tensor
    straightness: Tensor
    flipped: Tensor
    interval: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    @property
    def words(self) -> str:
        """What sentences call it."""
        return f"{self.of.words}{self.where}"


def curvature_findings(paths: Paths, kinds: list[str], where: str, draws: int, seed: int) -> Findings:
    """Turning angles and tortuosity of samples and of the mean trajectory, beside the same steps rearranged.

    The interval of a number is about texts, its p about the order or the signs of the steps: two questions. Attention
    and MLP steps alternate and may differ; what is left with both shuffled apart is not owed to that.

    Args:
        paths: What was accumulated.
        kinds: Kind of each transition.
        where: Ends what sentences call the paths.
        draws: Orders of the steps that are drawn.
        seed: Of the orders.
    """
    found, angles = Findings(), angles_between_steps(paths.gram_of_mean)
    straight = torch.stack([straightness(paths.gram_of_mean[:, skips:, skips:]) for skips in (0, 1)])
    enough = paths.texts >= LEAST_TEXTS
    intervals = (standard_error_interval, jackknife_interval) if enough else (_no_interval, _no_interval)
    of_samples = paths.turning, paths.angles, paths.straightness.T, paths.flipped_straightness
    of_mean = successive_angles(angles), angles[0], straight, paths.flipped_straightness_of_mean
    for measured in (
        Measured(OF_SAMPLES, where, *of_samples, intervals[0]),
        Measured(OF_MEAN, where, *of_mean, intervals[1]),
    ):
        _add_curve(found, measured, kinds)
        for variant in VARIANTS:
            later = kinds[variant.skips :]
            orders = {name: rearranged_steps(name, later, draws, seed).orders for name in (SHUFFLE, WITHIN_KIND)}
            _add_turning(found, measured, variant, orders, paths.texts)
            found.headlines[f"tortuosity{measured.of.name}{variant.name}"] = _tortuosity(measured, variant, paths.texts)
    found.add("tortuosity", "sample", tortuosity(paths.per_sample), TORTUOSITY)
    return found


def unrelated_findings(sublayers: int, samples: int) -> Findings:
    """What there is where latents of different sublayers cannot be compared: nothing, and the reason."""
    found, nothing = Findings(), torch.full((sublayers,), torch.nan, dtype=torch.float64)
    for trajectory in (OF_SAMPLES, OF_MEAN):
        name, ends = trajectory.curve, (nothing, nothing)
        found.add_with_interval(name, "sublayer", nothing, ends, trajectory.meaning, "degree", nothing, UNRELATED)
    found.add("tortuosity", "sample", nothing[:1].expand(samples), TORTUOSITY, note=UNRELATED)
    return found


def _add_curve(found: Findings, measured: Measured, kinds: list[str]) -> None:
    """Turning angles by sublayer, NaN at both ends, and what they would be on average over all orders of the steps."""
    name, meaning, value = measured.of.curve, measured.of.meaning, measured.turning[0]
    low, high = (_by_sublayer(end.clamp(0, 180)) for end in measured.interval(value, measured.turning[1:]))
    nulls = [_by_sublayer(expected_turning_angle(measured.angles, apart)) for apart in (None, kinds)]
    found.add_with_interval(name, "sublayer", _by_sublayer(value), (low, high), meaning, "degree", nulls[0])
    words = f"{meaning}: attention and MLP steps shuffled apart"
    found.add(f"{name}_null_within_kind", "sublayer", nulls[1], words, "degree")


def _add_turning(found: Findings, measured: Measured, variant: Variant, orders: dict[str, Tensor], texts: int) -> None:
    """The mean over sublayers, against the steps in any order; those of a kind in any order beside it."""
    values = measured.turning[:, variant.skips :].nanmean(dim=1)
    angles = measured.angles[variant.skips :, variant.skips :]
    drawn, within = (reordered_turning_angle(angles, orders[name]) for name in (SHUFFLE, WITHIN_KIND))
    low, high = (float(end.clamp(0, 180)) for end in measured.interval(values[0], values[1:]))
    null, p, p_within = float(drawn.mean()), _p(values[0], drawn, texts), _p(values[0], within, texts)
    subject = f"Angle between successive steps of {measured.words}, mean over sublayers{variant.words}"
    headline = with_sentence(Headline(float(values[0]), "degree", low, high, null, p), subject, TURNS)
    if math.isfinite(p_within) and not torch.equal(drawn, within):  # steps of one kind alone are the same null
        side = "more" if values[0] > within.mean() else "less"
        verdict = f"{side} sharply than those" if p_within <= SIGNIFICANT else "not told apart from those"
        words = (
            f"With attention and MLP steps shuffled apart {float(within.mean()):.3g} (p = {p_within:.2g}): {verdict}."
        )
        headline = replace(headline, sentence=f"{headline.sentence} {words}")
    name = f"turning_angle{measured.of.name}{variant.name}"
    found.headlines[name] = headline
    meaning = "two-sided p of the mean angle: attention and MLP steps shuffled apart"
    found.add(f"{name}_p_within_kind", "", torch.tensor(p_within, dtype=torch.float64), meaning)


def _tortuosity(measured: Measured, variant: Variant, texts: int) -> Headline:
    """Path length over end-to-end distance, against random signs, by way of its inverse: that is bounded."""
    straight, drawn = measured.straightness[variant.skips], measured.flipped[variant.skips]
    values = tortuosity(straight)
    low, high = (float(end.clamp(min=1)) for end in measured.interval(values[0], values[1:]))
    null = float(tortuosity(drawn.mean()))
    headline = Headline(float(values[0]), "1", low, high, null, _p(straight[0], drawn, texts))
    subject = f"Path length over end-to-end distance of {measured.words}{variant.words}"
    return with_sentence(headline, subject, WINDS)


def _by_sublayer(inner: Tensor) -> Tensor:
    """[sublayers], NaN at both ends, where nothing can turn."""
    return torch.nn.functional.pad(inner, (1, 1), value=torch.nan)


def _p(measured: Tensor, drawn: Tensor, texts: int) -> float:
    return float(two_sided_p(measured, drawn)) if texts >= LEAST_TEXTS else math.nan


def _no_interval(value: Tensor, replicates: Tensor) -> tuple[Tensor, Tensor]:
    """Of too few texts."""
    return torch.full_like(value, torch.nan), torch.full_like(value, torch.nan)

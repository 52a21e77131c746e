"""How sharply do trajectories turn, and how straight are they, beside the same steps rearranged? (Figures 3B and 4A)"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rs_cae.callbacks.dynamics.callback import LEAST_TEXTS
from rs_cae.callbacks.dynamics.depth import WITHOUT_EMBEDDING
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.verdicts import SIGNIFICANT, Verdict, with_sentence
from rs_cae.dynamics.curvature import (
    angles_between_steps,
    expected_turning,
    rearranged_steps,
    reordered_turning,
    straightness,
    successive,
    tortuosity,
)
from rs_cae.dynamics.resampling import jackknife_interval, standard_error_interval
from rs_cae.dynamics.significance import two_sided_p
from rs_cae.errors import InputError
from rs_cae.metrics.paths import Paths, PathStatistics
from rs_cae.modules import reducer_of
from rs_cae.results import Findings, Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch

SHUFFLE, WITHIN_KIND = "increment_shuffle", "increment_shuffle_within_kind"

UNRELATED = "latents of different sublayers live in unrelated spaces"

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

CURVES = {"": "turning_angle_mean", "_mean_trajectory": "turning_angle_mean_trajectory"}
ANGLE = "angle between the steps to and from a sublayer"
MEANINGS = {"": f"{ANGLE}, mean over samples", "_mean_trajectory": f"{ANGLE}, of the mean trajectory"}


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


class Curvature(Callback):
    """Turning angle and tortuosity of the test trajectories, in full width and in the latent space.

    Args:
        draws: Rearrangements of the steps behind each null, at least 19: fewer cannot show p = 0.05.
        bootstrap: Resamples of the texts behind intervals, at least 39.
        seed: Of both, from 0 to 2^32 - 1.

    Raises:
        InputError: If a number is too small.
    """

    def __init__(self, draws: int = 1000, bootstrap: int = 1000, seed: int = 0) -> None:
        for option, value, least in (("draws", draws, 19), ("bootstrap", bootstrap, 39), ("seed", seed, 0)):
            if value < least:
                raise InputError(f"--curvature.{option}", value, f"must be at least {least}")
        if seed >= 2**32:
            raise InputError("--curvature.seed", seed, "must be below 2^32")
        self.draws, self.bootstrap, self.seed = draws, bootstrap, seed

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        reducer, kinds = reducer_of(pl_module), data.layout.transition_kinds
        widths = {"dynamics": data.width} | ({"latent": reducer.bottleneck} if reducer.shares_latent_space else {})
        again = self.draws, self.bootstrap, self.seed, pl_module.device
        self.paths = {name: PathStatistics(kinds, width, *again) for name, width in widths.items()}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: TrajectoryBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in a batch."""
        for name, paths in self.paths.items():
            states = batch.states if name == "dynamics" else outputs["latents"]
            paths.update(states, batch.texts, batch.samples)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        layout = trainer.datamodule.layout  # type: ignore[attr-defined]
        record, kinds = RunRecord.of(trainer), layout.transition_kinds
        for dataset in ("dynamics", "latent"):
            if dataset in self.paths:
                where = " in the latent space" if dataset == "latent" else ""
                found = curvature_findings(self.paths[dataset].compute(), kinds, where, self.draws, self.seed)
            else:
                found = _unrelated(len(layout), len(self.paths["dynamics"].texts.rows()))
            prefix = "latent_" if dataset == "latent" else ""
            found.headlines = {f"{prefix}{name}": headline for name, headline in found.headlines.items()}
            record.add_findings(dataset, found, depth_coordinates(layout))


class Measured(NamedTuple):
    """Either kind of path: those of samples, averaged, or that of the mean over samples.

    Attributes:
        name: Ends the names of its numbers.
        words: What sentences call it.
        turning: [1 + replicates, steps - 1], turning angles, then those of other texts.
        angles: [steps, steps], between any two steps.
        straightness: [2, 1 + replicates], of whole paths and of those without the first step.
        flipped: [2, draws], the same with other signs.
        interval: From a value and its replicates.
    """

    name: str
    words: str
    turning: Tensor
    angles: Tensor
    straightness: Tensor
    flipped: Tensor
    interval: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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
    found, angles = Findings(), angles_between_steps(paths.mean_gram)
    straight = torch.stack([straightness(paths.mean_gram[:, skips:, skips:]) for skips in (0, 1)])
    enough = paths.texts >= LEAST_TEXTS
    intervals = (standard_error_interval, jackknife_interval) if enough else (_no_interval, _no_interval)
    of_samples = paths.turning, paths.angles, paths.straightness.T, paths.flipped
    of_mean = successive(angles), angles[0], straight, paths.mean_flipped
    for measured in (
        Measured("", f"a sample's path{where}", *of_samples, intervals[0]),
        Measured("_mean_trajectory", f"the mean trajectory{where}", *of_mean, intervals[1]),
    ):
        _add_curve(found, measured, kinds)
        for variant in VARIANTS:
            later = kinds[variant.skips :]
            orders = {name: rearranged_steps(name, later, draws, seed)[0] for name in (SHUFFLE, WITHIN_KIND)}
            _add_turning(found, measured, variant, orders, paths.texts)
            found.headlines[f"tortuosity{measured.name}{variant.name}"] = _tortuosity(measured, variant, paths.texts)
    found.add("tortuosity", "sample", tortuosity(paths.per_sample), "path length over end-to-end distance")
    return found


def _add_curve(found: Findings, measured: Measured, kinds: list[str]) -> None:
    """Turning angles by sublayer, NaN at both ends, and what they would be on average over all orders of the steps."""
    name, meaning, value = CURVES[measured.name], MEANINGS[measured.name], measured.turning[0]
    low, high = (_by_sublayer(end.clamp(0, 180)) for end in measured.interval(value, measured.turning[1:]))
    nulls = [_by_sublayer(expected_turning(measured.angles, apart)) for apart in (None, kinds)]
    found.add_with_interval(name, "sublayer", _by_sublayer(value), (low, high), meaning, "degree", nulls[0])
    words = f"{meaning}: attention and MLP steps shuffled apart"
    found.add(f"{name}_null_within_kind", "sublayer", nulls[1], words, "degree")


def _add_turning(found: Findings, measured: Measured, variant: Variant, orders: dict[str, Tensor], texts: int) -> None:
    """The mean over sublayers, against the steps in any order; those of a kind in any order beside it."""
    values = measured.turning[:, variant.skips :].nanmean(dim=1)
    angles = measured.angles[variant.skips :, variant.skips :]
    drawn, within = (reordered_turning(angles, orders[name]) for name in (SHUFFLE, WITHIN_KIND))
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
    name = f"turning_angle{measured.name}{variant.name}"
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


def _unrelated(sublayers: int, samples: int) -> Findings:
    """What there is where latents of different sublayers cannot be compared: nothing, and the reason."""
    found, nothing = Findings(), torch.full((sublayers,), torch.nan, dtype=torch.float64)
    for part, name in CURVES.items():
        found.add_with_interval(name, "sublayer", nothing, (nothing, nothing), MEANINGS[part], "degree", nothing)
    found.add("tortuosity", "sample", nothing[:1].expand(samples), "path length over end-to-end distance")
    for _, _, attributes in found.variables.values():
        attributes["note"] = UNRELATED
    return found


def _by_sublayer(inner: Tensor) -> Tensor:
    """[sublayers], NaN at both ends, where nothing can turn."""
    return torch.nn.functional.pad(inner, (1, 1), value=torch.nan)


def _p(measured: Tensor, drawn: Tensor, texts: int) -> float:
    return float(two_sided_p(measured, drawn)) if texts >= LEAST_TEXTS else math.nan


def _no_interval(value: Tensor, replicates: Tensor) -> tuple[Tensor, Tensor]:
    """Of too few texts."""
    return torch.full_like(value, torch.nan), torch.full_like(value, torch.nan)

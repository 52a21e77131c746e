"""How many dimensions do the states fill at each sublayer?"""

import json
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from rich.progress import Progress
from torch import Tensor

from rs_cae import processes
from rs_cae.callbacks.depth import PARTS, part_mean
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.verdicts import LEAST_TEXTS, Verdict, with_sentence
from rs_cae.dynamics.dimension import LEAST_STATES, intrinsic_dimensions
from rs_cae.dynamics.resampling import half_samples, standard_error_interval
from rs_cae.errors import refuse_below, refuse_other_seeds
from rs_cae.metrics.samples import PerSample
from rs_cae.results import Findings, Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch

MEANINGS = {
    "covariance_dimension": "dimension by the covariance",
    "two_nn": "dimension by the two nearest neighbours",
}
"""Of each quantity, also the beginning of its sentences."""

VERDICTS = {
    "covariance_dimension": Verdict(
        null="isotropic noise",
        above="more even than noise",
        undecided="not told apart from noise",
        below="some directions prevail",
    ),
    "two_nn": Verdict(
        null="Gaussian states of the same covariance",
        above="more than these have",
        undecided="not told apart from these",
        below="fewer than these have: the states are curved, clustered or of uneven norm",
    ),
}


class IntrinsicDimension(Callback):
    """Intrinsic dimension of the test states at each sublayer, in full width, whatever the reducer.

    States are kept in full width as they come: 1 GB of 1000 samples of 64 sublayers in 4096 float32 units. Where
    several tokens of a text are read, nearest neighbours tend to be of the same text, which lowers both dimensions:
    read one token of each for this.

    Args:
        samples: Samples behind it, drawn evenly, at most; its cost grows with their number squared.
        halves: Half-samples of the texts behind its intervals.
        seed: Of everything that is drawn, from 0 to 2^32 - 1.

    Raises:
        InputError: If a number is too small.
    """

    def __init__(self, samples: int = 1000, halves: int = 20, seed: int = 0) -> None:
        least, given = {"samples": LEAST_STATES, "halves": 2}, {"samples": samples, "halves": halves}
        refuse_below("intrinsic_dimension", least, given)
        refuse_other_seeds("intrinsic_dimension", seed)
        self.samples, self.halves, self.seed = samples, halves, seed

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose samples, and begin anew."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        numbers = data.samples("test")
        generator = torch.Generator().manual_seed(self.seed)
        self.numbers = numbers[torch.randperm(len(numbers), generator=generator)[: self.samples]]
        self.states, self.texts = PerSample().to(pl_module.device), PerSample().to(pl_module.device)

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
        chosen = torch.isin(batch.samples, self.numbers.to(batch.samples.device))
        self.states.update(batch.states[chosen], batch.samples[chosen])
        self.texts.update(batch.texts[chosen], batch.samples[chosen])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        states, texts = self.states.compute(), self.texts.rows()
        halves = half_samples(texts, self.halves, self.seed) if len(texts.unique()) >= LEAST_TEXTS else []
        show = trainer.progress_bar_callback is not None and processes.rank() == 0
        with Progress(disable=not show) as bar:
            found = dimension_findings(states, halves, self.seed, bar)
        record = RunRecord.of(trainer)
        record.add_findings("dynamics", found, depth_coordinates(data.layout))
        record.add_attribute("intrinsic_dimension", json.dumps({"samples": len(texts), "halves": len(halves)}))


def dimension_findings(states: Tensor, halves: list[Tensor], seed: int, bar: Progress) -> Findings:
    """Both dimensions at each sublayer and over parts of depth; processes share the sublayers.

    Args:
        states: [samples, sublayers, width].
        halves: Rows of each half-sample; none if there are to be no intervals.
        seed: Of the nulls.
        bar: Shows how far it is.
    """
    sublayers, width = states.shape[1:]
    curves = torch.zeros(2, 1 + len(halves), sublayers, dtype=torch.float64, device=states.device)
    nulls, distinct = torch.full_like(curves[:, 0], width), torch.zeros_like(curves[0, 0])
    nulls[1] = 0
    own = range(processes.rank(), sublayers, processes.world_size())
    for sublayer in bar.track(own, description="intrinsic dimension"):
        here = intrinsic_dimensions(states[:, sublayer], halves, seed=seed + sublayer)
        curves[0, :, sublayer], curves[1, :, sublayer] = here.covariance_dimension, here.two_nn
        nulls[1, sublayer], distinct[sublayer] = here.two_nn_null, here.distinct
    curves, nulls[1], distinct = (processes.total(part) for part in (curves, nulls[1], distinct))
    found = Findings()
    for (name, meaning), draws, null in zip(MEANINGS.items(), curves, nulls, strict=True):
        interval = standard_error_interval(draws[0], draws[1:])
        found.add_with_interval(name, "sublayer", draws[0], interval, f"{meaning} of the states", null=null)
        _add_headlines(found, name, draws, null)
    found.add("distinct_states", "sublayer", distinct.long(), "states that differ from one another")
    return found


def _add_headlines(found: Findings, name: str, draws: Tensor, null: Tensor) -> None:
    """Means over parts of depth of draws [1 + halves, sublayers]; the interval decides."""
    for part, described in PARTS.items():
        values = part_mean(draws, part)
        low, high = standard_error_interval(values[0], values[1:])
        headline = Headline(float(values[0]), "1", max(0.0, float(low)), float(high), float(part_mean(null, part)))
        subject = f"{MEANINGS[name].capitalize()}, {described.words}"
        found.headlines[f"{name}_{part}"] = with_sentence(headline, subject, VERDICTS[name])

"""The callback: takes batches in, and hands what follows from them to the record."""

import json
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from rich.progress import Progress
from torch import Tensor

from rs_cae import processes
from rs_cae.callbacks.dynamics.information import INTERVAL_UNITS, InformationPlan, information_findings
from rs_cae.callbacks.dynamics.rotations import rotation_findings
from rs_cae.callbacks.dynamics.vectors import correlation_findings, kinematics_findings
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.verdicts import LEAST_TEXTS
from rs_cae.dynamics.estimators import Estimator
from rs_cae.dynamics.exchange import cosine_beyond_exchange
from rs_cae.dynamics.kinematics import Kinematics
from rs_cae.dynamics.resampling import resampled_mean
from rs_cae.dynamics.rotations import rotation_count
from rs_cae.dynamics.surrogates import SURROGATES
from rs_cae.errors import refuse_below, refuse_other_seeds
from rs_cae.metrics.resampled import MeanKinematics, ResampledMean, ResampledUnits, UnitBootstrap
from rs_cae.metrics.samples import PerSample
from rs_cae.metrics.transitions import TransitionStatistics
from rs_cae.results import Findings, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch

WHOLE_SAMPLES = 256
"""Samples that are kept in full width, for the null of the cosine."""

SINGLE_SAMPLES = 64
"""Of these, for the null of single samples' rotation counts."""


class Dynamics(Callback):
    """The dynamics of the test trajectories in full width, whatever the reducer.

    Args:
        mi_estimator: Of mutual information: ``ksg``, ``binned`` or ``gaussian``.
        mi_units: Units whose mutual information is estimated, drawn evenly; all if null.
        mi_samples: Samples behind it, drawn evenly, at most: its cost grows faster than their number.
        mi_halves: Half-samples behind its intervals.
        surrogates: Draws of each surrogate of the rotation counts, at least 19: fewer cannot show p = 0.05.
        bootstrap: Resamples of the texts behind the other intervals, at least 39 likewise.
        seed: Of everything that is drawn, from 0 to 2^32 - 1.

    Raises:
        InputError: If a number is too small.
    """

    def __init__(
        self,
        mi_estimator: Estimator = "ksg",
        mi_units: int | None = None,
        mi_samples: int = 1000,
        mi_halves: int = 20,
        surrogates: int = 1000,
        bootstrap: int = 1000,
        seed: int = 0,
    ) -> None:
        least = {"mi_units": 1, "mi_samples": 10, "mi_halves": 2, "surrogates": 19, "bootstrap": 39}
        given = {"mi_units": mi_units, "mi_samples": mi_samples, "mi_halves": mi_halves}
        given |= {"surrogates": surrogates, "bootstrap": bootstrap}
        refuse_below("dynamics", least, given)
        refuse_other_seeds("dynamics", seed)
        self.mi_estimator, self.mi_units = mi_estimator, mi_units
        self.mi_samples, self.mi_halves = mi_samples, mi_halves
        self.surrogates, self.bootstrap, self.seed = surrogates, bootstrap, seed

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose units and samples, and begin anew."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(self.seed)
        self.units = torch.randperm(data.width, generator=generator)[: self.mi_units].sort().values
        self.interval_units = torch.randperm(data.width, generator=generator)[:INTERVAL_UNITS].sort().values
        samples = data.samples("test")
        self.mi_numbers = samples[torch.randperm(len(samples), generator=generator)[: self.mi_samples]]
        resamples = {"draws": self.bootstrap, "seed": self.seed}
        device = pl_module.device
        self.moments = TransitionStatistics(data.sublayers, data.width).to(device)
        self.unit_bootstrap = UnitBootstrap(data.sublayers, len(self.interval_units), **resamples).to(device)
        self.mean_kinematics = MeanKinematics(data.sublayers, **resamples).to(device)
        self.mean_turns = ResampledMean(data.width, **resamples).to(device)
        self.kinematics, self.tokens = PerSample().to(device), PerSample().to(device)
        self.mi_states, self.mi_texts = PerSample().to(device), PerSample().to(device)
        self.whole_states, self.whole_texts = PerSample().to(device), PerSample().to(device)

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
        device = batch.states.device
        kinematics = Kinematics.of(batch.states)
        self.moments.update(batch.states)
        self.unit_bootstrap.update(batch.states[:, :, self.interval_units.to(device)], batch.texts)
        self.mean_kinematics.update(kinematics, batch.texts)
        self.mean_turns.update(rotation_count(batch.states), batch.texts)
        self.kinematics.update(kinematics.to_columns().float(), batch.samples)
        self.tokens.update(torch.stack([batch.tokens, batch.texts, batch.positions], dim=1), batch.samples)
        chosen = torch.isin(batch.samples, self.mi_numbers.to(device))
        self.mi_states.update(batch.states[chosen][:, :, self.units.to(device)], batch.samples[chosen])
        self.mi_texts.update(batch.texts[chosen], batch.samples[chosen])
        whole = torch.isin(batch.samples, self.mi_numbers[:WHOLE_SAMPLES].to(device))
        self.whole_states.update(batch.states[whole], batch.samples[whole])
        self.whole_texts.update(batch.texts[whole], batch.samples[whole])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        layout, kinds, whole = data.layout, data.layout.transition_kinds, self.whole_states.compute()
        moments, tokens = self.moments.moments(), self._tokens()
        rows = Kinematics.from_columns(self.kinematics.rows(), data.sublayers)
        beyond = cosine_beyond_exchange(whole, seed=self.seed)
        beyond = resampled_mean(beyond, self.whole_texts.rows(), self.bootstrap, self.seed)
        resampled, means = self.unit_bootstrap.compute(), self.mean_kinematics.curves()
        turns = self.mean_turns.compute()
        if len(self.tokens.rows()[:, 1].unique()) < LEAST_TEXTS:
            resampled, means = ResampledUnits(*map(_measured, resampled)), Kinematics(*map(_measured, means))
            turns, beyond = _measured(turns), _measured(beyond)
        again = self.surrogates, self.seed
        findings = [
            correlation_findings(moments, resampled),
            kinematics_findings(rows, means, beyond, data.width, kinds),
            self._information(data.width, show=trainer.progress_bar_callback is not None),
            rotation_findings(moments.mean, resampled.mean[1:], turns, whole[:SINGLE_SAMPLES], kinds, *again),
            tokens,
        ]
        record = RunRecord.of(trainer)
        keeps = [surrogate.keeps for surrogate in SURROGATES.values()]
        coordinates = {"surrogate": list(SURROGATES), "surrogate_keeps": ("surrogate", keeps)}
        for found in findings:
            record.add_findings("dynamics", found, depth_coordinates(layout) | coordinates)
        chosen = {"estimator": self.mi_estimator, "units": len(self.units), "samples": len(self.mi_numbers)}
        record.add_attribute("mutual_information", json.dumps(chosen))

    def _information(self, width: int, show: bool) -> Findings:
        """The findings on mutual information, under a progress bar."""
        states, texts = self.mi_states.compute(), self.mi_texts.rows()
        plan = InformationPlan(states, texts, self.mi_estimator, self.mi_halves, self.seed)
        with Progress(disable=not show or processes.rank() > 0) as bar:
            task = bar.add_task("mutual information", total=plan.work)
            return information_findings(plan, self.units, width, lambda units: bar.advance(task, units))

    def _tokens(self) -> Findings:
        """Which token of which text each sample is."""
        found = Findings()
        tokens, texts, positions = self.tokens.rows().unbind(dim=1)
        found.add("last_token", "sample", tokens, "id of the token that is read")
        found.add("text", "sample", texts, "number of the text")
        found.add("position", "sample", positions, "place of the token in its text", "token")
        return found


def _measured(values: Tensor) -> Tensor:
    """Values [1 + draws, ...] without what was resampled."""
    return torch.cat([values[:1], torch.full_like(values[1:], torch.nan)])

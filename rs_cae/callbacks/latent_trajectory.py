"""Where does the stream go in the reduced space, and how far at each step? (Figures 3B and 3C)"""

from typing import Any, Literal

import torch
import xarray as xr
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rs_cae.callbacks.run_record import RunRecord
from rs_cae.dynamics.alignment import align_sublayers
from rs_cae.dynamics.kinematics import velocity
from rs_cae.dynamics.resampling import bootstrap_mean_interval
from rs_cae.errors import refuse_below, refuse_other_seeds
from rs_cae.metrics.samples import PerSample
from rs_cae.modules import reducer_of
from rs_cae.results import Findings, Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch
from rs_cae.teleportation import widened_range

UNRELATED = "each sublayer has a latent space of its own"
REMEDY = "see --latent_trajectory.align"
ALIGNED = "latents of each sublayer were rotated and shifted onto those of the one before"


class LatentTrajectory(Callback):
    """Latents of every test sample, their mean trajectory, and the distance between successive sublayers.

    Where each sublayer has a latent space of its own there is neither a mean trajectory nor, unless the spaces are
    aligned, a distance.

    Args:
        bootstrap: Resamples of the texts behind each interval, at least 39.
        seed: Seed of the resamples, from 0 to 2^32 - 1.
        align: ``procrustes`` rotates and shifts the latents of each sublayer, where they live in a space of their own,
            onto those of the one before; distances are then what no such motion explains. ``none`` leaves them NaN.

    Raises:
        InputError: If a number is too small.
    """

    def __init__(self, bootstrap: int = 1000, seed: int = 0, align: Literal["none", "procrustes"] = "none") -> None:
        refuse_below("latent_trajectory", {"bootstrap": 39}, {"bootstrap": bootstrap})
        refuse_other_seeds("latent_trajectory", seed)
        self.bootstrap = bootstrap
        self.seed = seed
        self.align = align

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.latents = PerSample().to(pl_module.device)
        self.tokens = PerSample().to(pl_module.device)
        self.texts = PerSample().to(pl_module.device)

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
        self.latents.update(outputs["latents"], batch.samples)
        self.tokens.update(batch.tokens, batch.samples)
        self.texts.update(batch.texts, batch.samples)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        latents = self.latents.rows().double().cpu()
        tokens, texts = self.tokens.rows().cpu(), self.texts.rows().cpu()
        found, unit = Findings(), "latent unit"
        found.add("latents", "sample sublayer latent", latents.float(), "latents of each sample", unit)
        found.add("last_token", "sample", tokens, "id of the token that is read")
        found.add("grid_extent", "latent bound", widened_range(latents), "range of the latents, widened by 5 %", unit)
        reducer = reducer_of(pl_module)
        nowhere = torch.full_like(latents, torch.nan)
        where, note = (latents, "") if reducer.shares_latent_space else (nowhere, UNRELATED)
        words = note and f"{note}, and no mean trajectory"
        self._add_mean(found, "mean_trajectory", "sublayer latent", where, texts, "latents, mean over samples", words)
        if note:
            aligned = self.align == "procrustes"
            where, note = (align_sublayers(latents), ALIGNED) if aligned else (nowhere, f"{note}: {REMEDY}")
        steps = velocity(where)
        meaning = "distance between successive sublayers, mean over samples"
        self._add_mean(found, "layer_distance", "transition", steps, texts, meaning, note)
        if steps.isfinite().all():
            self._add_path_length(found, steps.sum(dim=1), texts, "aligned latent spaces" if note else "latent space")
        record = RunRecord.of(trainer)
        coordinates = depth_coordinates(data.layout) | {"latent": ("latent", reducer.latent_names)}
        record.add_findings("latent", found, coordinates)
        record.add_variables("latent", xr.Dataset({"last_token_text": ("sample", data.token_texts(tokens))}))

    def _add_mean(
        self, found: Findings, name: str, dimensions: str, values: Tensor, texts: Tensor, meaning: str, note: str
    ) -> None:
        """The mean over samples of values [samples, ...], with its interval."""
        interval = bootstrap_mean_interval(values, self.bootstrap, seed=self.seed, texts=texts)
        found.add_with_interval(name, dimensions, values.mean(dim=0), interval, meaning, "latent unit", note=note)

    def _add_path_length(self, found: Findings, lengths: Tensor, texts: Tensor, where: str) -> None:
        """The mean of the lengths [samples] of the paths."""
        low, high = bootstrap_mean_interval(lengths, self.bootstrap, seed=self.seed, texts=texts)
        value, ends = float(lengths.mean()), (float(low), float(high))
        words = f"A sample's path through the {where}: {value:.3g} [{ends[0]:.3g}, {ends[1]:.3g}] latent units."
        found.headlines["path_length"] = Headline(value, "latent unit", *ends, sentence=words)

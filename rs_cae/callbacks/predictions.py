"""Where do other texts go in the reduced space? Their latents as a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rs_cae.dynamics.variance import explained_variance
from rs_cae.errors import InputError
from rs_cae.metrics.reconstruction import ReconstructionMoments
from rs_cae.metrics.samples import PerSample
from rs_cae.modules import reducer_of
from rs_cae.results import Findings, depth_coordinates, write_dataset
from rs_cae.stream.trajectories import TrajectoryBatch


class PredictionWriter(Callback):
    """Latents of every sample that is predicted, and how far its reconstruction is off, in one file.

    Args:
        path: Of the file; its folder is made.
        attributes: Strings and numbers that it carries.
        lines: [texts], which line of its file each text is, from 1; None where they come from a corpus.
    """

    def __init__(
        self, path: Path, attributes: Mapping[str, str | int | float], lines: np.ndarray | None = None
    ) -> None:
        self.path = path
        self.attributes = attributes
        self.lines = lines
        self.dataset: xr.Dataset | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        reducer, device = reducer_of(pl_module), pl_module.device
        self.latents, self.read, self.squared_residuals = (PerSample().to(device) for _ in range(3))
        self.moments = ReconstructionMoments(reducer.sublayers, reducer.width).to(device)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: TrajectoryBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in a batch."""
        residuals = batch.states.double() - outputs["reconstructions"].double()
        self.latents.update(outputs["latents"], batch.samples)
        self.squared_residuals.update(residuals.square().sum(dim=-1), batch.samples)
        self.read.update(torch.stack([batch.tokens, batch.texts, batch.positions], dim=1), batch.samples)
        self.moments.update(batch.states, outputs["reconstructions"], batch.texts)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put together what all processes have."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        found = Findings()
        latents, squared = self.latents.rows().cpu(), self.squared_residuals.rows().cpu()
        found.add("latents", "sample sublayer latent", latents.float(), "latents of each sample", "latent unit")
        meaning = "squared distance of the reconstruction from the state"
        found.add("squared_residual", "sample sublayer", squared, meaning, "activation^2")
        targets, residuals = self.moments.moments()
        self._add_shares(found, targets.variance.sum(dim=-1)[0], explained_variance(targets, residuals)[0])
        tokens, texts, positions = self.read.rows().cpu().unbind(dim=1)
        found.add("last_token", "sample", tokens, "id of the token that is read")
        found.add("text", "sample", texts, "number of the text, from 0")
        found.add("position", "sample", positions, "place of the token in its text, from 0")
        if self.lines is not None:
            found.add("line", "sample", torch.from_numpy(self.lines)[texts], "line of the text in its file, from 1")
        coordinates = depth_coordinates(data.layout) | {"latent": ("latent", reducer_of(pl_module).latent_names)}
        words = {"last_token_text": ("sample", data.token_texts(tokens))}
        self.dataset = xr.Dataset({**found.variables, **words}, coordinates).drop_dims("transition")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        if not trainer.is_global_zero or self.dataset is None:
            return
        notes = trainer.datamodule.origin.notes("test")  # type: ignore[attr-defined]
        told = {
            "model_commit": notes["model_commit"] or "a local model",
            "truncated_texts": notes["truncated_texts"],
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_dataset(self.path, self.dataset.assign_attrs({**self.attributes, **told}))
        except OSError as error:
            raise InputError("--out", self.path, f"cannot be written: {error}") from error

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say where it is, below the finished progress bar."""
        if stage == "predict" and trainer.is_global_zero and self.dataset is not None:
            sizes = self.dataset.sizes
            print(f"{sizes['sample']} samples, {sizes['latent']} latents at {sizes['sublayer']} sublayers: {self.path}")

    def _add_shares(self, found: Findings, variance: Tensor, explained: Tensor) -> None:
        """How much the states vary over the predicted samples, and how much of it is kept, [sublayers] each."""
        meaning = "variance of the states over samples, summed over units"
        found.add("total_variance", "sublayer", variance, meaning, "activation^2")
        found.add("explained_variance", "sublayer", explained, "explained variance")

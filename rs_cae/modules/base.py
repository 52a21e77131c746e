"""What all modules share, whatever they fit: the standardization, the reconstruction's error, and what is logged."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from rs_cae.data import TrajectoryDataModule
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.variance import explained_variance_pooled
from rs_cae.metrics.reconstruction import ReconstructionMoments
from rs_cae.metrics.resampled import ResampledMean
from rs_cae.reducers.base import Reducer
from rs_cae.stream.trajectories import TrajectoryBatch


class ReducerModule(LightningModule):
    """Fits a reducer.

    Logs, of the validation texts, ``val/loss``, the mean squared error in standardized units (or what an autoencoder's
    ``loss`` makes of it), ``val/best_loss``, the lowest so far, by which checkpoints are chosen, and
    ``val/explained_variance``, pooled over sublayers in raw units.

    Args:
        reducer: What is fitted, and what a test is about.

    Attributes:
        loss_weight: [sublayers], by which the error of each sublayer counts.
        prepared: Whether what follows from the train set alone has been set.
    """

    loss_weight: Tensor
    prepared: Tensor

    def __init__(self, reducer: Reducer) -> None:
        super().__init__()
        self.reducer = reducer
        self.register_buffer("loss_weight", torch.ones(reducer.sublayers))
        self.register_buffer("prepared", torch.tensor(False))
        self.val_errors = ResampledMean(reducer.sublayers, draws=0)
        self.val_moments = ReconstructionMoments(reducer.sublayers, reducer.width)

    @property
    def data(self) -> TrajectoryDataModule:
        """The trainer's data module."""
        data: TrajectoryDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def forward(self, trajectories: Tensor) -> Tensor:
        """Reconstructions of trajectories [batch, sublayers, width], in the units of the activations."""
        reconstructions: Tensor = self.reducer(trajectories)
        return reconstructions

    def on_fit_start(self) -> None:
        """Prepare, unless a checkpoint brought along what that gives."""
        if not self.prepared:
            self.prepare(self.data.train_moments(self.device))
            self.prepared.fill_(True)

    def prepare(self, states: Moments) -> None:
        """Set what follows from the moments of the train states over [sublayers, width]."""
        self.reducer.standardizer.fit(states)

    def reconstruct(self, standardized: Tensor) -> Tensor:
        """Standardized reconstructions of standardized trajectories, by what is being validated."""
        return self.reducer.expand(self.reducer.compress(standardized))

    def validation_step(self, batch: TrajectoryBatch, batch_index: int) -> None:
        """Take in a validation batch."""
        standardized = self.reducer.standardizer(batch.states)
        reconstructed = self.reconstruct(standardized).to(standardized.dtype)
        self.val_errors.update((reconstructed - standardized).square().mean(dim=-1), batch.texts)
        self.val_moments.update(batch.states, self.reducer.standardizer.inverse(reconstructed), batch.texts)

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's loss and explained variance.

        The processes put their numbers together here, all of them at the same point. Left to Lightning, they would do
        so when somebody asks: the progress bar does, which the first process alone has, and waits for the others
        forever.
        """
        losses = self.loss_by_map(self.val_errors.compute()[0])
        explained = explained_variance_pooled(*self.val_moments.moments()).squeeze(0)
        self.val_errors.reset()
        self.val_moments.reset()
        self.log("val/loss", losses.mean(), prog_bar=True)
        self.log("val/explained_variance", explained, prog_bar=True)
        self.log("val/best_loss", self.keep_best(losses).mean())

    def loss_by_map(self, errors: Tensor) -> Tensor:
        """Errors of each sublayer [sublayers] as the loss of each map, [maps]."""
        return (errors * self.loss_weight).reshape(self.reducer.maps, -1).mean(dim=1)

    def keep_best(self, losses: Tensor) -> Tensor:
        """Take in the validation losses [maps], and return the lowest of each map so far."""
        return losses

    def test_step(self, batch: TrajectoryBatch, batch_index: int) -> Mapping[str, Tensor]:
        """What callbacks ask for of a test batch."""
        with torch.autocast(batch.states.device.type, enabled=False):  # what is measured is not to be rounded
            latents = self.reducer.encode(batch.states)
            coefficients = self.reducer.coefficients(self.reducer.standardizer(batch.states))
            reconstructions = self.reducer.decode(latents)
        return {"latents": latents, "reconstructions": reconstructions, "coefficients": coefficients}

    def predict_step(self, batch: TrajectoryBatch, batch_index: int) -> Mapping[str, Tensor]:
        """Latents and reconstructions of a batch."""
        with torch.autocast(batch.states.device.type, enabled=False):
            latents = self.reducer.encode(batch.states)
            return {"latents": latents, "reconstructions": self.reducer.decode(latents)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which module this is, for ``load_reducer``."""
        checkpoint["module"] = type(self).__name__


def reducer_of(module: LightningModule) -> Reducer:
    """The reducer that a module fits.

    Raises:
        TypeError: If it fits none.
    """
    if not isinstance(module, ReducerModule):
        raise TypeError(f"expected a ReducerModule, got a {type(module).__name__}")
    return module.reducer

"""LightningModules that fit reducers: loss, optimizer, logging."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from rs_cae import processes
from rs_cae.dynamics.variance import explained_variance_pooled
from rs_cae.metrics.reconstruction import ReconstructionMoments
from rs_cae.reducers.autoencoder import CompressingAutoencoder
from rs_cae.reducers.base import Reducer
from rs_cae.reducers.standardizer import Standardization
from rs_cae.stream.trajectories import TrajectoryBatch


class ReducerModule(LightningModule):
    """What all reducers share: the standardization, the reconstruction loss, and what is logged.

    Logs ``train/loss`` and ``val/loss``, the mean squared error in standardized units, and ``train/`` and
    ``val/explained_variance``, pooled over sublayers in raw units and streamed over the epoch.

    Args:
        reducer: What is fitted.
    """

    def __init__(self, reducer: Reducer) -> None:
        super().__init__()
        self.reducer = reducer
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_moments = ReconstructionMoments(reducer.sublayers, reducer.width)
        self.val_moments = ReconstructionMoments(reducer.sublayers, reducer.width)

    def forward(self, trajectories: Tensor) -> Tensor:
        """Reconstructions of trajectories [batch, sublayers, width], in the units of the activations."""
        return self.reducer.decode(self.reducer.encode(trajectories))

    def on_fit_start(self) -> None:
        """Fit the standardization to the train set, unless a checkpoint brought it along."""
        if not self.reducer.standardizer.fitted:
            self.reducer.standardizer.fit(self.trainer.datamodule.train_moments(self.device))  # type: ignore[attr-defined]

    def validation_step(self, batch: TrajectoryBatch, batch_index: int) -> None:
        """Take in a validation batch."""
        self._loss(batch, self.val_loss, self.val_moments)

    def test_step(self, batch: TrajectoryBatch, batch_index: int) -> Mapping[str, Tensor]:
        """Latents and reconstructions of a test batch, for the callbacks."""
        latents = self.reducer.encode(batch.states)
        return {"latents": latents, "reconstructions": self.reducer.decode(latents)}

    def on_train_epoch_end(self) -> None:
        """Log the epoch's loss and explained variance."""
        self._log_epoch("train", self.train_loss, self.train_moments)

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's loss and explained variance."""
        self._log_epoch("val", self.val_loss, self.val_moments)

    def _loss(self, batch: TrajectoryBatch, mean_loss: MeanMetric, moments: ReconstructionMoments) -> Tensor:
        standardized = self.reducer.standardizer(batch.states)
        reconstructed = self.reducer.expand(self.reducer.compress(standardized))
        loss = mse_loss(reconstructed, standardized)
        in_raw_units = self.reducer.standardizer.inverse(reconstructed.detach())
        moments.update(batch.states, in_raw_units, batch.texts)
        mean_loss.update(loss.detach(), weight=len(batch.samples))
        return loss

    def _log_epoch(self, split: str, mean_loss: MeanMetric, moments: ReconstructionMoments) -> None:
        """Log numbers that the processes have put together here, all of them at the same point.

        Left to Lightning, they would be put together when somebody asks for them: the progress bar does, which the
        first process alone has, and waits for the others forever.
        """
        explained = explained_variance_pooled(*moments.moments()).squeeze(0)
        self.log(f"{split}/loss", mean_loss.compute(), prog_bar=split == "val")
        self.log(f"{split}/explained_variance", explained, prog_bar=split == "val")
        mean_loss.reset()
        moments.reset()


def reducer_of(module: LightningModule) -> Reducer:
    """The reducer that a module fits.

    Raises:
        TypeError: If it fits none.
    """
    if not isinstance(module, ReducerModule):
        raise TypeError(f"expected a ReducerModule, got a {type(module).__name__}")
    return module.reducer


class AutoencoderModule(ReducerModule):
    """Trains a compressing autoencoder on the states of all sublayers by AdamW on the mean squared error.

    Args:
        width: Units of the residual stream; set from the data.
        sublayers: Places at which it is read; set from the data.
        bottleneck: Latents of a state.
        n_layers: Linear layers in all, half of them down and half of them up.
        standardize: ``per_sublayer`` divides each sublayer by its train RMS; ``global`` centres and divides all alike;
            ``none`` leaves raw states, whose late sublayers then dominate the loss.
        lr: Peak learning rate of AdamW.
        weight_decay: Of AdamW.
        warmup: Share of all steps over which the learning rate rises to its peak, before a cosine takes it to zero.
    """

    def __init__(
        self,
        width: int,
        sublayers: int,
        bottleneck: int = 2,
        n_layers: int = 10,
        standardize: Standardization = "per_sublayer",
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.05,
    ) -> None:
        super().__init__(CompressingAutoencoder(width, sublayers, bottleneck, n_layers, standardize))
        self.save_hyperparameters()
        self.lr = lr
        self.weight_decay = weight_decay
        self.warmup = warmup

    def training_step(self, batch: TrajectoryBatch, batch_index: int) -> Tensor:
        """The loss of a training batch."""
        return self._loss(batch, self.train_loss, self.train_moments) * self._share_of_mean(batch)

    def on_train_epoch_end(self) -> None:
        """Log the learning rate at the epoch's end as well."""
        super().on_train_epoch_end()
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    def _share_of_mean(self, batch: TrajectoryBatch) -> float:
        """What makes the mean over processes, which gradients get, the mean over the samples of all of them."""
        if processes.world_size() == 1:
            return 1.0
        own = torch.tensor(float(len(batch.samples)), device=self.device)
        return float(own * processes.world_size() / processes.total(own))

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up and a cosine to zero, counted in steps."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        rise = max(1, round(self.warmup * total))

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}

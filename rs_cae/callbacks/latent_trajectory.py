"""Where does the stream go in the reduced space, and how far at each step? (Figures 3B and 3C)"""

from typing import Any

import torch
import xarray as xr
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rs_cae.callbacks.run_record import RunRecord
from rs_cae.dynamics.kinematics import layer_distance, velocity
from rs_cae.dynamics.resampling import bootstrap_mean_interval
from rs_cae.metrics.samples import PerSample
from rs_cae.results import Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch


class LatentTrajectory(Callback):
    """Latents of every test text, their mean trajectory, and the distance between successive sublayers.

    Args:
        bootstrap: Resamples of the texts behind each interval.
        seed: Seed of the resamples.
    """

    def __init__(self, bootstrap: int = 1000, seed: int = 0) -> None:
        self.bootstrap = bootstrap
        self.seed = seed

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
        """Compute, and hand the record variables, headlines and figures."""
        latents = self.latents.rows().double().cpu()
        steps = velocity(latents)
        along = ("sublayer", "latent")
        tokens, texts = self.tokens.rows().cpu(), self.texts.rows().cpu()
        mean_low, mean_high = bootstrap_mean_interval(latents, self.bootstrap, seed=self.seed, texts=texts)
        step_low, step_high = bootstrap_mean_interval(steps, self.bootstrap, seed=self.seed, texts=texts)
        variables = {
            "latents": (("sample", *along), latents.float().numpy()),
            "last_token": ("sample", tokens.numpy()),
            "last_token_text": ("sample", trainer.datamodule.token_texts(tokens)),  # type: ignore[attr-defined]
            "mean_trajectory": (along, latents.mean(dim=0).numpy()),
            "mean_trajectory_low": (along, mean_low.numpy()),
            "mean_trajectory_high": (along, mean_high.numpy()),
            "grid_extent": (("latent", "bound"), widened_range(latents).numpy()),
            "layer_distance": ("transition", layer_distance(latents).numpy()),
            "layer_distance_low": ("transition", step_low.numpy()),
            "layer_distance_high": ("transition", step_high.numpy()),
        }
        layout = trainer.datamodule.layout  # type: ignore[attr-defined]
        dataset = xr.Dataset(variables, coords=depth_coordinates(layout))
        record = RunRecord.of(trainer)
        record.add_variables("latent", dataset)
        length = steps.sum(dim=1)
        low, high = bootstrap_mean_interval(length, self.bootstrap, seed=self.seed, texts=texts)
        value, ends = float(length.mean()), (float(low), float(high))
        words = (
            f"A text's path through the latent space is {value:.3g} [{ends[0]:.3g}, {ends[1]:.3g}] latent units long."
        )
        record.add_headline("path_length", Headline(value, "latent unit", *ends, sentence=words))


def widened_range(latents: Tensor, margin: float = 0.05) -> Tensor:
    """Range of each latent over samples and sublayers, widened on each side: the plane that a later study covers.

    Args:
        latents: [samples, sublayers, bottleneck].
        margin: Share of the range that is added on each side.

    Returns:
        [bottleneck, 2], low and high, in latent units.
    """
    low, high = latents.amin(dim=(0, 1)), latents.amax(dim=(0, 1))
    return torch.stack([low - margin * (high - low), high + margin * (high - low)], dim=1)

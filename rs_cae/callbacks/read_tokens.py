"""Which tokens' states are they? What is read, how often, and what is wrong with it."""

import json
from typing import Any

import torch
import xarray as xr
from lightning import Callback, LightningModule, Trainer

from rs_cae.callbacks.run_record import RunRecord
from rs_cae.dynamics.resampling import bootstrap_mean_interval
from rs_cae.metrics.samples import PerSample
from rs_cae.results import Headline
from rs_cae.stream.trajectories import TrajectoryBatch


class ReadTokens(Callback):
    """The histogram of the tokens that are read, where each was read, outliers, and notes of the capture."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.read = PerSample().to(pl_module.device)

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
        read = torch.stack([batch.tokens, batch.texts, batch.positions, batch.samples], dim=1)
        self.read.update(read, batch.samples)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, and hand the record variables, the headline and notes."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        tokens, texts, positions, samples = self.read.rows().cpu().unbind(dim=1)
        distinct, counts = tokens.unique(return_counts=True)
        order = counts.argsort(descending=True, stable=True)
        variables = {
            "token_count": ("token", counts[order].numpy()),
            "token_id": ("token", distinct[order].numpy()),
            "token_text": ("token", data.token_texts(distinct[order])),
            "text": ("sample", texts.numpy()),
            "position": ("sample", positions.numpy()),
        }
        record = RunRecord.of(trainer)
        notes = data.origin.notes("test")
        record.add_attribute("model_commit", notes["model_commit"] or "a local model")
        record.add_attribute("truncated_texts", notes["truncated_texts"])
        record.add_attribute("hook_point_checks", json.dumps(notes["hook_point_checks"]))
        outliers = data.outliers.get("test")
        if outliers is not None:
            variables["outlier"] = ("sample", torch.isin(samples, outliers).to(torch.int8).numpy())
            record.add_attribute("outlier_samples", len(outliers))
        record.add_variables("latent", xr.Dataset(variables))
        commonest = (tokens == tokens.mode().values).double()
        low, high = bootstrap_mean_interval(commonest, texts=texts)
        text = data.token_texts(tokens.mode().values[None])[0]
        words = f"{float(commonest.mean()):.1%} of the samples are read at the token {text!r}."
        headline = Headline(float(commonest.mean()), "1", float(low), float(high), sentence=words)
        record.add_headline("share_of_commonest_token", headline)

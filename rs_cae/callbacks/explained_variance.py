"""How much of the states' variance does the reducer keep, sublayer by sublayer? (Figure 3D)"""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.verdicts import Verdict, with_sentence
from rs_cae.dynamics import variance
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.resampling import jackknife_interval
from rs_cae.metrics.reconstruction import ReconstructionMoments
from rs_cae.modules import reducer_of
from rs_cae.results import Findings, Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch

KEPT = Verdict(
    null="knowing the depth alone",
    above="the latents tell states of the same depth apart",
    undecided="not told apart from knowing the depth alone",
    below="less than the depth is known",
)


class ExplainedVariance(Callback):
    """Explained variance and r2 per sublayer and pooled, with jackknife intervals over groups of texts.

    Args:
        groups: Groups into which the test texts are dealt; an interval's standard error comes from leaving out one
            group at a time.
    """

    def __init__(self, groups: int = 20) -> None:
        self.groups = groups

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        reducer = reducer_of(pl_module)
        self.moments = ReconstructionMoments(reducer.sublayers, reducer.width, self.groups).to(pl_module.device)

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
        self.moments.update(batch.states, outputs["reconstructions"], batch.texts)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        targets, residuals = self.moments.moments()
        scale = reducer_of(pl_module).standardizer.scale
        layout = trainer.datamodule.layout  # type: ignore[attr-defined]
        found, values = Findings(), _with_intervals(targets, residuals, scale)
        for name, (value, low, high) in values.items():
            dimension = "sublayer" if value.ndim else ""
            found.add_with_interval(name, dimension, value, (low, high), name.replace("_", " "))
        depth_alone = float(variance.r2_of_sublayer_means(targets.pooled()))
        for name, (subject, null) in {
            "explained_variance_pooled": ("Explained variance of the test states", 0.0),
            "explained_variance_standardized_pooled": ("Explained variance in standardized units", 0.0),
            "r2_pooled": ("r2 of the test states about their grand mean", depth_alone),
        }.items():
            ends = [float(end) for end in values[name]]
            headline = Headline(ends[0], "1", low=ends[1], high=ends[2], null=null)
            found.headlines[name] = with_sentence(headline, subject, KEPT)
        RunRecord.of(trainer).add_findings("latent", found, depth_coordinates(layout))


def _with_intervals(targets: Moments, residuals: Moments, scale: Tensor) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Each statistic of the whole test set, and the ends of its interval."""
    whole = targets.pooled(), residuals.pooled()
    without = targets.leave_one_out(), residuals.leave_one_out()
    # One scalar divides a sublayer, so it leaves the ratio of that sublayer's variances as it is.
    statistics = {
        "explained_variance": variance.explained_variance,
        "explained_variance_standardized": variance.explained_variance,
        "r2": variance.r2,
        "explained_variance_pooled": variance.explained_variance_pooled,
        "explained_variance_standardized_pooled": lambda h, e: variance.explained_variance_pooled(h, e, scale),
        "r2_pooled": variance.r2_pooled,
    }
    values = {}
    for name, statistic in statistics.items():
        value = statistic(*whole).squeeze(0)
        values[name] = (value, *jackknife_interval(value, statistic(*without)))
    return values

"""How much of the states' variance does the reducer keep, sublayer by sublayer? (Figure 3D)"""

from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rs_cae.callbacks.components import component_findings
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.verdicts import Verdict, with_sentence
from rs_cae.dynamics import variance
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.resampling import jackknife_interval
from rs_cae.metrics.reconstruction import GroupedMoments, ReconstructionMoments
from rs_cae.modules import reducer_of
from rs_cae.results import Findings, Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch

Statistic = Callable[[Moments, Moments], Tensor]
"""Of the moments of states and of residuals."""

KEPT = Verdict(
    null="knowing the depth alone",
    above="the latents tell states of the same depth apart",
    undecided="not told apart from knowing the depth alone",
    below="less than the depth is known",
)


class ExplainedVariance(Callback):
    """Explained variance and r2 per sublayer and pooled, in raw and in standardized units, with jackknife intervals.

    Of a reducer whose latents are the first of many orthonormal coordinates also the curve over their number.

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
        self.coefficients = GroupedMoments(reducer.sublayers, reducer.components, self.groups).to(pl_module.device)

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
        self.coefficients.update(outputs["coefficients"], batch.texts)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        targets, residuals = self.moments.moments()
        reducer, found = reducer_of(pl_module), Findings()
        scale, offset = reducer.standardizer.scale[:, None], reducer.standardizer.offset
        raw = targets, residuals
        standardized = targets.rescaled(scale, offset), residuals.rescaled(scale)
        values = _with_intervals(RAW, *raw) | _with_intervals(STANDARDIZED, *standardized)
        for name, (value, low, high) in values.items():
            dimension = "sublayer" if value.ndim else ""
            found.add_with_interval(name, dimension, value, (low, high), name.replace("_", " "))
        of_depth, of_depth_standardized = (
            float(variance.r2_of_sublayer_means(states.pooled())) for states, _ in (raw, standardized)
        )
        for name, (subject, null) in {
            "explained_variance_pooled": ("Explained variance of the test states", 0.0),
            "explained_variance_standardized_pooled": ("Explained variance in standardized units", 0.0),
            "r2_pooled": ("r2 of the test states about their grand mean", of_depth),
            "r2_standardized_pooled": ("r2 in standardized units", of_depth_standardized),
        }.items():
            ends = [float(end) for end in values[name]]
            headline = Headline(ends[0], "1", low=ends[1], high=ends[2], null=null)
            found.headlines[name] = with_sentence(headline, subject, KEPT)
        record, layout = RunRecord.of(trainer), trainer.datamodule.layout  # type: ignore[attr-defined]
        record.add_findings("latent", found, depth_coordinates(layout))
        (coefficients,) = self.coefficients.moments()
        along = component_findings(standardized[0], coefficients, scale[:, 0], reducer.shares_latent_space)
        numbers = {"component": range(1, 1 + reducer.components)} if reducer.components else {}
        record.add_findings("latent", along, depth_coordinates(layout) | numbers)


RAW: dict[str, Statistic] = {
    "explained_variance": variance.explained_variance,
    "r2": variance.r2,
    "explained_variance_pooled": variance.explained_variance_pooled,
    "r2_pooled": variance.r2_pooled,
}
STANDARDIZED: dict[str, Statistic] = {
    "explained_variance_standardized": variance.explained_variance,  # one scalar divides a sublayer: the same as raw
    "explained_variance_standardized_pooled": variance.explained_variance_pooled,
    "r2_standardized_pooled": variance.r2_pooled,
}


def _with_intervals(
    statistics: dict[str, Statistic], targets: Moments, residuals: Moments
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Each statistic of the whole test set, and the ends of its interval."""
    whole = targets.pooled(), residuals.pooled()
    without = targets.leave_one_out(), residuals.leave_one_out()
    values = {name: (statistic(*whole).squeeze(0), statistic(*without)) for name, statistic in statistics.items()}
    return {name: (value, *jackknife_interval(value, others)) for name, (value, others) in values.items()}

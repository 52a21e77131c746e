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
from rs_cae.dynamics.resampling import jackknife_interval, jackknife_p
from rs_cae.errors import refuse_below
from rs_cae.metrics.grouped import GroupedMoments
from rs_cae.metrics.reconstruction import ReconstructionMoments
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


BEYOND_DEPTH = Verdict(
    null="the mean of each sublayer, for all its states,",
    above="nearer to the states than that mean",
    undecided="not told apart from that mean",
    below="farther from the states than that mean",
)


class ExplainedVariance(Callback):
    """Explained variance and r2 per sublayer and pooled, in raw and in standardized units, with jackknife intervals.

    Of a reducer whose latents are the first of many orthonormal coordinates also the curve over their number.

    Args:
        groups: Groups into which the test texts are dealt; an interval's standard error comes from leaving out one
            group at a time. At least 2.

    Raises:
        InputError: If there are fewer.
    """

    def __init__(self, groups: int = 20) -> None:
        refuse_below("explained_variance", {"groups": 2}, {"groups": groups})
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
        for name, subject in {
            "explained_variance_pooled": "Explained variance of the test states",
            "explained_variance_standardized_pooled": "Explained variance in standardized units",
        }.items():
            number, bottom, top = map(float, values[name])
            known = Headline(number, "1", bottom, top, null=0.0)
            found.headlines[name] = with_sentence(known, subject, KEPT)
        for name, subject, moments in (
            ("r2_pooled", "r2 of the test states about their grand mean", raw),
            ("r2_standardized_pooled", "r2 in standardized units", standardized),
        ):
            number, bottom, top = map(float, values[name])
            known = Headline(number, "1", bottom, top, *_beyond_depth(*moments))
            found.headlines[name] = with_sentence(known, subject, BEYOND_DEPTH)
        record, layout = RunRecord.of(trainer), trainer.datamodule.layout  # type: ignore[attr-defined]
        record.add_findings("latent", found, depth_coordinates(layout))
        (coefficients,) = self.coefficients.moments()
        along = component_findings(standardized[0], coefficients, scale[:, 0], reducer.shares_latent_space)
        numbers = {"component": range(1, 1 + reducer.components)} if reducer.components else {}
        record.add_findings("latent", along, depth_coordinates(layout) | numbers)


def _beyond_depth(targets: Moments, residuals: Moments) -> tuple[float, float]:
    """The r2 of knowing the depth alone, and p of the difference, which both owe to the same texts."""

    def difference(states: Moments, errors: Moments) -> Tensor:
        return variance.r2_pooled(states, errors) - variance.r2_of_sublayer_means(states)

    whole = difference(targets.pooled(), residuals.pooled()).squeeze(0)
    p = jackknife_p(whole, difference(targets.leave_one_out(), residuals.leave_one_out()))
    return float(variance.r2_of_sublayer_means(targets.pooled())), float(p)


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

"""How much of the states' variance does the reducer keep, sublayer by sublayer? (Figure 3D)"""

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
from rs_cae.reducers.standardizer import Standardizer
from rs_cae.results import Findings, Headline, depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch

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
        self.coefficients: GroupedMoments | None = None  # how many there are is seen with the first batch

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
        coefficients = outputs["coefficients"]
        if self.coefficients is None:
            sublayers, components = coefficients.shape[1:]
            self.coefficients = GroupedMoments(sublayers, components, self.groups).to(coefficients.device)
        self.coefficients.update(coefficients, batch.texts)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        targets, residuals = self.moments.moments()
        reducer, found = reducer_of(pl_module), Findings()
        units = _Units(reducer.standardizer)
        values = _with_intervals(targets, residuals, units)
        for name, (value, low, high) in values.items():
            dimension = "sublayer" if value.ndim else ""
            found.add_with_interval(name, dimension, value, (low, high), name.replace("_", " "))
        whole = targets.pooled()
        for name, (subject, null) in {
            "explained_variance_pooled": ("Explained variance of the test states", 0.0),
            "explained_variance_standardized_pooled": ("Explained variance in standardized units", 0.0),
            "r2_pooled": ("r2 of the test states about their grand mean", _of_depth(whole)),
            "r2_standardized_pooled": ("r2 in standardized units", _of_depth(units.states(whole))),
        }.items():
            ends = [float(end) for end in values[name]]
            headline = Headline(ends[0], "1", low=ends[1], high=ends[2], null=null)
            found.headlines[name] = with_sentence(headline, subject, KEPT)
        record, layout = RunRecord.of(trainer), trainer.datamodule.layout  # type: ignore[attr-defined]
        record.add_findings("latent", found, depth_coordinates(layout))
        if self.coefficients is not None:
            (coefficients,) = self.coefficients.moments()
            scale, shared = reducer.standardizer.scale, reducer.shares_latent_space
            along = component_findings(units.states(targets), coefficients, scale, shared)
            numbers = {"component": range(1, 1 + coefficients.mean.shape[-1])} if along.variables else {}
            record.add_findings("latent", along, depth_coordinates(layout) | numbers)


class _Units:
    """Moments in standardized units from those in raw ones.

    Args:
        standardizer: What standardizes.
    """

    def __init__(self, standardizer: Standardizer) -> None:
        self.scale, self.offset = standardizer.scale[:, None], standardizer.offset

    def states(self, moments: Moments) -> Moments:
        """Of states."""
        return moments.rescaled(self.scale, self.offset)

    def residuals(self, moments: Moments) -> Moments:
        """Of differences of states."""
        return moments.rescaled(self.scale)


def _of_depth(targets: Moments) -> float:
    """The r2 of knowing the depth alone."""
    return float(variance.r2_of_sublayer_means(targets))


def _with_intervals(targets: Moments, residuals: Moments, units: _Units) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Each statistic of the whole test set, and the ends of its interval."""
    raw = {
        "explained_variance": variance.explained_variance,
        "r2": variance.r2,
        "explained_variance_pooled": variance.explained_variance_pooled,
        "r2_pooled": variance.r2_pooled,
    }
    standardized = {
        # One scalar divides a sublayer, so it leaves the ratio of that sublayer's variances as it is.
        "explained_variance_standardized": variance.explained_variance,
        "explained_variance_standardized_pooled": variance.explained_variance_pooled,
        "r2_standardized_pooled": variance.r2_pooled,
    }
    values = {}
    for statistics, h, e in (
        (raw, targets, residuals),
        (standardized, units.states(targets), units.residuals(residuals)),
    ):
        whole, without = (h.pooled(), e.pooled()), (h.leave_one_out(), e.leave_one_out())
        for name, statistic in statistics.items():
            value = statistic(*whole).squeeze(0)
            values[name] = (value, *jackknife_interval(value, statistic(*without)))
    return values

"""How the state moves from one sublayer to the next: correlation, angle, speed and density (Figures 1B to 1F)."""

import torch
from torch import Tensor

from rs_cae.callbacks.dynamics.depth import PARTS, WITHOUT_EMBEDDING, part_mean
from rs_cae.callbacks.verdicts import Verdict, compare_with_null
from rs_cae.dynamics.correlation import TransitionMoments, correlation, correlation_of_unrelated_updates
from rs_cae.dynamics.kinematics import Kinematics
from rs_cae.dynamics.resampling import percentile_interval
from rs_cae.metrics.resampled import ResampledUnits
from rs_cae.results import Findings

MEANINGS = {
    "norm": ("sublayer", "L2 norm of the state", "activation"),
    "mean_abs": ("sublayer", "mean absolute activation", "activation"),
    "participation_ratio": ("sublayer", "participation ratio, 1 = all units alike", "1"),
    "velocity": ("transition", "length of the step", "activation"),
    "relative_velocity": ("transition", "length of the step over the norm that it starts from", "1"),
    "cosine_similarity": ("transition", "cosine of successive states", "1"),
}
"""Dimension, meaning and unit of each quantity of ``Kinematics``."""

GAUSSIAN_PARTICIPATION = 1 / 3
"""Of a wide Gaussian vector."""

ALIKE = Verdict(
    null="unrelated updates of that size",
    above="more alike than a sum of unrelated updates",
    undecided="not told apart from a sum of unrelated updates",
    below="less alike than a sum of unrelated updates",
)
FASTER = Verdict(
    null="the norm grows by a factor of",
    above="steps grow faster than the stream",
    undecided="not told apart from the stream's growth",
    below="relative to the stream, steps shrink",
)
DENSER = Verdict(
    null="a Gaussian vector",
    above="denser than noise",
    undecided="not told apart from noise",
    below="sparser than noise: fewer units carry it",
)


def correlation_findings(moments: TransitionMoments, resampled: ResampledUnits) -> Findings:
    """Mean activations and correlations.

    Args:
        moments: Of all units.
        resampled: Correlations of some units.
    """
    found = Findings()
    r, unrelated = correlation(moments), correlation_of_unrelated_updates(moments)
    deviation = (moments.squared_deviations / moments.count).sqrt()
    found.add("mean_activation", "sublayer unit", moments.mean, "mean activation over samples", "activation")
    found.add("activation_std", "sublayer unit", deviation, "standard deviation over samples", "activation")
    found.add("constant_units", "sublayer", moments.constant.sum(dim=1), "units with one value in all samples")
    found.add("correlation", "transition unit", r, "correlation over samples of successive activations")
    curves = _recentred(resampled.correlation, r.nanmean(dim=1))
    nulls = _recentred(resampled.unrelated, unrelated.nanmean(dim=1))
    interval, meaning = percentile_interval(curves[1:]), "correlation of successive activations, mean over units"
    found.add_with_interval("correlation_mean", "transition", curves[0], interval, meaning, null=nulls[0])
    _add_parts(found, "correlation", "Correlation of a unit's successive activations", curves, nulls)
    return found


def kinematics_findings(rows: Kinematics, means: Kinematics, unrelated_cosine: Tensor, kinds: list[str]) -> Findings:
    """Angle, speed and density.

    Args:
        rows: Of every sample.
        means: [1 + draws, sublayers or transitions], over samples, those of all of them first.
        unrelated_cosine: [1 + draws, transitions], the cosine if steps were orthogonal to states.
        kinds: Kind of each transition.
    """
    found = Findings()
    noise = torch.full_like(means.participation_ratio, GAUSSIAN_PARTICIPATION)
    nulls = {"cosine_similarity": unrelated_cosine, "participation_ratio": noise}
    for name, (along, meaning, unit) in MEANINGS.items():
        draws, null = getattr(means, name), nulls.get(name)
        found.add(name, f"sample {along}", getattr(rows, name).float(), meaning, unit)
        found.add_with_interval(
            f"{name}_mean",
            along,
            draws[0],
            percentile_interval(draws[1:]),
            f"{meaning}, mean over samples",
            unit,
            null=None if null is None else null[0],
        )
    _add_parts(found, "cosine_similarity", "Cosine of successive states", means.cosine_similarity, unrelated_cosine)
    _add_velocity(found, means, kinds)
    density, expected = (part_mean(values, "last_third") for values in (means.participation_ratio, noise))
    subject = "Participation ratio of the states, last third of depth"
    found.headlines["participation_ratio_last_third"] = compare_with_null(subject, density, expected, DENSER)
    return found


def _recentred(draws: Tensor, whole: Tensor) -> Tensor:
    """Draws [1 + draws, transitions] of some units about the value [transitions] of all of them."""
    return draws - draws[0] + whole


def _add_parts(found: Findings, name: str, subject: str, curves: Tensor, nulls: Tensor) -> None:
    """The mean over each part of depth, against what unrelated updates would give.

    Args:
        found: Findings to which headlines are added.
        name: Of the quantity, with which the headlines' names begin.
        subject: With which each sentence begins.
        curves: [1 + draws, transitions].
        nulls: The same.
    """
    for part, described in PARTS.items():
        values, expected = part_mean(curves, part), part_mean(nulls, part)
        headline = compare_with_null(f"{subject}, {described.words}", values, expected, ALIKE)
        found.headlines[f"{name}_{part}"] = headline


def _add_velocity(found: Findings, means: Kinematics, kinds: list[str]) -> None:
    """Speed at the last transition over that at the first of the same kind, against the growth of the norm."""
    last = len(kinds) - 1
    earlier = [t for t, kind in enumerate(kinds[:-1]) if kind == kinds[-1]]
    later = [t for t in earlier if t > 0]
    for suffix, starts, which in (("", earlier, "first"), (WITHOUT_EMBEDDING, later, "first after the embedding")):
        if starts:
            ratios = means.velocity[:, last] / means.velocity[:, starts[0]]
            growth = means.norm[:, last] / means.norm[:, starts[0]]
            subject = f"Length of the last step over that of the {which} of its kind"
            found.headlines[f"velocity_ratio{suffix}"] = compare_with_null(subject, ratios, growth, FASTER)

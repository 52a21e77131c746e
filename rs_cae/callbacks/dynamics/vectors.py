"""How the state moves from one sublayer to the next: correlation, angle, speed and density (Figures 1B to 1F)."""

import torch
from torch import Tensor

from rs_cae.callbacks.depth import PARTS, WITHOUT_EMBEDDING, part_mean
from rs_cae.callbacks.verdicts import Verdict, compare_with_null
from rs_cae.dynamics.correlation import (
    TransitionMoments,
    correlation,
    correlation_of_unrelated_updates,
    update_correlation,
)
from rs_cae.dynamics.kinematics import Kinematics, participation_ratio_of_noise
from rs_cae.dynamics.resampling import standard_error_interval
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

KIND_NAMES = {"within": "attention step", "across": "MLP step"}
"""Of the transitions of models in which the two alternate."""

ALIKE = Verdict(
    null="unrelated updates of that size",
    above="more alike than unrelated updates leave them",
    undecided="not told apart from unrelated updates",
    below="less alike than unrelated updates leave them",
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
    interval, meaning = standard_error_interval(curves[0], curves[1:]), "correlation of successive activations"
    null = unrelated.nanmean(dim=1)
    words = f"{meaning}, mean over units"
    found.add_with_interval("correlation_mean", "transition", curves[0], interval, words, null=null)
    with_update = update_correlation(moments)
    updates = _recentred(resampled.update_correlation, with_update.nanmean(dim=1))
    interval, meaning = standard_error_interval(updates[0], updates[1:]), "correlation of activation and update"
    found.add("update_correlation", "transition unit", with_update, f"{meaning} over samples")
    found.add_with_interval(
        "update_correlation_mean", "transition", updates[0], interval, f"{meaning}, mean over units"
    )
    for part, described in PARTS.items():
        subject = f"Correlation of a unit's successive activations, {described.words}"
        # r less its null is skewed: that the update is uncorrelated with the activation says the same, and is not
        values, differences, expected = (part_mean(curve, part) for curve in (curves, updates, null))
        headline = compare_with_null(subject, values, differences, ALIKE, null=float(expected))
        found.headlines[f"correlation_{part}"] = headline
    return found


def kinematics_findings(rows: Kinematics, means: Kinematics, beyond: Tensor, width: int, kinds: list[str]) -> Findings:
    """Angle, speed and density.

    Args:
        rows: Of every sample.
        means: [1 + draws, sublayers or transitions], over samples, those of all of them first.
        beyond: [1 + draws, transitions], by how much the cosine exceeds that with exchanged updates.
        width: Units of the stream.
        kinds: Kind of each transition.
    """
    found = Findings()
    noise = torch.full_like(means.participation_ratio[0], participation_ratio_of_noise(width))
    nulls = {"cosine_similarity": means.cosine_similarity[0] - beyond[0], "participation_ratio": noise}
    for name, (along, meaning, unit) in MEANINGS.items():
        draws = getattr(means, name)
        interval = standard_error_interval(draws[0], draws[1:])
        words = f"{meaning}, mean over samples"
        found.add(name, f"sample {along}", getattr(rows, name).float(), meaning, unit)
        found.add_with_interval(f"{name}_mean", along, draws[0], interval, words, unit, nulls.get(name))
    for part, described in PARTS.items():
        values, differences = part_mean(means.cosine_similarity, part), part_mean(beyond, part)
        subject = f"Cosine of successive states, {described.words}"
        found.headlines[f"cosine_similarity_{part}"] = compare_with_null(subject, values, differences, ALIKE)
    _add_velocity(found, means, kinds)
    density = part_mean(means.participation_ratio, "last_third")
    subject = "Participation ratio of the states, last third of depth"
    headline = compare_with_null(subject, density, density - noise[0], DENSER)
    found.headlines["participation_ratio_last_third"] = headline
    return found


def _recentred(draws: Tensor, whole: Tensor) -> Tensor:
    """Draws [1 + draws, transitions] of some units about the value [transitions] of all of them."""
    return draws - draws[0] + whole


def _add_velocity(found: Findings, means: Kinematics, kinds: list[str]) -> None:
    """Speed at the last transition of a kind over that at the first, against the growth of the norm."""
    names = KIND_NAMES if len(set(kinds)) == 2 else {kinds[-1]: "step"}
    for kind, step in names.items():
        alike = [t for t, other in enumerate(kinds) if other == kind]
        name = "velocity_ratio" if kind == kinds[-1] else f"velocity_ratio_{step.split()[0].lower()}"
        _add_ratio(found, name, f"{step} over that of the first", means, alike)
        if alike[0] == 0:
            after = f"{step} over that of the first after the embedding's"
            _add_ratio(found, f"{name}{WITHOUT_EMBEDDING}", after, means, alike[1:])


def _add_ratio(found: Findings, name: str, words: str, means: Kinematics, transitions: list[int]) -> None:
    """Speed at the last of some transitions over that at the first of them; nothing where that is the same one."""
    if len(transitions) > 1:
        first, last = transitions[0], transitions[-1]
        ratios, growth = (values[:, last] / values[:, first] for values in (means.velocity, means.norm))
        subject = f"Length of the last {words}"
        found.headlines[name] = compare_with_null(subject, ratios, ratios - growth, FASTER)

"""How the state moves from one sublayer to the next: correlation, angle, speed and density (Figures 1B to 1F)."""

import torch
from torch import Tensor

from rs_cae.callbacks.dynamics.depth import THIRDS, WITHOUT_EMBEDDING, third_mean
from rs_cae.callbacks.verdicts import Verdict, held_against
from rs_cae.dynamics.correlation import TransitionMoments, correlation, correlation_of_unrelated_updates
from rs_cae.dynamics.kinematics import Kinematics
from rs_cae.dynamics.resampling import percentile_interval
from rs_cae.metrics.resampled import ResampledUnits
from rs_cae.results import Findings

MEANINGS = {
    "norm": ("L2 norm of the state", "activation"),
    "mean_abs": ("mean absolute activation", "activation"),
    "participation_ratio": ("participation ratio, 1 = all units alike", "1"),
    "velocity": ("length of the step", "activation"),
    "relative_velocity": ("length of the step over the norm that it starts from", "1"),
    "cosine_similarity": ("cosine of successive states", "1"),
}
GAUSSIAN_PARTICIPATION = 1 / 3
"""Of a wide Gaussian vector."""

ALIKE = Verdict(
    null="unrelated updates of that size",
    above="more alike than a sum of unrelated updates",
    level="no more alike than a sum of unrelated updates",
    below="less alike than a sum of unrelated updates",
)
FASTER = Verdict(
    null="the norm grows by a factor of",
    above="steps grow faster than the stream",
    level="steps grow as the stream does",
    below="relative to the stream, steps shrink",
)
DENSER = Verdict(
    null="a Gaussian vector",
    above="denser than noise",
    level="as dense as noise",
    below="sparser than noise: few units carry it",
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
    curves = _moved(resampled.correlation, r.nanmean(dim=1))
    nulls = _moved(resampled.unrelated, unrelated.nanmean(dim=1))
    low, high = percentile_interval(curves[1:])
    found.add("correlation_mean", "transition", curves[0], "correlation, mean over units")
    found.add("correlation_mean_low", "transition", low, "its lower end, 95 % over texts")
    found.add("correlation_mean_high", "transition", high, "its upper end")
    found.add("correlation_mean_null", "transition", nulls[0], "correlation if updates were unrelated to states")
    _add_thirds(found, "correlation", "Correlation of a unit's successive activations", curves, nulls)
    return found


def kinematics_findings(rows: Kinematics, resampled: dict[str, Tensor], kinds: list[str]) -> Findings:
    """Angle, speed and density.

    Args:
        rows: Of every sample.
        resampled: By quantity, [1 + draws, sublayers or transitions], means over samples, those of all first.
        kinds: Kind of each transition.
    """
    found = Findings()
    for name, values in rows._asdict().items():
        meaning, unit = MEANINGS[name]
        along = "sublayer" if values.shape[1] > len(kinds) else "transition"
        low, high = percentile_interval(resampled[name][1:])
        found.add(name, f"sample {along}", values.float(), meaning, unit)
        found.add(f"{name}_mean", along, resampled[name][0], f"{meaning}, mean over samples", unit)
        found.add(f"{name}_mean_low", along, low, "its lower end, 95 % over texts", unit)
        found.add(f"{name}_mean_high", along, high, "its upper end", unit)
    cosine, upright = resampled["cosine_similarity"], resampled["cosine_of_unrelated_updates"]
    found.add("cosine_similarity_mean_null", "transition", upright[0], "cosine if steps stood upright on states")
    _add_thirds(found, "cosine_similarity", "Cosine of successive states", cosine, upright)
    _add_velocity(found, resampled["velocity"], resampled["norm"], kinds)
    density = third_mean(resampled["participation_ratio"], "last")
    noise = torch.full_like(density, GAUSSIAN_PARTICIPATION)
    subject = "Participation ratio of the states, last third of depth"
    found.headlines["participation_ratio_last_third"] = held_against(subject, density, noise, DENSER)
    return found


def _moved(draws: Tensor, whole: Tensor) -> Tensor:
    """Draws [1 + draws, transitions] of some units about the value [transitions] of all of them."""
    return draws - draws[0] + whole


def _add_thirds(found: Findings, name: str, subject: str, curves: Tensor, nulls: Tensor) -> None:
    """The mean over each third of depth, against what unrelated updates would give.

    Args:
        found: Gets the headlines.
        name: Of the quantity.
        subject: It in words.
        curves: [1 + draws, transitions].
        nulls: The same.
    """
    for third in THIRDS:
        for skip_first in (False, True) if third == "first" else (False,):
            values, expected = (third_mean(curve, third, skip_first) for curve in (curves, nulls))
            depth = f"{third} third of depth" + (" without the step from the embedding" if skip_first else "")
            suffix = WITHOUT_EMBEDDING if skip_first else ""
            headline = held_against(f"{subject}, {depth}", values, expected, ALIKE)
            found.headlines[f"{name}_{third}_third{suffix}"] = headline


def _add_velocity(found: Findings, velocity: Tensor, norm: Tensor, kinds: list[str]) -> None:
    """Speed at the last transition over that at the first of the same kind, against the growth of the norm."""
    last = len(kinds) - 1
    alike = [t for t, kind in enumerate(kinds[:-1]) if kind == kinds[-1]]
    firsts = {"": alike[:1], WITHOUT_EMBEDDING: [t for t in alike if t > 0][:1]}
    for suffix, first in firsts.items():
        for start in first:
            subject = f"Length of the last step over that of the first{' after the embedding' if start else ''}"
            ratios, growth = velocity[:, last] / velocity[:, start], norm[:, last] / norm[:, start]
            found.headlines[f"velocity_ratio{suffix}"] = held_against(subject, ratios, growth, FASTER)

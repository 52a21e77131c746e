"""How the state moves from one sublayer to the next: correlation, angle, speed and density (Figures 1B to 1F)."""

import torch
from torch import Tensor

from rs_cae.callbacks.dynamics.depth import THIRDS, WITHOUT_EMBEDDING, against_null, interval_words, third_mean
from rs_cae.dynamics.correlation import TransitionMoments, correlation, correlation_of_unrelated_updates
from rs_cae.dynamics.kinematics import Kinematics
from rs_cae.dynamics.resampling import percentile_interval
from rs_cae.results import Findings, Headline

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


def correlation_findings(moments: TransitionMoments, resampled: Tensor) -> Findings:
    """Mean activations and correlations.

    Args:
        moments: Of all units.
        resampled: [1 + draws, sublayers - 1, some units], correlations, those of all samples first.
    """
    found = Findings()
    r, unrelated = correlation(moments), correlation_of_unrelated_updates(moments)
    deviation = (moments.squared_deviations / moments.count).sqrt()
    found.add("mean_activation", "sublayer unit", moments.mean, "mean activation over samples", "activation")
    found.add("activation_std", "sublayer unit", deviation, "standard deviation over samples", "activation")
    found.add("constant_units", "sublayer", moments.constant.sum(dim=1), "units with one value in all samples")
    found.add("correlation", "transition unit", r, "correlation over samples of successive activations")
    curve, null = r.nanmean(dim=1), unrelated.nanmean(dim=1)
    some = resampled.nanmean(dim=2)
    draws = some[1:] + (curve - some[0])  # the spread is that of some units, the place that of all
    low, high = percentile_interval(draws)
    found.add("correlation_mean", "transition", curve, "correlation, mean over units")
    found.add("correlation_mean_low", "transition", low, "its lower end, 95 % over texts")
    found.add("correlation_mean_high", "transition", high, "its upper end")
    found.add("correlation_mean_null", "transition", null, "correlation if updates were unrelated to states")
    for third in THIRDS:
        _add_third(found, "correlation", third, curve, draws, null)
    _add_third(found, "correlation", "first", curve, draws, null, skip_first=True)
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
    cosine, upright = resampled["cosine_similarity"], resampled["cosine_of_unrelated_updates"][0]
    found.add("cosine_similarity_mean_null", "transition", upright, "cosine if steps stood upright on states")
    for third in ("first", "last"):
        _add_third(found, "cosine_similarity", third, cosine[0], cosine[1:], upright)
    _add_third(found, "cosine_similarity", "first", cosine[0], cosine[1:], upright, skip_first=True)
    _add_velocity(found, resampled["velocity"], resampled["norm"], kinds)
    _add_density(found, resampled["participation_ratio"])
    return found


def _add_third(
    found: Findings, name: str, third: str, curve: Tensor, draws: Tensor, null: Tensor, skip_first: bool = False
) -> None:
    """The mean over a third of depth, against what unrelated updates would give."""
    value = float(third_mean(curve, third, skip_first))
    low, high = (float(end) for end in percentile_interval(third_mean(draws, third, skip_first)))
    expected = float(third_mean(null, third, skip_first))
    words = against_null(
        low,
        high,
        expected,
        above="updates keep the state more alike than unrelated ones",
        inside="no more alike than a sum of unrelated updates",
        below="updates work against the state",
    )
    depth = f"{third} third of depth{', without the step from the embedding' if skip_first else ''}"
    label = {"correlation": "Correlation of a unit's successive activations"}.get(name, "Cosine of successive states")
    sentence = f"{label}, {depth}: {interval_words(value, low, high)}; unrelated updates {expected:.3g}: {words}."
    suffix = WITHOUT_EMBEDDING if skip_first else ""
    found.headlines[f"{name}_{third}_third{suffix}"] = Headline(value, "1", low, high, expected, sentence=sentence)


def _add_velocity(found: Findings, velocity: Tensor, norm: Tensor, kinds: list[str]) -> None:
    """Speed at the last transition over that at the first of the same kind, against the growth of the norm."""
    last = len(kinds) - 1
    alike = [t for t, kind in enumerate(kinds[:-1]) if kind == kinds[-1]]
    firsts = {"": alike[:1], WITHOUT_EMBEDDING: [t for t in alike if t > 0][:1]}
    for suffix, first in firsts.items():
        for start in first:
            ratios, growth = velocity[:, last] / velocity[:, start], float(norm[0, last] / norm[0, start])
            value = float(ratios[0])
            low, high = (float(end) for end in percentile_interval(ratios[1:]))
            words = against_null(
                low,
                high,
                growth,
                above="steps grow faster than the stream",
                inside="steps grow as the stream does",
                below="relative to the stream, steps shrink",
            )
            sentence = (
                f"The last step is {interval_words(value, low, high)} times as long as the "
                f"{'first' if start == 0 else 'first after the embedding'}; the norm grows {growth:.3g}-fold: {words}."
            )
            found.headlines[f"velocity_ratio{suffix}"] = Headline(value, "1", low, high, growth, sentence=sentence)


def _add_density(found: Findings, participation: Tensor) -> None:
    """Participation ratio in the last third of sublayers, against that of a Gaussian vector."""
    parts = torch.arange(participation.shape[1]).tensor_split(3)
    first, last = (participation[:, part].mean(dim=1) for part in (parts[0], parts[-1]))
    low, high = (float(end) for end in percentile_interval(last[1:]))
    lower, upper = (float(end) for end in percentile_interval((last - first)[1:]))
    change = interval_words(float((last - first)[0]), lower, upper)
    words = against_null(
        low,
        high,
        GAUSSIAN_PARTICIPATION,
        above="denser than noise",
        inside="as dense as noise",
        below="sparser than noise: few units carry it",
    )
    sentence = (
        f"Participation ratio, last third of depth: {interval_words(float(last[0]), low, high)}, change from the first "
        f"third {change}; a Gaussian vector {GAUSSIAN_PARTICIPATION:.3g}: {words}."
    )
    headline = Headline(float(last[0]), "1", low, high, GAUSSIAN_PARTICIPATION, sentence=sentence)
    found.headlines["participation_ratio_last_third"] = headline

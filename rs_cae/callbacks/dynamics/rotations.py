"""How single units turn in the plane of activation and gradient, and whether walks turn as much (Figure 2)."""

import torch
from torch import Tensor

from rs_cae.callbacks.dynamics.depth import WITHOUT_EMBEDDING, interval_words
from rs_cae.dynamics.resampling import deviation_interval, percentile_interval
from rs_cae.dynamics.rotations import WALK_TURNS, rotation_count, turning
from rs_cae.dynamics.surrogates import (
    HEADLINE,
    SURROGATES,
    Comparison,
    compare,
    surrogate_counts,
    surrogate_turning,
    two_sided_p,
)
from rs_cae.results import Findings, Headline

TURNING_DRAWS = 200
"""Of the surrogate behind the band of cumulative turning; each takes as long as a thousand counts."""


def rotation_findings(
    traces: Tensor, resampled: Tensor, per_sample: Tensor, kinds: list[str], draws: int, seed: int
) -> Findings:
    """Rotation counts of the sample-mean traces and of single samples, beside all surrogates.

    Args:
        traces: [sublayers, units], mean activations over all samples.
        resampled: [draws, sublayers, some units], mean activations over resampled texts, for intervals.
        per_sample: [1 + resamples, units], mean over samples of each sample's own count, those of all first.
        kinds: Kind of each transition.
        draws: Draws of each surrogate.
        seed: Of the draws.
    """
    found = Findings()
    counts = rotation_count(traces)
    found.add("rotations", "unit", counts, "turns of the sample-mean trace, clockwise positive", "turn")
    found.add("rotations_per_sample_mean", "unit", per_sample[0], "turns of a sample's trace, mean", "turn")
    compared = {name: compare(counts, surrogate_counts(traces, kinds, name, draws, seed)) for name in SURROGATES}
    _add_surrogates(found, compared)
    _add_turning(found, traces, kinds, min(draws, TURNING_DRAWS), seed)
    _add_mean_count(found, counts, rotation_count(resampled), compared, len(traces))
    _add_mean_count_without_embedding(found, traces[1:], resampled[:, 1:], kinds[1:], draws, seed)
    _add_per_sample(found, per_sample.nanmean(dim=1), len(traces))
    share = float(compared[HEADLINE].significant_share)
    sentence = (
        f"{share:.1%} of the units turn more or less than walks with their step sizes and random signs "
        "(Benjamini-Hochberg, 5 % false discoveries)."
    )
    found.headlines["rotations_significant_share"] = Headline(share, "1", null=0.0, sentence=sentence)
    return found


def _add_surrogates(found: Findings, compared: dict[str, Comparison]) -> None:
    """What every surrogate gives, unit by unit and for the mean over units."""
    meanings = {
        "mean": ("turns under the surrogate, mean over draws", "turn"),
        "std": ("turns under the surrogate, standard deviation over draws", "turn"),
        "z": ("turns less the surrogate's, in its standard deviations", "1"),
        "p": ("two-sided p of the turns under the surrogate", "1"),
    }
    for name, (meaning, unit) in meanings.items():
        stacked = torch.stack([getattr(comparison, name) for comparison in compared.values()])
        found.add(f"rotations_surrogate_{name}", "surrogate unit", stacked, meaning, unit)
    unit_means = torch.stack([comparison.unit_mean for comparison in compared.values()])
    meaning = "turns under the surrogate, mean over units"
    found.add("rotations_surrogate_unit_mean", "surrogate draw", unit_means, meaning, "turn")
    for name, meaning in (
        ("unit_mean_p", "two-sided p of the mean over units"),
        ("significant_share", "share of units beyond the surrogate, Benjamini-Hochberg at 0.05"),
    ):
        stacked = torch.stack([getattr(comparison, name) for comparison in compared.values()])
        found.add(f"rotations_surrogate_{name}", "surrogate", stacked, meaning)


def _add_turning(found: Findings, traces: Tensor, kinds: list[str], draws: int, seed: int) -> None:
    """Where in depth units turn, and where walks with their step sizes would."""

    def by_sublayer(inner: Tensor) -> Tensor:
        """With NaN at both ends, where nothing can turn."""
        return torch.nn.functional.pad(inner, (0, 0, 1, 1), value=torch.nan)

    turns = turning(traces).masked_fill(rotation_count(traces).isnan(), torch.nan)
    found.add("turning", "sublayer unit", by_sublayer(turns), "turn of the tangent at a sublayer", "turn")
    drawn = surrogate_turning(traces, kinds, HEADLINE, draws, seed).cumsum(dim=1)
    low, high = percentile_interval(drawn)
    curves = {"": turns.nanmean(dim=1).cumsum(dim=0), "_null": drawn.mean(dim=0), "_null_low": low, "_null_high": high}
    for end, curve in curves.items():
        meaning = "turns up to a sublayer, mean over units" + (", of walks with random signs" if end else "")
        found.add(f"cumulative_turning_mean{end}", "sublayer", by_sublayer(curve[:, None]).flatten(), meaning, "turn")


def _add_mean_count(
    found: Findings, counts: Tensor, resampled: Tensor, compared: dict[str, Comparison], sublayers: int
) -> None:
    """The mean over units, whole and for each inner sublayer, against the walk with random signs."""
    value = counts.nanmean()
    low, high = deviation_interval(value, resampled.nanmean(dim=1))
    null = compared[HEADLINE].unit_mean.mean()
    p = float(compared[HEADLINE].unit_mean_p)
    others = ", ".join(
        f"{name.replace('_', ' ')} {float(comparison.unit_mean.mean()):.3g} (p = {float(comparison.unit_mean_p):.2g})"
        for name, comparison in compared.items()
        if name != HEADLINE
    )
    sentence = f"{_mean_words(value, low, high, null, p)} Other nulls: {others}."
    ends = [float(part) for part in (value, low, high, null)]
    found.headlines["rotations_mean"] = _count_headline(ends, p, "turn", sentence)
    rates = [part / max(sublayers - 2, 1) for part in ends]
    sentence = f"For each sublayer at which it can turn: {rates[0]:.3g} turns; a Gaussian walk has {WALK_TURNS:.3g}."
    found.headlines["rotations_per_sublayer"] = _count_headline(rates, p, "turn", sentence)


def _add_mean_count_without_embedding(
    found: Findings, traces: Tensor, resampled: Tensor, kinds: list[str], draws: int, seed: int
) -> None:
    """The same of traces that begin after the first sublayer."""
    if len(traces) < 2:
        return
    value = rotation_count(traces).nanmean()
    low, high = deviation_interval(value, rotation_count(resampled).nanmean(dim=1))
    drawn = surrogate_counts(traces, kinds, HEADLINE, draws, seed).nanmean(dim=1)
    p = float(two_sided_p(value, drawn))
    sentence = f"Without the embedding: {_mean_words(value, low, high, drawn.mean(), p)}"
    ends = [float(part) for part in (value, low, high, drawn.mean())]
    found.headlines[f"rotations_mean{WITHOUT_EMBEDDING}"] = _count_headline(ends, p, "turn", sentence)


def _add_per_sample(found: Findings, means: Tensor, sublayers: int) -> None:
    """The mean over samples and units of a single sample's turns, against a Gaussian walk's."""
    low, high = (float(end) for end in percentile_interval(means[1:]))
    walk = WALK_TURNS * (sublayers - 2)
    words = interval_words(float(means[0]), low, high)
    sentence = f"Traces of single samples turn {words} times on average; a Gaussian walk of as many steps {walk:.3g}."
    found.headlines["rotations_per_sample_mean"] = Headline(float(means[0]), "turn", low, high, walk, sentence=sentence)


def _count_headline(ends: list[float], p: float, unit: str, sentence: str) -> Headline:
    value, low, high, null = ends
    return Headline(value, unit, low, high, null, p, sentence)


def _mean_words(value: Tensor, low: Tensor, high: Tensor, null: Tensor, p: float) -> str:
    if p > 0.05:
        verdict = "no other turning than that of a walk with the same steps"
    else:
        verdict = f"{'more' if value > null else 'less'} turning than that of a walk with the same steps"
    words = interval_words(float(value), float(low), float(high))
    return f"Mean R {words}, random signs {float(null):.3g} (p = {p:.2g}): {verdict}."

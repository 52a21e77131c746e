"""How single units turn in the plane of activation and gradient, and whether walks turn as much (Figure 2)."""

from dataclasses import replace

import torch
from torch import Tensor

from rs_cae.callbacks.depth import WITHOUT_EMBEDDING
from rs_cae.callbacks.verdicts import SIGNIFICANT, Verdict, with_sentence
from rs_cae.dynamics.resampling import percentile_interval, standard_error_interval
from rs_cae.dynamics.rotations import WALK_TURNS, rotation_count, turning
from rs_cae.dynamics.significance import Comparison, compare_with_surrogate, two_sided_p
from rs_cae.dynamics.surrogates import HEADLINE, SURROGATES, surrogate_counts, surrogate_turning
from rs_cae.results import Findings, Headline

TURNING_DRAWS = 200
"""Of the surrogate behind the band of cumulative turning; each takes as long as a thousand counts."""

KEEPS_DRIFT = "increment_shuffle"
"""Its traces end where the measured ones do; with random signs they do not, and drift makes a trace turn less."""

SINGLE_DRAWS = 199
"""Of the sign flips behind the null of single samples' counts."""

TURNS = Verdict(
    null="the same steps with random signs",
    above="more turning than that of a random walk without drift",
    undecided="not told apart from a random walk without drift",
    below="less turning than that of a random walk without drift",
)


def rotation_findings(
    traces: Tensor,
    resampled: Tensor,
    per_sample_mean: Tensor,
    samples: Tensor,
    kinds: list[str],
    draws: int,
    seed: int,
) -> Findings:
    """Rotation counts of the sample-mean traces and of single samples, beside all surrogates.

    Args:
        traces: [sublayers, units], mean activations over all samples.
        resampled: [draws, sublayers, some units], mean activations over resampled texts, for intervals.
        per_sample_mean: [1 + resamples, units], mean over samples of each sample's own count, those of all first.
        samples: [some samples, sublayers, units], for the null of single samples' counts.
        kinds: Kind of each transition.
        draws: Draws of each surrogate.
        seed: Of the draws.
    """
    found, counts = Findings(), rotation_count(traces)
    found.add("rotations", "unit", counts, "turns of the sample-mean trace, clockwise positive", "turn")
    interval, meaning = percentile_interval(per_sample_mean[1:]), "turns of a sample's trace, mean over samples"
    found.add_with_interval("rotations_per_sample_mean", "unit", per_sample_mean[0], interval, meaning, "turn")
    compared = {}
    for name in SURROGATES:
        compared[name] = compare_with_surrogate(counts, surrogate_counts(traces, kinds, name, draws, seed))
    _add_surrogates(found, compared)
    _add_turning(found, traces, kinds, min(draws, TURNING_DRAWS), seed)
    _add_mean_count(found, counts, rotation_count(resampled), compared, len(traces))
    later, drawn = traces[1:], surrogate_counts(traces[1:], kinds[1:], HEADLINE, draws, seed).nanmean(dim=1)
    subject = "Mean rotation count R of the units' mean traces from the second sublayer on"
    headline = _mean_count(subject, rotation_count(later), rotation_count(resampled[:, 1:]), drawn)
    found.headlines[f"rotations_mean{WITHOUT_EMBEDDING}"] = headline
    found.headlines["rotations_per_sample_mean"] = _single_samples(per_sample_mean, samples, kinds, seed)
    share = float(compared[HEADLINE].significant_share)
    words = (
        f"{share:.1%} of the units turn other than walks of their step sizes (Benjamini-Hochberg at 0.05; "
        f"{draws} draws cannot show a share below {20 / (1 + draws):.1%})."
    )
    if not counts.isnan().all():
        found.headlines["rotations_significant_share"] = Headline(share, "1", null=0.0, sentence=words)
    return found


def _single_samples(means: Tensor, samples: Tensor, kinds: list[str], seed: int) -> Headline:
    """The mean count of single samples' traces, against the same steps with random signs, shared by all of them.

    Args:
        means: [1 + resamples, units], means over all samples.
        samples: [some samples, sublayers, units], whose steps are flipped.
        kinds: Kind of each transition.
        seed: Of the draws.
    """
    values, counted = means.nanmean(dim=1), rotation_count(samples).nanmean()
    flipped = [surrogate_counts(sample, kinds, HEADLINE, SINGLE_DRAWS, seed).nanmean(dim=1) for sample in samples]
    drawn = torch.stack(flipped).mean(dim=0)
    p = float(two_sided_p(counted, drawn))
    low, high = (float(end) for end in standard_error_interval(values[0], values[1:]))
    null = float(values[0] - (counted - drawn.mean()))  # what the flips add to some samples, added to all
    headline = Headline(float(values[0]), "turn", low, high, null, p)
    return with_sentence(headline, "Mean rotation count of single samples' traces", TURNS)


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
        """[..., sublayers], NaN at both ends, where nothing can turn."""
        return torch.nn.functional.pad(inner, (1, 1), value=torch.nan)

    turns = turning(traces).masked_fill(rotation_count(traces).isnan(), torch.nan)
    found.add("turning", "sublayer unit", by_sublayer(turns.T).T, "turn of the tangent at a sublayer", "turn")
    drawn = by_sublayer(surrogate_turning(traces, kinds, HEADLINE, draws, seed).cumsum(dim=1))
    meaning = "turns up to a sublayer, mean over units"
    measured = by_sublayer(turns.nanmean(dim=1).cumsum(dim=0))
    found.add("cumulative_turning_mean", "sublayer", measured, meaning, "turn")
    null, meaning = drawn.mean(dim=0), f"{meaning}, with random signs"
    interval = percentile_interval(drawn)
    found.add_with_interval("cumulative_turning_mean_null", "sublayer", null, interval, meaning, "turn")


def _add_mean_count(
    found: Findings, counts: Tensor, resampled: Tensor, compared: dict[str, Comparison], sublayers: int
) -> None:
    """The mean over units, whole and for each inner sublayer, against the walk with random signs."""
    subject = "Mean rotation count R of the units' mean traces"
    headline = _mean_count(subject, counts, resampled, compared[HEADLINE].unit_mean)
    found.headlines["rotations_mean"] = found.headlines["rotations_per_sublayer"] = headline
    if counts.isnan().all():
        return
    nulls = {
        name: f"{float(comparison.unit_mean.mean()):.3g} (p = {float(comparison.unit_mean_p):.2g})"
        for name, comparison in compared.items()
    }
    drift = nulls.pop(KEEPS_DRIFT)
    alike = float(compared[KEEPS_DRIFT].unit_mean_p) > SIGNIFICANT
    verdict = "not told apart" if alike else "unlike those"
    others = ", ".join(f"{name.replace('_', ' ')} {words}" for name, words in nulls.items() if name != HEADLINE)
    words = (
        f"{headline.sentence} The same steps in another order, which keep the drift, {drift}: {verdict}. "
        f"Other nulls: {others}."
    )
    found.headlines["rotations_mean"] = replace(headline, sentence=words)
    rates = {end: getattr(headline, end) / (sublayers - 2) for end in ("value", "low", "high", "null")}
    words = f"For each sublayer where it can turn: {rates['value']:.3g} turns; a Gaussian random walk {WALK_TURNS:.3g}."
    found.headlines["rotations_per_sublayer"] = replace(headline, **rates, sentence=words)


def _mean_count(subject: str, counts: Tensor, resampled: Tensor, drawn: Tensor) -> Headline:
    """A headline of counts [units], those of resampled texts [draws, units], and null means [draws]."""
    value, null = float(counts.nanmean()), float(drawn.mean())
    low, high = (float(end) for end in standard_error_interval(counts.nanmean(), resampled.nanmean(dim=1)))
    p = float(two_sided_p(counts.nanmean(), drawn))
    return with_sentence(Headline(value, "turn", low, high, null, p), subject, TURNS)

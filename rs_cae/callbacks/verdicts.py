"""A number held against its null, in words."""

import math
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from rs_cae.dynamics.resampling import bootstrap_p, percentile_interval
from rs_cae.results import Headline

SIGNIFICANT = 0.05


class Verdict(NamedTuple):
    """What it means where a number lies.

    Attributes:
        null: What it is held against.
        above: Said of a number that is significantly above it.
        undecided: Of one that is not significantly different, which does not make it equal.
        below: Of one that is significantly below.
    """

    null: str
    above: str
    undecided: str
    below: str


def compare_with_null(subject: str, values: Tensor, nulls: Tensor, verdict: Verdict, unit: str = "1") -> Headline:
    """A headline number beside its null, both resampled together, so that p is that of their difference.

    Args:
        subject: What the number is, the beginning of its sentence.
        values: [1 + draws], that of all samples, then those of the resamples.
        nulls: [1 + draws], the same of its null.
        verdict: What it means where it lies.
        unit: Of both.
    """
    low, high = (float(end) for end in percentile_interval(values[1:]))
    p = float(bootstrap_p((values - nulls)[1:]))
    return with_sentence(Headline(float(values[0]), unit, low, high, float(nulls[0]), p), subject, verdict)


def with_sentence(headline: Headline, subject: str, verdict: Verdict) -> Headline:
    """The headline with a sentence, such as ``Cosine: 0.98 [0.97, 0.99]; null 0.97 (p = 0.002): more alike than that.``

    Without a p the interval decides.
    """
    value, low, high, null, p = headline.value, headline.low, headline.high, headline.null, headline.p
    if not math.isfinite(value) or null is None or low is None or high is None:
        return replace(headline, sentence=f"{subject}: not defined for so few texts or sublayers.")
    differs = not low <= null <= high if p is None else p <= SIGNIFICANT
    words = (verdict.above if value > null else verdict.below) if differs else verdict.undecided
    chance = "" if p is None else f" (p = {p:.2g})"
    units = "" if headline.unit == "1" else f" {headline.unit}s"
    sentence = f"{subject}: {value:.3g} [{low:.3g}, {high:.3g}]{units}; {verdict.null} {null:.3g}{chance}: {words}."
    return replace(headline, sentence=sentence)

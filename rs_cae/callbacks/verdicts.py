"""A number held against its null, in words."""

import math
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from rs_cae.dynamics.resampling import bootstrap_p, standard_error_interval
from rs_cae.results import Headline

SIGNIFICANT = 0.05

LEAST_TEXTS = 10
"""With fewer there is no resampled interval and no p: a bootstrap of so few texts finds everything significant."""


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


def compare_with_null(
    subject: str, values: Tensor, differences: Tensor, verdict: Verdict, unit: str = "1", null: float | None = None
) -> Headline:
    """A headline number beside its null.

    Args:
        subject: What the number is, the beginning of its sentence.
        values: [1 + draws], that of all samples, then those of the resamples.
        differences: [1 + draws], what is 0 under the null, whose p is asked for: mostly the value less its null.
        verdict: What it means where it lies.
        unit: Of both.
        null: What it is held against; the value less the difference if left out.
    """
    low, high = (float(end) for end in standard_error_interval(values[0], values[1:]))
    value, p = float(values[0]), float(bootstrap_p(differences[1:]))
    null = value - float(differences[0]) if null is None else null
    return with_sentence(Headline(value, unit, low, high, null, p), subject, verdict)


def with_sentence(headline: Headline, subject: str, verdict: Verdict) -> Headline:
    """The headline with a sentence, such as ``Cosine: 0.98 [0.97, 0.99]; null 0.97 (p = 0.002): more alike than that.``

    Without a p the interval decides; without an interval, nothing does.
    """
    value, low, high, null, p = headline.value, headline.low, headline.high, headline.null, headline.p
    if null is None or low is None or high is None or not math.isfinite(value):
        return replace(headline, sentence=f"{subject}: not defined here.")
    interval, chance = f" [{low:.3g}, {high:.3g}]", ""
    if not math.isfinite(low + high):
        interval, differs, undecided = "", False, "too few texts to tell"
    elif p is None or not math.isfinite(p):
        differs, undecided = null < low or null > high, verdict.undecided
    else:
        differs, undecided, chance = p <= SIGNIFICANT, verdict.undecided, f" (p = {p:.2g})"
    words = (verdict.above if value > null else verdict.below) if differs else undecided
    units = "" if headline.unit == "1" else f" {headline.unit}s"
    sentence = f"{subject}: {value:.3g}{interval}{units}; {verdict.null} {null:.3g}{chance}: {words}."
    return replace(headline, sentence=sentence)

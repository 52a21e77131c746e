"""A number held against its null, in words."""

import math
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
        level: Of one that is not significantly different.
        below: Of one that is significantly below.
    """

    null: str
    above: str
    level: str
    below: str


def held_against(subject: str, values: Tensor, nulls: Tensor, verdict: Verdict, unit: str = "1") -> Headline:
    """A headline number beside its null, both resampled together, so that p is that of their difference.

    Args:
        subject: What the number is, the beginning of its sentence.
        values: [1 + draws], that of all samples, then those of the resamples.
        nulls: [1 + draws], the same of its null.
        verdict: What it means where it lies.
        unit: Of both.
    """
    low, high = (float(end) for end in percentile_interval(values[1:]))
    value, null = float(values[0]), float(nulls[0])
    p = float(bootstrap_p((values - nulls)[1:]))
    return Headline(value, unit, low, high, null, p, sentence(subject, value, low, high, null, p, verdict, unit))


def sentence(
    subject: str, value: float, low: float, high: float, null: float, p: float | None, verdict: Verdict, unit: str = "1"
) -> str:
    """Such as ``Cosine: 0.98 [0.97, 0.99]; unrelated updates 0.97 (p = 0.002): more alike than those.``

    Without a p the interval decides.
    """
    if not math.isfinite(value):
        return f"{subject}: not defined for so few texts or sublayers."
    differs = not low <= null <= high if p is None else p <= SIGNIFICANT
    words = (verdict.above if value > null else verdict.below) if differs else verdict.level
    chance = "" if p is None else f" (p = {p:.2g})"
    units = "" if unit == "1" else f" {unit}s"
    return f"{subject}: {value:.3g} [{low:.3g}, {high:.3g}]{units}; {verdict.null} {null:.3g}{chance}: {words}."

"""Headline numbers as a reader takes them in: the first of each question in words, all of them in a table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rs_cae.report.drawing import ShownRun

FIRST = (
    *("explained_variance_pooled", "r2_standardized_pooled"),
    *("correlation_last_third", "cosine_similarity_last_third", "velocity_ratio", "participation_ratio_last_third"),
    *("mutual_information_drop", "rotations_mean", "turning_angle", "latent_turning_angle"),
    *("recovery_first_injection", "recovery_plane_first_injection", "contraction_first_injection"),
    "stable_fixed_points",
)
"""The headline of each question that a reader should see first, in the order of the paper."""


class Sentence(NamedTuple):
    """What a headline number says.

    Attributes:
        subject: What it is.
        words: Its value, its null and which way it went.
    """

    subject: str
    words: str


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        name: Of the number.
        cells: Value with its interval, null, p; then of each control its value, its null in brackets.
    """

    name: str
    cells: list[str]


def first_sentences(headlines: Mapping[str, Mapping[str, Any]]) -> list[Sentence]:
    """The sentences of the first headline of each question."""
    found = [headlines[name].get("sentence") or "" for name in FIRST if name in headlines]
    return [Sentence(subject, words) for subject, colon, words in (text.partition(": ") for text in found) if colon]


def rows(run: ShownRun, controls: Sequence[ShownRun]) -> list[Row]:
    """All headline numbers of a run, beside those of its controls."""
    return [
        Row(name.replace("_", " "), [*_own(line), *(beside(one.headlines.get(name)) for one in controls)])
        for name, line in run.headlines.items()
    ]


def beside(line: Mapping[str, Any] | None) -> str:
    """A value and its null in brackets, in few words; empty if it is not known."""
    if line is None or line["value"] is None:
        return ""
    return f"{line['value']:.3g}" + ("" if line["null"] is None else f" ({line['null']:.3g})")


def _own(line: Mapping[str, Any]) -> list[str]:
    value, low, high, null, p = (line[part] for part in ("value", "low", "high", "null", "p"))
    unit = "" if line["unit"] == "1" else f" {line['unit']}s"
    interval = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    shown = "not known" if value is None else f"{value:.3g}{interval}{unit}"
    return [shown, "" if null is None else f"{null:.3g}", "" if p is None else f"{p:.2g}"]

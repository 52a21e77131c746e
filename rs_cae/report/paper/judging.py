"""What a finding is, and how it is decided whether it holds."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from rs_cae.report.paper.numbers import Number, Results

NOTHING = "-"
"""Stands where there is no number."""


class Verdict(StrEnum):
    """Whether a finding of the paper holds."""

    HOLDS = "holds"
    FAILS = "does not hold"
    NOT_TESTABLE = "not testable here"


class Judgement(NamedTuple):
    """What a run says of a finding.

    Attributes:
        ours: Our number.
        null: What it is held against, and the value of that.
        verdict: Whether it holds.
        reason: Why, in one sentence without its full stop.
    """

    ours: str
    null: str
    verdict: Verdict
    reason: str


class Condition(NamedTuple):
    """What must be true for a finding to hold.

    Attributes:
        met: Whether it is.
        otherwise: The reason for the verdict if it is not.
    """

    met: bool
    otherwise: str


class Claim(NamedTuple):
    """A finding of the paper, and how a run is asked for it.

    Attributes:
        panel: The paper's, such as ``1C``.
        statement: What the paper says, in our words.
        paper: Its number, or what is known of its direction.
        remedy: What makes it testable where its numbers were not written.
        judge: Decides; raises ``UntestableError`` where there is nothing to decide by.
    """

    panel: str
    statement: str
    paper: str
    remedy: str
    judge: Callable[[Results], Judgement]


def decide(ours: str, null: str, conditions: Sequence[Condition], holds: str) -> Judgement:
    """A finding holds if all conditions are met; the first that is not gives the reason.

    Args:
        ours: Our number.
        null: What it is held against.
        conditions: First those of what is seen, then those of what the null shows.
        holds: The reason if it holds.
    """
    for condition in conditions:
        if not condition.met:
            return Judgement(ours, null, Verdict.FAILS, condition.otherwise)
    return Judgement(ours, null, Verdict.HOLDS, holds)


class Trend(NamedTuple):
    """From the first third of depth to the last, and the same without the embedding.

    Attributes:
        first: The first third.
        later: The first third without the embedding.
        last: The last third.
    """

    first: Number
    later: Number
    last: Number

    @property
    def words(self) -> str:
        """Both ends, and where it begins without the embedding."""
        beside = "" if self.later == self.first else f"; without the embedding from {self.later.words}"
        return f"{self.first.words} to {self.last.words}{beside}"

    @property
    def null_words(self) -> str:
        """The same of the null."""
        beside = "" if self.later == self.first else f"; without the embedding from {self.later.null:.3g}"
        return f"{self.first.null:.3g} to {self.last.null:.3g}{beside}"

    def is_seen(self) -> list[Condition]:
        """It rises, with the embedding and without."""
        whole, later = self.last.minus(self.first), self.last.minus(self.later)
        return [
            Condition(whole.low > 0, f"{_movement(whole)} from the first third of depth to the last"),
            Condition(
                later.low > 0, f"rises with the step from the embedding alone; without it, it {_movement(later)}"
            ),
        ]

    def rises(self, null: str) -> list[Condition]:
        """It rises, with the embedding and without, and more than its null does.

        Args:
            null: What makes the null rise, in the plural.
        """
        whole, later = self.last.minus(self.first), self.last.minus(self.later)
        return [
            *self.is_seen(),
            Condition(whole.null < whole.low, f"rises, but no more than {null} make it"),
            Condition(later.null < later.low, f"rises, but without the embedding no more than {null} make it"),
        ]


def _movement(change: Number) -> str:
    return "falls" if change.high < 0 else "neither rises nor falls beyond its interval"

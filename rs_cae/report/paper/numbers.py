"""Numbers of a run as findings need them: each with its interval and its null, or the reason why it is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

SIGNIFICANT = 0.05
"""The p up to which a headline is told from its null."""

WITHOUT_EMBEDDING = "_without_embedding"
"""Ends the names of headlines that leave out the step from the tokens' embeddings."""

UNDEFINED = "not defined here: too few texts, too few layers, or one token that all are read at"

LEAST_SIGNS, LEAST_ORDERS = 7, 6
"""Steps that must be there. With fewer, and without the embedding's, no choice of their signs, or no order of them, is
rare enough for p = 0.05."""


class UntestableError(Exception):
    """What a finding needs is not there; the text says what would make it testable."""


class Number(NamedTuple):
    """A number beside its null.

    Attributes:
        value: The number.
        low: Lower end of its 95 % interval.
        high: Upper end.
        null: The value under the null; NaN where there is none.
        p: Of the difference; NaN where there is none, and the interval decides.
    """

    value: float
    low: float
    high: float
    null: float = math.nan
    p: float = math.nan

    @property
    def words(self) -> str:
        """Such as ``0.962 [0.961, 0.963]``."""
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"

    @property
    def null_words(self) -> str:
        """Such as ``0.961 (p = 0.002)``."""
        return f"{self.null:.3g}" + (f" (p = {self.p:.2g})" if math.isfinite(self.p) else "")

    @property
    def differs(self) -> bool:
        """Whether it is told from its null: by p, or where there is none by the interval."""
        if math.isfinite(self.p):
            return self.p <= SIGNIFICANT
        return self.null < self.low or self.null > self.high

    @property
    def above(self) -> bool:
        """Whether it is told from its null and greater."""
        return self.differs and self.value > self.null

    @property
    def below(self) -> bool:
        """Whether it is told from its null and less."""
        return self.differs and self.value < self.null

    def minus(self, other: Number) -> Number:
        """The difference. Its interval adds up both: never too narrow, whatever the two have in common."""
        return Number(self.value - other.value, self.low - other.high, self.high - other.low, self.null - other.null)


class Results(NamedTuple):
    """What a run has found.

    Attributes:
        datasets: By name.
        headlines: By name, as in ``metrics.json``.
    """

    datasets: Mapping[str, xr.Dataset]
    headlines: Mapping[str, Mapping[str, Any]]

    def number(self, name: str, absent: str = "") -> Number:
        """A headline with its interval and its null.

        Args:
            name: Of the headline.
            absent: What would make it be there, if the analysis alone does not.

        Raises:
            UntestableError: If it is not there, or not finite.
        """
        held = self.headlines.get(name)
        if held is None:
            raise UntestableError(absent)
        value, low, high, null, p = (_plain(held.get(part)) for part in ("value", "low", "high", "null", "p"))
        _refuse_undefined(value, low, high, null)
        return Number(value, low, high, null, p)

    def without_interval(self, name: str) -> tuple[float, float]:
        """The value and the null of a headline that has no interval.

        Raises:
            UntestableError: If it is not there, or not finite.
        """
        held = self.headlines.get(name)
        if held is None:
            raise UntestableError
        value, null = _plain(held.get("value")), _plain(held.get("null"))
        _refuse_undefined(value, null)
        return value, null

    def variable(self, dataset: str, name: str) -> xr.DataArray:
        """A variable, some of whose entries are numbers.

        Raises:
            UntestableError: If it is not there, or nowhere finite: with its own note, if it has one.
        """
        if dataset not in self.datasets or name not in self.datasets[dataset]:
            raise UntestableError
        variable = self.datasets[dataset][name]
        if variable.dtype.kind == "f" and not np.isfinite(variable.values).any():
            raise UntestableError(str(variable.attrs.get("note") or UNDEFINED))
        return variable

    def curve(self, dataset: str, name: str) -> list[np.ndarray]:
        """Values, lower ends, upper ends and nulls of a curve; nulls are NaN where it has none.

        Raises:
            UntestableError: If it is not there.
        """
        values, low, high = (self.variable(dataset, f"{name}{end}").values for end in ("", "_low", "_high"))
        known = f"{name}_null" in self.datasets[dataset]
        null = self.datasets[dataset][f"{name}_null"].values if known else np.full_like(values, np.nan)
        return [values, low, high, null]

    def refuse_fewer_steps(self, dataset: str, least: int) -> None:
        """Raise if a path has fewer steps.

        Raises:
            UntestableError: If it has.
        """
        steps = self.datasets[dataset].sizes.get("transition", 0)
        if steps < least:
            raise UntestableError(f"needs a model of at least {least} steps between sublayers: here there are {steps}")


def third_of(curve: list[np.ndarray], third: int, skips: int = 0, chosen: np.ndarray | None = None) -> Number:
    """The mean over a third of depth, as in the headlines; ends of its interval are means too: never too narrow.

    Args:
        curve: Values, lower ends, upper ends and, if they matter, nulls, each [transitions] or [sublayers].
        third: 0, 1 or 2.
        skips: Entries at the beginning of depth that are left out: 1 without the embedding.
        chosen: [transitions], boolean, of those that count; all if left out.

    Raises:
        UntestableError: If nothing is left of so few, or if it is not finite.
    """
    places = np.array_split(np.arange(len(curve[0])), 3)[third]
    places = places[places >= skips]
    places = places if chosen is None else places[chosen[places]]
    if not len(places):
        raise UntestableError(UNDEFINED)
    means = [float(part[places].mean()) for part in curve]
    _refuse_undefined(*means)
    return Number(*means)


def _plain(value: Any) -> float:
    return math.nan if value is None else float(value)


def _refuse_undefined(*values: float) -> None:
    if not all(math.isfinite(value) for value in values):
        raise UntestableError(UNDEFINED)

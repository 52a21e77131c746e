"""What plots of displaced streams have in common: injections, in words, and what changes from one to the next."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from rs_cae.figures.injections import DrawnInjection, evenly, injections
from rs_cae.figures.perturbation import MOST_PANELS
from rs_cae.report.interactive.look import escaped, lines_of, menu, retitled, spoken_number

Trace = dict[str, Any]

RANDOM = "random, as large"
"""Perturbations, which recovery is held against."""


class Injection(NamedTuple):
    """One injection of a study.

    Attributes:
        number: Among all that there are.
        drawn: What the figure on paper draws of it, along the axes of the plane.
        held: What the results hold of it, along the same axes.
    """

    number: int
    drawn: DrawnInjection
    held: xr.Dataset

    @property
    def name(self) -> str:
        """Such as ``before L07 attention``, escaped."""
        return escaped(self.drawn.title.split("\n")[0])


def shown_injections(perturbation: xr.Dataset) -> list[Injection]:
    """Those that are shown, the same as on paper, in order of depth."""
    plane = perturbation.sel(latent=perturbation["axis"].values)
    numbers = evenly(perturbation.sizes["injection"], MOST_PANELS)
    drawn = injections(perturbation, MOST_PANELS)
    return [Injection(number, of, plane.isel(injection=number)) for number, of in zip(numbers, drawn, strict=True)]


def point_in_words(values: np.ndarray) -> str:
    """Values [axes] to 3 significant digits."""
    return ", ".join(spoken_number(value) for value in values)


def recoveries(held: xr.Dataset) -> dict[str, str]:
    """Those measures of recovery that are known of single points of the grid, by name, in words."""
    words = {
        f"{name}{null}": RANDOM if null else f"recovery, {title}"
        for name, title in (("recovery", "full width"), ("recovery_direction", "direction"))
        for null in ("", "_random")
    }
    return {name: meaning for name, meaning in words.items() if name in held}


def what_is_known(
    injection: Injection, points: np.ndarray, field: np.ndarray, recovery: bool
) -> tuple[list[list[str]], str]:
    """Of displacements, what is seen when one hovers: values, one row a point, and the template that holds them.

    Args:
        injection: Whose they are.
        points: Numbers of the points of the grid.
        field: Displacements from all points [grid, axes].
        recovery: Whether recovery is theirs.
    """
    starts, measures = injection.drawn.starts, recoveries(injection.held) if recovery else {}
    parts = ["from %{customdata[0]}", "to %{customdata[1]}", "displacement %{customdata[2]} (length %{customdata[3]})"]
    parts += [f"{meaning}: %{{customdata[{place}]}}" for place, meaning in enumerate(measures.values(), 4)]
    rows = [
        [
            *(point_in_words(values[point]) for values in (starts, starts + field, field)),
            spoken_number(float(np.linalg.norm(field[point]))),
            *(_with_interval(injection.held, name, point) for name in measures),
        ]
        for point in points.tolist()
    ]
    return rows, "<br>".join(parts) + "<extra></extra>"


def _with_interval(held: xr.Dataset, name: str, point: int) -> str:
    value, *ends = (held[full].values[point] for full in (name, f"{name}_low", f"{name}_high") if full in held)
    interval = (
        f" [{spoken_number(ends[0])}, {spoken_number(ends[1])}]" if np.isfinite([*ends, np.nan][:2]).all() else ""
    )
    return f"{spoken_number(value)}{interval}"


def restyled(traces: Sequence[Trace]) -> dict[str, list[Any]]:
    """What of traces differs from one injection to another, as plotly's ``update`` wants it."""
    markers = [trace.get("marker", {}) for trace in traces]
    return {
        **{name: [trace.get(name) for trace in traces] for name in ("x", "y", "customdata")},
        "marker.size": [marker.get("size") for marker in markers],
    }


def titles_of(shown: Sequence[Injection], title: str, prompts: str, notes: Sequence[str]) -> list[str]:
    """A title for each injection: which it is, unless a list of them says that, and how far it was followed.

    Args:
        shown: The injections.
        title: What is seen.
        prompts: Whose it is.
        notes: On each injection; several sentences have line breaks between them.
    """
    followed = [injection.drawn.title.split("\n", 0 if len(shown) == 1 else 1)[-1] for injection in shown]
    return [
        lines_of(title, words.replace("\n", ", ") + prompts, *note.split("\n"))
        for words, note in zip(followed, notes, strict=True)
    ]


def injections_menu(
    shown: Sequence[Injection], varying: Sequence[Sequence[Trace]], titles: Sequence[str], first: int, row: int
) -> list[dict[str, Any]]:
    """A list of the injections; none if there is but one.

    Args:
        shown: The injections.
        varying: The traces of each; as many for all.
        titles: The figure's title for each.
        first: Number of the first of these traces in the figure.
        row: Of buttons, above the axes.
    """
    if len(shown) == 1:
        return []
    changes = [
        [restyled(traces), retitled(title), list(range(first, first + len(traces)))]
        for traces, title in zip(varying, titles, strict=True)
    ]
    return [menu([injection.name for injection in shown], changes, "dropdown", row)]

"""Figure 2 of the paper, to be hovered over: the turns of every unit beside its null, and portraits of single units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from rs_cae.figures.style import ACCENT, DEPTH_MAP, depth_of, mean_of_known
from rs_cae.figures.units import HEADLINE, SHUFFLES, TURNS
from rs_cae.report.interactive.look import (
    BAND,
    TEXT,
    colour_bar,
    colour_scale,
    legible,
    lines_of,
    menu,
    nothing_to_show,
    places_in_words,
    plot,
    retitled,
    rounded,
    spoken_number,
)

MOST_UNITS = 4096
"""Of more, an even selection of their ranking is shown."""

MOST_OF_A_NULL = 256
"""Points of a surrogate's line: of more units, means over neighbours in the ranking."""

NOTHING_TURNS = "no unit turns: three sublayers and a change are needed"
SHUFFLE_DASH = {"layer_shuffle": "solid", "point_shuffle": "dash"}
HEADLINE_WORDS = HEADLINE.replace("_", " ")


def plot_units(dynamics: xr.Dataset) -> go.Figure:
    """The turns of every unit, sorted; the null that keeps the sizes of the steps as a band, shuffles as lines.

    Args:
        dynamics: ``rotations``, ``rotations_surrogate_mean`` and ``rotations_surrogate_std``; ``rotations_surrogate_p``
            if known, as in ``dynamics.nc``.
    """
    rotations = dynamics["rotations"].values
    order = np.flatnonzero(np.isfinite(rotations))
    if not order.size:
        return nothing_to_show(NOTHING_TURNS)
    order = order[np.argsort(rotations[order], kind="stable")]
    chosen = np.linspace(0, len(order) - 1, min(len(order), MOST_UNITS)).astype(int)
    selection = f" ({len(chosen)} of {len(order)})" if len(chosen) < len(order) else ""
    figure = plot(lines_of(f"Turns of each unit{selection}"), "units, sorted by R", TURNS)
    for row, name in enumerate(str(name) for name in dynamics["surrogate"].values):
        mean, deviation = (dynamics[f"rotations_surrogate_{end}"].values[row, order] for end in ("mean", "std"))
        if name == HEADLINE:
            figure.add_traces(_band(mean, deviation))
        elif name in SHUFFLES:
            figure.add_trace(
                _line(mean, f"{name.replace('_', ' ')}: mean", legible(SHUFFLES[name]), SHUFFLE_DASH[name])
            )
    figure.add_trace(_units(dynamics, order[chosen], chosen))
    return figure


def _units(dynamics: xr.Dataset, units: np.ndarray, ranks: np.ndarray) -> dict[str, Any]:
    """A point for each unit, and what is known of it."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": ranks.tolist(),
        "y": rounded(dynamics["rotations"].values[units]),
        "marker": {"size": 5, "color": legible(ACCENT)},
        "customdata": list(zip(units.tolist(), beside_null(dynamics, units.tolist()), strict=True)),
        "hovertemplate": "unit %{customdata[0]}: R = %{y:.3g}<br>%{customdata[1]}<extra></extra>",
        "name": "units of this run",
    }


def beside_null(dynamics: xr.Dataset, units: Sequence[int]) -> list[str]:
    """What turns of units are to be compared with: ``increment sign flip: 3.5 ± 0.9 (sd), p = 0.2``; empty if unknown.

    p is that of a unit alone: of a hundred units that are as the null, five have one below 0.05.
    """
    if (
        not {"rotations_surrogate_mean", "rotations_surrogate_std"} <= set(dynamics)
        or HEADLINE not in dynamics["surrogate"]
    ):
        return [""] * len(units)
    held = dynamics.sel(surrogate=HEADLINE)
    names = ("mean", "std", *(("p",) if "rotations_surrogate_p" in dynamics else ()))
    columns = [held[f"rotations_surrogate_{name}"].values[units].tolist() for name in names]
    words = [f"{HEADLINE_WORDS}: {{}} ± {{}} (sd)", f"{HEADLINE_WORDS}: {{}} ± {{}} (sd), p = {{}}"][len(names) - 2]
    return [words.format(*map(spoken_number, row)) for row in zip(*columns, strict=True)]


def _averaged(values: np.ndarray) -> np.ndarray:
    """Means over neighbours, so many of them that no more than ``MOST_OF_A_NULL`` are left."""
    parts = np.array_split(values, min(len(values), MOST_OF_A_NULL))
    return np.array([mean_of_known(part, axis=0) for part in parts])


def _band(mean: np.ndarray, deviation: np.ndarray) -> list[dict[str, Any]]:
    """The headline null [units, sorted], two standard deviations to either side."""
    ranks, mean, deviation = (_averaged(values) for values in (np.arange(len(mean)), mean, deviation))
    known = np.isfinite(mean + deviation)
    place, low, high = ranks[known], (mean - 2 * deviation)[known], (mean + 2 * deviation)[known]
    outline = {
        "x": rounded(np.concatenate([place, place[::-1]])),
        "y": rounded(np.concatenate([high, low[::-1]])),
        "fill": "toself",
        "fillcolor": BAND,
        "name": f"{HEADLINE_WORDS}: mean ± 2 sd",
        "mode": "lines",
        "line": {"width": 0},
    }
    line = {"x": rounded(ranks), "y": rounded(mean), "mode": "lines", "line": {"color": TEXT, "width": 1}}
    alike = {"type": "scatter", "hoverinfo": "skip", "legendgroup": "null"}
    return [alike | outline, alike | line | {"showlegend": False}]


def _line(mean: np.ndarray, name: str, colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(_averaged(np.arange(len(mean)))),
        "y": rounded(_averaged(mean)),
        "line": {"color": colour, "width": 1.5, "dash": dash},
        "hoverinfo": "skip",
        "name": name,
    }


def plot_portrait(dynamics: xr.Dataset) -> go.Figure:
    """Portraits of a few units, one at a time: activation and gradient, each less its first, depth as colour.

    Args:
        dynamics: ``mean_activation`` and ``rotations`` with the coordinates of its sublayers; what
            ``rotations_surrogate_*`` say of each surrogate if known, as in ``dynamics.nc``.
    """
    units = named_units(dynamics)
    if not units:
        return nothing_to_show("no unit is known at two sublayers")
    portraits = [_portrait(dynamics, unit) for unit in units]
    titles = [_portrait_title(dynamics, unit) for unit in units]
    rescaled = {"xaxis.autorange": True, "yaxis.autorange": True}
    changes = [
        [{name: [part[name] for part in parts] for name in ("x", "y")}, retitled(title) | rescaled, [0, 1]]
        for parts, title in zip(portraits, titles, strict=True)
    ]
    figure = plot(titles[0], "activation, less the first", "gradient, less the first [activation / sublayer]", rows=1)
    figure.add_traces(portraits[0])
    labels = [f"unit {unit}: {words}" for unit, words in units.items()]
    return figure.update_layout(updatemenus=[menu(labels, changes, "dropdown")])


def named_units(dynamics: xr.Dataset) -> dict[int, str]:
    """Units that are worth a look, and what each is: two each of the lowest, the middle and the highest turns, and two
    whose activation varies most over depth. One that is several of these comes once.
    """
    rotations, traces = dynamics["rotations"].values, dynamics["mean_activation"].values
    whole = np.isfinite(traces).all(axis=0) & (len(traces) > 1)
    turning = np.flatnonzero(whole & np.isfinite(rotations))
    ranked = turning[np.argsort(rotations[turning], kind="stable")]
    middle, units = len(ranked) // 2, np.flatnonzero(whole)
    varied = units[np.argsort(-traces[:, units].var(axis=0), kind="stable")] if units.size else units
    groups: list[tuple[str, Sequence[int]]] = [
        ("highest R", ranked[::-1][:2].tolist()),
        ("median R", ranked[max(middle - 1, 0) : middle + 1].tolist()),
        ("lowest R", ranked[:2].tolist()),
        ("varies most", varied[:2].tolist()),
    ]
    named: dict[int, str] = {}
    for words, group in groups:
        for unit in group:
            named.setdefault(unit, words)
    return named


def _portrait_title(dynamics: xr.Dataset, unit: int) -> str:
    turns = float(dynamics["rotations"].values[unit])
    count = f"R = {turns:.2f}" if np.isfinite(turns) else "R undefined"
    return lines_of(f"Portrait of unit {unit}: {count}", *beside_null(dynamics, [unit]))


def _portrait(dynamics: xr.Dataset, unit: int) -> list[dict[str, Any]]:
    """The curve of one unit, and its ends."""
    trace, depth = dynamics["mean_activation"].values[:, unit], depth_of(dynamics)
    slope = np.gradient(trace)
    x, y = rounded(trace - trace[0]), rounded(slope - slope[0])
    places = places_in_words(*(dynamics[name].values.tolist() for name in ("layer", "site", "sublayer")))
    scale = {"colorscale": colour_scale(DEPTH_MAP), "cmin": 0, "cmax": max(float(depth.max()), 0.5)}
    curve = {
        "x": x,
        "y": y,
        "mode": "lines+markers",
        "line": {"color": TEXT, "width": 1.2},
        "marker": {"size": 7, "color": rounded(depth), "colorbar": colour_bar("layer", tickformat="d"), **scale},
        "text": places,
        "hovertemplate": "%{text}<br>activation: %{x:.3g}<br>gradient: %{y:.3g}<extra></extra>",
        "showlegend": False,
    }
    ends = {
        "x": [x[0], x[-1]],
        "y": [y[0], y[-1]],
        "mode": "markers",
        "marker": {"size": 14, "symbol": ["circle-open", "square-open"], "color": TEXT, "line": {"width": 2}},
        "hoverinfo": "skip",
        "name": "circle: start, square: end",
        "showlegend": True,
    }
    return [{"type": "scatter", **curve}, {"type": "scatter", **ends}]

"""A sweep: its metric against one of its axes, a line for each combination of the others."""

import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import PurePath
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from rs_cae.figures.style import CONTROL_DASHES, GREY, Control, legend_below, say_nothing_to_show, single_panel

COLOURS = ("#7b3294", "#1b7837", "#2166ac", "#b35806", "#c51b7d", "#4d4d4d", "#01665e", "#8c510a")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
MOST_LINES = len(COLOURS)
"""Of more combinations only the points are drawn, all alike: nobody can tell so many lines apart."""

WIDE = 8.0
"""Positive values that spread over at least this factor are shown on a logarithmic axis."""

MOST_TICKS = 12
MOST_BROADER = 3


def draw_sweep(sweep: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """The metric of each run, its interval as a bar, against the axis of numbers that has most values.

    Args:
        sweep: Along ``run``: the axes and the metric, which the attributes ``axes`` (a list in JSON) and ``metric``
            name, and METRIC_low and METRIC_high.
        controls: Other sweeps over the same axes, drawn in grey, with the same marker for the same combination.
    """
    figure, axes = single_panel(5.6, 4.4)
    metric, along = str(sweep.attrs["metric"]), horizontal_axis(sweep)
    if not np.isfinite(sweep[metric].values).any():
        say_nothing_to_show(axes, "no run has finished")
        return figure
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
    shown = _lines(sweep, along)
    markers = dict(zip(shown, cycle(MARKERS), strict=False))
    for number, (label, line) in enumerate(shown.items()):
        broader = min(len(shown) - 1 - number, MOST_BROADER)
        look = {"color": COLOURS[number % len(COLOURS)], "zorder": 2 + 0.01 * number, **_breadth(broader)}
        _draw(axes, line, label or ("this sweep" if controls else ""), markers[label], look)
    for control, dash in zip(controls, cycle(CONTROL_DASHES), strict=False):
        for label, line in _lines(control.results, along).items():
            name = ", ".join(part for part in (label, control.label) if part)
            look = {"color": GREY, "zorder": 1.5, **_breadth(0), "linestyle": dash, "linewidth": 1.0}
            _draw(axes, line, name, markers.get(label, "."), look)
    _mark_horizontal(axes, sweep, along)
    name, unit = metric.replace("_", " "), sweep[metric].attrs.get("units", "1")
    axes.set_ylabel(name if unit == "1" else f"{name} [{unit}]", fontsize=9)
    axes.set_title(f"{name[:1].upper()}{name[1:]} by {_last(along)} (bars: 95 %)", fontsize=10)
    legend_below(figure)
    return figure


def horizontal_axis(sweep: xr.Dataset) -> str:
    """The axis of numbers with most values; the axis with most values if there is none of numbers."""
    names: list[str] = json.loads(sweep.attrs["axes"])
    return max(names, key=lambda name: (_is_numeric(sweep, name), len(np.unique(sweep[name].values))))


def _is_numeric(sweep: xr.Dataset, name: str) -> bool:
    return bool(np.issubdtype(sweep[name].dtype, np.number))


def _lines(sweep: xr.Dataset, along: str) -> dict[str, np.ndarray]:
    """Of each combination of the other axes, by its label, the places and the metric with both ends [4, runs]."""
    metric = str(sweep.attrs["metric"])
    others = [name for name in json.loads(sweep.attrs["axes"]) if name != along]
    places = sweep[along].values if _is_numeric(sweep, along) else sweep[along].values.astype(str)
    found: dict[str, list[int]] = {}
    for number in range(sweep.sizes["run"]):
        label = ", ".join(_label(name, sweep[name].values[number]) for name in others)
        found.setdefault(label, []).append(number)
    if len(found) > MOST_LINES:
        found = {"": list(range(sweep.sizes["run"]))}
    columns = [sweep[name].values for name in (metric, f"{metric}_low", f"{metric}_high")]
    lines = {}
    for label, numbers in found.items():
        known = [number for number in numbers if np.isfinite(columns[0][number])]
        ordered = sorted(known, key=lambda number: places[number]) if _is_numeric(sweep, along) else known
        lines[label] = np.array([places[ordered], *(column[ordered] for column in columns)], dtype=object)
    return lines


def _label(name: str, value: Any) -> str:
    """A configuration by its stem, anything else by the option's last word and its value."""
    text = f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
    return PurePath(text).stem if text.endswith((".yaml", ".yml")) else f"{_last(name)} {text}"


def _last(name: str) -> str:
    """Of an option's words, blanks between them."""
    return name.rpartition(".")[2].replace("_", " ")


def _draw(axes: Axes, line: np.ndarray, label: str, marker: str, look: dict[str, Any]) -> None:
    """A line [4, runs] with its interval; what has been put together of many combinations is not joined."""
    places, values, low, high = line[0].tolist(), *line[1:].astype(float)
    joined = len(set(places)) == len(places)
    errors = np.nan_to_num(np.maximum([values - low, high - values], 0.0))
    style = {**look, "linestyle": look.get("linestyle", "-") if joined else "none"}
    axes.errorbar(places, values, errors, marker=marker, label=label or None, **style)


def _breadth(broader: int) -> dict[str, float]:
    """Of a line that lies so many below the topmost one, which would hide it where they agree."""
    return {
        "linewidth": 1.2 + 0.9 * broader,
        "markersize": 4 + 2 * broader,
        "elinewidth": 1.0,
        "capsize": 2 + broader,
    }


def _mark_horizontal(axes: Axes, sweep: xr.Dataset, along: str) -> None:
    """Label the horizontal axis; few values are all marked."""
    axes.set_xlabel(_last(along), fontsize=9)
    if not _is_numeric(sweep, along):
        axes.tick_params(axis="x", labelrotation=20)
        return
    values = np.unique(sweep[along].values)
    if values[0] > 0 and values[-1] >= WIDE * values[0]:
        axes.set_xscale("log", base=2)
    if len(values) <= MOST_TICKS:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.xaxis.set_minor_locator(NullLocator())

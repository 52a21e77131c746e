"""A sweep: its metric against one of its axes, a line for each combination of the others."""

import json
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from rs_cae.figures.style import CONTROL_DASHES, GREY, Control, legend_below, say_nothing_to_show, single_panel

COLOURS = ("#7b3294", "#1b7837", "#2166ac", "#b35806", "#c51b7d", "#4d4d4d", "#01665e", "#8c510a")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (6, 4)), (0, (2, 3.5)))
"""In turn, so that where two lines agree the lower one is seen through the upper one's gaps."""

LOOK = {"linewidth": 1.4, "elinewidth": 1.0, "capsize": 2, "markersize": 6, "markerfacecolor": "none", "alpha": 0.8}
"""Of every line: markers that hide no others."""

MOST_LINES = len(COLOURS)
"""Of more combinations only the points are drawn, all alike: nobody can tell so many lines apart."""

WIDE = 8.0
"""Positive values that spread over at least this factor are shown on a logarithmic axis."""

MOST_TICKS = 12


class Line(NamedTuple):
    """The runs of one combination, in the order in which they are joined.

    Attributes:
        places: On the horizontal axis [runs].
        values: Of the metric [runs].
        low: Lower ends of their intervals, NaN where there is none [runs].
        high: Upper ends [runs].
    """

    places: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


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
        look = {"color": COLOURS[number], "zorder": 2 + 0.01 * number, "linestyle": DASHES[number % len(DASHES)]}
        _draw(axes, line, label or ("this sweep" if controls else ""), markers[label], look)
    for control, dash in zip(controls, cycle(CONTROL_DASHES), strict=False):
        for label, line in _lines(control.results, along).items():
            name = ", ".join(part for part in (label, control.label) if part)
            look = {"color": GREY, "zorder": 1.5, "linestyle": dash, "linewidth": 1.0}
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


def _lines(sweep: xr.Dataset, along: str) -> dict[str, Line]:
    """The line of each combination of the other axes, by its label; all runs as one if there are too many of them."""
    metric, numeric = str(sweep.attrs["metric"]), _is_numeric(sweep, along)
    others = [name for name in json.loads(sweep.attrs["axes"]) if name != along]
    runs = range(sweep.sizes["run"])
    labels = [", ".join(_label(name, sweep[name].values[number]) for name in others) for number in runs]
    if len(set(labels)) > MOST_LINES:
        labels = [""] * len(runs)
    places = sweep[along].values if numeric else sweep[along].values.astype(str)
    columns = places, *(sweep[name].values for name in (metric, f"{metric}_low", f"{metric}_high"))
    lines = {}
    for label in dict.fromkeys(labels):
        known = [number for number in runs if labels[number] == label and np.isfinite(columns[1][number])]
        if numeric:
            known.sort(key=lambda number: places[number])
        lines[label] = Line(*(column[known] for column in columns))
    return lines


def _label(name: str, value: Any) -> str:
    """A configuration by its stem, anything else by the option's last word and its value."""
    text = f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
    return PurePath(text).stem if text.endswith((".yaml", ".yml")) else f"{_last(name)} {text}"


def _last(name: str) -> str:
    """Of an option's words, blanks between them."""
    return name.rpartition(".")[2].replace("_", " ")


def _draw(axes: Axes, line: Line, label: str, marker: str, look: Mapping[str, Any]) -> None:
    """Draw a line with its intervals; runs that share a place differ in more than that, and are not joined."""
    if len(np.unique(line.places)) < len(line.places):
        look = {**look, "linestyle": "none"}
    errors = np.nan_to_num(np.maximum([line.values - line.low, line.high - line.values], 0.0))
    axes.errorbar(line.places, line.values, errors, marker=marker, label=label or None, **{**LOOK, **look})


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

"""One look for all figures, and what panels have in common."""

from collections.abc import Iterable
from itertools import cycle
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

WITHIN = "#1b7837"
ACROSS = "#2166ac"
ACCENT = "#7b3294"
MEAN_COLOUR = "#b35806"  # of the mean trajectory
DPI = 160  # pixels an inch
GREY = "0.55"
DEPTH_MAP = "viridis"
SIGNED_MAP = "RdBu_r"
MISSING = "0.85"
CONTROL_DASHES: tuple[Any, ...] = ("--", "-.", (0, (8, 2, 2, 2, 2, 2)), (0, (10, 3)))


FOOT = 11
"""Points below the legend that are left to a line on where the figure comes from."""


class Control(NamedTuple):
    """Another run's results, drawn in grey behind those of the run that is shown.

    Attributes:
        label: What it is, such as ``untrained``.
        results: The same dataset of that run.
    """

    label: str
    results: xr.Dataset


def panels(rows: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, np.ndarray]:
    """A figure of panels that needs neither a display nor global state.

    Args:
        rows: Of panels.
        columns: Of panels.
        width: Of the figure, in inches.
        height: Of the figure, in inches.
        **shared: ``sharex`` and the like, as in ``Figure.subplots``.

    Returns:
        The figure and its panels [rows, columns].
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid: np.ndarray = figure.subplots(rows, columns, squeeze=False, **shared)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, grid


def single_panel(width: float = 5.2, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure of one panel, sizes in inches."""
    figure, grid = panels(1, 1, width, height)
    return figure, grid[0, 0]


def depth_of(results: xr.Dataset, along: str = "sublayer") -> np.ndarray:
    """Where sublayers, or the transitions that begin at them, lie in depth, in layers; an MLP is half a layer down.

    Args:
        results: Any with the coordinates ``layer`` and ``site`` of its sublayers.
        along: ``sublayer`` or ``transition``.
    """
    depth = results["layer"].values + np.where(results["site"].values == "mlp", 0.5, 0.0)
    return depth if along == "sublayer" else depth[:-1]


def label_depth(axes: Axes) -> None:
    """Mark the horizontal axis by layers."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))
    axes.set_xlabel("layer", fontsize=9)
    axes.margins(x=0.04)


def dashed(controls: Iterable[Control]) -> Iterable[tuple[Control, dict[str, Any]]]:
    """Each control with the look of its lines."""
    for control, dash in zip(controls, cycle(CONTROL_DASHES), strict=False):
        yield control, {"color": GREY, "linestyle": dash, "linewidth": 1.1, "zorder": 1.5}


def legend_below(figure: Figure) -> None:
    """One legend for all panels, below them; a label that stands for several colours shows all of them."""
    found: dict[tuple[str, str], dict[str, Artist]] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            dash, colour = str(getattr(handle, "get_linestyle", str)()), str(getattr(handle, "get_color", str)())
            found.setdefault((label, dash), {}).setdefault(colour, handle)
    if not found:
        return
    labels = [label for label, _ in found]
    look: dict[str, Any] = {
        "loc": "outside lower center",
        "ncols": _columns(labels, figure.get_figwidth()),
        "handler_map": {tuple: HandlerTuple(ndivide=None, pad=0.3)},
        "borderaxespad": FOOT / 8,  # in font sizes
    }
    handles: list[Any] = [tuple(alike.values()) for alike in found.values()]
    figure.legend(handles, labels, fontsize=8, frameon=False, handlelength=2.6, **look)
    foot = FOOT / 72 / figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0, foot, 1, 1 - foot))


def _columns(labels: list[str], width: float) -> int:
    """As many columns of a legend as fit into a figure's width in inches, three at most."""
    for columns in (3, 2):
        parts = [list(part) for part in np.array_split(labels, columns) if len(part)]
        letters = sum(max(len(label) for label in part) + 8 for part in parts)
        if letters <= 15 * width:
            return min(columns, len(labels))
    return 1


def log_if_wide(axes: Axes, values: np.ndarray, factor: float = 10.0) -> None:
    """A logarithmic vertical axis if values are positive and spread over more than a factor, else one from zero on."""
    known = values[np.isfinite(values)]
    if known.size and known.min() > 0 and known.max() > factor * known.min():
        axes.set_yscale("log")
        few_decades = known.max() < 300 * known.min()
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if few_decades else (1.0,)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        start_at_zero(axes, values)


def start_at_zero(axes: Axes, values: np.ndarray) -> None:
    """A vertical axis from zero on, unless values lie below it."""
    known = values[np.isfinite(values)]
    if known.size and known.min() >= 0 and known.max() > 0:
        axes.set_ylim(bottom=0)


def degrees(axes: Axes, values: np.ndarray) -> None:
    """A vertical axis of angles, with marks that are angles that one knows."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -4.0), min(high, 184.0))
    spread = min(high, 184.0) - max(low, -4.0)
    step = next((step for step in (5, 10, 15, 30) if spread <= 6 * step), 45)
    axes.set_yticks([mark for mark in range(0, 181, step) if low <= mark <= high])


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def say_nothing_to_show(axes: Axes, reason: str) -> None:
    """Why a panel is empty, instead of its axes."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, fill(reason, 48), ha="center", va="center", fontsize=9, color=GREY, transform=axes.transAxes)

"""Curves over depth, with their intervals, nulls and controls."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rs_cae.figures.style import (
    ACROSS,
    WITHIN,
    Control,
    dashed,
    depth_of,
    label_depth,
    legend_below,
    log_if_wide,
    panels,
)

KINDS = {"within": (WITHIN, "o"), "across": (ACROSS, "s")}
"""Of transitions: colour and marker."""


class Curve(NamedTuple):
    """A curve over depth.

    Attributes:
        name: Of its variable; ``NAME_low`` and ``NAME_high`` are its interval, ``NAME_null`` its null, if there.
        label: Of the vertical axis.
        null: What the null is, for the legend.
        scale: Sets the vertical axis of a panel by the values that are drawn.
        what: What its values are, for the legend.
    """

    name: str
    label: str
    null: str = ""
    scale: Callable[[Axes, np.ndarray], None] = log_if_wide
    what: str = "mean"


def draw_by_kind(results: xr.Dataset, controls: Sequence[Control], curves: Sequence[Curve], title: str) -> Figure:
    """Transitions within a layer and across layers side by side, one row for each curve.

    Args:
        results: Holds the curves, along ``transition``.
        controls: Drawn in grey.
        curves: From the top down.
        title: Of the figure.
    """
    sequential = "mlp" in results["site"].values
    names = {"within": "attention (within a layer)", "across": "MLP (to the next layer)"}
    kinds = [kind for kind in KINDS if kind in results["kind"].values] or ["across"]
    width, height = 5.4 if len(kinds) == 2 else 4.4, 1.4 + 1.8 * len(curves)
    figure, grid = panels(len(curves), len(kinds), width, height, sharex=True, sharey="row")
    for row, curve in zip(grid, curves, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            colour, marker = KINDS[kind]
            draw_curve(axes, results, curve, colour, marker, kind)
            draw_controls(axes, controls, curve.name, kind)
        set_scale(row[0], curve, results, controls)
    for axes, kind in zip(grid[0], kinds, strict=True):
        name = names[kind] if sequential else "attention and MLP (to the next layer)"
        axes.set_title(name, fontsize=9, color=KINDS[kind][0])
    for axes in grid[-1]:
        label_depth(axes)
    figure.suptitle(title, fontsize=10)
    legend_below(figure)
    return figure


def draw_curve(
    axes: Axes,
    results: xr.Dataset,
    curve: Curve,
    colour: str,
    marker: str = "o",
    kind: str | None = None,
    null_colour: str = "black",
) -> None:
    """A curve with its interval and its null.

    Args:
        axes: The panel.
        results: Holds the curve, along ``sublayer`` or ``transition``.
        curve: Which.
        colour: Of line and band.
        marker: Of each value.
        kind: Of the transitions that are drawn; all if None.
        null_colour: Of its null; another than black where each curve has its own.
    """
    depth, values, chosen = _values(results, curve.name, kind)
    ends = [f"{curve.name}_{end}" for end in ("low", "high")]
    interval = [results[end].values[chosen] for end in ends if end in results]
    label = curve.what
    if len(interval) == 2 and np.isfinite(interval).any():
        axes.fill_between(depth, *interval, color=colour, alpha=0.25, linewidth=0, zorder=2)
        label = f"{curve.what} (band: 95 %)"
    axes.plot(depth, values, color=colour, marker=marker, markersize=3, linewidth=1.2, zorder=3, label=label)
    null = f"{curve.name}_null"
    if null in results:
        values = results[null].values[chosen]
        look: dict[str, Any] = {
            "color": null_colour,
            "linestyle": ":",
            "linewidth": 1.3,
            "zorder": 4,
            **marker_if_single(values),
        }
        axes.plot(depth, values, label=curve.null or "null", **look)


def draw_controls(axes: Axes, controls: Sequence[Control], name: str, kind: str | None = None) -> None:
    """The same curve of other runs, in grey, with neither interval nor null."""
    for control, look in dashed(controls):
        if name in control.results:
            depth, values, _ = _values(control.results, name, kind)
            if np.isfinite(values).any():
                axes.plot(depth, values, label=control.label, **look, **marker_if_single(values))


def set_scale(axes: Axes, curve: Curve, results: xr.Dataset, controls: Sequence[Control]) -> None:
    """The vertical axis of a panel, and of those that share it, once all curves are drawn."""
    curve.scale(axes, all_values(results, controls, curve.name))
    axes.set_ylabel(curve.label, fontsize=9)


def all_values(results: xr.Dataset, controls: Sequence[Control], name: str) -> np.ndarray:
    """The values of a curve in the run and in all controls that have it, in a row."""
    held = [results, *(control.results for control in controls)]
    return np.concatenate([each[name].values for each in held if name in each])


def marker_if_single(values: np.ndarray) -> dict[str, Any]:
    """A line of one point would not be seen."""
    return {"marker": "x", "markersize": 4} if np.isfinite(values).sum() == 1 else {}


def _values(results: xr.Dataset, name: str, kind: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth and values of a curve, and which of its entries these are."""
    along = str(results[name].dims[0])
    depth = depth_of(results, along)
    chosen = np.ones(len(depth), dtype=bool) if kind is None else results["kind"].values == kind
    return depth[chosen], results[name].values[chosen], chosen

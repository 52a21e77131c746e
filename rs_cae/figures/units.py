"""Figure 2 of the paper: how single units turn in the plane of activation and gradient, and how much walks turn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rs_cae.figures.curves import Curve, draw_controls, draw_curve
from rs_cae.figures.style import (
    ACCENT,
    DEPTH_MAP,
    GREY,
    Control,
    dashed,
    depth_of,
    label_depth,
    legend_below,
    panels,
    say_nothing_to_show,
    single_panel,
)

HEADLINE = "increment_sign_flip"
"""The null that keeps the sizes of the steps by depth."""

TURNS = "turns R, clockwise positive"
CUMULATIVE = Curve("cumulative_turning_mean", "turns up to here, mean over units", "own steps, random signs: mean")
SHUFFLES = {"layer_shuffle": "#b35806", "point_shuffle": "#f1a340"}


def draw_portraits(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 2A: portraits of six units, two each that turn little, as the median does, and much.

    Args:
        dynamics: ``mean_activation`` and ``rotations`` with the coordinates of its sublayers, as in ``dynamics.nc``.
        controls: Not drawn: a unit has no counterpart in another run.
    """
    figure, grid = panels(2, 3, 5.4, 4.0)
    traces, depth = dynamics["mean_activation"].values, depth_of(dynamics)
    rotations = dynamics["rotations"].values
    units = _two_of_each(rotations)
    for axes, unit in zip(grid.flat, units, strict=False):
        trace = traces[:, unit]
        slope = np.gradient(trace)
        curve = _draw_portrait(axes, trace - trace[0], slope - slope[0], depth)
        count = f"R = {rotations[unit]:.2f}" if np.isfinite(rotations[unit]) else "R undefined"
        axes.set_title(f"unit {unit}: {count}", fontsize=8)
    for axes in grid.flat[len(units) :]:
        axes.set_axis_off()
    bar = figure.colorbar(curve, ax=grid, shrink=0.7, aspect=30, ticks=MaxNLocator(integer=True, min_n_ticks=1))
    bar.set_label("layer", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.supylabel("gradient, less the first [activation / sublayer]", fontsize=9)
    grid.flat[min(4, len(units) - 1)].set_xlabel("activation, less the first", fontsize=9)
    figure.suptitle("Portraits of single units (circle: start, square: end)", fontsize=10)
    return figure


def _two_of_each(rotations: np.ndarray) -> list[int]:
    """Two units of the lowest, the middle and the highest counts, ascending; all if there are no more than six."""
    known = np.flatnonzero(np.isfinite(rotations))
    known = known if known.size else np.arange(len(rotations))
    ranked = known[np.argsort(rotations[known], kind="stable")]
    middle = len(ranked) // 2
    places = [0, 1, middle - 1, middle, len(ranked) - 2, len(ranked) - 1]
    return [int(unit) for unit in (ranked if len(ranked) <= 6 else ranked[places])]


def _draw_portrait(axes: Axes, along: np.ndarray, up: np.ndarray, depth: np.ndarray) -> LineCollection:
    points = np.stack([along, up], axis=1)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    colour = Normalize(0, float(depth.max()))
    curve = LineCollection(list(segments), cmap=DEPTH_MAP, norm=colour, array=depth[:-1], linewidths=1.4, zorder=2)
    axes.add_collection(curve)
    axes.plot(*points.T, linestyle="none")  # for the limits of the axes
    for point, marker in ((points[0], "o"), (points[-1], "s")):
        axes.plot(*point, marker, color="white", markeredgecolor="black", markersize=4, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(2, min_n_ticks=2))
    axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.axhline(0, color="0.85", linewidth=0.6, zorder=1)
    axes.axvline(0, color="0.85", linewidth=0.6, zorder=1)
    return curve


def draw_rotation_distribution(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 2B: the turns of all units, and their mean beside that of every surrogate.

    Above, the distribution over units. Below, a row for each surrogate: the distribution of the mean over units in its
    draws, which is what the mean of the run is held against, on a line that holds 95 % of single units' counts.

    Args:
        dynamics: ``rotations`` and what ``rotations_surrogate_*`` say of each surrogate.
        controls: Their distributions over units are outlined in grey.
    """
    rotations = _counts(dynamics)
    if not rotations.size:
        return _nothing_turns("Turns of units, and of their surrogates")
    figure, grid = panels(2, 1, 5.4, 4.8, sharex=True, height_ratios=[1, 1.6])
    above, below = grid[:, 0]
    _draw_histograms(above, rotations, controls)
    for axes in (above, below):
        axes.axvline(rotations.mean(), color=ACCENT, linewidth=1.3, label="this run: mean over units", zorder=1.4)
    names = [str(name) for name in dynamics["surrogate"].values]
    for row in range(len(names)):
        _draw_surrogate(below, -row, dynamics.isel(surrogate=row), first=row == 0)
    words = [name.replace("_", " ").replace(" within", "\nwithin") for name in names]
    below.set_yticks([-row for row in range(len(names))], words, fontsize=8)
    below.set_ylim(-len(names) + 0.7, 1.0)
    below.text(1.01, 1.0, "p of the mean", fontsize=8, transform=below.transAxes, va="bottom")
    below.set_xlabel(TURNS, fontsize=9)
    figure.suptitle("Turns of units, and of their surrogates", fontsize=10)
    legend_below(figure)
    return figure


def _nothing_turns(title: str) -> Figure:
    figure, axes = single_panel()
    say_nothing_to_show(axes, "no unit turns: three sublayers and a change are needed")
    axes.set_title(title, fontsize=10)
    return figure


def _draw_histograms(axes: Axes, rotations: np.ndarray, controls: Sequence[Control]) -> None:
    """Shares of units by their count, in the run and in its controls."""
    others = [(control, look, _counts(control.results)) for control, look in dashed(controls)]
    everything = np.concatenate([rotations, *(counts for _, _, counts in others)])
    edges = np.histogram_bin_edges(everything, bins=int(np.clip(np.sqrt(rotations.size), 6, 40)))
    shares = np.histogram(rotations, edges)[0] / rotations.size
    axes.stairs(shares, edges, fill=True, color=ACCENT, alpha=0.35, label="this run: units")
    for control, look, counts in others:
        if counts.size:
            axes.stairs(np.histogram(counts, edges)[0] / counts.size, edges, label=f"{control.label}: units", **look)
    axes.set_ylabel("share of units", fontsize=9)


def _draw_surrogate(axes: Axes, height: float, surrogate: xr.Dataset, first: bool) -> None:
    """One row: means over units as a hill, 95 % of single units as a line below it, p at the right."""
    means, units = (_known(surrogate[f"rotations_surrogate_{name}"].values) for name in ("unit_mean", "mean"))
    deviations = _known(surrogate["rotations_surrogate_std"].values)
    if not means.size or not deviations.size:
        return
    counts, edges = np.histogram(means, bins=25)
    shade = "0.35" if str(surrogate["surrogate"].values) == HEADLINE else GREY
    hill: dict[str, Any] = {"baseline": height, "fill": True, "color": shade, "zorder": 2.0}
    words = "surrogate: mean over units, by draw" if first else None
    axes.stairs(height + 0.8 * counts / counts.max(), edges, label=words, **hill)
    spread = 1.96 * float(np.sqrt((deviations**2).mean() + units.var()))
    ends = [float(units.mean()) - spread, float(units.mean()) + spread]
    axes.plot(ends, [height, height], color="black", linewidth=1, label="surrogate: 95 % of units" if first else None)
    p = float(surrogate["rotations_surrogate_unit_mean_p"])
    axes.text(1.01, height, f"{p:.2g}", fontsize=8, transform=axes.get_yaxis_transform(), va="center")


def draw_rotations_by_unit(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 2C: the turns of every unit, sorted, beside those of the sign flips, the layer and the point shuffle.

    Of many units, what their surrogates do is averaged over neighbours: there are fewer dots on paper than units.

    Args:
        dynamics: ``rotations``, ``rotations_surrogate_mean`` and ``rotations_surrogate_std``.
        controls: Drawn in grey, sorted likewise.
    """
    rotations = dynamics["rotations"].values
    order = np.flatnonzero(np.isfinite(rotations))
    if not order.size:
        return _nothing_turns("Turns of each unit")
    figure, axes = single_panel(5.4, 4.0)
    order = order[np.argsort(rotations[order], kind="stable")]
    rank = np.arange(len(order))
    axes.plot(rank, rotations[order], "o", color=ACCENT, markersize=2, label="units of this run", zorder=3)
    for row, name in enumerate(str(name) for name in dynamics["surrogate"].values):
        ends = (dynamics[f"rotations_surrogate_{end}"].values[row, order] for end in ("mean", "std"))
        place, mean, deviation = (_thinned(values) for values in (rank, *ends))
        words = name.replace("_", " ")
        if name == HEADLINE:
            low, high = mean - 2 * deviation, mean + 2 * deviation
            axes.fill_between(place, low, high, color="0.8", linewidth=0, zorder=1, label=f"{words}: mean ± 2 sd")
            axes.plot(place, mean, color="0.35", linewidth=0.7, zorder=1.2)
        elif name in SHUFFLES:
            axes.plot(place, mean, color=SHUFFLES[name], linewidth=0.9, zorder=2, label=f"{words}: mean")
    for control, look in dashed(controls):
        counts = np.sort(_counts(control.results))
        if counts.size:
            axes.plot(np.linspace(0, len(order) - 1, len(counts)), counts, label=control.label, **look)
    axes.set_xlabel("units, sorted by R", fontsize=9)
    axes.set_ylabel(TURNS, fontsize=9)
    axes.set_title("Turns of each unit", fontsize=10)
    legend_below(figure)
    return figure


def _thinned(values: np.ndarray, most: int = 256) -> np.ndarray:
    """Means over neighbours, so many of them that no more than a number of values is left."""
    if len(values) <= most:
        return values
    return np.array([part.mean() for part in np.array_split(values, most)])


def draw_cumulative_turning(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Where in depth units turn: turns up to each sublayer, mean over units.

    Args:
        dynamics: ``cumulative_turning_mean`` and its null.
        controls: Drawn in grey.
    """
    if not np.isfinite(dynamics[CUMULATIVE.name].values).any():
        return _nothing_turns("Turns of units by depth")
    figure, axes = single_panel()
    depth = depth_of(dynamics)
    low, high = (dynamics[f"{CUMULATIVE.name}_null_{end}"].values for end in ("low", "high"))
    draw_curve(axes, dynamics, CUMULATIVE, ACCENT)
    axes.fill_between(depth, low, high, color="0.85", linewidth=0, zorder=1, label="own steps, random signs: 95 %")
    draw_controls(axes, controls, CUMULATIVE.name)
    axes.set_xlim(depth[0] - 0.25, depth[-1] + 0.25)
    axes.set_ylabel(CUMULATIVE.label, fontsize=9)
    axes.set_title("Turns of units by depth", fontsize=10)
    label_depth(axes)
    legend_below(figure)
    return figure


def _counts(results: xr.Dataset) -> np.ndarray:
    """The turns of all units that have any; none if they were not counted."""
    return _known(results["rotations"].values) if "rotations" in results else np.empty(0)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]

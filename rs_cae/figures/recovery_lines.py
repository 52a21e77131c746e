"""How far the network brings back what was put elsewhere, a line for each injection: by steps, and by size."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rs_cae.figures.injections import evenly, spoken, truncated, whose
from rs_cae.figures.recovery import (
    GRID,
    NOTHING_LEFT,
    RANDOM,
    draw_with_band,
    draw_zero,
    has_band,
    set_divergence_scale,
    set_recovery_scale,
    units_of_steps,
)
from rs_cae.figures.style import (
    DEPTH_MAP,
    Control,
    dashed,
    depth_of,
    legend_below,
    panels,
    say_nothing_to_show,
    single_panel,
)

MOST_LINES = 8
"""Of more injections an even selection is drawn: nobody can tell so many lines apart."""

DEPTHS = truncated(DEPTH_MAP, 0.9)
BY_STEP = ("recovery_by_step", "recovery_random_by_step")


class Line(NamedTuple):
    """What is drawn of one injection.

    Attributes:
        label: What was changed, and how far it was followed if not to the end.
        colour: By its depth in the model.
        results: Its part of the results, along what is left.
    """

    label: str
    colour: tuple[float, ...]
    results: xr.Dataset


def draw_recovery_by_step(perturbation: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Recovery after each sublayer since the injection, so that injections are compared after equally many.

    Args:
        perturbation: ``recovery_by_step`` and ``steps_left``; its interval and ``recovery_random_by_step`` if known.
        controls: Drawn in grey, a line for each of their injections.
    """
    figure, axes = single_panel(6.0, 4.3)
    lines = _lines(perturbation, BY_STEP)
    if not lines:
        say_nothing_to_show(axes, NOTHING_LEFT)
        return figure
    steps, drawn = np.arange(perturbation.sizes["step"]), []
    for control, grey in dashed(controls):
        for line in _lines(control.results, BY_STEP[:1]):
            values = line.results["recovery_by_step"].values
            drawn.append(values)
            axes.plot(np.arange(len(values)), values, label=control.label, **grey)
    for line in lines:
        looks: tuple[dict[str, Any], ...] = (
            {"marker": "o", "markersize": 2.5, "zorder": 3, "label": GRID},
            {"linestyle": ":", "zorder": 2.5, "label": RANDOM},
        )
        for name, look in zip(BY_STEP, looks, strict=True):
            drawn.append(draw_with_band(axes, steps, line.results, name, 0.15, color=line.colour, **look))
    draw_zero(axes)
    set_recovery_scale(axes, np.concatenate(drawn))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.set_xlabel(f"{units_of_steps(perturbation)} since the injection", fontsize=9)
    _finish(figure, "Recovery in full width, step by step", perturbation, lines)
    return figure


def draw_dose_response(perturbation: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Recovery of displacements in full width by their size, along random and along principal directions.

    Below, what the logits make of them, if they were asked for.

    Args:
        perturbation: ``dose_recovery`` and ``steps_left``; its interval and ``dose_kl`` if known.
        controls: Drawn in grey, a line for each of their injections.
    """
    names = [name for name in ("dose_recovery", "dose_kl") if name in perturbation]
    lines = _lines(perturbation, names)
    if not lines:
        figure, axes = single_panel()
        say_nothing_to_show(axes, NOTHING_LEFT)
        return figure
    kinds = [str(kind) for kind in perturbation["displaced"].values]
    width, height = 1.4 + 2.6 * len(kinds), 1.7 + 2.1 * len(names)
    figure, grid = panels(len(names), len(kinds), width, height, sharex=True, sharey="row")
    for row, name in zip(grid, names, strict=True):
        drawn = [_draw_doses(axes, kind, name, lines, controls) for axes, kind in zip(row, kinds, strict=True)]
        values = np.concatenate(drawn)
        for axes in row:
            if not np.isfinite(values).any():
                say_nothing_to_show(axes, NOTHING_LEFT)
            elif name == "dose_recovery":
                draw_zero(axes)
        (set_recovery_scale if name == "dose_recovery" else set_divergence_scale)(row[0], values)
    for axes, kind in zip(grid[0], kinds, strict=True):
        axes.set_title(f"{kind} directions", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("size / norm of the state", fontsize=9)
    _finish(figure, "Recovery in full width by the size of the displacement", perturbation, lines)
    return figure


def _draw_doses(axes: Axes, kind: str, name: str, lines: Sequence[Line], controls: Sequence[Control]) -> np.ndarray:
    """What becomes of displacements along one kind of directions; all values that were drawn."""
    drawn = []
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    for control, grey in dashed(controls):
        for line in _lines(control.results, [name]):
            if kind in line.results["displaced"].values:
                of_kind = line.results.sel(displaced=kind)
                axes.plot(of_kind["size"].values, of_kind[name].values, label=control.label, **grey)
                drawn.append(of_kind[name].values)
    for line in lines:
        of_kind = line.results.sel(displaced=kind)
        look: dict[str, Any] = {"marker": "o", "markersize": 3, "zorder": 3, "label": "this run" if controls else ""}
        drawn.append(draw_with_band(axes, of_kind["size"].values, of_kind, name, 0.15, color=line.colour, **look))
    return np.concatenate(drawn)


def _lines(perturbation: xr.Dataset, names: Sequence[str]) -> list[Line]:
    """The injections after which the first of some variables is known, or an even selection of them."""
    ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high") if f"{name}{end}" in perturbation]
    known = _known(perturbation, names)
    if not known.size:
        return []
    deepest = float(depth_of(perturbation).max())
    steps = int(perturbation.attrs.get("steps", perturbation["steps_left"].max()))
    lines = []
    for number in known[evenly(len(known), MOST_LINES)]:
        depth, left = float(perturbation["injection_depth"][number]), int(perturbation["steps_left"][number])
        label = spoken(str(perturbation["injection"].values[number])) + (f" ({left} left)" if left < steps else "")
        colour = DEPTHS(depth / deepest if deepest else 0.0)
        lines.append(Line(label, colour, perturbation[ends].isel(injection=number)))
    return lines


def _known(perturbation: xr.Dataset, names: Sequence[str]) -> np.ndarray:
    """The injections of which any of some variables is known after the first step."""
    held = [perturbation[name] for name in names if name in perturbation]
    after = [each.isel(step=slice(1, None)) if "step" in each.dims else each for each in held]
    found = [np.isfinite(each.values).reshape(perturbation.sizes["injection"], -1).any(axis=1) for each in after]
    return np.flatnonzero(np.any(found, axis=0)) if found else np.empty(0, dtype=int)


def _finish(figure: Figure, title: str, perturbation: xr.Dataset, lines: Sequence[Line]) -> None:
    """Title, legend, and what the colours mean; the title says it of a single line."""
    names = [str(name) for name in lines[0].results.data_vars]
    known = len(_known(perturbation, names))
    parts = [f"before {lines[0].label}"] if len(lines) == 1 else []
    parts += [f"{len(lines)} of {known} injections"] if len(lines) < known else []
    parts += ["1: back on the path, 0: no correction"]
    parts += ["bands: 95 %"] if any(has_band(perturbation, name) for name in names) else []
    figure.suptitle(f"{title}{whose(perturbation)}\n{'; '.join(parts)}", fontsize=10)
    if len(lines) > 1:
        edges = np.arange(len(lines) + 1)
        colours = ListedColormap([line.colour for line in lines])
        bar = figure.colorbar(ScalarMappable(BoundaryNorm(edges, len(lines)), colours), ax=list(figure.axes), aspect=30)
        bar.set_ticks((edges[:-1] + 0.5).tolist(), labels=[line.label for line in lines], fontsize=8)
        bar.ax.tick_params(length=0)
        bar.set_label("injection before", fontsize=9)
    legend_below(figure)

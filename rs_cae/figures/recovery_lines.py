"""How far the network brings back what was put elsewhere, a line for each injection: by steps, and by size."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rs_cae.figures.injections import NOTHING_LEFT, evenly, set_title, spoken, truncated, unit_of_steps, whose
from rs_cae.figures.recovery import (
    BANDS,
    GRID,
    MEANING,
    RANDOM,
    draw_with_band,
    draw_zero,
    has_band,
    set_divergence_scale,
    set_recovery_scale,
    told_by_logits,
)
from rs_cae.figures.style import (
    DEPTH_MAP,
    GREY,
    Control,
    dashed,
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
        injection: Its name.
        label: What was changed, and how far it was followed if not to the end.
        colour: By its rank among those that are drawn.
        results: Its part of the results, along what is left.
    """

    injection: str
    label: str
    colour: tuple[float, ...]
    results: xr.Dataset


def draw_recovery_by_step(perturbation: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Recovery after each sublayer since the injection, so that injections are compared after equally many.

    Args:
        perturbation: ``recovery_by_step`` and ``steps_left``; its interval and ``recovery_random_by_step`` if known.
        controls: Drawn dashed, each injection in its colour.
    """
    figure, axes = single_panel(6.0, 4.3)
    lines = _lines(perturbation, BY_STEP)
    if not lines:
        say_nothing_to_show(axes, NOTHING_LEFT)
        return figure
    steps, drawn = np.arange(perturbation.sizes["step"]), []
    for control, grey in dashed(controls):
        for line in _beside(control, lines, BY_STEP[:1]):
            values = line.results["recovery_by_step"].values
            drawn.append(values)
            axes.plot(np.arange(len(values)), values, **grey | {"color": line.colour})
        _explain(axes, control.label, **grey)
    for line in lines:
        looks: tuple[dict[str, Any], ...] = (
            {"marker": "o", "markersize": 2.5, "zorder": 3, "label": line.label},
            {"linestyle": ":", "zorder": 2.5},
        )
        for name, look in zip(BY_STEP, looks, strict=True):
            drawn.append(draw_with_band(axes, steps, line.results, name, 0.15, color=line.colour, **look))
    if BY_STEP[1] in perturbation:
        _explain(axes, GRID, color="black", linewidth=1.3, marker="o", markersize=2.5)
        _explain(axes, RANDOM, color="black", linewidth=1.3, linestyle=":")
    draw_zero(axes)
    set_recovery_scale(axes, np.concatenate(drawn))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.set_xlabel(f"{unit_of_steps(perturbation)}s since the injection", fontsize=9)
    _finish(figure, "Recovery in full width, step by step", perturbation, lines)
    return figure


def draw_dose_response(perturbation: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Recovery of displacements in full width by their size, along random and along principal directions.

    Below, what the logits make of them, if they were asked for.

    Args:
        perturbation: ``dose_recovery`` and ``steps_left``; its interval and ``dose_kl`` if known.
        controls: Drawn dashed, each injection in its colour.
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
        beside = told_by_logits(controls) if name == "dose_kl" else controls
        drawn = [_draw_doses(axes, kind, name, lines, beside) for axes, kind in zip(row, kinds, strict=True)]
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
        _explain(axes, control.label, **grey)
        for line in _beside(control, lines, [name]):
            if kind in line.results["displaced"].values:
                of_kind = line.results.sel(displaced=kind)
                axes.plot(of_kind["size"].values, of_kind[name].values, **grey | {"color": line.colour})
                drawn.append(of_kind[name].values)
    for line in lines:
        of_kind = line.results.sel(displaced=kind)
        look: dict[str, Any] = {"marker": "o", "markersize": 3, "zorder": 3, "label": line.label}
        drawn.append(draw_with_band(axes, of_kind["size"].values, of_kind, name, 0.15, color=line.colour, **look))
    return np.concatenate(drawn)


def _lines(perturbation: xr.Dataset, names: Sequence[str]) -> list[Line]:
    """The injections after which the first of some variables is known, or an even selection of them."""
    ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high") if f"{name}{end}" in perturbation]
    known = _known(perturbation, names)
    if not known.size:
        return []
    steps = int(perturbation.attrs.get("steps", perturbation["steps_left"].max()))
    lines, chosen = [], known[evenly(len(known), MOST_LINES)]
    for number, rank in zip(chosen, np.linspace(0, 1, len(chosen)), strict=True):
        left, injection = int(perturbation["steps_left"][number]), str(perturbation["injection"].values[number])
        label = f"before {spoken(injection)}" + (f" ({left} left)" if left < steps else "")
        lines.append(Line(injection, label, DEPTHS(float(rank)), perturbation[ends].isel(injection=number)))
    return lines


def _beside(control: Control, lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """A control's results at the injections that are drawn, in their colours; its own in grey if none is shared."""
    held = control.results
    there = {str(injection): number for number, injection in enumerate(held["injection"].values)}
    shared = [line for line in lines if line.injection in there]
    if not shared or names[0] not in held:
        return [line._replace(colour=to_rgba(GREY)) for line in _lines(held, names)]
    return [line._replace(results=held[list(names)].isel(injection=there[line.injection])) for line in shared]


def _explain(axes: Axes, label: str, **look: Any) -> None:
    """An entry of the legend on what a kind of line is, whatever its colours."""
    axes.plot([], [], label=label, **look)


def _known(perturbation: xr.Dataset, names: Sequence[str]) -> np.ndarray:
    """The injections of which any of some variables is known after the first step."""
    held = [perturbation[name] for name in names if name in perturbation]
    after = [each.isel(step=slice(1, None)) if "step" in each.dims else each for each in held]
    found = [np.isfinite(each.values).reshape(perturbation.sizes["injection"], -1).any(axis=1) for each in after]
    return np.flatnonzero(np.any(found, axis=0)) if found else np.empty(0, dtype=int)


def _finish(figure: Figure, title: str, perturbation: xr.Dataset, lines: Sequence[Line]) -> None:
    """Title and legend."""
    names = [str(name) for name in lines[0].results.data_vars]
    known = len(_known(perturbation, names))
    selection = f"{len(lines)} of {known} injections" if len(lines) < known else ""
    bands = BANDS if any(has_band(perturbation, name) for name in names) else ""
    set_title(figure, f"{title}{whose(perturbation)}", selection, MEANING, bands)
    legend_below(figure)

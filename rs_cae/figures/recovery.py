"""How far the network brings back what was put elsewhere, by the depth at which that was done."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from rs_cae.figures.curves import marker_if_single
from rs_cae.figures.injections import NOTHING_LEFT, UNCORRECTED, set_title, unit_of_steps, whose
from rs_cae.figures.style import (
    ACCENT,
    GREY,
    MEAN_COLOUR,
    Control,
    dashed,
    depth_of,
    label_depth,
    legend_below,
    log_if_wide,
    panels,
    say_nothing_to_show,
)

LOWEST = -1.0
"""Below it the scale is logarithmic: states that are driven far away would leave no room for the rest."""

LEAST_SPAN = 0.2
"""Of a panel of recoveries: what is nearly nothing must not look large."""

LOW_MARKS = (-2.0, -5.0, *(-(10.0**power) for power in range(1, 9)))

AXIS = "recovery"
MEANING = "recovery: 1 back on the path, 0 as far from it as at the injection"
GRID = "states put on the grid"
RANDOM = "random perturbations of the same size"
TURNED = f"{RANDOM} (in the plane: turned)"
BANDS = "bands: 95 %"
DOTS: dict[str, Any] = {"marker": ".", "markersize": 3}


class Measure(NamedTuple):
    """Of how far states come back, by injection.

    Attributes:
        name: ``NAME_mean`` is drawn, with its interval and what it is held against.
        title: Of its panel.
        of_steps: Whether it is read at the last step, as all are but what the logits say.
    """

    name: str
    title: str
    of_steps: bool = True


MEASURES = (
    Measure("recovery", "full width"),
    Measure("recovery_direction", "direction, norms divided out"),
    Measure("recovery_plane", "in the plane"),
    Measure("kl", "distribution of the next token", of_steps=False),
)


def draw_recovery(perturbation: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Recovery by the depth of the injection, in full width, of the direction and in the plane, and what logits say.

    Recovery is 1 less the distance from the unperturbed run at the last step, as a share of that at the injection: 1 is
    back on its path, 0 no correction, below 0 driven away.

    Args:
        perturbation: ``recovery_mean`` with its interval and ``steps_left``; the other measures, those of random
            displacements and of what is only carried along, and ``recovery_untrained_mean`` if known.
        controls: Drawn in grey.
    """
    shown = [measure for measure in MEASURES if f"{measure.name}_mean" in perturbation]
    rows = 1 if len(shown) < 3 else 2
    columns = min(len(shown), 2)
    figure, grid = panels(rows, columns, 3.4 * columns if columns > 1 else 5.2, 2.1 * rows + 1.7)
    beside = [*_untrained(perturbation), *controls]
    for axes, measure in zip(grid.flat, shown, strict=False):
        axes.set_title(measure.title, fontsize=9)
        mean = perturbation[f"{measure.name}_mean"]
        if np.isfinite(mean.values).any():
            _draw_measure(axes, perturbation, measure, beside)
        else:
            nothing = measure.of_steps and not (perturbation["steps_left"].values > 0).any()
            say_nothing_to_show(axes, str(mean.attrs.get("note", NOTHING_LEFT if nothing else "not known")))
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes in grid.flat[: len(shown)][-columns:]:
        axes.set_xlabel("layer of the injection", fontsize=9)
    bands = BANDS if any(has_band(perturbation, f"{measure.name}_mean") for measure in shown) else ""
    set_title(figure, f"Recovery by the depth of the injection{whose(perturbation)}", MEANING, bands)
    legend_below(figure)
    return figure


def _untrained(perturbation: xr.Dataset) -> list[Control]:
    """The untrained model's recovery from the same displacements, if it was asked for."""
    names = [f"recovery_untrained_mean{end}" for end in ("", "_low", "_high")]
    held = {name: name.replace("untrained_", "") for name in names if name in perturbation}
    return [Control("untrained model, same perturbations", perturbation[list(held)].rename(held))] if held else []


def _draw_measure(axes: Axes, perturbation: xr.Dataset, measure: Measure, controls: Sequence[Control]) -> None:
    """A measure and what it is held against."""
    name, depth = f"{measure.name}_mean", perturbation["injection_depth"].values
    drawn = [_draw_curve(axes, perturbation, measure)]
    uncorrected: dict[str, Any] = {"label": UNCORRECTED, "linestyle": "-.", "color": MEAN_COLOUR}
    nulls = {"random": {"label": TURNED, "linestyle": ":", "color": "black"}, "uncorrected": uncorrected}
    if measure.name == "recovery":  # of what is only carried along it is 0 by definition
        del nulls["uncorrected"]
    for ending, look in nulls.items():
        null = f"{measure.name}_{ending}_mean"
        drawn.append(draw_with_band(axes, depth, perturbation, null, 0.12, **look, **DOTS, zorder=2.5))
    for control, look in dashed(controls if measure.of_steps else told_by_logits(controls)):
        place = control.results["injection_depth"].values
        drawn.append(draw_with_band(axes, place, control.results, name, 0.15, label=control.label, **look, **DOTS))
    values = np.concatenate(drawn)
    if measure.of_steps:
        draw_zero(axes, **(uncorrected | {"linewidth": 1.3} if measure.name == "recovery" else {"label": None}))
        set_recovery_scale(axes, values)
    else:
        set_divergence_scale(axes, values)
    label_depth(axes)
    axes.set_xlabel("")
    end = max(1.0, float(depth_of(perturbation).max()))
    axes.set_xlim(-0.04 * end, 1.04 * end)


def told_by_logits(controls: Sequence[Control]) -> list[Control]:
    """Those but the untrained: their distributions are nearly flat, so that a small divergence means nothing."""
    return [control for control in controls if "untrained" not in control.label]


def _draw_curve(axes: Axes, perturbation: xr.Dataset, measure: Measure) -> np.ndarray:
    """A measure with its values marked, hollow where fewer sublayers were left than to be read; all that was drawn."""
    depth, mean = perturbation["injection_depth"].values, perturbation[f"{measure.name}_mean"].values
    left = perturbation["steps_left"].values
    steps = int(perturbation.attrs.get("steps", left.max()))
    fewer = (left < steps) & measure.of_steps & np.isfinite(mean)
    look: dict[str, Any] = {"color": ACCENT, "markersize": 4.5 if len(mean) <= 16 else 2.5, "marker": "o"}
    face = ACCENT if (np.isfinite(mean) & ~fewer).any() else "white"
    name = f"{measure.name}_mean"
    drawn = draw_with_band(axes, depth, perturbation, name, label=GRID, markerfacecolor=face, zorder=3, **look)
    if fewer.any():
        label = f"fewer than {steps} {unit_of_steps(perturbation)}{'s' * (steps != 1)} left"
        hollow: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "zorder": 3.1}
        axes.plot(depth[fewer], mean[fewer], label=label, **hollow, **look)
    return drawn


def has_band(perturbation: xr.Dataset, name: str) -> bool:
    """Whether the interval of a variable is known anywhere."""
    return f"{name}_low" in perturbation and bool(np.isfinite(perturbation[f"{name}_low"].values).any())


def draw_with_band(
    axes: Axes, places: np.ndarray, held: xr.Dataset, name: str, alpha: float = 0.22, **look: Any
) -> np.ndarray:
    """A line and its interval, if they are there; a bar where there is but one value.

    Args:
        axes: The panel.
        places: On the horizontal axis [values].
        held: Holds NAME, and perhaps NAME_low and NAME_high [values].
        name: Of the variable.
        alpha: Of the band.
        **look: Of the line.

    Returns:
        All values that were drawn.
    """
    if name not in held or not np.isfinite(held[name].values).any():
        return np.empty(0)
    values = held[name].values
    seen = {} if look.get("marker") == "o" else marker_if_single(values)
    axes.plot(places, values, **{"linewidth": 1.3, **look, **seen})
    if not has_band(held, name):
        return values
    low, high = held[f"{name}_low"].values, held[f"{name}_high"].values
    band: dict[str, Any] = {"color": look["color"], "alpha": alpha, "zorder": 1.8}
    if np.isfinite(values).sum() == 1:
        axes.vlines(places, low, high, linewidth=5, **band)
    else:
        axes.fill_between(places, low, high, linewidth=0, **band)
    return np.concatenate([values, low, high])


def draw_zero(axes: Axes, **look: Any) -> None:
    """A line at 0, which in full width is the recovery of what is only carried along."""
    axes.axhline(0, **{"color": GREY, "linewidth": 0.8, "zorder": 1, "label": UNCORRECTED, **look})


def set_recovery_scale(axes: Axes, values: np.ndarray) -> None:
    """A vertical axis of recovery, logarithmic where it would leave no room for the rest."""
    known = np.append(values[np.isfinite(values)], 0.0)
    low, high = float(known.min()), float(known.max())
    widened = max(LEAST_SPAN - (high - low), 0.0) / 2
    low, high = low - widened, high + widened
    margin = 0.06 * max(high - max(low, LOWEST), 0.1)
    axes.set_ylim(low - margin, high + margin)
    axes.set_ylabel(AXIS, fontsize=9)
    if low < LOWEST:
        axes.set_yscale("symlog", linthresh=-LOWEST)
        axes.set_ylim(1.6 * low, high + margin)
        marks = [*LOW_MARKS[2:], *(LOW_MARKS[:2] if low > LOW_MARKS[2] else ()), -1.0, -0.5, 0.0, 0.5, 1.0]
        axes.yaxis.set_major_locator(FixedLocator([mark for mark in marks if mark >= 1.6 * low]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel(f"{AXIS} (log below {LOWEST:g})", fontsize=9)


def set_divergence_scale(axes: Axes, values: np.ndarray) -> None:
    """A vertical axis of divergences, which are 0 or above but for rounding."""
    log_if_wide(axes, values[values > 0])
    axes.set_ylabel("KL divergence [nats]", fontsize=9)

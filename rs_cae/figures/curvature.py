"""How sharply trajectories turn by depth, in full width and in the latent space, beside the same steps reordered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rs_cae.figures.curves import Curve, draw_controls, marker_if_single, set_scale
from rs_cae.figures.style import ACCENT, Control, depth_of, label_depth, legend_below, say_nothing_to_show, single_panel

MEAN_COLOUR = "#b35806"
"""Of the mean trajectory."""


def degrees(axes: Axes, values: np.ndarray) -> None:
    """A vertical axis of angles, with marks that are angles that one knows."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -4.0), min(high, 184.0))
    spread = min(high, 184.0) - max(low, -4.0)
    step = next((step for step in (5, 10, 15, 30) if spread <= 6 * step), 45)
    axes.set_yticks([mark for mark in range(0, 181, step) if low <= mark <= high])


NOTHING = "nothing turns: three sublayers and steps between them are needed"
SAMPLES = Curve("turning_angle_mean", "angle to the next step [degree]", "same steps, shuffled", degrees)
MEAN = Curve("turning_angle_mean_trajectory", SAMPLES.label, SAMPLES.null, degrees)
WORDS = {SAMPLES.name: "mean over samples", MEAN.name: "mean trajectory"}


def draw_turning_angle(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Turning angle by depth in full width.

    Args:
        dynamics: ``turning_angle_mean`` and ``turning_angle_mean_trajectory`` with intervals and nulls.
        controls: Drawn in grey: their angles of samples.
    """
    return _draw(dynamics, controls, "Turning angle in full width")


def draw_latent_turning_angle(latent: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Turning angle by depth in the latent space.

    Args:
        latent: The same variables.
        controls: Drawn in grey, each in its own latent space.
    """
    return _draw(latent, controls, "Turning angle in the latent space")


def _draw(results: xr.Dataset, controls: Sequence[Control], title: str) -> Figure:
    figure, axes = single_panel(5.4, 4.0)
    axes.set_title(title, fontsize=10)
    if not np.isfinite(results[SAMPLES.name].values).any():
        say_nothing_to_show(axes, str(results[SAMPLES.name].attrs.get("note", NOTHING)))
        return figure
    _draw_path(axes, results, SAMPLES, ACCENT, "o")
    _draw_path(axes, results, MEAN, MEAN_COLOUR, "s")
    draw_controls(axes, controls, SAMPLES.name)
    set_scale(axes, SAMPLES, results, controls)
    label_depth(axes)
    legend_below(figure)
    return figure


def _draw_path(axes: Axes, results: xr.Dataset, curve: Curve, colour: str, marker: str) -> None:
    """A curve with its interval, and with its nulls in the same colour: each has its own."""
    depth, words = depth_of(results), WORDS[curve.name]
    values, null, low, high = (results[f"{curve.name}{end}"].values for end in ("", "_null", "_low", "_high"))
    if np.isfinite(low).any():
        axes.fill_between(depth, low, high, color=colour, alpha=0.25, linewidth=0, zorder=2)
        words += " (band: 95 %)"
    axes.plot(depth, values, color=colour, marker=marker, markersize=3, linewidth=1.2, zorder=3, label=words)
    look: dict[str, Any] = {"color": colour, "zorder": 2.5, **marker_if_single(null)}
    axes.plot(depth, null, linestyle=":", linewidth=1.3, label=curve.null, **look)
    if "mlp" in results["site"].values and f"{curve.name}_null_within_kind" in results:
        null = results[f"{curve.name}_null_within_kind"].values
        axes.plot(depth, null, linestyle="-.", linewidth=0.8, label="shuffled, attention and MLP apart", **look)

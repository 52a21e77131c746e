"""How sharply trajectories turn by depth, in full width and in the latent space, beside the same steps reordered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rs_cae.figures.curves import Curve, draw_controls, draw_curve, marker_if_single, set_scale
from rs_cae.figures.style import (
    ACCENT,
    MEAN_COLOUR,
    Control,
    degrees,
    depth_of,
    label_depth,
    legend_below,
    say_nothing_to_show,
    single_panel,
)

NOTHING = "nothing turns: three sublayers and steps between them are needed"
LABEL = "angle to the next step [degree]"
SAMPLES = Curve("turning_angle_mean", LABEL, "same steps, shuffled", degrees, "mean over samples")
MEAN = Curve("turning_angle_mean_trajectory", LABEL, SAMPLES.null, degrees, "mean trajectory")


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
    for curve, colour, marker in ((SAMPLES, ACCENT, "o"), (MEAN, MEAN_COLOUR, "s")):
        draw_curve(axes, results, curve, colour, marker, null_colour=colour)
        _draw_apart(axes, results, curve, colour)
    draw_controls(axes, controls, SAMPLES.name)
    set_scale(axes, SAMPLES, results, controls)
    label_depth(axes)
    legend_below(figure)
    return figure


def _draw_apart(axes: Axes, results: xr.Dataset, curve: Curve, colour: str) -> None:
    """What a curve would be were attention and MLP steps shuffled apart."""
    name = f"{curve.name}_null_within_kind"
    if "mlp" in results["site"].values and name in results:
        values = results[name].values
        look: dict[str, Any] = {"color": colour, "linewidth": 0.8, "zorder": 2.5, **marker_if_single(values)}
        axes.plot(depth_of(results), values, linestyle="-.", label="shuffled, attention and MLP apart", **look)

"""How many dimensions the states fill, by depth."""

from collections.abc import Sequence
from functools import partial

import xarray as xr
from matplotlib.figure import Figure

from rs_cae.figures.curves import Curve, draw_controls, draw_curve, set_scale
from rs_cae.figures.style import ACCENT, Control, label_depth, legend_below, log_if_wide, panels, start_at_zero

LOGARITHMIC = partial(log_if_wide, factor=1.0)
DIMENSIONS = (
    Curve("covariance_dimension", "by the covariance", "upper panel: isotropic noise", LOGARITHMIC, "estimate"),
    Curve(
        "two_nn", "by the two\nnearest neighbours", "lower panel: Gaussian of its covariance", start_at_zero, "estimate"
    ),
)


def draw_intrinsic_dimension(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Intrinsic dimension at each sublayer: participation ratio of the covariance's spectrum, and TwoNN.

    The first is on a logarithmic axis, for its null is the width of the stream.

    Args:
        dynamics: ``covariance_dimension`` and ``two_nn`` with interval and null, as in ``dynamics.nc``.
        controls: Drawn in grey.
    """
    figure, grid = panels(2, 1, 4.8, 4.6, sharex=True)
    for axes, curve in zip(grid.flat, DIMENSIONS, strict=True):
        draw_curve(axes, dynamics, curve, ACCENT)
        draw_controls(axes, controls, curve.name)
        set_scale(axes, curve, dynamics, controls)
    label_depth(grid[-1, 0])
    grid[0, 0].set_title("Intrinsic dimension of the states", fontsize=10)
    legend_below(figure)
    return figure

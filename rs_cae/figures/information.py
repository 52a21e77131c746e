"""Figures 1G and 1H of the paper: how much a unit's activation says of the next one."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rs_cae.figures.curves import Curve, draw_by_kind
from rs_cae.figures.maps import Colouring, draw_unit_map
from rs_cae.figures.style import DEPTH_MAP, Control, mean_of_known, start_at_zero

INFORMATION = Curve(
    "mutual_information_mean", "mean over units [nat]", "this run, if updates were unrelated", start_at_zero
)


def draw_mutual_information_map(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 1G: mutual information of each unit's successive activations, units sorted by its mean.

    Colours end at the 99th percentile. Units whose information was not estimated are left out.

    Args:
        dynamics: ``mutual_information`` with the coordinates of its sublayers, as in ``dynamics.nc``.
        controls: Not drawn; ``draw_mutual_information`` has their means.
    """
    values = dynamics["mutual_information"].values
    known = values[np.isfinite(values)]
    high = float(np.quantile(known, 0.99)) if known.size else 0.0
    colouring = Colouring(DEPTH_MAP, Normalize(0.0, high or 1.0), "mutual information [nat]")
    figure = draw_unit_map(dynamics, "mutual_information", mean_of_known(values, axis=0), "mean", colouring)
    figure.axes[0].set_title("Mutual information of each unit with itself a step later", fontsize=10)
    return figure


def draw_mutual_information(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 1H: mutual information by depth, mean over units, beside what unrelated updates would give.

    Args:
        dynamics: ``mutual_information_mean`` with interval and null.
        controls: Drawn in grey.
    """
    return draw_by_kind(dynamics, controls, [INFORMATION], "Mutual information of successive activations")

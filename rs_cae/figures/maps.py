"""Heat maps over depth."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rs_cae.figures.style import MISSING, depth_of, label_depth, say_nothing_to_show, single_panel


class Colouring(NamedTuple):
    """How values become colours.

    Attributes:
        name: Of a colour map.
        norm: Its limits.
        label: What the values are, with their unit.
        ticks: Values that are marked; left to matplotlib if None.
    """

    name: str
    norm: Normalize
    label: str
    ticks: list[float] | None = None


def draw_unit_map(results: xr.Dataset, name: str, by: np.ndarray, order: str, colouring: Colouring) -> Figure:
    """Units by depth, sorted, the largest at the top; units without any value are left out.

    Args:
        results: Holds the variable [sublayers or transitions, units], and the coordinates of its sublayers.
        name: Of the variable.
        by: [units], what units are sorted by.
        order: What that is, for the axis.
        colouring: Of the values.
    """
    figure, axes = single_panel(4.6, 3.8)
    along, values = str(results[name].dims[0]), results[name].values.T
    known = np.isfinite(values).any(axis=1)
    if known.any():
        rows = values[known][np.argsort(by[known], kind="stable")]
        draw_map(axes, rows, (0, len(rows)), depth_of(results, along), colouring)
    else:
        say_nothing_to_show(axes, "no unit has a value")
    left_out = f" ({(~known).sum()} unknown left out)" if not known.all() else ""
    axes.set_ylabel(f"units, sorted by {order}{left_out}", fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    label_depth(axes)
    return figure


def draw_map(
    axes: Axes, values: np.ndarray, span: tuple[float, float], depth: np.ndarray, colouring: Colouring
) -> None:
    """A heat map with its colour bar.

    Args:
        axes: The panel.
        values: [rows, depth], from the bottom up.
        span: Vertical coordinates of the bottom and the top.
        depth: [depth], in layers.
        colouring: Of the values.
    """
    half = float(np.diff(depth).min()) / 2 if len(depth) > 1 else 0.25
    extent = (float(depth[0]) - half, float(depth[-1]) + half, *span)
    colour_map = colormaps[colouring.name].with_extremes(bad=MISSING)
    image = axes.imshow(values, cmap=colour_map, norm=colouring.norm, aspect="auto", origin="lower", extent=extent)
    known = values[np.isfinite(values)]
    beyond = bool((known < image.norm.vmin).any()), bool((known > image.norm.vmax).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}[beyond]
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    bar = figure.colorbar(image, ax=axes, extend=extend, shrink=0.9, ticks=colouring.ticks, format="{x:g}")
    bar.set_label(colouring.label, fontsize=9)
    bar.ax.tick_params(labelsize=8)

"""One look for all figures."""

from typing import NamedTuple

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WITHIN = "#1b7837"
ACROSS = "#2166ac"
ACCENT = "#7b3294"
GREY = "0.55"
DEPTH_MAP = "viridis"


class Control(NamedTuple):
    """Another run's results, drawn in grey behind those of the run that is shown.

    Attributes:
        label: What it is, such as ``untrained``.
        results: The same dataset of that run.
    """

    label: str
    results: xr.Dataset


def single_panel(width: float = 5.2, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure of one panel, sizes in inches, that needs neither a display nor global state."""
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def label_depth(axes: Axes, layers: list[int]) -> None:
    """Mark the horizontal axis, which counts sublayers or transitions, by the layers of its first entries.

    Args:
        axes: The panel.
        layers: The layer of each position on the axis.
    """
    firsts = [position for position, layer in enumerate(layers) if position == 0 or layer != layers[position - 1]]
    step = max(1, -(-len(firsts) // 12))
    axes.set_xticks(firsts[::step], [str(layers[position]) for position in firsts[::step]])
    axes.set_xlabel("layer", fontsize=9)

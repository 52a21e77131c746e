"""Plots to be hovered over, as plotly figures: trajectories, the field of arrows, and units."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from rs_cae.report.interactive.look import CONFIG
from rs_cae.report.interactive.quiver import plot_perturbation_field
from rs_cae.report.interactive.trajectories import plot_trajectories
from rs_cae.report.interactive.units import plot_portrait, plot_units

__all__ = [
    "CONFIG",
    "INTERACTIVE",
    "Plot",
    "plot_perturbation_field",
    "plot_portrait",
    "plot_trajectories",
    "plot_units",
    "plottable",
]


class Plot(NamedTuple):
    """An interactive plot.

    Attributes:
        dataset: Name of the dataset that it is made from.
        needs: Variables that this must hold.
        plot: Makes it.
    """

    dataset: str
    needs: tuple[str, ...]
    plot: Callable[[xr.Dataset], go.Figure]


INTERACTIVE = {
    "portraits": Plot("dynamics", ("mean_activation", "rotations"), plot_portrait),
    "rotations_by_unit": Plot(
        "dynamics", ("rotations", "rotations_surrogate_mean", "rotations_surrogate_std"), plot_units
    ),
    "mean_trajectory": Plot("latent", ("latents", "last_token_text", "mean_trajectory"), plot_trajectories),
    "perturbation_field": Plot(
        "perturbation", ("displacement", "trajectories", "control", "steps_left"), plot_perturbation_field
    ),
}
"""By the name of the figure on paper that shows the same."""


def plottable(datasets: Mapping[str, xr.Dataset]) -> dict[str, Plot]:
    """The plots that can be made: those whose variables are there and hold a number, or text.

    Args:
        datasets: By name.
    """
    return {
        name: plot
        for name, plot in INTERACTIVE.items()
        if plot.dataset in datasets and all(_holds(datasets[plot.dataset], need) for need in plot.needs)
    }


def _holds(dataset: xr.Dataset, name: str) -> bool:
    if name not in dataset:
        return False
    values = dataset[name].values
    return bool(np.isfinite(values).any() if values.dtype.kind == "f" else values.size)

"""Figures 1B to 1F of the paper: how states and their units move from one sublayer to the next."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from rs_cae.figures.curves import Curve, draw_by_kind, draw_controls, draw_curve, marker_if_single, set_scale
from rs_cae.figures.fisher import LIMIT, fisher_marks, fisher_norm, spread_near_one, to_fisher
from rs_cae.figures.maps import Colouring, draw_map, draw_unit_map
from rs_cae.figures.style import (
    ACCENT,
    DEPTH_MAP,
    SIGNED_MAP,
    Control,
    dashed,
    depth_of,
    label_depth,
    legend_below,
    mean_of_known,
    panels,
    say_nothing_to_show,
    single_panel,
    start_at_zero,
)

COSINE = Curve("cosine_similarity_mean", "mean cosine", "this run, if updates were other samples'", spread_near_one)
CORRELATION = Curve("correlation_mean", "mean r", "this run, if updates were unrelated", spread_near_one)
SPEEDS = (
    Curve("velocity_mean", "step length\n[activation]"),
    Curve("relative_velocity_mean", "step length /\nnorm before it"),
)
DENSITIES = (
    Curve("norm_mean", "L2 norm [activation]"),
    Curve("mean_abs_mean", "mean |activation|"),
    Curve("participation_ratio_mean", "participation ratio", "Gaussian vectors", start_at_zero),
)


def draw_mean_activation(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 1B: the mean activation of every unit by depth, units sorted by that at the last sublayer.

    Colours end at the 99th percentile of absolute values, for a few units are far larger than the rest.

    Args:
        dynamics: ``mean_activation`` with the coordinates of its sublayers, as in ``dynamics.nc``.
        controls: Not drawn: the order of units means nothing in another run.
    """
    values = dynamics["mean_activation"].values
    sizes = np.abs(values[np.isfinite(values)])
    limit = float(np.quantile(sizes, 0.99)) if sizes.size else 0.0
    colouring = Colouring(SIGNED_MAP, Normalize(-(limit or 1.0), limit or 1.0), "mean over samples [activation]")
    figure = draw_unit_map(dynamics, "mean_activation", values[-1], "final activation", colouring)
    figure.axes[0].set_title("Mean activation of each unit", fontsize=10)
    return figure


def draw_correlation_map(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 1C: correlation over samples of each unit's successive activations, units sorted by its mean.

    Colours are spaced on Fisher's scale, and end at the 1st and the 99th percentile.

    Args:
        dynamics: ``correlation`` with the coordinates of its sublayers.
        controls: Not drawn; ``draw_correlation`` has their means.
    """
    values = dynamics["correlation"].values
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.01, 0.99]).clip(-LIMIT, LIMIT) if known.size else (0.0, LIMIT)
    norm = fisher_norm(min(low, high - 0.01), high)
    colouring = Colouring(DEPTH_MAP, norm, "correlation r over samples", fisher_marks(low, high) or None)
    figure = draw_unit_map(dynamics, "correlation", mean_of_known(values, axis=0), "mean r", colouring)
    figure.axes[0].set_title("Correlation of each unit with itself a step later", fontsize=10)
    return figure


def draw_correlation_histograms(dynamics: xr.Dataset, controls: Sequence[Control] = (), bins: int = 40) -> Figure:
    """Figure 1D: how the correlations of all units are distributed at each transition, with their median.

    Args:
        dynamics: ``correlation`` with the coordinates of its sublayers.
        controls: Their medians are drawn in grey.
        bins: Between the lowest correlation and 1, of equal width on Fisher's scale.
    """
    figure, axes = single_panel(5.2, 3.8)
    axes.set_title("Distribution of correlations over units", fontsize=10)
    axes.set_ylabel("correlation r over samples", fontsize=9)
    label_depth(axes)
    columns = [to_fisher(row[np.isfinite(row)]) for row in dynamics["correlation"].values]
    if not any(column.size for column in columns):
        say_nothing_to_show(axes, "no unit has a correlation")
        return figure
    beside = [(control, look, _medians(control.results)) for control, look in dashed(controls)]
    edges = _edges(np.concatenate([*columns, *(medians for _, _, medians in beside)]), bins)
    counts = np.stack([np.histogram(column, edges)[0] for column in columns], axis=1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    depth = depth_of(dynamics, "transition")
    colouring = Colouring("Purples", PowerNorm(0.5, 0.0, float(shares.max())), "share of units")
    draw_map(axes, shares, (edges[0], edges[-1]), depth, colouring)
    own = _medians(dynamics)
    axes.plot(depth, own, color="black", linewidth=1, label="median", **marker_if_single(own))
    for control, look, medians in beside:
        if np.isfinite(medians).any():
            place = depth_of(control.results, "transition")
            axes.plot(place, medians, label=f"median, {control.label}", **look, **marker_if_single(medians))
    marks = fisher_marks(*np.tanh(edges[[0, -1]]))
    axes.set_yticks(to_fisher(np.array(marks)), [f"{mark:g}".replace("-", "\N{MINUS SIGN}") for mark in marks])
    legend_below(figure)
    return figure


def _medians(results: xr.Dataset) -> np.ndarray:
    """[transitions], the median over the units whose correlation is known, on Fisher's scale."""
    if "correlation" not in results:
        return np.full(results.sizes["transition"], np.nan)
    rows = [row[np.isfinite(row)] for row in results["correlation"].values]
    return to_fisher(np.array([np.median(row) if row.size else np.nan for row in rows]))


def _edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Of bins that hold all known values, and 0.9, on Fisher's scale."""
    known = values[np.isfinite(values)]
    low = float(min(known.min(), to_fisher(np.array(0.9))))
    return np.linspace(low, max(float(known.max()), low + 0.1), bins + 1)


def draw_correlation(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """The mean correlation over units at each transition, beside what unrelated updates would give.

    Args:
        dynamics: ``correlation_mean`` with interval and null.
        controls: Drawn in grey.
    """
    return draw_by_kind(dynamics, controls, [CORRELATION], "Correlation of a unit's successive activations")


def draw_cosine_similarity(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 1E: cosine of successive states, within a layer in green and across layers in blue.

    Args:
        dynamics: ``cosine_similarity_mean`` with interval and null.
        controls: Drawn in grey.
    """
    return draw_by_kind(dynamics, controls, [COSINE], "Cosine of successive states, mean over samples")


def draw_velocity(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 1F: the length of each step, and the same relative to the norm of the state that it starts from.

    Args:
        dynamics: ``velocity_mean`` and ``relative_velocity_mean`` with intervals.
        controls: Drawn in grey.
    """
    return draw_by_kind(dynamics, controls, SPEEDS, "Velocity of the state, mean over samples")


def draw_density(dynamics: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Does the state grow, and over how many units is it spread?

    Args:
        dynamics: ``norm_mean``, ``mean_abs_mean`` and ``participation_ratio_mean`` with intervals.
        controls: Drawn in grey.
    """
    figure, grid = panels(3, 1, 4.4, 5.6, sharex=True)
    for axes, curve in zip(grid.flat, DENSITIES, strict=True):
        draw_curve(axes, dynamics, curve, ACCENT)
        draw_controls(axes, controls, curve.name)
        set_scale(axes, curve, dynamics, controls)
    label_depth(grid[-1, 0])
    grid[0, 0].set_title("Size and density of the state, mean over samples", fontsize=10)
    legend_below(figure)
    return figure

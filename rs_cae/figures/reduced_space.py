"""Figure 3 of the paper: the residual stream in the reduced space (B, C, D)."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from rs_cae.figures.curves import KINDS, all_values, draw_controls
from rs_cae.figures.style import (
    ACCENT,
    DEPTH_MAP,
    GREY,
    Control,
    depth_of,
    label_depth,
    legend_below,
    log_if_wide,
    say_nothing_to_show,
    single_panel,
)

LOWEST_SHARE = -1.0
"""Shares of variance below it are counted instead of shown: one of -50 would leave no room for the rest."""


def draw_mean_trajectory(latent: xr.Dataset, controls: Sequence[Control] = (), individuals: int = 60) -> Figure:
    """Figure 3B: the mean trajectory in the first two latents, depth as colour, a few single trajectories behind it.

    Samples fall into groups by the token that is read, and the mean over all of them may lie where none does; so the
    mean of the largest group is drawn too.

    With a bottleneck of 1 the only latent is drawn over depth.

    Args:
        latent: ``latents``, ``last_token_text`` and ``mean_trajectory`` with their coordinates, as in ``latent.nc``.
        controls: Not drawn: another run's latents live in another space.
        individuals: How many single trajectories are drawn in grey.
    """
    figure, axes = single_panel(5.4, 4.2)
    mean = latent["mean_trajectory"].values
    if not np.isfinite(mean).any():
        say_nothing_to_show(axes, latent["mean_trajectory"].attrs.get("note", "no trajectory is known"))
        return figure
    token, share, ending_alike = _mean_of_commonest_token(latent)
    chosen = np.linspace(0, latent.sizes["sample"] - 1, min(individuals, latent.sizes["sample"])).astype(int)
    single = latent["latents"].values[chosen]
    depth, names = depth_of(latent), [str(name) for name in latent["latent"].values]
    if mean.shape[1] == 1:
        over_depth = np.broadcast_to(depth, single.shape[:2])
        mean, single = np.column_stack([depth, mean]), np.dstack([over_depth, single[..., 0]])
        ending_alike = np.column_stack([depth, ending_alike])
        label_depth(axes)
        axes.set_ylabel(names[0], fontsize=9)
    else:
        mean, single, ending_alike = mean[:, :2], single[..., :2], ending_alike[:, :2]
        axes.set_xlabel(names[0], fontsize=9)
        axes.set_ylabel(names[1], fontsize=9)
    axes.add_collection(LineCollection(list(single), colors="0.6", linewidths=0.4, alpha=0.5))
    axes.plot(*ending_alike.T, "--", color="black", lw=1, label=f"mean of the {share:.0%} that are read at {token!r}")
    _draw_mean(axes, mean, depth)
    _label_ends(axes, mean, [str(label) for label in latent["sublayer"].values])
    count = latent.sizes["sample"]
    axes.set_title(f"Mean trajectory of {count} sample{'s' * (count > 1)} (grey: {len(chosen)} of them)", fontsize=10)
    legend_below(figure)
    return figure


def _draw_mean(axes: Axes, mean: np.ndarray, depth: np.ndarray) -> None:
    """The mean trajectory [sublayers, 2], depth as colour, and what the colours mean."""
    colour = Normalize(0, float(depth.max()))
    segments = np.stack([mean[:-1], mean[1:]], axis=1)
    axes.add_collection(LineCollection(list(segments), cmap=DEPTH_MAP, norm=colour, array=depth[:-1], linewidths=2))
    points = axes.scatter(
        mean[:, 0], mean[:, 1], s=22, c=depth, cmap=DEPTH_MAP, norm=colour, zorder=3, edgecolors="white", linewidths=0.5
    )
    axes.margins(0.08)
    axes.autoscale()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    bar = figure.colorbar(points, ax=axes, shrink=0.8, ticks=MaxNLocator(integer=True, min_n_ticks=1))
    bar.set_label("layer", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _label_ends(axes: Axes, mean: np.ndarray, labels: list[str]) -> None:
    """Name both ends of a trajectory [sublayers, 2], each on its outer side, and on two sides if they are close."""
    ends = mean[[0, -1]]
    rightward, upward = (ends >= mean.mean(axis=0)).T
    width, height = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    apart_x, apart_y = np.abs(ends[0] - ends[1]) / [width, height]
    if apart_x < 0.2 and apart_y < 0.1:
        rightward = np.array([ends[0, 0] > ends[1, 0], ends[0, 0] <= ends[1, 0]])
        upward = np.array([ends[0, 1] > ends[1, 1], ends[0, 1] <= ends[1, 1]])
    across = (ends[:, 0] - axes.get_xlim()[0]) / width
    rightward = (rightward | (across < 0.15)) & (across < 0.85)  # inside the panel
    for place, label, right, up in zip(ends, (labels[0], labels[-1]), rightward, upward, strict=True):
        axes.annotate(
            label,
            tuple(place),
            xytext=(5 if right else -5, 5 if up else -5),
            textcoords="offset points",
            fontsize=8,
            ha="left" if right else "right",
            va="bottom" if up else "top",
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=5,
        )


def _mean_of_commonest_token(latent: xr.Dataset) -> tuple[str, float, np.ndarray]:
    """The commonest token, the share of samples that are read at it, and their mean trajectory [sublayers, latents]."""
    texts, counts = np.unique(latent["last_token_text"].values.astype(str), return_counts=True)
    token = str(texts[counts.argmax()])
    alike = latent["last_token_text"].values == token
    return token, float(alike.mean()), latent["latents"].values[alike].mean(axis=0)


def draw_layer_distance(latent: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 3C: distance between successive sublayers in the latent space, with its 95 % interval over texts.

    Args:
        latent: ``layer_distance`` with its interval, as in ``latent.nc``.
        controls: Not drawn: another run's latents have another unit.
    """
    figure, axes = single_panel()
    distance, depth = latent["layer_distance"].values, depth_of(latent, "transition")
    low, high = latent["layer_distance_low"].values, latent["layer_distance_high"].values
    axes.plot(depth, distance, color=GREY, linewidth=0.8, zorder=1)
    sequential = "mlp" in latent["site"].values
    names = {"within": "attention (within a layer)", "across": "MLP (to the next layer)"}
    for kind, (colour, marker) in KINDS.items():
        of_kind = latent["kind"].values == kind
        if of_kind.any():
            errors = np.maximum([(distance - low)[of_kind], (high - distance)[of_kind]], 0.0)  # but for rounding
            label = names[kind] if sequential else "attention and MLP (to the next layer)"
            place = depth[of_kind], distance[of_kind], errors
            axes.errorbar(*place, fmt=marker, markersize=4, color=colour, label=label, linewidth=1)
    if not np.isfinite(distance).any():
        say_nothing_to_show(axes, latent["layer_distance"].attrs.get("note", "no distance is known"))
    label_depth(axes)
    log_if_wide(axes, np.concatenate([distance, low]))
    axes.set_ylabel("distance [latent units]", fontsize=9)
    axes.set_title("Distance between successive sublayers", fontsize=10)
    legend_below(figure)
    return figure


def draw_explained_variance(latent: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 3D: explained variance and r2 on the test set by sublayer, the pooled value as a line.

    Args:
        latent: ``explained_variance`` with its interval, ``explained_variance_pooled`` and ``r2``, as in ``latent.nc``.
        controls: Their explained variance is drawn in grey.
    """
    figure, axes = single_panel(5.2, 4.0)
    explained, r2, depth = latent["explained_variance"].values, latent["r2"].values, depth_of(latent)
    low, high = latent["explained_variance_low"].values, latent["explained_variance_high"].values
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    pooled = float(latent["explained_variance_pooled"])
    axes.axhline(pooled, color=ACCENT, linewidth=0.8, linestyle="--", label=f"explained variance, pooled: {pooled:.2f}")
    axes.fill_between(depth, low, high, color=ACCENT, alpha=0.2, linewidth=0)
    axes.plot(depth, explained, "o-", color=ACCENT, markersize=4, lw=1.2, label="explained variance (band: 95 %)")
    unseen = int((r2 < LOWEST_SHARE).sum())
    words = f"; {unseen} below {LOWEST_SHARE:g}" if unseen else ""
    axes.plot(depth, r2, "s", color="0.35", markersize=3.5, mfc="none", label=f"r2 (counts a bias as error{words})")
    draw_controls(axes, controls, "explained_variance")
    shown = np.concatenate([all_values(latent, controls, "explained_variance"), low, r2, [0.0]])
    axes.set_ylim(max(LOWEST_SHARE, float(shown[np.isfinite(shown)].min())) - 0.05, 1.02)
    label_depth(axes)
    axes.set_ylabel("share of variance over texts", fontsize=9)
    axes.set_title("Explained variance on the test texts, raw units", fontsize=10)
    legend_below(figure)
    return figure

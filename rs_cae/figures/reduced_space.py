"""Figure 3 of the paper: the residual stream in the reduced space (B, C, D)."""

import numpy as np
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rs_cae.figures.style import ACCENT, ACROSS, DEPTH_MAP, GREY, WITHIN, label_depth, single_panel


def draw_mean_trajectory(latent: xr.Dataset, individuals: int = 60) -> Figure:
    """Figure 3B: the mean trajectory in the first two latents, depth as colour, a few single trajectories behind it.

    Samples fall into groups by the token that is read, and the mean over all of them may lie where none does; so the
    mean of the largest group is drawn too.

    With a bottleneck of 1 the only latent is drawn over depth.

    Args:
        latent: ``latents``, ``last_token_text`` and ``mean_trajectory`` with their coordinates, as in ``latent.nc``.
        individuals: How many single trajectories are drawn in grey.
    """
    figure, axes = single_panel(5.4, 4.2)
    mean = latent["mean_trajectory"].values
    token, share, ending_alike = _mean_of_commonest_token(latent)
    chosen = np.linspace(0, latent.sizes["sample"] - 1, min(individuals, latent.sizes["sample"])).astype(int)
    single = latent["latents"].values[chosen]
    depth = latent["layer"].values + np.where(latent["site"].values == "mlp", 0.5, 0.0)
    if mean.shape[1] == 1:
        over_depth = np.broadcast_to(depth, single.shape[:2])
        mean, single = np.column_stack([depth, mean]), np.dstack([over_depth, single[..., 0]])
        ending_alike = np.column_stack([depth, ending_alike])
        axes.set(xlabel="layer", ylabel="latent 0")
    else:
        mean, single, ending_alike = mean[:, :2], single[..., :2], ending_alike[:, :2]
        axes.set(xlabel="latent 0", ylabel="latent 1")
    axes.add_collection(LineCollection(list(single), colors="0.6", linewidths=0.4, alpha=0.5))
    axes.plot(*ending_alike.T, "--", color="black", lw=1, label=f"mean of the {share:.0%} that are read at {token!r}")
    figure.legend(fontsize=8, frameon=False, loc="outside lower center")
    colour = Normalize(0, float(depth.max()))
    segments = np.stack([mean[:-1], mean[1:]], axis=1)
    axes.add_collection(LineCollection(list(segments), cmap=DEPTH_MAP, norm=colour, array=depth[:-1], linewidths=2))
    points = axes.scatter(
        mean[:, 0], mean[:, 1], s=22, c=depth, cmap=DEPTH_MAP, norm=colour, zorder=3, edgecolors="white", linewidths=0.5
    )
    ends = zip((mean[0], mean[-1]), latent["sublayer"].values[[0, -1]], strict=True)
    for point, label in ends:
        axes.annotate(str(label), point, xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.autoscale()
    figure.colorbar(points, ax=axes, label="layer", shrink=0.8)
    axes.set_title(f"Mean trajectory of {latent.sizes['sample']} samples (grey: {len(chosen)} of them)", fontsize=10)
    return figure


def _mean_of_commonest_token(latent: xr.Dataset) -> tuple[str, float, np.ndarray]:
    """The commonest token, the share of samples that are read at it, and their mean trajectory [sublayers, latents]."""
    texts, counts = np.unique(latent["last_token_text"].values.astype(str), return_counts=True)
    token = str(texts[counts.argmax()])
    alike = latent["last_token_text"].values == token
    return token, float(alike.mean()), latent["latents"].values[alike].mean(axis=0)


def draw_layer_distance(latent: xr.Dataset) -> Figure:
    """Figure 3C: distance between successive sublayers in the latent space, with its 95 % interval over texts."""
    figure, axes = single_panel()
    distance = latent["layer_distance"].values
    position = np.arange(len(distance))
    low, high = latent["layer_distance_low"].values, latent["layer_distance_high"].values
    axes.plot(position, distance, color=GREY, linewidth=0.8, zorder=1)
    sequential = "mlp" in latent["site"].values
    for kind, colour, label in (
        ("within", WITHIN, "attention (within a layer)"),
        ("across", ACROSS, "MLP (to the next)" if sequential else "attention and MLP (to the next layer)"),
    ):
        of_kind = latent["kind"].values == kind
        if of_kind.any():
            errors = [(distance - low)[of_kind], (high - distance)[of_kind]]
            axes.errorbar(position[of_kind], distance[of_kind], errors, fmt="o", ms=4, color=colour, label=label, lw=1)
    label_depth(axes, [int(layer) for layer in latent["layer"].values[:-1]])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("distance [latent units]", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("Distance between successive sublayers", fontsize=10)
    return figure


def draw_explained_variance(latent: xr.Dataset) -> Figure:
    """Figure 3D: explained variance and r2 on the test set by sublayer, the pooled value as a line."""
    figure, axes = single_panel()
    explained = latent["explained_variance"].values
    position = np.arange(len(explained))
    low, high = latent["explained_variance_low"].values, latent["explained_variance_high"].values
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    pooled = float(latent["explained_variance_pooled"])
    axes.axhline(pooled, color=ACCENT, linewidth=0.8, linestyle="--", label=f"explained variance, pooled: {pooled:.2f}")
    axes.fill_between(position, low, high, color=ACCENT, alpha=0.2, linewidth=0)
    axes.plot(position, explained, "o-", color=ACCENT, ms=4, lw=1.2, label="explained variance (band: 95 %)")
    axes.plot(position, latent["r2"].values, "s", color="0.35", ms=3.5, mfc="none", label="r2 (counts a bias as error)")
    label_depth(axes, [int(layer) for layer in latent["layer"].values])
    shown = np.concatenate([explained, [0.0, pooled]])
    axes.set_ylim(max(-1.0, float(np.nanmin(shown)) - 0.1), 1.02)
    axes.set_ylabel("share of variance over texts", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("Explained variance on the test texts, raw units", fontsize=10)
    return figure

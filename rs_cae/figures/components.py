"""Figure 4 of the paper, B and C: how much the first components keep."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from rs_cae.figures.curves import Curve, all_values, draw_controls, draw_curve
from rs_cae.figures.style import (
    ACCENT,
    ACROSS,
    GREY,
    Control,
    dashed,
    label_depth,
    legend_below,
    single_panel,
)

SHARES = {
    "cumulative_explained_variance": (ACCENT, "-", "of the variance over texts, raw units"),
    "cumulative_variance_share": (ACROSS, "--", "of the variance over texts and depth, standardized units"),
}
"""Colour, dash and meaning of the two curves over components."""


def draw_cumulative_explained_variance(latent: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 4B: explained variance on the test set by the number of components, beside that of random directions.

    Args:
        latent: ``cumulative_explained_variance`` with its interval and null, ``cumulative_variance_share`` if known.
        controls: Their explained variance is drawn in grey.
    """
    figure, axes = single_panel(5.2, 4.0)
    for name, (colour, dash, meaning) in SHARES.items():
        if name in latent:
            components, low, high = (latent[each].values for each in ("component", f"{name}_low", f"{name}_high"))
            axes.fill_between(components, low, high, color=colour, alpha=0.2, linewidth=0)
            look: dict[str, Any] = {"color": colour, "linestyle": dash, "linewidth": 1.3}
            axes.plot(components, latent[name].values, label=meaning, **look)
    for control, look in dashed(controls):
        if "cumulative_explained_variance" in control.results:
            curve = control.results["cumulative_explained_variance"]
            axes.plot(curve["component"].values, curve.values, label=control.label, **look)
    name = "cumulative_explained_variance_null"
    axes.plot(latent["component"].values, latent[name].values, ":", color="black", lw=1.3, label="random directions")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("components", fontsize=9)
    axes.set_ylabel("share that is kept (band: 95 %)", fontsize=9)
    axes.set_title("Variance of the test texts along the first components", fontsize=10)
    legend_below(figure)
    return figure


def draw_explained_variance_100(latent: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 4C: explained variance by sublayer with 100 components, beside that of as many random directions.

    Args:
        latent: ``explained_variance_100`` with its interval and null.
        controls: Drawn in grey.
    """
    figure, axes = single_panel(5.2, 4.0)
    curve = Curve("explained_variance_100", "explained variance", "random directions", what="explained variance")
    draw_curve(axes, latent, curve, ACCENT)
    draw_controls(axes, controls, curve.name)
    values = np.append(all_values(latent, controls, curve.name), latent[f"{curve.name}_null"].values)
    lowest = float(np.min(values, initial=1.0, where=np.isfinite(values)))
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(max(0.0, lowest - 0.1), 1.02)
    label_depth(axes)
    axes.set_ylabel(curve.label, fontsize=9)
    axes.set_title(str(latent[curve.name].attrs.get("long_name", "explained variance")).capitalize(), fontsize=10)
    legend_below(figure)
    return figure

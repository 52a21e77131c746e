"""The stream that was left alone, in a plot of displaced ones."""

from typing import Any

import numpy as np
import xarray as xr

from rs_cae.report.interactive.injected import Injection, Trace
from rs_cae.report.interactive.look import FAINT, TEXT, places_in_words, rounded

ENDS = {"control at the injection": ("star-open", 14), "control at the last step": ("square-open", 11)}
"""Symbol and size in pixels, of both ends of the part that was followed."""


def control_way(perturbation: xr.Dataset) -> Trace:
    """The control's way past all sublayers."""
    way = perturbation.sel(latent=perturbation["axis"].values)["control"].values
    places = places_in_words(*(perturbation[name].values.tolist() for name in ("layer", "site", "sublayer")))
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": rounded(way[:, 0]),
        "y": rounded(way[:, 1]),
        "line": {"color": FAINT, "width": 2},
        "marker": {"size": 3, "color": TEXT},
        "text": places,
        "hovertemplate": "control<br>%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
        "name": "control",
    }


def control_followed(injection: Injection) -> list[Trace]:
    """Its part from an injection to the last step, and both of its ends; the last one is missing if nothing is left."""
    followed = injection.drawn.control[injection.drawn.followed]
    part: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(followed[:, 0]),
        "y": rounded(followed[:, 1]),
        "line": {"color": TEXT, "width": 2},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [part, *(control_end(followed[[-end]] if len(followed) > end else followed[:0], end) for end in (0, 1))]


def control_end(place: np.ndarray, end: int) -> Trace:
    """A mark where the control is [1 or 0, 2] at the injection (0) or at the last step (1)."""
    name = list(ENDS)[end]
    symbol, size = ENDS[name]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(place[:, 0]),
        "y": rounded(place[:, 1]),
        "marker": {"symbol": symbol, "size": size, "color": TEXT, "line": {"width": 2}},
        "hovertemplate": f"{name}<br>%{{x:.3g}}, %{{y:.3g}}<extra></extra>",
        "name": name,
    }

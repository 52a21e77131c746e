"""Arrows of a field in the plane, their starts, and the paths behind them, for a plot to be hovered over."""

import math

import numpy as np
import xarray as xr

from rs_cae.figures.injections import unit_of_steps
from rs_cae.figures.perturbation import MOST_ARROWS
from rs_cae.figures.style import ACCENT
from rs_cae.report.interactive.injected import (
    Injection,
    Trace,
    what_is_known,
)
from rs_cae.report.interactive.look import (
    TEXT,
    colour_bar,
    colour_scale,
    legible,
    rounded,
)

COLOURS = 8
"""Of arrows, by their true lengths."""


def thinned(starts: np.ndarray) -> np.ndarray:
    """Which points of a square grid [grid, 2] have an arrow: as many as on paper."""
    side = math.isqrt(len(starts))
    rows = np.arange(side) % math.ceil(side / MOST_ARROWS) == 0
    return np.outer(rows, rows).ravel()


def gapped(ends: np.ndarray) -> tuple[list[float | None], list[float | None]]:
    """Polylines [lines, points, 2] one after the other, with a gap after each."""
    gapped = np.pad(ends, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    return rounded(gapped[..., 0]), rounded(gapped[..., 1])


def arrows(starts: np.ndarray, field: np.ndarray, factor: float, top: float) -> list[Trace]:
    """A trace for each colour, with the arrows [arrows, 2] whose true length has it; heads keep their size."""
    which = np.digitize(np.hypot(*field.T), np.linspace(0, top, COLOURS + 1)[1:-1])
    traces = []
    for number, (_, colour) in enumerate(_colours()):
        own = which == number
        x, y = gapped(np.stack([starts, starts + factor * field], axis=1)[own])
        look = {"symbol": "arrow", "angleref": "previous", "size": [0, 9, 0] * int(own.sum()), "opacity": 1}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": x,
                "y": y,
                "line": {"color": colour, "width": 1.4},
                "marker": {"color": colour, "line": {"width": 0}, **look},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces


def _colours() -> list[tuple[float, str]]:
    return colour_scale("plasma", 0.85, COLOURS)


def length_bar(top: float) -> Trace:
    """What colours mean; a trace without points."""
    edges = np.linspace(0, 1, COLOURS + 1).round(4).tolist()
    steps = [[edge, colour] for number, (_, colour) in enumerate(_colours()) for edge in edges[number : number + 2]]
    bar = colour_bar("displacement [latent units]")
    marker = {"color": [0], "cmin": 0, "cmax": float(f"{top:.4g}"), "colorscale": steps, "showscale": True}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "marker": marker | {"colorbar": bar},
        "showlegend": False,
        "hoverinfo": "skip",
    }


def starts_of(injection: Injection, points: np.ndarray, field: np.ndarray, recovery: bool) -> Trace:
    """Where arrows begin, and all that is known of each."""
    starts = injection.drawn.starts
    rows, words = what_is_known(injection, points, field, recovery)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(starts[points, 0]),
        "y": rounded(starts[points, 1]),
        "marker": {"size": 4, "color": TEXT},
        "customdata": rows,
        "hovertemplate": words,
        "showlegend": False,
    }


def paths(perturbation: xr.Dataset, injection: Injection, points: np.ndarray) -> Trace:
    """The ways of displaced streams from sublayer to sublayer, an arrow at the end of each."""
    steps = injection.drawn.followed.stop - injection.drawn.followed.start
    x, y = gapped(injection.held["trajectories"].values[points, :steps])
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": y,
        "line": {"color": legible(ACCENT), "width": 1},
        "marker": {
            "symbol": "arrow",
            "angleref": "previous",
            "size": [*[0] * (steps - 1), 8, 0] * len(points),
            "color": legible(ACCENT),
            "line": {"width": 0},
            "opacity": 1,
        },
        "customdata": [*range(steps), None] * len(points),
        "hovertemplate": f"after %{{customdata}} {unit_of_steps(perturbation)}s: %{{x:.3g}}, %{{y:.3g}}<extra></extra>",
        "showlegend": False,
    }

"""One look for all interactive plots, on light and on dark pages and on phones, and what they have in common."""

import html
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtons": [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
}
"""What a page hands to plotly beside a figure: all buttons are named, as plotly's own set has one that uploads."""

TEXT = "#7d7d7d"
"""Of a contrast of 4 : 1 to white and to nearly black."""

GRID = "rgba(128, 128, 128, 0.22)"
BAND = "rgba(128, 128, 128, 0.25)"
FAINT = "rgba(128, 128, 128, 0.45)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

DARKEST, LIGHTEST = 0.12, 0.3
"""Relative luminances between which a line has a contrast of 3 : 1 to white and to nearly black (WCAG 2.1, 1.4.11)."""

LINE_LETTERS = 50
"""Of a title's line, so that it fits on a phone."""

MOST_TOKEN_LETTERS = 32
BUTTON_ROW, TOOLS_ROW = 40, 30
"""Heights of rows of our buttons and of plotly's own, in pixels."""

Rounded = list[float | None]


def legible(colour: str) -> str:
    """The colour itself if it is seen on light and on dark, else the nearest of its hue that is. Ours."""
    red, green, blue = to_rgb(colour)
    return _with_luminance((red, green, blue), float(np.clip(_luminance((red, green, blue)), DARKEST, LIGHTEST)))


def colour_scale(name: str, end: float = 1.0, stops: int = 12) -> list[tuple[float, str]]:
    """A colour map of matplotlib for plotly, its luminance squeezed into what is seen on light and on dark. Ours.

    Args:
        name: Of a map whose luminance rises.
        end: Where it is cut off.
        stops: How many colours are handed on.
    """
    places = np.linspace(0, 1, stops)
    lights = DARKEST + (LIGHTEST - DARKEST) * places
    colours = colormaps[name](end * places)[:, :3]
    return [
        (round(float(place), 4), _with_luminance(tuple(colour), float(light)))
        for place, colour, light in zip(places, colours, lights, strict=True)
    ]


def _luminance(colour: tuple[float, float, float]) -> float:
    """Relative luminance of sRGB values from 0 to 1 (WCAG 2.1)."""
    return float(_linear(colour) @ [0.2126, 0.7152, 0.0722])


def _linear(colour: tuple[float, float, float]) -> np.ndarray:
    values = np.asarray(colour, dtype=float)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _with_luminance(colour: tuple[float, float, float], wanted: float) -> str:
    """The colour, darkened, or mixed with white, to a luminance."""
    light, linear = _luminance(colour), _linear(colour)
    linear = linear * wanted / light if light > wanted else linear + (wanted - light) / (1 - light) * (1 - linear)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return to_hex(tuple(np.clip(values, 0, 1).tolist()))


def rounded(values: np.ndarray) -> Rounded:
    """Values [any] as a list, to 4 significant digits; None, which is drawn as a gap, where one is not finite."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in np.ravel(values).tolist()]


def spoken_number(value: float) -> str:
    """To 3 significant digits; ``unknown`` where it is not known."""
    return f"{value:.3g}" if np.isfinite(value) else "unknown"


def escaped(text: str) -> str:
    """Text that plotly shows as it is, which takes tags for such.

    In a template braces would be taken for names too, so text from a corpus goes into ``meta`` or ``customdata``.
    """
    return html.escape(text, quote=False)


def quoted(text: str, most: int = MOST_TOKEN_LETTERS) -> str:
    """Text from a corpus in quotes, what cannot be printed spelled out, cut if it is long, and escaped."""
    shown = repr(text[:most])
    return escaped(f"{shown}…" if len(text) > most else shown)


def places_in_words(layers: Iterable[int], sites: Iterable[str], labels: Iterable[str]) -> list[str]:
    """Where each sublayer is: ``L05.attn: layer 5, before attention``."""
    before = {"attn": ", before attention", "mlp": ", before the MLP"}
    return [
        escaped(f"{label}: layer {layer}{before.get(site, '')}")
        for layer, site, label in zip(layers, sites, labels, strict=True)
    ]


def lines_of(*texts: str) -> str:
    """Each text on lines of its own, short enough for a phone, and escaped."""
    return "<br>".join(escaped(line) for text in texts for line in wrap(text, LINE_LETTERS))


def plot(title: str, across: str, up: str, height: int = 460, rows: int = 0) -> go.Figure:
    """An empty figure that fits its page.

    Args:
        title: As ``lines_of`` makes it.
        across: What the horizontal axis is, escaped.
        up: What the vertical axis is, escaped.
        height: In pixels.
        rows: Of buttons above the axes.
    """
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        "linecolor": TEXT,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": GRID,
    }
    lines = title.count("<br>") + 1 if title else 0
    look: dict[str, Any] = {
        "template": "none",
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 8, "t": TOOLS_ROW + 17 * lines + BUTTON_ROW * rows, "b": 8},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "xaxis": axis | {"title": {"text": across, "font": {"size": 12}, "standoff": 8}},
        "yaxis": axis | {"title": {"text": up, "font": {"size": 12}, "standoff": 8}},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        "hoverlabel": {
            "bgcolor": "#2b2b2b",
            "bordercolor": TEXT,
            "font": {"color": "#f2f2f2", "family": FONT},
            "align": "left",
        },
        "hovermode": "closest",
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0, 0, 0, 0)", "color": TEXT, "activecolor": legible("#2166ac")},
    }
    figure = go.Figure(layout=look)
    if not title:
        return figure
    return figure.add_annotation(
        text=title,
        align="left",
        showarrow=False,
        **{"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom"},
        yshift=4 + BUTTON_ROW * rows,
    )


def retitled(title: str) -> dict[str, str]:
    """The change of a figure's layout that gives it another title, which is an annotation as it has several lines."""
    return {"annotations[0].text": title}


def fit(figure: go.Figure) -> None:
    """Give axes a margin beyond all that is there, which plotly gives to markers only."""
    for axis in ("x", "y"):
        values = np.array([value for trace in figure.data for value in trace[axis] if value is not None])
        low, high = float(values.min()), float(values.max())
        margin = 0.05 * (high - low) if high > low else 1.0
        figure.layout[f"{axis}axis"].range = rounded(np.array([low - margin, high + margin]))


def nothing_to_show(reason: str) -> go.Figure:
    """Why there is no plot, instead of its axes."""
    figure = plot("", "", "", height=160)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    return figure.add_annotation(text=lines_of(reason), showarrow=False, **place)


def colour_bar(title: str, **more: Any) -> dict[str, Any]:
    """A slim colour bar at the right."""
    return {
        "title": {"text": title, "font": {"size": 11}, "side": "right"},
        "thickness": 10,
        "len": 0.9,
        "xpad": 6,
        "tickfont": {"size": 10},
        "outlinewidth": 0,
        **more,
    }


def menu(labels: Sequence[str], changes: Sequence[Sequence[Any]], kind: str, row: int = 0) -> dict[str, Any]:
    """Buttons above the axes, or a list that opens; the first of them is what is shown at first.

    Args:
        labels: Escaped, one a button.
        changes: What each changes, as the arguments of plotly's ``update``: traces, layout, which traces.
        kind: ``buttons`` or ``dropdown``.
        row: How many rows above the axes.
    """
    buttons = [
        {"label": label, "method": "update", "args": list(change)}
        for label, change in zip(labels, changes, strict=True)
    ]
    return {
        "type": kind,
        "direction": "right" if kind == "buttons" else "down",
        "buttons": buttons,
        "active": 0,
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 6 + BUTTON_ROW * row, "t": 0},
        "bgcolor": "#dedede",
        "bordercolor": TEXT,
        "font": {"color": "#222222", "size": 12},
        "showactive": True,
    }

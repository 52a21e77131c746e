"""Figure 3B of the paper, to be hovered over: trajectories in the reduced space, and their mean."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from rs_cae.figures.style import DEPTH_MAP, MEAN_COLOUR, depth_of
from rs_cae.report.interactive.look import (
    FAINT,
    TEXT,
    Rounded,
    colour_bar,
    colour_scale,
    escaped,
    fit,
    legible,
    lines_of,
    nothing_to_show,
    places_in_words,
    plot,
    quoted,
    rounded,
    spoken_number,
)

INDIVIDUALS = 60
"""Single trajectories, the same as in the figure on paper: more would hide each other."""


def plot_trajectories(latent: xr.Dataset, individuals: int = INDIVIDUALS) -> go.Figure:
    """The mean trajectory in the first two latents, depth as colour, and single trajectories behind it.

    Those are taken evenly from all samples, the first and the last among them. The mean of the samples that are read at
    the commonest token is there too, as the mean over all of them may lie where none does. With a bottleneck of 1 the
    only latent is over depth; of more than two, the first two are shown.

    Args:
        latent: ``latents``, ``last_token_text`` and ``mean_trajectory`` with their coordinates; ``text``, ``position``
            and the ends of the mean's interval if known, as in ``latent.nc``.
        individuals: How many single trajectories are shown at most.
    """
    mean = latent["mean_trajectory"].values
    if not np.isfinite(mean).any():
        return nothing_to_show(str(latent["mean_trajectory"].attrs.get("note", "no trajectory is known")))
    count, names = latent.sizes["sample"], [escaped(str(name)) for name in latent["latent"].values[:2]]
    chosen = np.linspace(0, count - 1, min(individuals, count)).astype(int)
    title = f"Mean trajectory of {count} sample{'s' * (count > 1)} (grey: {len(chosen)})"
    across, up = names if len(names) > 1 else ("layer", names[0])
    figure = plot(lines_of(title), across, up, height=520)
    figure.add_traces([_single(latent, sample, first=not number) for number, sample in enumerate(chosen.tolist())])
    figure.add_trace(_mean_of_commonest_token(latent))
    figure.add_trace(_mean(latent))
    fit(figure)
    return figure


def _axes(latent: xr.Dataset, values: np.ndarray) -> dict[str, Rounded]:
    """Where latents [sublayers, latents] are on paper."""
    across = depth_of(latent) if values.shape[1] == 1 else values[:, 0]
    return {"x": rounded(across), "y": rounded(values[:, min(1, values.shape[1] - 1)])}


def _places(latent: xr.Dataset) -> list[str]:
    return places_in_words(*(latent[name].values.tolist() for name in ("layer", "site", "sublayer")))


def _at(latent: xr.Dataset) -> str:
    """The part of a template that says where in the space a point is."""
    names = [escaped(str(name)) for name in latent["latent"].values[:2]]
    if len(names) == 1:
        return f"{names[0]}: %{{y:.3g}}"
    return f"{names[0]}: %{{x:.3g}}, {names[1]}: %{{y:.3g}}"


def _single(latent: xr.Dataset, sample: int, first: bool) -> dict[str, Any]:
    """One sample's trajectory; the first one stands for all in the legend."""
    held = latent.isel(sample=sample)
    number = f"text {int(held['text'])}" if "text" in held else f"sample {sample}"
    where = f", position {int(held['position'])}" if "position" in held else ""
    return {
        "type": "scatter",
        "mode": "lines",
        **_axes(latent, held["latents"].values),
        "line": {"color": FAINT, "width": 1},
        "text": _places(latent),
        "meta": [number, quoted(str(held["last_token_text"].values)) + where],
        "hovertemplate": f"%{{meta[0]}}<br>read at %{{meta[1]}}<br>%{{text}}<br>{_at(latent)}<extra></extra>",
        "name": "single samples",
        "legendgroup": "single",
        "showlegend": first,
    }


def _mean_of_commonest_token(latent: xr.Dataset) -> dict[str, Any]:
    texts, counts = np.unique(latent["last_token_text"].values.astype(str), return_counts=True)
    token = str(texts[counts.argmax()])
    alike = latent["last_token_text"].values == token
    name = f"mean of the {alike.mean():.0%} that are read at {quoted(token, 16)}"
    return {
        "type": "scatter",
        "mode": "lines",
        **_axes(latent, latent["latents"].values[alike].mean(axis=0)),
        "line": {"color": legible(MEAN_COLOUR), "width": 2, "dash": "dash"},
        "text": _places(latent),
        "meta": [name],
        "hovertemplate": f"%{{meta[0]}}<br>%{{text}}<br>{_at(latent)}<extra></extra>",
        "name": name,
    }


def _mean(latent: xr.Dataset) -> dict[str, Any]:
    """The mean trajectory, both of its ends named."""
    places, depth = _axes(latent, latent["mean_trajectory"].values), depth_of(latent)
    labels = [escaped(str(label)) for label in latent["sublayer"].values]
    ends = [label if place in (0, len(labels) - 1) else "" for place, label in enumerate(labels)]
    return {
        "type": "scatter",
        "mode": "lines+markers+text",
        **places,
        "line": {"color": TEXT, "width": 2},
        "marker": {
            "size": 9,
            "color": rounded(depth),
            "colorscale": colour_scale(DEPTH_MAP),
            "cmin": 0,
            "cmax": max(float(depth.max()), 0.5),
            "colorbar": colour_bar("layer", tickformat="d"),
        },
        "text": ends,
        "textfont": {"weight": 700},
        "textposition": _sides(**places),
        "customdata": list(zip(_places(latent), _intervals(latent), strict=True)),
        "hovertemplate": "mean over samples<br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
        "name": "mean over samples",
    }


def _sides(x: Rounded, y: Rounded) -> list[str]:
    """On which sides of points labels are written: away from the middle's height, and towards it across."""
    across, up = (np.array(values, dtype=float) for values in (x, y))
    middle = (np.nanmin(across) + np.nanmax(across)) / 2
    above = np.where(up >= np.nanmean(up), "top ", "bottom ")
    return np.char.add(above, np.where(across > middle, "left", "right")).tolist()


def _intervals(latent: xr.Dataset) -> list[str]:
    """The mean [sublayers] along each axis that is shown, with its interval if that is known."""
    known = all(f"mean_trajectory_{end}" in latent for end in ("low", "high"))
    parts = []
    for number, name in enumerate(latent["latent"].values[:2]):
        mean, *ends = (latent[f"mean_trajectory{end}"].values[:, number] for end in ("", *(("_low", "_high") * known)))
        values = [spoken_number(value) for value in mean]
        if known:
            values = [
                f"{value} [{spoken_number(low)}, {spoken_number(high)}]"
                for value, low, high in zip(values, *ends, strict=True)
            ]
        parts.append([f"{escaped(str(name))}: {value}" for value in values])
    return ["<br>".join(of_sublayer) for of_sublayer in zip(*parts, strict=True)]

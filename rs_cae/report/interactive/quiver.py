"""Figure 4D of the paper, to be hovered over: where the network takes states that were put elsewhere."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from rs_cae.figures.injections import NOTHING_LEFT, no_fixed_points, whose
from rs_cae.figures.perturbation import length_factor
from rs_cae.report.interactive.arrows import arrows, length_bar, paths, starts_of, thinned
from rs_cae.report.interactive.control import control_followed, control_way
from rs_cae.report.interactive.field_on_a_line import plot_line_field
from rs_cae.report.interactive.fixed_points import fixed_points, kinds_of
from rs_cae.report.interactive.injected import Injection, Trace, injections_menu, shown_injections, titles_of
from rs_cae.report.interactive.look import escaped, menu, nothing_to_show, plot

NETWORK, CARRIED, PATHS = "the network", "uncorrected (null)", "paths"
TITLE = "Where the network takes displaced states"


def plot_perturbation_field(perturbation: xr.Dataset) -> go.Figure:
    """One field at a time, with a list of injections, and buttons for what is seen.

    That is arrows of the network's doing; arrows as they were if what was added were only carried along, the null; or
    the paths from sublayer to sublayer. Arrows are as long as on paper, which the title says, and of their true length
    by colour. With a bottleneck of 1, both fields are curves over the only latent.

    Args:
        perturbation: ``displacement``, ``trajectories``, ``control`` and ``steps_left``; ``displacement_uncorrected``,
            ``recovery`` and what begins with ``fixed_point`` if known, as in ``perturbation.nc``.
    """
    shown = shown_injections(perturbation)
    if not any(injection.drawn.known for injection in shown):
        reason = "no field is known" if (perturbation["steps_left"] > 0).any() else NOTHING_LEFT
        return nothing_to_show(str(perturbation["displacement"].attrs.get("note", reason)))
    note = no_fixed_points(perturbation, [injection.drawn for injection in shown])
    if perturbation.sizes["axis"] == 1:
        return plot_line_field(perturbation, shown, TITLE, note)
    return _plot_plane_field(perturbation, shown, note)


def _plot_plane_field(perturbation: xr.Dataset, shown: Sequence[Injection], note: str) -> go.Figure:
    factors = [length_factor(injection.drawn) for injection in shown]
    scaled = [
        f"{_drawn_length(factor) if injection.drawn.known else ''}\n{note}"
        for injection, factor in zip(shown, factors, strict=True)
    ]
    titles = titles_of(shown, TITLE, whose(perturbation), scaled)
    across, up = (escaped(str(name)) for name in perturbation["axis"].values)
    tallest = max(titles, key=lambda words: words.count("<br>"))
    figure = plot(tallest, across, up, height=560, rows=1 + (len(shown) > 1))
    figure.layout.annotations[0].text = titles[0]
    top = _top(shown)
    varying = [_traces(perturbation, shown, *of, top) for of in zip(shown, factors, strict=True)]
    always: list[tuple[str | None, Trace]] = [(None, length_bar(top)), (None, control_way(perturbation))]
    traces = always + varying[0]
    views = list(dict.fromkeys(view for view, _ in traces if view))
    figure.add_traces([trace | {"visible": view in (None, views[0])} for view, trace in traces])
    seen = [[{"visible": [of in (None, view) for of, _ in traces]}] for view in views]
    of_injections = [[trace for _, trace in of] for of in varying]
    menus = injections_menu(shown, of_injections, titles, first=len(always), row=1)
    low, high = _limits(shown, factors)
    figure.update_xaxes(range=[low[0], high[0]]).update_yaxes(range=[low[1], high[1]])
    return figure.update_layout(updatemenus=[menu(views, seen, "buttons"), *menus])


def _drawn_length(factor: float) -> str:
    if factor == 1:
        return "arrows at their true length"
    return (
        f"arrows drawn {factor:g} times their length" if factor > 1 else f"arrows drawn at {factor:g} of their length"
    )


def _traces(
    perturbation: xr.Dataset, shown: Sequence[Injection], injection: Injection, factor: float, top: float
) -> list[tuple[str | None, Trace]]:
    """What is seen of one injection, and in which view; the same traces for each, some of them empty."""
    drawn = injection.drawn
    fields = [(NETWORK, drawn.displacement)]
    if drawn.uncorrected is not None:
        fields.append((CARRIED, drawn.uncorrected))
    chosen = thinned(drawn.starts) & drawn.known
    traces: list[tuple[str | None, Trace]] = []
    for view, field in fields:
        points = np.flatnonzero(chosen & np.isfinite(drawn.starts + field).all(axis=1))
        kinds = kinds_of(shown, uncorrected=view == CARRIED)
        traces += [(view, trace) for trace in arrows(drawn.starts[points], field[points], factor, top)]
        traces.append((view, starts_of(injection, points, field, recovery=view == NETWORK)))
        traces += [(view, trace) for trace in fixed_points(perturbation, injection, kinds, view == CARRIED)]
    traces.append((PATHS, paths(perturbation, injection, np.flatnonzero(chosen))))
    return traces + [(None, trace) for trace in control_followed(injection)]


def _fields(injection: Injection) -> list[np.ndarray]:
    drawn = injection.drawn
    return [field for field in (drawn.displacement, drawn.uncorrected) if field is not None]


def _top(shown: Sequence[Injection]) -> float:
    """The length at which colours end, as on paper: all but a few of the network's arrows are shorter."""
    lengths = np.concatenate([np.hypot(*injection.drawn.displacement.T) for injection in shown])
    return float(np.quantile(lengths[np.isfinite(lengths)], 0.98))


def _limits(shown: Sequence[Injection], factors: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Ends of both axes, the same for all injections: all starts and controls, and all but a few of the tips."""
    tips = [
        injection.drawn.starts + factor * field
        for injection, factor in zip(shown, factors, strict=True)
        for field in _fields(injection)
    ]
    few = np.nanquantile(np.concatenate(tips), [0.02, 0.98], axis=0)
    drawn = [injection.drawn for injection in shown]
    places = np.concatenate([few, *(part for of in drawn for part in (of.starts, of.control))])
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    margin = np.where(high > low, 0.05 * (high - low), 1.0)
    return low - margin, high + margin

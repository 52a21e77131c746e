"""Figure 4D with a bottleneck of 1, to be hovered over: displacements over the only latent."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from rs_cae.figures.injections import UNCORRECTED, whose
from rs_cae.figures.perturbation import DONE
from rs_cae.figures.style import ACCENT
from rs_cae.report.interactive.control import control_end
from rs_cae.report.interactive.fixed_points import fixed_points, kinds_of
from rs_cae.report.interactive.injected import (
    Injection,
    Trace,
    injections_menu,
    titles_of,
    what_is_known,
)
from rs_cae.report.interactive.look import BAND, FAINT, TEXT, escaped, legible, plot, rounded

LANDS = "lands where the control does"


def plot_line_field(perturbation: xr.Dataset, shown: Sequence[Injection], title: str, note: str) -> go.Figure:
    """Curves of one injection at a time; where one meets the grey line, states land on the control's end.

    Args:
        perturbation: Whose only axis this is.
        shown: Its injections.
        title: What is seen.
        note: What is not, and why.
    """
    name = escaped(str(perturbation["axis"].values[0]))
    bands = [injection.drawn.interval for injection in shown if injection.drawn.interval is not None]
    how = "band: 95 %" if np.isfinite(bands).any() else ""
    titles = titles_of(shown, title, whose(perturbation), [f"{how}\n{note}"] * len(shown))
    tallest = max(titles, key=lambda words: words.count("<br>"))
    figure = plot(tallest, f"{name} at the injection", f"displacement in {name}", height=520, rows=int(len(shown) > 1))
    figure.layout.annotations[0].text = titles[0]
    figure.update_yaxes(zeroline=True, zerolinecolor=FAINT)
    varying = [_traces(perturbation, shown, injection) for injection in shown]
    figure.add_traces(varying[0])
    return figure.update_layout(updatemenus=injections_menu(shown, varying, titles, first=0, row=0))


def _traces(perturbation: xr.Dataset, shown: Sequence[Injection], injection: Injection) -> list[Trace]:
    """What is seen of one injection; the same traces for each, some of them empty."""
    drawn = injection.drawn
    order = np.argsort(drawn.starts[:, 0])
    order = order[np.isfinite(drawn.displacement[order, 0])]
    ends = drawn.control[drawn.followed][[0, -1], 0] if drawn.known else np.empty(0)
    traces = [_band(injection, order), _landing(drawn.starts[order, 0], ends), _curve(injection, order)]
    if drawn.uncorrected is not None:
        kept = {"x": rounded(drawn.starts[order, 0]), "y": rounded(drawn.uncorrected[order, 0]), "name": UNCORRECTED}
        dots = {"mode": "lines", "line": {"color": TEXT, "width": 2, "dash": "dot"}}
        words = f"{UNCORRECTED}<br>from %{{x:.3g}}, displacement %{{y:.3g}}<extra></extra>"
        traces.append({"type": "scatter", **dots, **kept, "hovertemplate": words})
    traces.append(control_end(np.column_stack([ends[:1], ends[1:] - ends[:1]]), 0))
    return traces + fixed_points(perturbation, injection, kinds_of(shown, uncorrected=False), uncorrected=False)


def _band(injection: Injection, order: np.ndarray) -> Trace:
    """The 95 % interval of the displacements, empty if it is not known."""
    interval, starts = injection.drawn.interval, injection.drawn.starts[:, 0]
    low, high = interval if interval is not None else (np.full((len(starts), 1), np.nan),) * 2
    known = order[np.isfinite(low + high)[order, 0]]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(np.concatenate([starts[known], starts[known][::-1]])),
        "y": rounded(np.concatenate([high[known, 0], low[known, 0][::-1]])),
        "fill": "toself",
        "fillcolor": BAND,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _landing(starts: np.ndarray, ends: np.ndarray) -> Trace:
    """The displacements that end where the control does, over the whole width [points]."""
    width = np.array([starts.min(), starts.max()]) if len(ends) and len(starts) else np.empty(0)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(width),
        "y": rounded(ends[-1:] - width),
        "line": {"color": FAINT, "width": 1.5},
        "hoverinfo": "skip",
        "name": LANDS,
    }


def _curve(injection: Injection, order: np.ndarray) -> Trace:
    """What the network does, and all that is known of each point of the grid."""
    starts, moved = injection.drawn.starts, injection.drawn.displacement
    rows, words = what_is_known(injection, order, moved, recovery=True)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": rounded(starts[order, 0]),
        "y": rounded(moved[order, 0]),
        "line": {"color": legible(ACCENT), "width": 1.5},
        "marker": {"size": 6, "color": legible(ACCENT)},
        "customdata": rows,
        "hovertemplate": words,
        "name": DONE,
    }

"""Those fixed points of fields of arrows that persist, with what is known of each."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from rs_cae.figures.injections import MARKERS
from rs_cae.figures.style import WITHIN
from rs_cae.report.interactive.injected import Injection, Trace, point_in_words
from rs_cae.report.interactive.look import escaped, legible, rounded

SYMBOLS = {"o": "circle", "D": "diamond", "X": "x", "P": "cross"}
"""Of plotly, by those of matplotlib."""


def fixed_points(
    perturbation: xr.Dataset, injection: Injection, kinds: Sequence[str], uncorrected: bool
) -> list[Trace]:
    """A trace for each kind of the fixed points that persist, which is empty where there are none.

    Args:
        perturbation: As in ``perturbation.nc``.
        injection: Whose they are.
        kinds: Of all injections.
        uncorrected: Whether those of the field are meant that nothing corrects.
    """
    drawn = injection.drawn
    found = (drawn.uncorrected_fixed_points if uncorrected else drawn.fixed_points) if drawn.known else []
    traces = []
    for kind in kinds:
        places = [point.place for point in found if point.kind == kind]
        rows = [np.append(place, 0.0)[:2] for place in places]
        marker, filled = MARKERS.get(kind, ("P", True))
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": rounded(np.array([row[0] for row in rows])),
                "y": rounded(np.array([row[1] for row in rows])),
                "marker": {
                    "symbol": SYMBOLS[marker] + ("" if filled else "-open"),
                    "size": 10,
                    "color": legible(WITHIN),
                    "line": {"width": 1.5 * (not filled)},
                },
                "customdata": [
                    [point_in_words(place), *_persistence(perturbation, injection.number, place, uncorrected)]
                    for place in places
                ],
                "hovertemplate": f"fixed point: {escaped(kind)}<br>at %{{customdata[0]}}<br>"
                "in %{customdata[1]} of resamples of the prompts%{customdata[2]}<extra></extra>",
                "name": f"fixed point: {escaped(kind)}",
            }
        )
    return traces


def _persistence(perturbation: xr.Dataset, number: int, place: np.ndarray, uncorrected: bool) -> list[str]:
    """In how many resamples of the prompts a fixed point is, and in how many of the single ones, in words."""
    row = np.flatnonzero(
        (perturbation["fixed_point_injection"].values == number)
        & ((perturbation["fixed_point_uncorrected"].values > 0) == uncorrected)
        & (perturbation["fixed_point_place"].values == place).all(axis=1)
    )[0]
    single = ""
    if "fixed_point_prompt_share" in perturbation:
        single = f"<br>in {perturbation['fixed_point_prompt_share'].values[row]:.1%} of single prompts"
    return [f"{perturbation['fixed_point_persistence'].values[row]:.1%}", single]


def kinds_of(shown: Sequence[Injection], uncorrected: bool) -> list[str]:
    """The kinds of fixed points that any injection has, in the order of ``MARKERS``."""
    every = [
        point.kind
        for injection in shown
        for point in (injection.drawn.uncorrected_fixed_points if uncorrected else injection.drawn.fixed_points)
    ]
    return sorted(set(every), key=[*MARKERS, *every].index)

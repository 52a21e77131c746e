"""Figure 4D of the paper: where the network takes states that were put elsewhere in the reduced plane."""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rs_cae.figures.injections import (
    NOTHING_LEFT,
    UNCORRECTED,
    DrawnInjection,
    FixedPoint,
    draw_control,
    draw_end,
    draw_fixed_point,
    draw_fixed_points,
    injections,
    no_fixed_points,
    set_title,
    truncated,
    whose,
)
from rs_cae.figures.style import (
    ACCENT,
    GREY,
    Control,
    legend_below,
    panels,
    say_nothing_to_show,
    single_panel,
)

MOST_PANELS = 12
"""Of more injections an even selection is drawn."""

IN_A_ROW = 6

MAGNITUDES = truncated("plasma", 0.85)
"""Without the yellow, which is not seen on white."""

DONE = "what the network does"

SCALED = "colour: true length; drawn length: one scale for each injection"
"""As one scale for all would leave dots where little is left to happen."""

LONGEST = 1.5
"""Spacings of the grid: arrows would hide each other if more than a few were longer, and are drawn shorter."""

MOST_ARROWS = 12
"""In a row or column of the grid; of a finer one, every second or third."""

ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)

SHORTEST = 0.7
"""Spacings of the grid: arrows would be dots if nearly all were shorter, and are drawn longer."""

MOST_TIMES = 3.0
"""Their length: what is nearly nothing must not look like a strong field."""


def draw_perturbation_field(perturbation: xr.Dataset, controls: Sequence[Control] = ()) -> Figure:
    """Figure 4D: a panel for each injection, arrows from where states were put to where the last step finds them.

    Below each, the arrows that one would see if what was added were only carried along: the network's doing is what the
    two differ by. With a bottleneck of 1, both are curves over the only latent.

    Args:
        perturbation: ``displacement``, ``trajectories``, ``control`` and ``steps_left``;
            ``displacement_uncorrected`` and what begins with ``fixed_point`` if known, as in ``perturbation.nc``.
        controls: Not drawn: another run's latents live in another space.
    """
    drawn, count = injections(perturbation, MOST_PANELS), perturbation.sizes["injection"]
    if not any(injection.known for injection in drawn):
        figure, axes = single_panel()
        reason = "no field is known" if (perturbation["steps_left"] > 0).any() else NOTHING_LEFT
        say_nothing_to_show(axes, str(perturbation["displacement"].attrs.get("note", reason)))
        return figure
    names = [str(name) for name in perturbation["axis"].values]
    figure, how = _draw_planes(drawn, names) if len(names) > 1 else _draw_lines(drawn, names[0])
    selection = f"{len(drawn)} of {count} injections" if len(drawn) < count else ""
    title = f"Where the network takes states that were put elsewhere{whose(perturbation)}"
    set_title(figure, title, selection, how, no_fixed_points(perturbation, drawn))
    legend_below(figure)
    return figure


def _panels(count: int, across: str, up: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """Panels [injections, rows], the rows of each beneath each other; side by side if there is but one injection.

    Args:
        count: Of injections.
        across: What the horizontal axes are.
        up: What the vertical axis of each row is.
    """
    rows, blocks = len(up), math.ceil(count / IN_A_ROW)
    columns = math.ceil(count / blocks)
    shape = (blocks * rows, columns) if count > 1 else (1, rows)
    size = 1.8 if columns > 3 else 2.3
    width, height = max(5.6, size * shape[1] + 1.3), size * shape[0] + 1.5
    figure, grid = panels(*shape, width, height, sharex=True, sharey=True)
    by_injection = grid.reshape(blocks, rows, columns).swapaxes(1, 2).reshape(-1, rows)
    for axes in by_injection[count:].flat:
        axes.remove()
    by_injection = by_injection[:count]
    for axes in by_injection.flat:
        axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    for axes in by_injection[-columns:, -1] if count > 1 else by_injection[0]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel(across, fontsize=9)
    for first in by_injection[::columns]:
        for axes, name in zip(first, up, strict=True):
            axes.set_ylabel(name, fontsize=9)
    return figure, by_injection


def _draw_planes(drawn: list[DrawnInjection], names: list[str]) -> tuple[Figure, str]:
    """Fields of arrows, those of an injection and of its null to one scale, and in words how long they are drawn."""
    rows = [DONE, UNCORRECTED] if any(injection.uncorrected is not None for injection in drawn) else [DONE]
    figure, grid = _panels(len(drawn), names[0], [f"{fill(row, 22)}\n{names[1]}" for row in rows])
    lengths = np.concatenate([_lengths(injection.displacement) for injection in drawn])
    known, factors = lengths[np.isfinite(lengths)], [length_factor(injection) for injection in drawn]
    top = float(np.quantile(known, 0.98))
    colour = ScalarMappable(Normalize(0, top), MAGNITUDES)
    for column, injection, factor in zip(grid, drawn, factors, strict=True):
        scaled = injection.known and set(factors) != {1.0}
        column[0].set_title(injection.title + ("\n" + _drawn_length(factor) if scaled else ""), fontsize=8)
        fields = (
            (injection.displacement, injection.fixed_points),
            (injection.uncorrected, injection.uncorrected_fixed_points),
        )
        for axes, (field, points) in zip(column, fields, strict=False):
            draw_control(axes, injection)
            if field is None or not injection.known:
                continue
            _draw_arrows(axes, injection.starts, field, factor, colour)
            draw_fixed_points(axes, points, injection.starts)
    _show_all(grid[0, 0], drawn, factors)
    extend = "max" if known.max() > top else "neither"
    bar = figure.colorbar(colour, ax=list(grid.flat), shrink=0.7, aspect=30, extend=extend)
    bar.set_label("displacement [latent units]", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure, "arrows at their true length" if set(factors) == {1.0} else SCALED


def _drawn_length(factor: float) -> str:
    """By how much arrows are longer or shorter than they are, in words."""
    if factor == 1:
        return "drawn at their length"
    return f"drawn {factor:g} times their length" if factor > 1 else f"drawn at {factor:g} of their length"


def _lengths(field: np.ndarray) -> np.ndarray:
    return np.hypot(*field.T)


def _draw_arrows(axes: Axes, starts: np.ndarray, field: np.ndarray, factor: float, colour: ScalarMappable) -> None:
    """Arrows [grid, 2] by their true directions in units of the axes, coloured by their true length."""
    chosen = np.isfinite(starts + field).all(axis=1) & _thinned(len(starts))
    starts, field = starts[chosen], field[chosen]
    look: dict[str, Any] = {
        "units": "inches",
        "width": 0.012,
        "headwidth": 3.6,
        "headlength": 4.2,
        "headaxislength": 3.8,
    }
    scale: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1 / factor}
    axes.quiver(*starts.T, *field.T, _lengths(field), cmap=colour.cmap, norm=colour.norm, zorder=3, **scale, **look)


def _thinned(count: int) -> np.ndarray:
    """Which points of a square grid get an arrow: all of a few, else every second or third row and column."""
    side = math.isqrt(count)
    chosen = np.arange(side) % _stride(side) == 0
    return np.outer(chosen, chosen).ravel()


def _stride(side: int) -> int:
    return math.ceil(side / MOST_ARROWS)


def length_factor(injection: DrawnInjection) -> float:
    """By which its arrows are drawn longer or shorter, a round number; 1 if they can be seen as they are."""
    side = math.isqrt(len(injection.starts))
    gaps = (side - 1) / _stride(side)
    with np.errstate(divide="ignore", invalid="ignore"):
        spacings = _lengths(np.concatenate(_fields(injection)) * gaps / np.ptp(injection.starts, axis=0))
    spacings = spacings[np.isfinite(spacings)]
    long = float(np.quantile(spacings, 0.95)) if spacings.size else 0.0
    if long == 0 or SHORTEST <= long <= LONGEST:
        return 1.0
    wanted = min(LONGEST / long, MOST_TIMES)
    power = math.floor(math.log10(wanted))
    return float(f"{max(digits for digits in ROUND if digits <= wanted / 10**power * (1 + 1e-9))}e{power}")


def _fields(injection: DrawnInjection) -> list[np.ndarray]:
    return [field for field in (injection.displacement, injection.uncorrected) if field is not None]


def _show_all(axes: Axes, drawn: list[DrawnInjection], factors: list[float]) -> None:
    """Limits that hold every start and every control, and all but a few of the arrows' tips."""
    scaled = zip(drawn, factors, strict=True)
    tips = [injection.starts + factor * field for injection, factor in scaled for field in _fields(injection)]
    few = np.nanquantile(np.concatenate(tips), [0.02, 0.98], axis=0)
    places = [few, *(part for injection in drawn for part in (injection.starts, injection.control))]
    low, high = np.nanmin(np.concatenate(places), axis=0), np.nanmax(np.concatenate(places), axis=0)
    margin = np.where(high > low, 0.05 * (high - low), 1.0)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _draw_lines(drawn: list[DrawnInjection], name: str) -> tuple[Figure, str]:
    """Displacements over the only latent; where a curve meets the grey line, states land on the control's end."""
    figure, grid = _panels(len(drawn), f"{name} at the injection", [f"displacement in {name}"])
    for axes, injection in zip(grid[:, 0], drawn, strict=True):
        axes.set_title(injection.title, fontsize=8)
        axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        if not injection.known:
            continue
        order = np.argsort(injection.starts[:, 0])
        starts = injection.starts[order, 0]
        if injection.interval is not None:
            low, high = (end[order, 0] for end in injection.interval)
            axes.fill_between(starts, low, high, color=ACCENT, alpha=0.25, linewidth=0, zorder=2)
        axes.plot(starts, injection.displacement[order, 0], ".-", color=ACCENT, lw=1.2, label=DONE, zorder=3)
        if injection.uncorrected is not None:
            axes.plot(
                starts, injection.uncorrected[order, 0], ":", color="black", lw=1.3, label=UNCORRECTED, zorder=2.5
            )
        first, last = injection.control[injection.followed][[0, -1], 0]
        axes.axline((last, 0), slope=-1, color="0.75", linewidth=1.0, label="lands where the control does", zorder=1)
        draw_end(axes, np.array([first, last - first]), 0)
        for point in injection.fixed_points:
            draw_fixed_point(axes, FixedPoint(np.append(point.place, 0.0), point.kind))
    bands = [injection.interval for injection in drawn if injection.interval is not None]
    return figure, "band: 95 %" if np.isfinite(bands).any() else ""

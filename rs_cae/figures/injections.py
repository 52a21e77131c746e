"""What is drawn of each injection: the control's way past it, and those fixed points of the field that persist."""

import math
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from rs_cae.figures.style import WITHIN

UNCORRECTED = "uncorrected: only carried along"
NOTHING_LEFT = "no sublayer is left after the injection"

MARKERS: dict[str, tuple[str, bool]] = {
    "stable node": ("o", True),
    "stable focus": ("D", True),
    "saddle": ("X", True),
    "unstable node": ("o", False),
    "unstable focus": ("D", False),
}
"""Of each kind of fixed point, and whether it is filled."""

INTERVAL = ("displacement_low", "displacement_high")

_OUTLINE = [withStroke(linewidth=2.5, foreground="white")]
_SITES = {"attn": "attention", "mlp": "MLP"}


class FixedPoint(NamedTuple):
    """A zero of a field.

    Attributes:
        place: Where it is [axes].
        kind: What becomes of states near it.
    """

    place: np.ndarray
    kind: str


class DrawnInjection(NamedTuple):
    """What is drawn of one injection, along the axes of the plane.

    Attributes:
        title: What was changed, and how far it was followed.
        starts: Where the states were put [grid, axes].
        displacement: From there to the last step [grid, axes].
        interval: Of the displacement, its low and its high end; None if unknown.
        uncorrected: The displacement if what was added were only carried along; None if unknown.
        control: The unperturbed run [sublayers, axes].
        followed: Its sublayers from the injection to the last step.
        fixed_points: Of the network's field.
        uncorrected_fixed_points: Of the field of ``uncorrected``.
    """

    title: str
    starts: np.ndarray
    displacement: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None
    uncorrected: np.ndarray | None
    control: np.ndarray
    followed: slice
    fixed_points: list[FixedPoint]
    uncorrected_fixed_points: list[FixedPoint]

    @property
    def known(self) -> bool:
        """Whether there is any displacement."""
        return bool(np.isfinite(self.displacement).any())


def injections(perturbation: xr.Dataset, most: int) -> list[DrawnInjection]:
    """What is to be drawn, in order of depth.

    Args:
        perturbation: As in ``perturbation.nc``.
        most: Of more injections an even selection is taken.
    """
    plane = perturbation.sel(latent=perturbation["axis"].values)
    return [_injection(plane, number) for number in evenly(perturbation.sizes["injection"], most)]


def evenly(count: int, most: int) -> list[int]:
    """All of so many if there are no more than the most, else an even selection with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def spoken(label: str) -> str:
    """A sublayer's label in words: ``L07 attention`` for ``L07.attn``, and ``L07`` where a layer is one sublayer."""
    layer, _, site = label.partition(".")
    return " ".join(part for part in (layer, _SITES.get(site, "")) if part)


def whose(perturbation: xr.Dataset) -> str:
    """Of how many prompts the results are, for titles; empty if unknown."""
    prompts = int(perturbation.attrs.get("prompts", 0))
    return "" if not prompts else ", one prompt" if prompts == 1 else f", mean of {prompts} prompts"


def unit_of_steps(perturbation: xr.Dataset) -> str:
    """What a step is: a layer where attention and MLP run side by side."""
    return "sublayer" if "mlp" in perturbation["site"].values else "layer"


def set_title(figure: Figure, title: str, *notes: str) -> None:
    """A title and notes, each on lines of its own, alike in length and no wider than the figure."""
    most, lines = int(12 * figure.get_figwidth()), []
    for text in filter(None, (title, *notes)):
        alike = math.ceil(len(text) / math.ceil(len(text) / most))
        lines.append(fill(text, min(most, alike + 8)))
    figure.suptitle("\n".join(lines), fontsize=10)


def truncated(name: str, end: float) -> LinearSegmentedColormap:
    """A colour map without its last, light part, which is not seen on white."""
    return LinearSegmentedColormap.from_list(name, colormaps[name](np.linspace(0, end, 128)))


def _injection(plane: xr.Dataset, number: int) -> DrawnInjection:
    held, first = plane.isel(injection=number), int(plane["injection_sublayer"].values[number])
    left, steps = int(held["steps_left"]), int(plane.attrs.get("steps", plane["steps_left"].max()))
    unit, last = unit_of_steps(plane), " (the last)" if left < steps else ""
    followed = f"{left} {unit}{'s' * (left != 1)} later{last}" if left else f"no {unit} is left"
    return DrawnInjection(
        f"before {spoken(str(held['injection'].values))}\n{followed}",
        held["trajectories"].values[:, 0],
        held["displacement"].values,
        (held[INTERVAL[0]].values, held[INTERVAL[1]].values) if all(end in held for end in INTERVAL) else None,
        held["displacement_uncorrected"].values if "displacement_uncorrected" in held else None,
        plane["control"].values,
        slice(first, first + left + 1),
        _persistent(plane, number, uncorrected=False),
        _persistent(plane, number, uncorrected=True),
    )


def _persistent(plane: xr.Dataset, number: int, uncorrected: bool) -> list[FixedPoint]:
    """The fixed points of one injection that persist, of the network's field or of the one that nothing corrects."""
    share = plane.attrs.get("persistent_share")
    if "fixed_point_persistence" not in plane or share is None:
        return []
    drawn = (plane["fixed_point_persistence"].values >= share) & (plane["fixed_point_injection"].values == number)
    drawn &= (plane["fixed_point_uncorrected"].values > 0) == uncorrected
    places, kinds = plane["fixed_point_place"].values[drawn], plane["fixed_point_kind"].values[drawn]
    return [FixedPoint(place, str(kind)) for place, kind in zip(places, kinds, strict=True)]


def no_fixed_points(perturbation: xr.Dataset, drawn: list[DrawnInjection]) -> str:
    """Why no fixed point is seen; empty where some are, and where none were sought."""
    if "fixed_point_persistence" not in perturbation or any(injection.fixed_points for injection in drawn):
        return ""
    if "persistent_share" not in perturbation.attrs:
        return "no fixed points: it is not known which persist"
    prompts, least = (perturbation.attrs.get(name) for name in ("prompts", "least_prompts"))
    if prompts is not None and least is not None and prompts < least:
        return f"no fixed points: that takes {least} prompts"
    return "no zero of the field persists"


def draw_fixed_points(axes: Axes, points: list[FixedPoint], starts: np.ndarray) -> None:
    """A marker by its kind at each place [2], smaller where one is within a spacing of another.

    Args:
        axes: The panel.
        points: To be drawn.
        starts: The grid [grid, 2], whose spacing is meant.
    """
    spacing = np.ptp(starts, axis=0) / max(round(len(starts) ** 0.5) - 1, 1)
    places = np.array([point.place for point in points]).reshape(-1, 2) / np.where(spacing > 0, spacing, 1.0)
    apart = np.hypot(*(places[:, None] - places).T)
    np.fill_diagonal(apart, np.inf)
    for point, nearest in zip(points, apart.min(axis=1, initial=np.inf), strict=True):
        draw_fixed_point(axes, point, crowded=bool(nearest < 1))


def draw_fixed_point(axes: Axes, point: FixedPoint, crowded: bool = False) -> None:
    """A marker by its kind at its place [2], smaller if another is near."""
    marker, filled = MARKERS.get(point.kind, ("P", True))
    look: dict[str, Any] = {
        "markersize": (6.5 if marker == "X" else 5) * (0.75 if crowded else 1),
        "markeredgecolor": "white" if filled else WITHIN,
        "markerfacecolor": WITHIN if filled else "white",
        "markeredgewidth": 0.4 if filled else 1.2,
    }
    axes.plot(
        *point.place, marker, color=WITHIN, linestyle="none", label=f"fixed point: {point.kind}", zorder=8, **look
    )


def draw_end(axes: Axes, place: np.ndarray, end: int) -> None:
    """Mark where the control is [2] at the injection (0) or at the last step (1), hollow so as to hide nothing."""
    marker, size, label = (("*", 10, "control at the injection"), ("s", 6.5, "control at the last step"))[end]
    look: dict[str, Any] = {
        "markersize": size,
        "markeredgewidth": 1.0,
        "markerfacecolor": "white",
        "zorder": 7 - 2 * end,
    }
    axes.plot(*place, marker, color="black", label=label, linestyle="none", **look)


def draw_control(axes: Axes, injection: DrawnInjection) -> None:
    """The control's way [sublayers, 2] in grey, black where it was followed, and the ends of that part."""
    control, followed = injection.control, injection.control[injection.followed]
    axes.plot(*control.T, color="0.7", linewidth=1.2, zorder=1, label="control")
    axes.plot(*followed.T, color="black", linewidth=1.2, zorder=4, path_effects=_OUTLINE)
    for end in (0, 1) if len(followed) > 1 else (0,):
        draw_end(axes, followed[-end], end)

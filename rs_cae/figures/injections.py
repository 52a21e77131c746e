"""What is drawn of each injection: the control's way past it, and those fixed points of the field that persist."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke

from rs_cae.figures.style import WITHIN

PERSISTENT = 0.95
"""Share of the resamples of the prompts in which a fixed point must be there to be drawn."""

ENOUGH_PROMPTS = 50
"""With fewer of them nothing is said of persistence."""

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


class Injection(NamedTuple):
    """What is drawn of one injection, along the axes of the plane.

    Attributes:
        title: What was changed, and how far it was followed.
        starts: Where the states were put [grid, axes].
        displacement: From there to the last step [grid, axes].
        interval: Of the displacement, its low and its high end; None if unknown.
        kept: The displacement if what was added were only carried along; None if unknown.
        control: The unperturbed run [sublayers, axes].
        followed: Its sublayers from the injection to the last step.
        fixed_points: Of the network's field.
        kept_fixed_points: Of the field of ``kept``.
    """

    title: str
    starts: np.ndarray
    displacement: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None
    kept: np.ndarray | None
    control: np.ndarray
    followed: slice
    fixed_points: list[FixedPoint]
    kept_fixed_points: list[FixedPoint]

    @property
    def known(self) -> bool:
        """Whether there is any displacement."""
        return bool(np.isfinite(self.displacement).any())


def injections(perturbation: xr.Dataset, most: int) -> list[Injection]:
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


def truncated(name: str, end: float) -> LinearSegmentedColormap:
    """A colour map without its last, light part, which is not seen on white."""
    return LinearSegmentedColormap.from_list(name, colormaps[name](np.linspace(0, end, 128)))


def _injection(plane: xr.Dataset, number: int) -> Injection:
    held, first = plane.isel(injection=number), int(plane["injection_sublayer"].values[number])
    left, steps = int(held["steps_left"]), int(plane.attrs.get("steps", plane["steps_left"].max()))
    unit = "sublayer" if "mlp" in plane["site"].values else "layer"
    followed = f"{left} {unit}{'s' * (left != 1)} on" if left else f"no {unit} is left"
    fewer = f" instead of {steps}" if 0 < left < steps else ""
    return Injection(
        f"before {spoken(str(held['injection'].values))}\n{followed}{fewer}",
        held["trajectories"].values[:, 0],
        held["displacement"].values,
        (held[INTERVAL[0]].values, held[INTERVAL[1]].values) if all(end in held for end in INTERVAL) else None,
        held["displacement_kept"].values if "displacement_kept" in held else None,
        plane["control"].values,
        slice(first, first + left + 1),
        _persistent(plane, number, kept=False),
        _persistent(plane, number, kept=True),
    )


def _persistent(plane: xr.Dataset, number: int, kept: bool) -> list[FixedPoint]:
    """The fixed points of one injection that persist, of the network's field or of the one that is kept."""
    if "fixed_point_persistence" not in plane:
        return []
    drawn = (plane["fixed_point_persistence"].values >= PERSISTENT) & (plane["fixed_point_injection"].values == number)
    drawn &= (plane["fixed_point_kept"].values > 0) == kept
    places, kinds = plane["fixed_point_place"].values[drawn], plane["fixed_point_kind"].values[drawn]
    return [FixedPoint(place, str(kind)) for place, kind in zip(places, kinds, strict=True)]


def no_fixed_points(perturbation: xr.Dataset, drawn: list[Injection]) -> str:
    """Why no fixed point is seen; empty where some are, and where none were sought."""
    if "fixed_point_persistence" not in perturbation or any(injection.fixed_points for injection in drawn):
        return ""
    if int(perturbation.attrs.get("prompts", ENOUGH_PROMPTS)) < ENOUGH_PROMPTS:
        return f"no fixed points: that takes {ENOUGH_PROMPTS} prompts"
    return "no zero of the field persists"


def draw_fixed_point(axes: Axes, place: np.ndarray, kind: str) -> None:
    """A marker by its kind at a place [2]."""
    marker, filled = MARKERS.get(kind, ("P", True))
    look: dict[str, Any] = {
        "markersize": 6.5 if marker == "X" else 5,
        "markeredgecolor": "white" if filled else WITHIN,
        "markerfacecolor": WITHIN if filled else "white",
        "markeredgewidth": 0.7 if filled else 1.3,
    }
    axes.plot(*place, marker, color=WITHIN, linestyle="none", label=f"fixed point: {kind}", zorder=6, **look)


def draw_end(axes: Axes, place: np.ndarray, end: int) -> None:
    """Mark where the control is [2] at the injection (0) or at the last step (1)."""
    marker, size, label = (("*", 9, "control at the injection"), ("s", 5.5, "control at the last step"))[end]
    look: dict[str, Any] = {
        "markersize": size,
        "markeredgewidth": 0.8,
        "markeredgecolor": "white",
        "zorder": 7 - 2 * end,
    }
    axes.plot(*place, marker, color="black", label=label, linestyle="none", **look)


def draw_control(axes: Axes, injection: Injection) -> None:
    """The control's way [sublayers, 2] in grey, black where it was followed, and the ends of that part."""
    control, followed = injection.control, injection.control[injection.followed]
    axes.plot(*control.T, color="0.7", linewidth=1.2, zorder=1, label="control")
    axes.plot(*followed.T, color="black", linewidth=1.2, zorder=4, path_effects=_OUTLINE)
    for end in (0, 1) if len(followed) > 1 else (0,):
        draw_end(axes, followed[-end], end)

"""Curves by depth and headline numbers as rows of tables, in plain numbers and words."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import xarray as xr

from rs_cae.results import Headline

DEPTHS = ("sublayer", "transition", "injection")
"""Dimensions along which a variable is a curve by depth."""

BESIDE = re.compile(r"(.+?)_((?:low|high|null)(?:_.+)?)")
"""The name of what stands beside a curve: the curve's name and which line it is, such as ``null_low``."""

FIRST_LINES = ("value", "low", "high", "null")

Rows = list[list[Any]]


@dataclass(frozen=True)
class Curve:
    """A variable by depth and what stands beside it.

    Attributes:
        dataset: Where it is from.
        name: Of the variable.
        depth: One of DEPTHS.
        meaning: A few words.
        unit: Of all lines; ``1`` where they have none.
        places: The coordinates along its depth, by name, its labels among them.
        lines: By ``value``, ``low``, ``high``, ``null`` and so on, one number a place; None where it is not finite.
    """

    dataset: str
    name: str
    depth: str
    meaning: str
    unit: str
    places: Mapping[str, list[Any]]
    lines: Mapping[str, list[float | None]]

    @property
    def title(self) -> str:
        """Its meaning and its unit."""
        return self.meaning if self.unit == "1" else f"{self.meaning} [{self.unit}]"

    def known(self) -> dict[str, tuple[list[int], list[float]]]:
        """Of each line that has any, the places counted from 0 at which its number is known, and the numbers."""
        points = {
            line: [(place, number) for place, number in enumerate(numbers) if number is not None]
            for line, numbers in self.lines.items()
        }
        return {line: ([at for at, _ in held], [number for _, number in held]) for line, held in points.items() if held}


def curves_of(datasets: Mapping[str, xr.Dataset]) -> list[Curve]:
    """Every numeric variable that lies along depth alone, with its interval and its nulls.

    Args:
        datasets: By name; a variable NAME has NAME_low, NAME_high and NAME_null beside it, and perhaps other nulls.
    """
    return [curve for name, dataset in datasets.items() for curve in _curves(name, dataset)]


def _curves(dataset_name: str, dataset: xr.Dataset) -> list[Curve]:
    along = {
        str(name): variable
        for name, variable in dataset.data_vars.items()
        if len(variable.dims) == 1 and variable.dims[0] in DEPTHS and variable.dtype.kind in "iuf"
    }
    lines: dict[str, dict[str, list[float | None]]] = {}
    for name, variable in along.items():
        found = BESIDE.fullmatch(name)
        beside = found is not None and found[1] in along and along[found[1]].dims == variable.dims
        owner, line = (found[1], found[2]) if found and beside else (name, "value")
        lines.setdefault(owner, {})[line] = [_plain(number) for number in variable.values.tolist()]
    return [
        Curve(
            dataset_name,
            name,
            str(along[name].dims[0]),
            str(along[name].attrs.get("long_name", name.replace("_", " "))),
            str(along[name].attrs.get("units", "1")),
            _places(dataset, str(along[name].dims[0])),
            held,
        )
        for name, held in lines.items()
    ]


def _places(dataset: xr.Dataset, depth: str) -> dict[str, list[Any]]:
    held = {str(name): values.values.tolist() for name, values in dataset.coords.items() if values.dims == (depth,)}
    return {depth: held.pop(depth, list(range(dataset.sizes[depth]))), **held}


def curve_rows(curves: Sequence[Curve]) -> tuple[list[str], Rows]:
    """A row for each curve and place.

    Args:
        curves: By the same depth.

    Returns:
        The names of the columns, and rows: the curve, the place, counted from 0 and by its coordinates, and its lines.
    """
    places = _in_order(name for curve in curves for name in curve.places)
    lines = _in_order([*FIRST_LINES, *(line for curve in curves for line in curve.lines)])
    rows = [
        [
            *(curve.dataset, curve.name, curve.unit, place),
            *(curve.places[name][place] if name in curve.places else None for name in places),
            *(curve.lines[line][place] if line in curve.lines else None for line in lines),
        ]
        for curve in curves
        for place in range(len(curve.places[curve.depth]))
    ]
    return ["dataset", "metric", "unit", "place", *places, *lines], rows


def headline_rows(headlines: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], Rows]:
    """A row for each headline number.

    Args:
        headlines: By name, as ``metrics.json`` has them.
    """
    columns = [field.name for field in fields(Headline)]
    return ["name", *columns], [[name, *(line[column] for column in columns)] for name, line in headlines.items()]


def headline_numbers(headlines: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The numbers of each headline that are known, as NAME, NAME_low, NAME_high, NAME_null and NAME_p.

    Args:
        headlines: By name, as ``metrics.json`` has them.
    """
    return {
        name if kind == "value" else f"{name}_{kind}": line[kind]
        for name, line in headlines.items()
        for kind in ("value", "low", "high", "null", "p")
        if line[kind] is not None
    }


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _plain(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None

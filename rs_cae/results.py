"""What a test leaves behind: xarray datasets under ``RUN_DIR/results`` and headline numbers in ``metrics.json``."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from rs_cae.sublayers import SublayerLayout


@dataclass(frozen=True)
class Headline:
    """A number that a reader takes home, beside what it is to be compared with.

    Attributes:
        value: The number.
        unit: Its unit; ``1`` where it has none.
        low: Lower end of its 95 % interval.
        high: Upper end.
        null: The value under the null model that could have said no.
        p: Probability of a value at least as far out under the null.
        sentence: What it says, in words, its null beside it.
    """

    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    null: float | None = None
    p: float | None = None
    sentence: str | None = None


def depth_coordinates(layout: SublayerLayout) -> dict[str, tuple[str, list[Any]]]:
    """Coordinates of the dimensions ``sublayer`` and ``transition``."""
    return {
        "sublayer": ("sublayer", layout.labels),
        "layer": ("sublayer", layout.layer_of),
        "site": ("sublayer", layout.site_of),
        "transition": ("transition", layout.transition_labels),
        "kind": ("transition", layout.transition_kinds),
    }


@dataclass
class Findings:
    """What an analysis found: variables of a dataset and headline numbers.

    Attributes:
        variables: By name: dimensions, values, and their meaning and unit.
        headlines: By name.
    """

    variables: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = field(default_factory=dict)
    headlines: dict[str, Headline] = field(default_factory=dict)

    def add(self, name: str, dimensions: str, values: Tensor, meaning: str, unit: str = "1", note: str = "") -> None:
        """Add a variable.

        Args:
            name: Of the variable.
            dimensions: Their names, with blanks between.
            values: Of as many dimensions.
            meaning: A few words, for axes and for readers of the file.
            unit: Of the values; 1 if they have none.
            note: What else a reader must know, such as why values are NaN.
        """
        described = {"long_name": meaning, "units": unit} | ({"note": note} if note else {})
        self.variables[name] = (tuple(dimensions.split()), values.detach().cpu().numpy(), described)

    def add_with_interval(
        self,
        name: str,
        dimensions: str,
        values: Tensor,
        interval: tuple[Tensor, Tensor],
        meaning: str,
        unit: str = "1",
        null: Tensor | None = None,
        note: str = "",
    ) -> None:
        """Add a variable, the ends of its 95 % interval over texts, and its null.

        They are called NAME, NAME_low, NAME_high and NAME_null.

        Args:
            name: Of the variable.
            dimensions: Their names, with blanks between.
            values: Of as many dimensions.
            interval: Its ends, of the same shape.
            meaning: A few words.
            unit: Of all of them.
            null: Of the same shape; None where there is none.
            note: What else a reader must know.
        """
        self.add(name, dimensions, values, meaning, unit, note)
        for end, values_there in zip(("low", "high"), interval, strict=True):
            self.add(f"{name}_{end}", dimensions, values_there, f"{meaning}: {end} end of the 95 % interval", unit)
        if null is not None:
            self.add(f"{name}_null", dimensions, null, f"{meaning}: under the null", unit)


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset in NetCDF 4, whole or not at all, compressed.

    Args:
        path: Ends in ``.nc``.
        dataset: What is written, its attributes strings and numbers that say where it comes from.
    """
    temporary = path.with_suffix(".partial")
    encoding = {name: {"zlib": True, "complevel": 4} for name, data in dataset.data_vars.items() if data.ndim}
    dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
    temporary.replace(path)


def open_dataset(run_dir: Path | str, name: str) -> xr.Dataset:
    """Read ``RUN_DIR/results/NAME.nc`` into memory."""
    return xr.load_dataset(Path(run_dir) / "results" / f"{name}.nc", engine="h5netcdf")


def headlines_as_json(headlines: dict[str, Headline]) -> dict[str, dict[str, Any]]:
    """Plain numbers and strings; what is not finite becomes null, as JSON has no NaN."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {name: {key: plain(value) for key, value in asdict(line).items()} for name, line in headlines.items()}

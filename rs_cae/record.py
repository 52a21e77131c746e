"""What a command finds, datasets and headline numbers, kept until it is written and printed."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from rich import box
from rich.console import Console
from rich.table import Table

from rs_cae.atomic_files import write_json
from rs_cae.results import Findings, Headline, headlines_as_json, write_dataset

WITHOUT = "_without_embedding"
"""How the name of a headline ends that leaves the embedding's transition out."""


class Record:
    """Collects what is found, and writes all of it.

    Args:
        attributes: Strings and numbers that every dataset carries: model, corpora, versions, seed, settings.

    Attributes:
        datasets: By name.
        headlines: By name.
        notes: Attributes that were found.
    """

    def __init__(self, attributes: Mapping[str, str | int | float]) -> None:
        self.attributes = attributes
        self.clear()

    def clear(self) -> None:
        """Forget what was found."""
        self.notes: dict[str, str | int | float] = {}
        self.datasets: dict[str, xr.Dataset] = {}
        self.headlines: dict[str, Headline] = {}

    def add_variables(self, name: str, dataset: xr.Dataset) -> None:
        """Add variables to the dataset that becomes ``NAME.nc``."""
        held = self.datasets.get(name, xr.Dataset())
        self.datasets[name] = held.merge(dataset, compat="identical", join="outer", combine_attrs="drop_conflicts")

    def add_findings(self, name: str, found: Findings, coordinates: Mapping[str, Any]) -> None:
        """Add what was found: variables of the dataset ``NAME.nc``, and headline numbers."""
        self.add_variables(name, xr.Dataset(found.variables, coordinates))
        for headline_name, headline in found.headlines.items():
            self.add_headline(headline_name, headline)

    def add_attribute(self, name: str, value: str | int | float) -> None:
        """Add an attribute that every dataset carries."""
        self.notes[name] = value

    def add_headline(self, name: str, headline: Headline) -> None:
        """Add a headline number."""
        self.headlines[name] = headline

    def described(self) -> dict[str, xr.Dataset]:
        """The datasets, each with all attributes."""
        attributes = {**self.attributes, **self.notes}
        return {name: dataset.assign_attrs(attributes) for name, dataset in self.datasets.items()}

    def write(self, results: Path, metrics: Path) -> None:
        """Write everything, into folders that are there.

        Args:
            results: Takes the datasets.
            metrics: The file of the headline numbers.

        Raises:
            OSError: If something cannot be written.
        """
        for name, dataset in self.described().items():
            write_dataset(results / f"{name}.nc", dataset)
        write_json(metrics, headlines_as_json(self.headlines))

    def print_table(self, title: str) -> None:
        """Print the headline numbers, but for those that leave the embedding's transition out: the files have them."""
        names = [name for name in self.headlines if not name.endswith(WITHOUT)]
        table = Table("", "value [95 %]", "null", "p", box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for name in names:
            line = self.headlines[name]
            p = "" if line.p is None or math.isnan(line.p) else f"{line.p:.2g}"
            null = "" if line.null is None or math.isnan(line.null) else f"{line.null:.3g}"
            table.add_row(name.replace("_", " "), _with_interval(line), null, p)
        Console().print(table)
        if len(names) < len(self.headlines):
            print(f"and {len(self.headlines) - len(names)} without the embedding's transition, in metrics.json")


def _with_interval(line: Headline) -> str:
    if math.isnan(line.value):
        return "not known"
    known = line.low is not None and line.high is not None and math.isfinite(line.low + line.high)
    unit = {"1": "", "degree": "°"}.get(line.unit, f" {line.unit}s")
    return f"{line.value:.3g}" + (f" [{line.low:.3g}, {line.high:.3g}]" if known else "") + unit

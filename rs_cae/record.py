"""What a command finds, datasets and headline numbers, kept until it is written and printed."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.table import Table

from rs_cae.atomic_files import write_json
from rs_cae.results import Findings, Headline, headlines_as_json, write_dataset, write_figures


class Record:
    """Collects what is found, and writes all of it.

    Args:
        attributes: Strings and numbers that every dataset carries: model, corpora, versions, seed, settings.
        draw: Whether to draw figures of what is found.

    Attributes:
        datasets: By name.
        headlines: By name.
        notes: Attributes that were found.
    """

    def __init__(self, attributes: Mapping[str, str | int | float], draw: bool = True) -> None:
        self.attributes = attributes
        self.draw = draw
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

    def write(self, results: Path, figures: Path, metrics: Path) -> None:
        """Write everything, into folders that are there.

        Args:
            results: Takes the datasets.
            figures: Takes the figures, if any are to be drawn.
            metrics: The file of the headline numbers.

        Raises:
            OSError: If something cannot be written.
        """
        attributes = {**self.attributes, **self.notes}
        described = {name: dataset.assign_attrs(attributes) for name, dataset in self.datasets.items()}
        for name, dataset in described.items():
            write_dataset(results / f"{name}.nc", dataset)
        if self.draw:
            write_figures(figures, described)
        write_json(metrics, headlines_as_json(self.headlines))

    def print_table(self, title: str) -> None:
        """Print the headline numbers."""
        table = Table("", "value", "95 % interval", "null", "p", title=title, title_justify="left")
        for name, line in self.headlines.items():
            known = line.low is not None and line.high is not None and math.isfinite(line.low + line.high)
            interval = f"{line.low:.4g} to {line.high:.4g}" if known else ""
            null = "" if line.null is None or math.isnan(line.null) else f"{line.null:.4g}"
            unit = "" if line.unit == "1" else f" {line.unit}s"
            p = "" if line.p is None or math.isnan(line.p) else f"{line.p:.2g}"
            value = "not known" if math.isnan(line.value) else f"{line.value:.4g}{unit}"
            table.add_row(name.replace("_", " "), value, interval, null, p)
        Console().print(table)

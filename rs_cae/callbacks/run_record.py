"""Keeps what a test finds, datasets and headline numbers, and writes it, with figures, when the test has ended."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from rich.console import Console
from rich.table import Table

from rs_cae.atomic_files import write_json
from rs_cae.errors import InputError
from rs_cae.results import Findings, Headline, headlines_as_json, write_dataset, write_figures
from rs_cae.run_folder import RunFolder


class RunRecord(Callback):
    """Collects from the other callbacks of a test and writes all of it at its end, in place of an earlier test's.

    Args:
        folder: The run's folder.
        attributes: Strings and numbers that every dataset carries: model, corpora, versions, seed, settings.
        draw: Whether to draw figures of what is found.
    """

    def __init__(self, folder: RunFolder, attributes: dict[str, str | int | float], draw: bool = True) -> None:
        self.folder = folder
        self.attributes = attributes
        self.draw = draw
        self._clear()

    @staticmethod
    def of(trainer: Trainer) -> "RunRecord":
        """The trainer's record.

        Raises:
            RuntimeError: If it has none.
        """
        record = next((callback for callback in trainer.callbacks if isinstance(callback, RunRecord)), None)  # type: ignore[attr-defined]
        if record is None:
            raise RuntimeError("add a RunRecord to the trainer's callbacks: it keeps what the others find")
        return record

    def add_variables(self, name: str, dataset: xr.Dataset) -> None:
        """Add variables to the dataset that becomes ``results/NAME.nc``."""
        held = self.datasets.get(name, xr.Dataset())
        self.datasets[name] = held.merge(dataset, compat="identical", join="outer")

    def add_findings(self, name: str, found: Findings, coordinates: Mapping[str, Any]) -> None:
        """Add what was found: variables of the dataset ``results/NAME.nc``, and headline numbers."""
        self.add_variables(name, xr.Dataset(found.variables, coordinates))
        for headline_name, headline in found.headlines.items():
            self.add_headline(headline_name, headline)

    def add_attribute(self, name: str, value: str | int | float) -> None:
        """Add an attribute that every dataset carries."""
        self.notes[name] = value

    def add_headline(self, name: str, headline: Headline) -> None:
        """Add a headline number; it is logged as ``test/NAME``."""
        self.headlines[name] = headline

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._clear()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the headline numbers."""
        for name, line in self.headlines.items():
            pl_module.log(f"test/{name}", line.value)  # every process has found the same

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything, and log the figures."""
        if not trainer.is_global_zero:
            return
        try:
            self._write()
        except OSError as error:
            raise InputError("--run_dir", self.folder.path, f"results cannot be written: {error}") from error
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for path in sorted(self.folder.figures.glob("*.png")):
                    logger.log_image(f"test/{path.stem}", [str(path)])

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the table, below the finished progress bar."""
        if stage == "test" and trainer.is_global_zero and self.headlines:
            self._print()

    def _clear(self) -> None:
        self.notes: dict[str, str | int | float] = {}
        self.datasets: dict[str, xr.Dataset] = {}
        self.headlines: dict[str, Headline] = {}

    def _write(self) -> None:
        results, figures = _fresh(self.folder.results), _fresh(self.folder.figures)
        attributes = {**self.attributes, **self.notes}
        described = {name: dataset.assign_attrs(attributes) for name, dataset in self.datasets.items()}
        for name, dataset in described.items():
            write_dataset(results / f"{name}.nc", dataset)
        if self.draw:
            write_figures(figures, described)
        _exchange(results, self.folder.results)
        _exchange(figures, self.folder.figures)
        write_json(self.folder.metrics, headlines_as_json(self.headlines))

    def _print(self) -> None:
        table = Table("", "value", "95 % interval", "null", "p", title="Test", title_justify="left")
        for name, line in self.headlines.items():
            known = line.low is not None and line.high is not None and math.isfinite(line.low + line.high)
            interval = f"{line.low:.4g} to {line.high:.4g}" if known else ""
            null = "" if line.null is None else f"{line.null:.4g}"
            unit = "" if line.unit == "1" else f" {line.unit}s"
            p = "" if line.p is None else f"{line.p:.2g}"
            table.add_row(name.replace("_", " "), f"{line.value:.4g}{unit}", interval, null, p)
        console = Console()
        console.print(table)
        if self.notes.get("outlier_samples"):
            console.print(f"outliers by their norm: {self.notes['outlier_samples']} test samples")
        console.print(f"results: {self.folder.results}\nfigures: {self.folder.figures}", soft_wrap=True)


def _fresh(folder: Path) -> Path:
    """An empty folder beside the one that it will replace."""
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def _exchange(new: Path, folder: Path) -> None:
    """Put the new folder in the other's place; should it die between the renames, the old one is beside it."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)

"""Keeps what a test finds, datasets and headline numbers, and writes it, with figures, when the test has ended."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from lightning import Callback, LightningModule, Trainer

from rs_cae.atomic_files import replaced_folder
from rs_cae.errors import InputError
from rs_cae.record import Record
from rs_cae.results import headlines_as_json
from rs_cae.run_folder import RunFolder

Present = Callable[[Path, Mapping[str, xr.Dataset], Mapping[str, Mapping[str, Any]]], object]
"""Shows a run: given its folder, its datasets and its headlines as ``metrics.json`` has them."""


class RunRecord(Record, Callback):
    """Collects from the other callbacks of a test and writes all of it at its end, in place of an earlier test's.

    Headline numbers are logged as ``test/NAME``.

    Args:
        folder: The run's folder.
        attributes: See ``Record``.
        present: Shows what was found once it is written, if it is to be shown.
    """

    def __init__(
        self, folder: RunFolder, attributes: dict[str, str | int | float], present: Present | None = None
    ) -> None:
        super().__init__(attributes)
        self.folder = folder
        self.present = present

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

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.clear()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the headline numbers."""
        for name, line in self.headlines.items():
            pl_module.log(f"test/{name}", line.value)  # every process has found the same

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything, and show it."""
        if not trainer.is_global_zero:
            return
        try:
            self._replace()
            if self.present is not None:
                self.present(self.folder.path, self.described(), headlines_as_json(self.headlines))
        except OSError as error:
            raise InputError("--run_dir", self.folder.path, f"results cannot be written: {error}") from error

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the table, below the finished progress bar."""
        if stage == "test" and trainer.is_global_zero and self.headlines:
            self.print_table("Test")
            if self.notes.get("outlier_samples"):
                print(f"outliers by their norm: {self.notes['outlier_samples']} test samples")
            print(f"results: {self.folder.results}")
            if self.folder.report.is_file():
                print(f"report: {self.folder.report}")

    def _replace(self) -> None:
        """Put results in the place of an earlier test's; what shows those is out of date."""
        metrics = self.folder.metrics.with_name(f".{self.folder.metrics.name}.new")
        with replaced_folder(self.folder.results) as results:
            self.write(results, metrics)
            shutil.rmtree(self.folder.figures, ignore_errors=True)
            self.folder.report.unlink(missing_ok=True)
            self.folder.metrics.unlink(missing_ok=True)  # whatever is there later belongs together
        metrics.replace(self.folder.metrics)

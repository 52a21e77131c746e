"""Keeps what a test finds, datasets and headline numbers, and writes it, with figures, when the test has ended."""

import shutil
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from rich.console import Console

from rs_cae.errors import InputError
from rs_cae.record import Record
from rs_cae.run_folder import RunFolder


class RunRecord(Record, Callback):
    """Collects from the other callbacks of a test and writes all of it at its end, in place of an earlier test's.

    Headline numbers are logged as ``test/NAME``.

    Args:
        folder: The run's folder.
        attributes: See ``Record``.
        draw: Whether to draw figures of what is found.
    """

    def __init__(self, folder: RunFolder, attributes: dict[str, str | int | float], draw: bool = True) -> None:
        super().__init__(attributes, draw)
        self.folder = folder

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
        """Write everything, and log the figures."""
        if not trainer.is_global_zero:
            return
        try:
            self._replace()
        except OSError as error:
            raise InputError("--run_dir", self.folder.path, f"results cannot be written: {error}") from error
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for path in sorted(self.folder.figures.glob("*.png")):
                    logger.log_image(f"test/{path.stem}", [str(path)])

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the table, below the finished progress bar."""
        if stage == "test" and trainer.is_global_zero and self.headlines:
            self.print_table("Test")
            console = Console()
            if self.notes.get("outlier_samples"):
                console.print(f"outliers by their norm: {self.notes['outlier_samples']} test samples")
            console.print(f"results: {self.folder.results}\nfigures: {self.folder.figures}", soft_wrap=True)

    def _replace(self) -> None:
        """Write beside what an earlier test has left, and put it in its place when all is written."""
        results, figures = _fresh(self.folder.results), _fresh(self.folder.figures)
        metrics = self.folder.metrics.with_name(f".{self.folder.metrics.name}.new")
        self.write(results, figures, metrics)
        _exchange(results, self.folder.results)
        _exchange(figures, self.folder.figures)
        metrics.replace(self.folder.metrics)


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

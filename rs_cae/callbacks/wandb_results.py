"""Hands Weights & Biases what a run is and what its test has found, so that runs can be compared there."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from rs_cae.callbacks.run_record import RunRecord
from rs_cae.callbacks.wandb_tables import curve_rows, curves_of, headline_numbers, headline_rows
from rs_cae.results import headlines_as_json
from rs_cae.run_folder import RunFolder

COMPARED = "explained_variance"
"""Sweeps may compare it as ``test/explained_variance``: another name of the headline POOLED."""

POOLED = "explained_variance_pooled"

STEP = "trainer/global_step"

SUMMARIES = {"val/loss": "min", "val/best_loss": None, "val/explained_variance": "max", f"test/{COMPARED}": None}
"""What a run's summary keeps of a metric; None is the last value, as a plain number, which a sweep can compare."""


class WandbResults(Callback):
    """Gives the Weights & Biases runs among the trainer's loggers the configuration, and what a test has found.

    As ``test/NAME`` the headline numbers, with NAME_low, NAME_high, NAME_null and NAME_p in the summary; as
    ``curves/DATASET/NAME`` every curve by depth that has an interval or a null; ``tables/...``; ``figures/NAME``.

    Args:
        folder: The run's folder.
        config: The run's configuration.
        artifact: Whether the results, the figures and the report become an artifact.
    """

    def __init__(self, folder: RunFolder, config: Mapping[str, Any], artifact: bool = False) -> None:
        self.folder = folder
        self.config = config
        self.artifact = artifact

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say what the run is and how its metrics are to be read."""
        for run in _runs_of(trainer):
            for name, summary in SUMMARIES.items():
                run.define_metric(name, step_metric=STEP, summary=summary)
            provenance = _provenance(RunRecord.of(trainer).attributes)
            run.config.update({**self.config, "provenance": provenance}, allow_val_change=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over what the record, which comes before, has written."""
        record = RunRecord.of(trainer)
        headlines = headlines_as_json(record.headlines)
        compared = {COMPARED: headlines[POOLED]} if POOLED in headlines else {}
        numbers = {f"test/{name}": number for name, number in headline_numbers({**headlines, **compared}).items()}
        for run in _runs_of(trainer):
            self._hand_over(run, numbers, headlines, record)

    def _hand_over(
        self, run: Any, numbers: Mapping[str, float], headlines: Mapping[str, Mapping[str, Any]], record: RunRecord
    ) -> None:
        """Give a run all of it; that may need the server, and to have lost it is no reason to fail."""
        import wandb

        try:
            run.config.update({"provenance": _provenance({**record.attributes, **record.notes})}, allow_val_change=True)
            run.log({name: number for name, number in numbers.items() if name == f"test/{COMPARED}"})
            run.summary.update(numbers)
            with _staged_in(Path(run.dir).parent):
                run.log({**self._tables(headlines, record), **self._charts(record), **self._images()})
                if self.artifact:
                    run.log_artifact(self._as_artifact(run.id))
        except (wandb.errors.Error, OSError) as error:
            lost = " ".join(str(error).split())
            print(f"Weights & Biases has not taken all that {self.folder.path} holds: {lost}", file=sys.stderr)

    def _tables(self, headlines: Mapping[str, Mapping[str, Any]], record: RunRecord) -> dict[str, Any]:
        import wandb

        curves = curves_of(record.datasets)
        by_depth = {
            f"by_{depth}": curve_rows([curve for curve in curves if curve.depth == depth])
            for depth in dict.fromkeys(curve.depth for curve in curves)
        }
        tables = {"headlines": headline_rows(headlines), **by_depth}
        return {
            f"tables/{name}": wandb.Table(columns=list(columns), data=rows) for name, (columns, rows) in tables.items()
        }

    def _charts(self, record: RunRecord) -> dict[str, Any]:
        import wandb

        charts = {}
        for curve in curves_of(record.datasets):
            known = curve.known()
            if len(curve.lines) > 1 and known:
                places, numbers = zip(*known.values(), strict=True)
                charts[f"curves/{curve.dataset}/{curve.name}"] = wandb.plot.line_series(
                    list(places), list(numbers), list(known), curve.title, curve.depth, split_table=True
                )
        return charts

    def _images(self) -> dict[str, Any]:
        import wandb

        return {f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted(self.folder.figures.glob("*.png"))}

    def _as_artifact(self, run_id: str) -> Any:
        import wandb

        artifact = wandb.Artifact(f"results-{run_id}", "results", f"The test of the run {self.folder.path.name}")
        for file in (self.folder.config, self.folder.identity_file, self.folder.metrics, self.folder.report):
            if file.is_file():
                artifact.add_file(str(file))
        for folder in (self.folder.results, self.folder.figures):
            if folder.is_dir():
                artifact.add_dir(str(folder), folder.name)
        return artifact


def _runs_of(trainer: Trainer) -> list[Any]:
    """Each Weights & Biases run that this process logs to; the first process alone does."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return list(
        {logger.experiment.id: logger.experiment for logger in loggers}.values() if trainer.is_global_zero else []
    )


def _provenance(attributes: Mapping[str, str | int | float]) -> dict[str, Any]:
    """Attributes of the results, less the settings; what is JSON of several values becomes those."""
    return {
        name: json.loads(value) if isinstance(value, str) and value.startswith("{") else value
        for name, value in attributes.items()
        if name != "settings"
    }


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """Let copies of what artifacts hold lie in the run's own folder, which thus has all that is to be synced later."""
    name = "WANDB_DATA_DIR"
    before = os.environ.get(name)
    os.environ[name] = before or str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]

"""What the command line adds to the trainer of a run: loggers, checkpoints, the record, and devices as launched."""

from collections.abc import Mapping
from typing import Any

from jsonargparse import Namespace
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger

from rs_cae import processes
from rs_cae.callbacks import ReadTokens, RunRecord, WandbResults
from rs_cae.callbacks.wandb_logger import wandb_logger
from rs_cae.errors import InputError
from rs_cae.report import write_report
from rs_cae.run_folder import RunFolder


def loggers_of(configured: Any, folder: RunFolder, command: str | None, wandb: bool) -> list[Logger]:
    """The loggers of the configuration, a CSV file of the run's own, and Weights & Biases if it is asked for.

    Args:
        configured: ``trainer.logger``, a logger or a list of them, or what is none.
        folder: The run's.
        command: Names the file.
        wandb: Whether to log to Weights & Biases.
    """
    several = configured if isinstance(configured, list) else [configured]
    loggers = [logger for logger in several if isinstance(logger, Logger)]
    loggers.append(CSVLogger(folder.path / "logs", name=command))
    if wandb and command != "predict":  # which logs no number
        loggers.append(wandb_logger(folder.path, command))
    return loggers


def refuse_lone_artifact(options: Namespace) -> None:
    """Raise an InputError if an artifact is asked for that nothing would take, or that would hold nothing.

    Args:
        options: Of the command.
    """
    if options.get("wandb_artifact") and not options.wandb:
        raise InputError("--wandb_artifact", True, "goes with --wandb true")
    if options.get("wandb_artifact") and not options.get("test_after", True):
        raise InputError("--wandb_artifact", True, "goes with --test_after true: a fit alone has no results")


def callbacks_of(
    folder: RunFolder, config: Mapping[str, Any], attributes: dict[str, str | int | float], options: Namespace
) -> list[Callback]:
    """The record of a test, what shows it, and the checkpoints of a fit.

    Args:
        folder: The run's.
        config: The run's.
        attributes: Of every dataset.
        options: Of the command.
    """
    callbacks: list[Callback] = [
        RunRecord(folder, attributes, write_report if options.report else None),
        ReadTokens(),
        WandbResults(folder, config, options.get("wandb_artifact", False)),  # after the record, which writes first
    ]
    if "test_after" in options:  # an option of fit alone
        for name, monitor in (("best", "val/best_loss"), ("last", None)):
            callbacks.append(ModelCheckpoint(folder.checkpoints, name, monitor, enable_version_counter=False))
    return callbacks


def devices_of(settings: Any) -> dict[str, Any]:
    """Arguments of the trainer: as many processes as were launched, on an accelerator that has float64.

    Args:
        settings: The section ``trainer`` of the configuration.
    """
    accelerator = settings.get("accelerator")
    devices, nodes = processes.as_launched(settings.get("devices"), settings.get("num_nodes"))
    here = {"accelerator": processes.accelerator(accelerator)} if isinstance(accelerator, str) else {}
    unpadded = {"use_distributed_sampler": False}  # it pads; the data module's batches are shared out as they are
    return {**here, "devices": devices, "num_nodes": nodes, **unpadded}

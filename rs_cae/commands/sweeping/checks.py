"""Whether a run's command line is one, found out before anything is run."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.cli import LightningCLI

from rs_cae.commands.checks import refuse_unfit_trainer
from rs_cae.commands.joining import Joined
from rs_cae.commands.parser import OneLineParser
from rs_cae.commands.sweeping.headlines import refuse_unknown_metric
from rs_cae.commands.sweeping.runs import Run
from rs_cae.commands.sweeping.sweep_file import SweepFile
from rs_cae.errors import InputError

Fit = type[LightningCLI]
"""``cli.RunCLI``; handed in because the command line imports this package."""


def refuse_if_none_can_start(
    sweep: SweepFile, runs: Sequence[Run], refused: Mapping[str, InputError], fit: Fit
) -> None:
    """Raise the first run's InputError if every run has one: then it is not one value that is wrong.

    Args:
        sweep: What its file says, of which runs that can start must find the metric.
        runs: Of the sweep.
        refused: What is known to be wrong with some of them, by their names.
        fit: The command line of a fit.
    """
    errors = []
    for run in runs:
        try:
            if run.name in refused:
                raise refused[run.name]
            checked = check_fit(run.arguments, fit)
        except InputError as error:
            errors.append(error)
        else:
            options = checked.config.fit
            if not options.trainer.callbacks:  # which may find what nobody knows of
                refuse_unknown_metric(sweep, options.analyses)
            return
    raise errors[0]


def check_fit(arguments: Sequence[str], fit: Fit) -> Any:
    """Do all that a fit does before it tokenizes its corpora and writes, and raise its InputError.

    Args:
        arguments: What follows ``fit``.
        fit: The command line of a fit.

    Returns:
        The command line, instantiated.
    """
    OneLineParser.typed = ["fit", *arguments]
    unstarted: Any = type(fit.__name__, (fit,), {"_run_subcommand": lambda self, name: None})
    checked = unstarted(Joined(), ["fit", *arguments, "--wandb=false"])
    refuse_unfit_trainer(checked.trainer, checked.model)
    if checked.config.fit.data.source == "live":
        for corpus in checked.datamodule.origin.corpora.values():
            corpus.load()
    return checked

"""Whether a run's command line is one, found out before anything is run."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence

from rs_cae.commands.joining import Joined
from rs_cae.commands.parser import OneLineParser
from rs_cae.commands.sweeping.runs import Run
from rs_cae.errors import InputError

FitParser = Callable[[Joined, list[str]], object]
"""Builds ``cli.RunCLI``; handed in because the command line imports this package."""


def refuse_if_none_can_start(runs: Sequence[Run], refused: Mapping[str, InputError], parse: FitParser) -> None:
    """Raise the first run's InputError if every run has one: then it is not one value that is wrong.

    Args:
        runs: Of a sweep.
        refused: What is known to be wrong with some of them, by their names.
        parse: The command line of a fit.
    """
    errors = []
    for run in runs:
        try:
            if run.name in refused:
                raise refused[run.name]
            check_fit(run.arguments, parse)
        except InputError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def check_fit(arguments: Sequence[str], parse: FitParser) -> None:
    """Parse what follows ``fit``, and raise an InputError where that cannot be done; nothing is run or printed."""
    OneLineParser.typed = ["fit", *arguments]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        parse(Joined(), ["fit", *arguments, "--print_config"])

"""From what a sweep file says and one combination of values to a run: its name and its arguments."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rs_cae.commands.sweeping.sweep_file import ARGS, SweepFile
from rs_cae.errors import InputError

LONGEST_NAME = 120
"""Characters of a run's name; a file system allows 255 bytes, of which suffixes need some."""

OF_EACH_RUN = "run_dir"
"""The option by which the sweep gives each run its own folder."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        name: Of its folder.
        parameters: The value of each axis.
        arguments: What follows ``python -m rs_cae fit``, but for its folder and its cache.
    """

    name: str
    parameters: Mapping[str, Any]
    arguments: tuple[str, ...]


def runs_of(sweep: SweepFile, combinations: Sequence[Mapping[str, Any]], extra: Sequence[str]) -> list[Run]:
    """The runs of a sweep.

    Args:
        sweep: What its file says.
        combinations: The values of all parameters, for each run.
        extra: Options that are appended to every command; configurations among them go before the parameters, which
            therefore have the last word.

    Raises:
        InputError: If the command does not test what it fits, or an option stands in the way of an axis.
    """
    groups = by_option(extra)
    _refuse_clashes(sweep, [option for option, _ in groups])
    configs = [word for option, words in groups if option == "config" for word in words]
    others = [word for option, words in groups if option != "config" for word in words]
    runs = [
        Run(name, values, (*expand(sweep.arguments, values, configs), *others))
        for name, values in zip(_names(combinations), combinations, strict=True)
    ]
    for run in runs:
        tested = [words for option, words in by_option(run.arguments) if option == "test_after"]
        if not tested:
            problem = "wants --test_after true, as the metric is one of the test"
            raise InputError(f"{sweep.path}: command", " ".join(sweep.arguments), problem)
        last = tested[-1][0].partition("=")[2] or "".join(tested[-1][1:])
        if last.lower() != "true":
            raise InputError("--test_after", last, "must be true, as the metric is one of the test")
        if OF_EACH_RUN in map(option_of, run.arguments):
            raise InputError(f"--{OF_EACH_RUN}", "", "is not to be given: each run has its own, below --out")
    return runs


def expand(arguments: Sequence[str], values: Mapping[str, Any], before: Sequence[str] = ()) -> list[str]:
    """Put parameters in their place, as W&B's agent does.

    Args:
        arguments: Of a sweep file.
        values: Of all parameters.
        before: Words that are put before the parameters.
    """
    joined = [f"--{name}={value}" for name, value in values.items()]
    apart = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    macros = dict(zip(ARGS, ([*before, *joined], [*before, *apart]), strict=True))
    return [word for argument in arguments for word in macros.get(argument, [argument])]


def _refuse_clashes(sweep: SweepFile, options: Sequence[str]) -> None:
    """Raise an InputError if an option that is appended would overrule an axis."""
    for option in options:
        for axis in sweep.axes:
            name = option_of(f"--{axis.name}") or ""
            if option != "config" and (name == option or name.startswith(f"{option}.")):
                raise InputError(f"--{option}", "", f"is varied by {sweep.path}; leave it out")


def option_of(word: str) -> str | None:
    """The option that a word of a command line names, however it is written; None if it names none.

    Example:
        >>> option_of("--model.init_args.bottleneck=4")
        'model.bottleneck'
    """
    if word == "-c":
        return "config"
    return word[2:].partition("=")[0].replace(".init_args.", ".") if word.startswith("--") else None


def by_option(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options of a command line, each with its own word and its values.

    Example:
        >>> by_option(["--a.b", "3", "--c=4"])
        [('a.b', ['--a.b', '3']), ('c', ['--c=4'])]
    """
    groups: list[tuple[str, list[str]]] = []
    for word in arguments:
        option = option_of(word)
        if option is not None or not groups:
            groups.append((option or "", []))
        groups[-1][1].append(word)
    return groups


def _names(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Such as ``config-pca_model.bottleneck-4``; a name that is too long, or not the only one, ends in a digest."""
    names = [
        "_".join(re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"{axis}-{short_value(value)}") for axis, value in values.items())
        for values in combinations
    ]
    counts = Counter(names)
    return [
        name
        if counts[name] == 1 and len(name) <= LONGEST_NAME
        else f"{name[:LONGEST_NAME]}-{hashlib.sha256(repr(dict(values)).encode()).hexdigest()[:8]}"
        for name, values in zip(names, combinations, strict=True)
    ]


def short_value(value: Any) -> str:
    """A value as a table shows it: of a configuration's file its stem."""
    text = str(value)
    return Path(text).stem if text.endswith((".yaml", ".yml")) else text

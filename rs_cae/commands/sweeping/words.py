"""From a sweep's command and one combination of values to a run: its name and the words that start it."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rs_cae.commands.sweeping.sweep_file import SweepFile
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
        words: What follows ``python -m rs_cae fit``, but for its folder and its cache.
    """

    name: str
    parameters: Mapping[str, Any]
    words: tuple[str, ...]


def runs_of(sweep: SweepFile, combinations: Sequence[Mapping[str, Any]], extra: Sequence[str]) -> list[Run]:
    """The runs of a sweep.

    Args:
        sweep: What its file says.
        combinations: The values of all parameters, for each run.
        extra: Options that are appended to every command; configurations among them go before the parameters, which
            therefore have the last word.

    Raises:
        InputError: If the command is not a fit of rs_cae that is tested, or an option stands in the way of an axis.
    """
    _refuse_clashes(sweep, extra)
    names = _names(combinations)
    configs, others = _apart(extra)
    return [
        Run(name, values, (*_fit_words(sweep, expand(sweep, values, configs)), *others))
        for name, values in zip(names, combinations, strict=True)
    ]


def expand(sweep: SweepFile, values: Mapping[str, Any], before: Sequence[str] = ()) -> list[str]:
    """The command's words, its macros replaced as W&B's agent replaces them.

    Args:
        sweep: What the file says.
        values: Of all parameters.
        before: Words that are put before the parameters.

    Raises:
        InputError: If there is a macro that would give no words that rs_cae understands.
    """
    macros = {
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [sweep.program],
        "args": [*before, *(f"--{name}={value}" for name, value in values.items())],
        "args_no_equals": [*before, *(word for name, value in values.items() for word in (f"--{name}", str(value)))],
    }
    words: list[str] = []
    for word in sweep.command:
        filled = re.sub(r"\$\{envvar:([A-Z0-9_]*)\}", lambda found: os.environ.get(found[1], found[1]), word)
        if not (filled.startswith("${") and filled.endswith("}")):
            words.append(filled)
        elif filled[2:-1] in macros:
            words += macros[filled[2:-1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in macros)
            raise InputError(f"{sweep.path}: command", filled, f"expected one of {known}")
    return words


def _fit_words(sweep: SweepFile, words: Sequence[str]) -> tuple[str, ...]:
    """What follows ``python -m rs_cae fit``."""
    option = f"{sweep.path}: command"
    if not {"${args}", "${args_no_equals}"} & set(sweep.command):
        raise InputError(option, " ".join(sweep.command), "wants ${args}, where the parameters go")
    rest = list(words[1:] if words[0] == "/usr/bin/env" else words)
    start = next((length for length in (4, 3, 2) if _starts_a_fit(rest[:length])), None)
    if start is None:
        raise InputError(option, " ".join(sweep.command), "expected python -m rs_cae fit ... ${args}")
    fit = rest[start:]
    if not re.search(r"--test_after[ =]true(?!\S)", " ".join(fit), re.IGNORECASE):
        raise InputError(option, " ".join(sweep.command), "wants --test_after true, as the metric is one of the test")
    if any(option_of(word) == OF_EACH_RUN for word in fit):
        raise InputError(option, f"--{OF_EACH_RUN}", "is not to be given: each run has its own")
    return tuple(fit)


def _starts_a_fit(words: Sequence[str]) -> bool:
    """Whether these words are rs_cae's ``fit``, as a module, as a file or as a program."""
    if len(words) == 4:
        return _is_python(words[0]) and list(words[1:]) == ["-m", "rs_cae", "fit"]
    if len(words) == 3:
        return _is_python(words[0]) and words[1].endswith("rs_cae/__main__.py") and words[2] == "fit"
    return len(words) == 2 and Path(words[0]).name == "rs_cae" and words[1] == "fit"


def _apart(extra: Sequence[str]) -> tuple[list[str], list[str]]:
    """Configurations, and all other options."""
    configs: list[str] = []
    others: list[str] = []
    goes_to = others
    for word in extra:
        option = option_of(word)
        if option is not None:
            goes_to = configs if option == "config" else others
        goes_to.append(word)
    return configs, others


def _is_python(word: str) -> bool:
    return re.fullmatch(r"python[\d.]*", Path(word).name) is not None


def _refuse_clashes(sweep: SweepFile, extra: Sequence[str]) -> None:
    """Raise an InputError if an option that is appended would overrule an axis."""
    for word in extra:
        option = option_of(word)
        if option == OF_EACH_RUN:
            raise InputError(f"--{option}", "", "is not to be given: each run has its own, below --out")
        for axis in sweep.axes:
            name = option_of(f"--{axis.name}") or ""
            if option not in (None, "config") and (name == option or name.startswith(f"{option}.")):
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


def _names(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """A readable name for each run; files go by their stem unless two would then be called the same."""
    short = [_name(values, stems=True) for values in combinations]
    twice = {name for name, count in Counter(short).items() if count > 1}
    return [
        _name(values, stems=False, mark=True) if name in twice else name
        for name, values in zip(short, combinations, strict=True)
    ]


def _name(values: Mapping[str, Any], stems: bool, mark: bool = False) -> str:
    """Such as ``config-pca_model.bottleneck-4``; one that is too long, or is to be marked, ends in a digest."""
    shown = {axis: short_value(value) if stems else str(value) for axis, value in values.items()}
    parts = [re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"{axis}-{value}") for axis, value in shown.items()]
    name = "_".join(parts)
    if not mark and len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(repr(dict(values)).encode()).hexdigest()[:8]}"


def short_value(value: Any) -> str:
    """A value as a table shows it: of a configuration's file its stem."""
    text = str(value)
    return Path(text).stem if text.endswith((".yaml", ".yml")) else text

"""The argument parser of every command, and of those that are not Lightning's own."""

import argparse
import json
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from rs_cae.commands.configs import config_at, read_config
from rs_cae.commands.messages import one_line, own_option, unknown_option
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.stream.origins import LiveOrigin


class OneLineParser(LightningArgumentParser):
    """Reports what is wrong with the command line in one line instead of a page of usage."""

    typed: ClassVar[list[str]] = []
    """The command line, from which messages take an option as it was typed."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, allow_abbrev=False, **keywords)  # as ``joining`` reads the run and the checkpoint

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise an InputError that names the option and the value."""
        raise InputError(*one_line(message, self.typed, _options_of(self))) from ex


class CommandParser(argparse.ArgumentParser):
    """Of options that are no part of a run's configuration; says what is wrong in one line.

    Args:
        command: Its name.
        description: What it does.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"rs_cae {command}", description=description, allow_abbrev=False)
        self.command = command

    def add_controls(self, what: str) -> None:
        """Add ``--control``, the folders that are drawn in grey."""
        about = f"{what}; may be given several times."
        self.add_argument("--control", type=named_path, action="append", default=[], metavar="DIR", help=about)

    def add_run(self) -> None:
        """Add ``--run_dir`` and ``--ckpt_path``, by which ``joining.find_run`` finds a run."""
        run, checkpoint = "The run; by default that of the checkpoint, else runs/latest.", "By default the run's best."
        self.add_argument("--run_dir", type=named_path, metavar="DIR", help=run)
        self.add_argument("--ckpt_path", type=named_path, metavar="FILE", help=checkpoint)

    def parse_beside(self, sections: Mapping[str, type], arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse these options out of a command line that has options of some sections too.

        Args:
            sections: As for ``parse_sections``; ``--help`` names their options.
            arguments: The command line after the command.

        Returns:
            These options, and what is left for ``parse_sections``.

        Raises:
            InputError: If one of these options is wrong.
        """
        options = [f"--{name}.{option}" for name, kind in sections.items() for option in signature(kind).parameters]
        self.epilog = f"Also: --config FILE, {', '.join(options)}."
        return self.parse_known_args(arguments)

    def error(self, message: str) -> NoReturn:
        """Raise an InputError that names the option and the value where they are known."""
        said = own_option(message) or unknown_option(self.command, message, _options_of(self))
        raise InputError(*(said or (self.command, "", message)))


def _options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of a parser and of those of its commands."""
    yield from parser._option_string_actions
    for action in parser._actions:
        for other in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from _options_of(other)


def true_or_false(text: str) -> bool:
    """The value of an option of a ``CommandParser``, as sections' options take it."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text}: expected true or false")
    return text.lower() == "true"


def named_path(text: str) -> Path:
    """The value of an option of a ``CommandParser`` that names a file or a folder."""
    if not text:  # Path would take it for the working folder
        raise argparse.ArgumentTypeError("'': names nothing")
    return Path(text)


def parse_sections(command: str, description: str, sections: Mapping[str, type], arguments: list[str]) -> Namespace:
    """Parse a command that takes some sections of a run's configuration, whose files may hold the others too.

    Args:
        command: Its name.
        description: What it does.
        sections: The class whose arguments are a section's options, by its name.
        arguments: The command line after the command.

    Raises:
        InputError: If an option is wrong.
    """
    parser = OneLineParser(prog=f"rs_cae {command}", description=description, parser_mode="omegaconf+")
    parser.add_argument("-c", "--config", action="config", help="A configuration file, of which it takes its part.")
    for name, kind in sections.items():
        parser.add_class_arguments(kind, name)
    known = {name: set(signature(kind).parameters) for name, kind in sections.items()}
    completed: list[str] = []
    for place, word in enumerate(arguments):
        file = config_at(arguments, place)
        completed.append(word if file is None else word.removesuffix(file) + _part_of(file, known))
    return parser.parse_args(completed)


def _part_of(file: str, known: Mapping[str, set[str]]) -> str:
    """What a configuration file says of these sections, as JSON: all of ``data``, what is known of the others."""
    part = {name: values for name, values in read_config(file, known).items() if name in known}
    for name in set(part) - {"data"}:
        part[name] = {key: value for key, value in part[name].items() if key in known[name]}
    return json.dumps(part, default=str)  # YAML knows dates


def live_origin(options: Mapping[str, Any]) -> LiveOrigin:
    """The language model and the corpora that the ``data`` options name, whatever they say of a cache."""
    origin = TrajectoryDataModule(**{**options, "source": "live"}).origin
    assert isinstance(origin, LiveOrigin)
    return origin

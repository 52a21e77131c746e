"""The argument parser of every command, and of those that are not Lightning's own."""

import argparse
import json
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from rs_cae.commands.messages import one_line, own_option
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.stream.origins import LiveOrigin


class OneLineParser(LightningArgumentParser):
    """Reports what is wrong with the command line in one line instead of a page of usage."""

    typed: ClassVar[list[str]] = []
    """The command line, from which messages take an option as it was typed."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise an InputError that names the option and the value."""
        raise InputError(*one_line(message, self.typed)) from ex


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
        self.add_argument("--control", type=Path, action="append", default=[], metavar="DIR", help=about)

    def add_run(self) -> None:
        """Add ``--run_dir`` and ``--ckpt_path``, by which ``joining.find_run`` finds a run."""
        run, checkpoint = "The run; by default that of the checkpoint, else runs/latest.", "By default the run's best."
        self.add_argument("--run_dir", type=Path, metavar="DIR", help=run)
        self.add_argument("--ckpt_path", type=Path, metavar="FILE", help=checkpoint)

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
        raise InputError(*(own_option(message) or (self.command, "", message)))


def true_or_false(text: str) -> bool:
    """The value of an option of a ``CommandParser``, as sections' options take it."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text}: expected true or false")
    return text.lower() == "true"


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
    parser.add_argument("--config", action="config", help="A configuration file, of which it takes its part.")
    for name, kind in sections.items():
        parser.add_class_arguments(kind, name)
    known = {name: set(signature(kind).parameters) for name, kind in sections.items()}
    completed: list[str] = []
    for word in arguments:
        option, given, value = word.partition("=")
        if option == "--config" and given:
            completed.append(f"--config={_part_of(value, known)}")
        elif completed[-1:] == ["--config"]:
            completed.append(_part_of(word, known))
        else:
            completed.append(word)
    return parser.parse_args(completed)


def _part_of(file: str, known: Mapping[str, set[str]]) -> str:
    """What a configuration file says of these sections, as JSON: all of ``data``, what is known of the others."""
    try:
        content = yaml.safe_load(Path(file).read_text()) or {}
    except FileNotFoundError:
        raise InputError("--config", file, "File does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError("--config", file, f"cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InputError("--config", file, "holds no options")
    part = {name: values for name, values in content.items() if name in known and isinstance(values, dict)}
    for name in set(part) - {"data"}:
        part[name] = {key: value for key, value in part[name].items() if key in known[name]}
    return json.dumps(part)


def live_origin(options: Mapping[str, Any]) -> LiveOrigin:
    """The language model and the corpora that the ``data`` options name, whatever they say of a cache."""
    origin = TrajectoryDataModule(**{**options, "source": "live"}).origin
    assert isinstance(origin, LiveOrigin)
    return origin

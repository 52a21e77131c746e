"""Which run and which checkpoint a command line refers to."""

import argparse
import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from rs_cae.callbacks import ANALYSES
from rs_cae.commands.checkpoints import read_checkpoint
from rs_cae.commands.configs import configs_named, read_config
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.run_folder import RunFolder

LATEST = Path("runs/latest")
JOINING = ("fit", "validate", "test", "predict")
"""Commands that go on with a run; ``fit`` only if it is given a checkpoint."""

SECTIONS = ("data", "trainer", *ANALYSES)
"""Of a configuration, in which there are options alone."""

SET_FROM_DATA = ("width", "sublayers")
"""Arguments of a reducer's module that the data module supplies."""


@dataclass(frozen=True)
class Joined:
    """A run that a command goes on with; empty for a fit from scratch.

    Attributes:
        folder: The run's folder, if the checkpoint lies in one or one was named.
        checkpoint: The checkpoint that is loaded.
        class_path: The LightningModule that wrote it.
        hyperparameters: The arguments of that module.
        config: The configuration of the run that wrote it, if that is known.
    """

    folder: Path | None = None
    checkpoint: Path | None = None
    class_path: str = ""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    config: Path | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What makes that run this one; empty if the checkpoint lies in none."""
        return {} if self.config is None else held_identity(RunFolder(self.config.parent))

    def config_for(self, arguments: list[str]) -> list[str]:
        """The run's configuration as an option to be put before these; empty if they name one, or it is not known."""
        return [] if configs_named(arguments) or self.config is None else ["--config", str(self.config)]

    def refuse_conflict(self, model: Namespace) -> None:
        """Raise an InputError if the options ask for another reducer than the checkpoint holds."""
        if self.checkpoint is None:
            return
        if model.class_path.rpartition(".")[2] != self.class_path.rpartition(".")[2]:
            raise InputError("--model", model.class_path, f"{self.checkpoint} holds a {self.class_path}")
        for name, asked in model.init_args.items():
            held = asked if name in SET_FROM_DATA else self.hyperparameters.get(name, asked)
            if asked != held:
                raise InputError(f"--model.{name}", asked, f"the checkpoint {self.checkpoint} was made with {held}")

    def refuse_other_shape(self, data: TrajectoryDataModule) -> None:
        """Raise an InputError if the language model's states do not fit the checkpoint."""
        for name in SET_FROM_DATA:
            held = self.hyperparameters.get(name)
            if self.checkpoint is not None and held != getattr(data, name):
                model = data.origin.model.name
                problem = f"made for {name} {held}, but --data.model {model} has {getattr(data, name)}"
                raise InputError("--ckpt_path", self.checkpoint, problem)


def join_run(arguments: list[str]) -> tuple[Joined, list[str]]:
    """Find the run that ``validate``, ``test``, or a ``fit`` with a checkpoint joins, and complete the command line.

    The run and the checkpoint are those of ``find_run``; the configuration is the run's unless one is given.

    Returns:
        What is joined, and the arguments with its configuration and checkpoint put in front.

    Raises:
        InputError: If there is no such run or checkpoint, or a configuration cannot be read.
    """
    command = arguments[0] if arguments else ""
    given = _named(arguments[1:])
    if given is None:
        return Joined(), arguments
    _refuse_unreadable(arguments)
    if given.informs or command not in JOINING or (command == "fit" and given.ckpt_path is None):
        return Joined(), arguments
    joined = find_run(given.run_dir, given.ckpt_path)
    inserted = joined.config_for(arguments[1:])
    _refuse_unreadable(inserted)
    arguments_held = {k: v for k, v in joined.hyperparameters.items() if k not in SET_FROM_DATA}
    held = {"model": {"class_path": joined.class_path, "init_args": arguments_held}}
    inserted += ["--config", json.dumps(held)]
    if given.ckpt_path is None:
        inserted += ["--ckpt_path", str(joined.checkpoint)]
    return joined, [command, *inserted, *arguments[1:]]


def _named(words: list[str]) -> argparse.Namespace | None:
    """The options that say which run is meant; None where the real parser is to say what is wrong with them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--run_dir", type=Path)
    parser.add_argument("--ckpt_path", type=Path)
    parser.add_argument("--help", "-h", "--print_config", action="store_true", dest="informs")
    for name in ("run_dir", "ckpt_path"):
        if f"--{name}=" in words or (f"--{name}", "") in pairwise(words):
            raise InputError(f"--{name}", "''", "names nothing")
    try:
        given, _ = parser.parse_known_args(words)
    except argparse.ArgumentError:
        return None
    if given.run_dir is not None:
        held_identity(RunFolder(given.run_dir))
    return given


def _refuse_unreadable(words: list[str]) -> None:
    """Raise an InputError of the first configuration that is none; the parser would name another one."""
    for file in configs_named(words):
        read_config(file, SECTIONS)


def held_identity(folder: RunFolder) -> dict[str, Any]:
    """What a run's folder says of which run it is; empty if it holds none.

    Raises:
        InputError: If that cannot be read.
    """
    problem = f"its {folder.identity_file.name} is damaged"
    try:
        held = json.loads(folder.identity_file.read_text()) if folder.identity_file.is_file() else {}
    except OSError as error:
        raise InputError("--run_dir", folder.path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError("--run_dir", folder.path, problem) from error
    if not isinstance(held, dict):
        raise InputError("--run_dir", folder.path, problem)
    return held


def find_run(run_dir: Path | None, checkpoint: Path | None) -> Joined:
    """Find the run that a command goes on with.

    Args:
        run_dir: Its folder, as it was given; else the run is that of the checkpoint, else ``runs/latest``.
        checkpoint: As it was given; else the run's ``best.ckpt``.

    Raises:
        InputError: If there is no such run or checkpoint.
    """
    folder = _run_folder(run_dir, checkpoint)
    if folder is not None:
        held_identity(folder)
    file = checkpoint or folder.checkpoints / "best.ckpt"
    class_path, hyperparameters = read_checkpoint(file)
    if folder is None:
        return Joined(run_dir, file, class_path, hyperparameters)
    return Joined(run_dir or folder.path, file, class_path, hyperparameters, folder.config)


def _run_folder(run_dir: Path | None, checkpoint: Path | None) -> Any:
    """The run that is joined; None for a checkpoint that lies in no run."""
    if run_dir is not None and RunFolder(run_dir).config.is_file():
        return RunFolder(run_dir)
    if checkpoint is not None:
        return RunFolder.of_checkpoint(checkpoint)
    if run_dir is not None:
        raise InputError("--run_dir", run_dir, "holds no run; give the run's folder, or --ckpt_path")
    if not (LATEST / "config.yaml").is_file():
        raise InputError("--run_dir", LATEST, "no run there yet; fit one, or give --run_dir or --ckpt_path")
    return RunFolder(LATEST.resolve())

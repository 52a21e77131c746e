"""Which run and which checkpoint a command line refers to."""

import argparse
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.run_folder import RunFolder

LATEST = Path("runs/latest")
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
        return {} if self.config is None else json.loads(RunFolder(self.config.parent).identity_file.read_text())

    def config_for(self, arguments: list[str]) -> list[str]:
        """The run's configuration as an option to be put before these; empty if they name one, or it is not known."""
        given = any(word == "--config" or word.startswith(("--config=", "-c")) for word in arguments)
        return [] if given or self.config is None else ["--config", str(self.config)]

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
        InputError: If there is no such run or checkpoint.
    """
    command = arguments[0] if arguments else ""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--run_dir", type=Path)
    parser.add_argument("--ckpt_path", type=Path)
    parser.add_argument("--help", "-h", "--print_config", action="store_true", dest="informs")
    try:
        given, _ = parser.parse_known_args(arguments[1:])
    except argparse.ArgumentError:
        return Joined(), arguments  # the real parser says what is wrong
    if given.informs or command not in ("fit", "validate", "test") or (command == "fit" and given.ckpt_path is None):
        return Joined(), arguments
    joined = find_run(given.run_dir, given.ckpt_path)
    inserted = joined.config_for(arguments[1:])
    arguments_held = {k: v for k, v in joined.hyperparameters.items() if k not in SET_FROM_DATA}
    held = {"model": {"class_path": joined.class_path, "init_args": arguments_held}}
    inserted += ["--config", json.dumps(held)]
    if given.ckpt_path is None:
        inserted += ["--ckpt_path", str(joined.checkpoint)]
    return joined, [command, *inserted, *arguments[1:]]


def find_run(run_dir: Path | None, checkpoint: Path | None) -> Joined:
    """Find the run that a command goes on with.

    Args:
        run_dir: Its folder, as it was given; else the run is that of the checkpoint, else ``runs/latest``.
        checkpoint: As it was given; else the run's ``best.ckpt``.

    Raises:
        InputError: If there is no such run or checkpoint.
    """
    folder = _run_folder(run_dir, checkpoint)
    file = checkpoint or folder.checkpoints / "best.ckpt"
    class_path, hyperparameters = _read_checkpoint(file)
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


def _read_checkpoint(path: Path) -> tuple[str, dict[str, Any]]:
    """The module that wrote a checkpoint, and its arguments."""
    if not path.is_file():
        raise InputError("--ckpt_path", path, "no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        held = dict(content["hyper_parameters"])
        class_path = held.pop("_class_path")
    except (RuntimeError, KeyError, TypeError, pickle.UnpicklingError, EOFError) as error:
        raise InputError("--ckpt_path", path, "is not a checkpoint of rs_cae, or is damaged") from error
    held.pop("_instantiator", None)
    return class_path, held

"""The folder that holds everything a run writes, and who may write there."""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from rs_cae.atomic_files import write_json
from rs_cae.errors import InputError


class RunFolder:
    """Paths of a run, and the identity by which another run's folder is refused.

    Args:
        path: The folder; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity_file = path / "run.json"
        self.config = path / "config.yaml"
        self.checkpoints = path / "checkpoints"
        self.results = path / "results"
        self.figures = path / "figures"
        self.metrics = path / "metrics.json"
        self.predictions = path / "predictions"
        self.report = path / "report.html"

    def check(self, identity: dict[str, Any]) -> None:
        """Make sure that this run may write here, before anything is written.

        Args:
            identity: What makes a run this one: model, data, reducer, seed.

        Raises:
            InputError: If the folder cannot be written, or holds another run.
        """
        refuse_unwritable("--run_dir", self.path)
        if self.identity_file.is_file():
            held = json.loads(self.identity_file.read_text())
            differing = [key for key in {**identity, **held} if held.get(key) != identity.get(key)]
            if differing:
                key = differing[0]
                raise InputError(
                    "--run_dir", self.path, f"holds another run: its {key} is {held.get(key)}, not {identity.get(key)}"
                )
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise InputError("--run_dir", self.path, "is not empty and holds no run of rs_cae")

    def create(self, identity: dict[str, Any], config: str) -> None:
        """Make the folder, with its identity and configuration; ``latest`` beside it points at it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.identity_file, identity)
            self.config.write_text(config)
        except OSError as error:
            raise InputError("--run_dir", self.path, f"cannot be written to: {error}") from error
        if self.path.resolve().parent == Path("runs").resolve():
            latest = self.path.parent / "latest"
            temporary = self.path.parent / f".latest-{os.getpid()}"
            temporary.symlink_to(self.path.name)
            temporary.replace(latest)

    def forget_results(self) -> None:
        """Remove what a test of other weights has left, as a fit begins: no one is to take it for the new ones'."""
        for folder in (self.results, self.figures, self.predictions):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.metrics, self.report):
            file.unlink(missing_ok=True)

    @staticmethod
    def of_checkpoint(checkpoint: Path) -> "RunFolder | None":
        """The run that wrote a checkpoint; None if it does not lie in one."""
        folder = RunFolder(checkpoint.resolve().parent.parent)
        return folder if folder.identity_file.is_file() else None


def refuse_unwritable(option: str, path: Path) -> None:
    """Raise an InputError if a folder, which need not exist yet, cannot be made or written to."""
    existing = next(folder for folder in [path, *path.resolve().parents] if folder.exists())
    if not existing.is_dir():
        raise InputError(option, path, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK):
        raise InputError(option, path, f"{existing} cannot be written to")


def new_run_path(class_path: str, agent: str | None) -> Path:
    """The folder of a run that was given none: by the time and its reducer, and there is nothing yet.

    Args:
        class_path: Of the reducer's module.
        agent: What tells runs apart that several agents start in the same second; None if no agent does.
    """
    name = class_path.rpartition(".")[2].removesuffix("Module").lower()
    words = f"{datetime.now():%Y%m%d-%H%M%S}", name, agent
    path = base = Path("runs") / "-".join(word for word in words if word)
    attempt = 1
    while path.exists():
        attempt += 1
        path = base.with_name(f"{base.name}-{attempt}")
    return path

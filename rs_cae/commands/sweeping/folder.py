"""The folder of a sweep: which of its runs are finished, which are to be run, and that nobody else writes there."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rs_cae.atomic_files import write_json
from rs_cae.commands.sweeping.runs import Run, by_option
from rs_cae.errors import InputError
from rs_cae.run_folder import RunFolder, refuse_unwritable

LOCK = ".lock"


class SweepFolder:
    """Paths of a sweep. Beside each run's folder lie its output, NAME.log, and its record, NAME.json.

    Args:
        path: The folder; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, run: Run) -> RunFolder:
        """A run's own folder."""
        return RunFolder(self.path / run.name)

    def log(self, name: str) -> Path:
        """Where the output of a run or of a cache goes."""
        return self.path / f"{name}.log"

    def check(self, runs: Sequence[Run]) -> None:
        """Make sure that the runs may write here, before anything is written.

        Raises:
            InputError: If the folder cannot be written, or holds finished runs of another sweep or something else.
        """
        refuse_unwritable("--out", self.path)
        for run in runs:
            held, folder = self._record(run), self.run(run)
            if held is None and folder.path.exists() and any(folder.path.iterdir()):
                raise InputError("--out", self.path, f"{folder.path} is there, and no run of this sweep")
            if held is not None and held["ended_well"] and not _same(held, _described(run)):
                problem = f"{run.name} is there with other options or configurations; give another folder, or remove it"
                raise InputError("--out", self.path, problem)

    def is_finished(self, run: Run) -> bool:
        """Whether the very same run has been tested."""
        held = self._record(run)
        known = held is not None and held["ended_well"] and _same(held, _described(run))
        return known and self.run(run).metrics.is_file()

    def begin(self, run: Run) -> None:
        """Remove what a failed or interrupted run has left, and take down what is run."""
        folder = self.run(run).path
        if self._record(run) is not None and folder.exists():
            shutil.rmtree(folder)
        write_json(self._record_file(run), {"ended_well": False, **_described(run)})

    def finish(self, run: Run) -> None:
        """Take down that a run has ended well."""
        write_json(self._record_file(run), {**(self._record(run) or {}), "ended_well": True})

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Make the folder and hold its lock, whose descriptor the runs inherit: they hold it for as long as they live.

        Raises:
            InputError: If another sweep holds it, or runs that one has left behind.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / LOCK).open("a")
        except OSError as error:
            raise InputError("--out", self.path, f"cannot be written to: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                problem = "another sweep is running there, or runs that one has left behind"
                raise InputError("--out", self.path, problem) from error
            os.set_inheritable(file.fileno(), True)
            yield file.fileno()

    def _record_file(self, run: Run) -> Path:
        return self.path / f"{run.name}.json"

    def _record(self, run: Run) -> dict[str, Any] | None:
        try:
            held = json.loads(self._record_file(run).read_text())
        except (OSError, ValueError):
            return None
        return held if isinstance(held, dict) and "ended_well" in held else None


def _described(run: Run) -> dict[str, Any]:
    """What a run is: its arguments, and digests of the configurations that they name."""
    files = [Path(word) for word in _configs_of(run.arguments)]
    digests = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
    return {"arguments": list(run.arguments), "configs": digests}


def _same(held: dict[str, Any], described: dict[str, Any]) -> bool:
    return all(held.get(key) == value for key, value in described.items())


def _configs_of(arguments: Sequence[str]) -> list[str]:
    """The configuration files that a command line names."""
    named = [words for option, words in by_option(arguments) if option == "config"]
    return [words[0].partition("=")[2] or words[-1] for words in named]

"""``rs_cae sweep``: the runs of a Weights & Biases sweep file on this machine, with no server."""

import argparse
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rs_cae.commands.parser import CommandParser, named_path
from rs_cae.commands.sweeping.caches import Cache, caches_of
from rs_cae.commands.sweeping.checks import Fit, refuse_if_none_can_start
from rs_cae.commands.sweeping.folder import SweepFolder
from rs_cae.commands.sweeping.outcome import Outcome, as_table, read_outcome
from rs_cae.commands.sweeping.runs import Run, option_of, runs_of
from rs_cae.commands.sweeping.sweep_file import SweepFile, read_sweep_file
from rs_cae.commands.sweeping.workers import Finished, Task, run_side_by_side, terminated_like_interrupted
from rs_cae.commands.sweeping.written import CSV, DATASET, as_dataset, read_control, write_outcome
from rs_cae.errors import InputError

COLUMNS = 160
"""Of a table that goes to a file."""


@dataclass
class Sweep:
    """A sweep that is run.

    Attributes:
        file: What its file says.
        folder: Where it goes.
        runs: All of its runs.
        caches: What they read.
        refused: What is wrong with runs that cannot start, by their names.
        jobs: Processes at a time.
        console: Where it is shown.
        outcomes: What has come out so far, by the run's name.
    """

    file: SweepFile
    folder: SweepFolder
    runs: Sequence[Run]
    caches: Sequence[Cache]
    refused: Mapping[str, InputError]
    jobs: int
    console: Console
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self) -> None:
        """Run what is not finished, the caches first."""
        with self.folder.lock() as lock_descriptor, terminated_like_interrupted():
            self.outcomes = {run.name: self._read(run) for run in self.runs if self.folder.is_finished(run)}
            if self.outcomes:
                self.console.print(f"{len(self.outcomes)} of {len(self.runs)} runs are finished and left as they are")
            waiting = {run.name: run for run in self.runs if run.name not in self.outcomes}
            errors = {name: str(error) for name, error in self.refused.items()} | self._capture(
                waiting, lock_descriptor
            )
            self.outcomes |= {name: Outcome(run, errors[name]) for name, run in waiting.items() if name in errors}
            self._fit({name: run for name, run in waiting.items() if name not in errors}, lock_descriptor)

    def _capture(self, waiting: Mapping[str, Run], lock_descriptor: int) -> dict[str, str]:
        """Fill the caches that are wanted, and give what went wrong, by the names of the runs that lack one."""
        errors: dict[str, str] = {}
        for cache in self.caches:
            if waiting.keys().isdisjoint(cache.runs):
                continue
            task = Task(cache.name, ("cache", *cache.arguments), self.folder.log(cache.name))
            captured = run_side_by_side([task], 1, lock_descriptor)
            with self.console.status(f"{task.name}: capturing ({task.log})"), contextlib.closing(captured):
                finished = next(captured)
            self._show(finished, finished.error or "complete")
            if finished.error:
                errors |= dict.fromkeys(cache.runs, f"{cache.name}: {finished.error}")
        return errors

    def _fit(self, ready: Mapping[str, Run], lock_descriptor: int) -> None:
        """Run what can start."""
        tasks = [Task(name, self._arguments(run), self.folder.log(name)) for name, run in ready.items()]
        threads = str(max(1, len(os.sched_getaffinity(0)) // self.jobs))
        started = run_side_by_side(
            tasks,
            self.jobs,
            lock_descriptor,
            lambda task: self.folder.begin(ready[task.name]),
            {"OMP_NUM_THREADS": threads},
        )
        columns = TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self.console) as progress, contextlib.closing(started):
            shown = progress.add_task("", total=len(self.runs), completed=len(self.outcomes))
            for finished in started:
                run = ready[finished.task.name]
                if not finished.error:
                    self.folder.finish(run)
                outcome = Outcome(run, finished.error) if finished.error else self._read(run)
                self.outcomes[run.name] = outcome
                self._show(finished, outcome.error or f"{outcome.value:.4g}")
                progress.advance(shown)

    def _show(self, finished: Finished, result: str) -> None:
        _print_plainly(self.console, f"{finished.task.name}: {result}, {finished.seconds:.0f} s")

    def _read(self, run: Run) -> Outcome:
        return read_outcome(run, self.folder.run(run), self.file.metric)

    def _arguments(self, run: Run) -> tuple[str, ...]:
        """What starts a run after ``python -m rs_cae``."""
        options = next((cache.options for cache in self.caches if run.name in cache.runs), ())
        return "fit", *run.arguments, *options, f"--run_dir={self.folder.run(run).path}"


def run(arguments: list[str], fit: Fit) -> int:
    """Run the command.

    Args:
        arguments: What follows ``sweep``.
        fit: The command line of a fit.

    Returns:
        0; 1 if a run has failed; 130 after Ctrl-C.
    """
    options, extra = _parse(arguments)
    file = read_sweep_file(options.file)
    controls = [read_control(path, file) for path in options.control]
    runs = runs_of(file, file.combinations(options.count, options.seed), extra)
    folder = SweepFolder(options.out or Path("runs/sweeps") / options.file.stem)
    caches, refused = caches_of(runs, folder.path)
    folder.check(runs)
    refuse_if_none_can_start(file, runs, refused, fit)
    console = Console()
    if not console.is_terminal:
        console = Console(width=COLUMNS)
    if "early_terminate" in yaml.safe_load(file.text):
        console.print("early_terminate needs W&B's server: here every run goes to its end")
    sweep = Sweep(file, folder, runs, caches, refused, options.jobs, console)
    try:
        sweep.run()
    except KeyboardInterrupt:
        finished = sum(not outcome.error for outcome in sweep.outcomes.values())
        print(f"\ninterrupted: {finished} of {len(runs)} runs are finished, and the same command goes on from there")
        return 130
    outcomes = [sweep.outcomes[one.name] for one in runs]
    figure = write_outcome(folder.path, as_dataset(file, outcomes, folder.path, extra, options.seed), controls)
    console.print(as_table(file, outcomes))
    _print_plainly(console, f"{figure}, {CSV}, {DATASET}")
    return _print_failed(console, folder, outcomes)


def _print_failed(console: Console, folder: SweepFolder, outcomes: Sequence[Outcome]) -> int:
    """List the runs that failed, and return the exit status."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        log = folder.log(outcome.run.name)
        _print_plainly(console, f"failed: {outcome.run.name}: {outcome.error}" + (f" ({log})" if log.exists() else ""))
    return int(bool(failed))


def _print_plainly(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command's own options, and those that go to every run."""
    about = "Run a Weights & Biases sweep file on this machine, with no server."
    parser = CommandParser("sweep", f"{about} Options that are not listed here are appended to every run's command.")
    parser.add_argument(
        "file", type=named_path, metavar="FILE", help="In W&B's format, such as configs/sweeps/bottleneck.yaml."
    )
    parser.add_argument("--jobs", type=_at_least_one, default=1, metavar="N", help="Processes at a time; by default 1.")
    parser.add_argument("--out", type=named_path, metavar="DIR", help="By default runs/sweeps/ and the file's stem.")
    parser.add_argument("--count", type=_at_least_one, metavar="N", help="At most this many runs.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Of the method random; by default 0.")
    parser.add_controls("Another sweep's folder, such as that of the untrained model, drawn in grey")
    options, extra = parser.parse_known_args(arguments)
    if extra and option_of(extra[0]) is None:
        raise InputError("sweep", extra[0], "is neither an option nor the value of one")
    return options, extra


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer of at least 1")
    return int(text)

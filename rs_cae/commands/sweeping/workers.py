"""Processes side by side, their output in files, all of them stopped when the sweep is."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

POLL_SECONDS = 0.05
GRACE_SECONDS = 10.0
"""Between asking a process to stop and killing it."""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ERROR_LINE = re.compile(r"error: |[\w.]*(Error|Exception|Interrupt|Failure)\b")


@dataclass(frozen=True)
class Task:
    """A process that is to be run.

    Attributes:
        name: Of what it does.
        arguments: What follows ``python -m rs_cae``.
        log: Where its output goes.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Finished:
    """A process that has ended.

    Attributes:
        task: What it was.
        error: The last line that says what went wrong; None if nothing did.
        seconds: How long it took.
    """

    task: Task
    error: str | None
    seconds: float


def run_side_by_side(
    tasks: Sequence[Task],
    jobs: int,
    lock_descriptor: int,
    before: Callable[[Task], None] = lambda task: None,
    environment: Mapping[str, str] | None = None,
) -> Generator[Finished]:
    """Run tasks, so many at a time, and give each when it has ended.

    Whatever ends the iteration early stops those that are running: each is the leader of a group, so that what it has
    started itself is stopped with it.

    Args:
        tasks: In the order in which they start.
        jobs: How many at a time.
        lock_descriptor: Of an open file that they inherit.
        before: Called with each before it starts.
        environment: Variables that are added to this process's.
    """
    waiting, running = list(tasks), dict[subprocess.Popen[bytes], tuple[Task, float]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                before(task)
                running[_start(task, lock_descriptor, environment or {})] = task, time.monotonic()
            ended = [process for process in running if process.poll() is not None]
            for process in ended:
                task, began = running.pop(process)
                yield Finished(task, error_of(process.returncode, task.log), time.monotonic() - began)
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        _stop(list(running))


def _start(task: Task, lock_descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with task.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rs_cae", *task.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            pass_fds=(lock_descriptor,),
            start_new_session=True,
        )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all of them to stop, and kill whoever does not, at once if Ctrl-C is pressed again."""
    end = time.monotonic() + GRACE_SECONDS
    try:
        for process in processes:
            _signal(process, signal.SIGTERM)
        while any(process.poll() is None for process in processes) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
    finally:
        for process in processes:
            _signal(process, signal.SIGKILL)  # whoever is left of its group
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def error_of(code: int, log: Path) -> str | None:
    """What a process says went wrong: the last line of its output that is an error, or else the last line.

    Args:
        code: Its exit status, negative if a signal ended it.
        log: Its output.
    """
    if code == 0:
        return None
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    text = ESCAPES.sub("", log.read_text(errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if ERROR_LINE.match(line)]
    return [f"exit status {code}", *lines[-1:], *errors[-1:]][-1].removeprefix("error: ")


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

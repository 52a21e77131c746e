"""Times of several ways to the same result, taken round by round, so that noise meets all of them."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Ways = dict[str, tuple[Callable[[], object], float]]
"""By name: what is timed, and the share of the whole work that it does."""


def clock() -> np.ndarray:
    """Wall seconds, and the CPU seconds of this process, its own and the kernel's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([time.perf_counter(), used.ru_utime, used.ru_stime])


def paired_times(ways: Ways, rounds: int, pause: float = 0.0) -> dict[str, np.ndarray]:
    """By the clock [rounds, 3], each way over its share of the work, after a round that is not counted.

    With a pause before each, threads of one library that wait in a loop leave the cores to another's.
    """
    times = {name: np.empty((rounds + 1, 3)) for name in ways}
    for round_number in range(rounds + 1):
        for name, (way, share) in ways.items():
            time.sleep(pause)
            began = clock()
            way()
            times[name][round_number] = (clock() - began) / share
    return {name: taken[1:] for name, taken in times.items()}


def ratio(over: np.ndarray, under: np.ndarray) -> float:
    """Median over rounds of the ratio of wall times."""
    return float(np.median(over[:, 0] / under[:, 0]))


def print_times(title: str, times: dict[str, np.ndarray], base: str) -> None:
    """A table of medians, and of what the base takes over each way."""
    print(f"\n{title:34}{'seconds':>10}{'CPU s':>9}{'kernel':>9}{base + ' over it':>32}{'least':>9}{'most':>9}")
    for name, taken in times.items():
        over, (wall, own, kernel) = times[base][:, 0] / taken[:, 0], np.median(taken, axis=0)
        print(f"{name:34}{wall:10.3f}{own:9.3f}{kernel:9.3f}", end="")
        print(f"{np.median(over):32.3f}{over.min():9.3f}{over.max():9.3f}")


def peak_mb() -> float:
    """The most that this process had resident so far, in megabytes; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def in_a_fresh_process(script: str, *part: str) -> dict[str, float]:
    """What a part of a script gives when it is run by itself, as ``script --part ...``; its tables are printed."""
    run = subprocess.run([sys.executable, script, "--part", *part], check=True, stdout=subprocess.PIPE, text=True)
    *table, figures = run.stdout.splitlines()
    sys.stdout.writelines(line + "\n" for line in table)
    return json.loads(figures)

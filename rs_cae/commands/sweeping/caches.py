"""One capture for all runs that read the same trajectories."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rs_cae.commands.cache import TrainerOptions
from rs_cae.commands.parser import live_origin, parse_sections
from rs_cae.commands.sweeping.runs import Run, by_option
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError

OF_THE_TRAINER = {f"trainer.{field.name}" for field in fields(TrainerOptions)}
"""Options beside those of ``data`` that ``rs_cae cache`` takes."""


@dataclass(frozen=True)
class Cache:
    """A cache that some runs read.

    Attributes:
        name: Of its folder and of its log.
        folder: Where it lies.
        arguments: What follows ``python -m rs_cae cache``.
        runs: The names of the runs that read it.
    """

    name: str
    folder: Path
    arguments: tuple[str, ...]
    runs: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """What makes a run read it."""
        return "--data.source=cached", f"--data.cache_dir={self.folder}"


def caches_of(runs: Sequence[Run], folder: Path) -> tuple[list[Cache], dict[str, InputError]]:
    """The caches that the runs need; those that name a cache of their own need none.

    Args:
        runs: Of a sweep.
        folder: Of the sweep, in which the caches are to lie.

    Returns:
        The caches, and what is wrong with the data options of some runs, by their names.
    """
    readers: dict[str, list[Run]] = {}
    refused: dict[str, InputError] = {}
    for run in runs:
        try:
            capture = _capture(_cache_arguments(run.arguments))
        except InputError as error:
            refused[run.name] = error
            continue
        if capture is not None:
            readers.setdefault(capture, []).append(run)
    caches = []
    for number, alike in enumerate(readers.values(), 1):
        name = "cache" if len(readers) == 1 else f"cache-{number}"
        arguments = (*_cache_arguments(alike[0].arguments), f"--data.cache_dir={folder / name}")
        caches.append(Cache(name, folder / name, arguments, tuple(run.name for run in alike)))
    return caches, refused


def _cache_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """What ``rs_cae cache`` takes of a fit's arguments: configurations, options of ``data``, some of the trainer's."""
    kept: list[str] = []
    for option, words in by_option(arguments):
        if option in {"config", "data", *OF_THE_TRAINER} or option.startswith("data."):
            kept += ["--config" if word == "-c" else word for word in words]
    return tuple(kept)


@functools.lru_cache
def _capture(arguments: tuple[str, ...]) -> str | None:
    """What identifies the capture that these options need; None if they read a cache already."""
    of_the_data = [word for option, words in by_option(arguments) if option not in OF_THE_TRAINER for word in words]
    data = parse_sections("sweep", "", {"data": TrajectoryDataModule}, of_the_data).data
    if data.source == "cached":
        return None
    origin = live_origin(data)
    options: dict[str, Any] = {**origin.options("train"), **origin.options("test")}
    return json.dumps([options, data.n_train, data.n_test], sort_keys=True)

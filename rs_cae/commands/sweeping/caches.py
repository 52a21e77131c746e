"""One capture for all runs that read the same trajectories."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rs_cae.commands.parser import live_origin, parse_sections
from rs_cae.commands.sweeping.words import Run, option_of
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError

OF_THE_CAPTURE = {f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "strategy")}
"""Options beside those of ``data`` that ``rs_cae cache`` takes."""


@dataclass(frozen=True)
class Cache:
    """A cache that some runs read.

    Attributes:
        name: Of its folder and of its log.
        folder: Where it lies.
        words: What follows ``python -m rs_cae cache``.
        runs: The names of the runs that read it.
    """

    name: str
    folder: Path
    words: tuple[str, ...]
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
            capture = _capture(data_words(run.words))
        except InputError as error:
            refused[run.name] = error
            continue
        if capture is not None:
            readers.setdefault(capture, []).append(run)
    caches = []
    for number, alike in enumerate(readers.values(), 1):
        name = "cache" if len(readers) == 1 else f"cache-{number}"
        words = (*data_words(alike[0].words, OF_THE_CAPTURE), f"--data.cache_dir={folder / name}")
        caches.append(Cache(name, folder / name, words, tuple(run.name for run in alike)))
    return caches, refused


def data_words(words: Sequence[str], more: set[str] | None = None) -> tuple[str, ...]:
    """Those words of a fit that say which data it reads: configurations and options of ``data``.

    Args:
        words: What follows ``fit``.
        more: Other options that are to be kept.
    """
    kept: list[str] = []
    keeping = False
    for word in words:
        option = option_of(word)
        if option is not None:
            keeping = option in {"config", "data", *(more or ())} or option.startswith("data.")
        if keeping:
            kept.append("--config" if word == "-c" else word)
    return tuple(kept)


@functools.lru_cache
def _capture(words: tuple[str, ...]) -> str | None:
    """What identifies the capture that these options need; None if they read a cache already."""
    data = parse_sections("sweep", "", {"data": TrajectoryDataModule}, list(words)).data
    if data.source == "cached":
        return None
    origin = live_origin(data)
    options: dict[str, Any] = {**origin.options("train"), **origin.options("test")}
    return json.dumps([options, data.n_train, data.n_test], sort_keys=True)

"""``rs_cae cache``: capture the trajectories of both corpora once, and keep them."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from rich.progress import track

from rs_cae import processes
from rs_cae.commands.messages import trainer_problem
from rs_cae.commands.parser import live_origin, parse_sections
from rs_cae.commands.provenance import git_commit
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.run_folder import refuse_unwritable
from rs_cae.stream.cache import CorpusCache, writing_lock
from rs_cae.stream.cache.lock import LOCK
from rs_cae.stream.origins import LiveOrigin
from rs_cae.stream.trajectories import Capturer

ROLES = ("train", "test")
RECORDED_PACKAGES = ("rs-cae", "torch", "transformers", "tokenizers", "safetensors")


@dataclass(frozen=True)
class TrainerOptions:
    """The processes that share a capture, as a run's ``trainer`` section names them.

    Attributes:
        accelerator: ``cpu``, ``cuda``, or ``auto``.
        devices: How many on each machine.
        num_nodes: Machines.
        strategy: How they find each other.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"


def run(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        0; 130 after Ctrl-C.
    """
    description = "Write the trajectories of both corpora to DIR/train and DIR/test; run again, it goes on."
    sections = {"data": TrajectoryDataModule, "trainer": TrainerOptions}
    options = parse_sections("cache", description, sections, arguments)
    if not options.data.cache_dir:
        raise InputError("--data.cache_dir", "", "is wanted: the folder to write to")
    folder = Path(options.data.cache_dir)
    refuse_unwritable("--data.cache_dir", folder)
    try:
        fabric = _launch(options.trainer)
        origin = live_origin(options.data)
        origin.device = fabric.device
        _capture_both(fabric, origin, folder)
    except KeyboardInterrupt:
        print("\ninterrupted: the shards that are complete are kept, and the same command goes on from there")
        return 130
    return 0


def _launch(options: Namespace) -> Fabric:
    """Start the processes, or find those that a launcher has started."""
    devices, machines = processes.as_launched(options.devices, options.num_nodes)
    try:
        accelerator = processes.accelerator(options.accelerator)
        fabric = Fabric(accelerator=accelerator, strategy=options.strategy, devices=devices, num_nodes=machines)
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(*trainer_problem(str(error), options.as_dict())) from error
    fabric.launch()
    return fabric


def _capture_both(fabric: Fabric, origin: LiveOrigin, folder: Path) -> None:
    """Capture what is missing of either corpus, once it is clear that neither is another's."""
    first = fabric.global_rank == 0
    caches = {role: CorpusCache(folder / role, origin.plan(role), origin.identity(role)) for role in ROLES}
    if first:
        _refuse_other(folder, caches)
    if not any((folder / role).is_dir() for role in ROLES):
        origin.verify()  # before anything is written
    if first:
        _make(folder)
    else:
        fabric.barrier()  # until the first one has the lock
    with writing_lock(folder, first):
        if first:
            _refuse_other(folder, caches)  # once more, now that nobody else writes
            fabric.barrier()
        missing = {role: cache.missing() for role, cache in caches.items()}
        lacking = {role: int(processes.total(torch.tensor(len(numbers)))) for role, numbers in missing.items()}
        if first:
            _refuse_too_large(folder, caches, lacking, origin.bytes_per_sample)
        for role, cache in caches.items():
            with _told_of_the_folder(folder):
                if lacking[role]:
                    _capture(fabric, origin, role, cache, missing[role], lacking[role])
                elif first:
                    cache.finish_if_interrupted(_notes(origin, role))
            if first:
                print(f"{cache.folder}: {cache.shard_count} shards, {cache.samples} samples, complete")
    if first:
        print(f"use it: python -m rs_cae fit ... --data.source cached --data.cache_dir {folder}")


def _make(folder: Path) -> None:
    """Make a folder that need not be there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--data.cache_dir", folder, f"cannot be written to: {error.strerror}") from error


@contextmanager
def _told_of_the_folder(folder: Path) -> Iterator[None]:
    """Turn what the system says of a file that cannot be written into an InputError."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}; the shards that are complete are kept, and the same "
        raise InputError("--data.cache_dir", folder, problem + "command goes on from there") from error


def _refuse_other(folder: Path, caches: Mapping[str, CorpusCache]) -> None:
    """Raise an InputError if the folder holds anything but this capture."""
    foreign = folder.is_dir() and not any((folder / role).is_dir() for role in caches)
    if foreign and any(path.name != LOCK for path in folder.iterdir()):
        raise InputError("--data.cache_dir", folder, "is not empty and holds no cache")
    for cache in caches.values():
        cache.refuse_other()


def _refuse_too_large(folder: Path, caches: Mapping[str, CorpusCache], lacking: Mapping[str, int], size: int) -> None:
    """Raise an InputError if the disk has less room than what is missing needs, at this size of a sample."""
    samples = sum(cache.samples_in(lacking[role]) for role, cache in caches.items())
    free = shutil.disk_usage(folder).free
    if samples * size > free:
        problem = f"wants {_in_bytes(samples * size)} for {samples} samples, but the disk has {_in_bytes(free)} free"
        raise InputError("--data.cache_dir", folder, problem)


def _notes(origin: LiveOrigin, role: str) -> dict[str, Any]:
    """What a manifest says of its origin beside its identity."""
    versions = {name: version(name) for name in RECORDED_PACKAGES}
    return {**origin.notes(role), "versions": versions, "git_commit": git_commit()}


def _capture(
    fabric: Fabric, origin: LiveOrigin, role: str, cache: CorpusCache, missing: list[int], lacking: int
) -> None:
    """Capture the shards that are missing of one corpus: this process's, of all that are lacking."""
    first = fabric.global_rank == 0
    capturer = origin.capturer
    notes = _notes(origin, role)
    if first:
        print(_estimate(cache, capturer, missing, lacking, origin.bytes_per_sample))
        cache.begin(notes)
    fabric.barrier()
    written = cache.write(missing, capturer, lambda token: origin.token_texts(role, torch.tensor([token]))[0])
    for _ in track(written, f"cache {role}", len(missing), disable=not first):
        pass
    fabric.barrier()
    if first:
        cache.finish(notes)


def _estimate(cache: CorpusCache, capturer: Capturer, missing: list[int], lacking: int, size: int) -> str:
    """What all missing shards need in bytes, at this size of a sample, and this process's in time."""
    samples, free = cache.samples_in(lacking), shutil.disk_usage(cache.folder.parent).free
    seconds = capturer.seconds(cache.plan.requests(missing)) if missing else None
    time = "" if seconds is None else f", about {seconds:.0f} s" if seconds < 120 else f", about {seconds / 60:.0f} min"
    there = cache.shard_count - lacking
    resumed = f"{there} of {cache.shard_count} shards are there; " if there else ""
    return f"{cache.folder}: {resumed}{samples} samples, {_in_bytes(samples * size)} of {_in_bytes(free)} free{time}"


def _in_bytes(size: float) -> str:
    """Such as 2.1 GB."""
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"

"""``rs_cae cache``: capture the trajectories of both corpora once, and keep them."""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch
from jsonargparse import Namespace
from lightning import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from rich.progress import track

from rs_cae.commands.parser import parse_sections
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.run_folder import refuse_unwritable
from rs_cae.stream import processes
from rs_cae.stream.cache import CorpusCache, writing_lock
from rs_cae.stream.origins import LiveOrigin
from rs_cae.stream.trajectories import Capturer

ROLES = ("train", "test")
RECORDED_PACKAGES = ("rs-cae", "torch", "transformers", "tokenizers", "safetensors")


@dataclass(frozen=True)
class Processes:
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
    sections = {"data": TrajectoryDataModule, "trainer": Processes}
    options = parse_sections("cache", description, sections, arguments)
    if options.data.cache_dir is None:
        raise InputError("--data.cache_dir", "", "is wanted: the folder to write to")
    folder = Path(options.data.cache_dir)
    refuse_unwritable("--data.cache_dir", folder)
    try:
        fabric = _launch(options.trainer)
        origin = TrajectoryDataModule(**{**options.data, "source": "live"}).origin
        _capture_both(fabric, cast(LiveOrigin, origin), folder)
    except KeyboardInterrupt:
        print("\ninterrupted: the shards that are complete are kept, and the same command goes on from there")
        return 130
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}; the shards that are complete are kept, and the same "
        raise InputError("--data.cache_dir", folder, problem + "command goes on from there") from error
    return 0


def _launch(options: Namespace) -> Fabric:
    """Start the processes, or find those that a launcher has started."""
    accelerator = options.accelerator
    if accelerator == "auto" and not torch.cuda.is_available():
        accelerator = "cpu"
    devices, machines = processes.as_launched(options.devices, options.num_nodes)
    try:
        fabric = Fabric(accelerator=accelerator, strategy=options.strategy, devices=devices, num_nodes=machines)
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        given = f"{options.accelerator}, devices {options.devices}, strategy {options.strategy}"
        raise InputError("--trainer.accelerator", given, f"cannot be used: {error}") from error
    fabric.launch()
    return fabric


def _capture_both(fabric: Fabric, origin: LiveOrigin, folder: Path) -> None:
    """Capture what is missing of either corpus, once it is clear that neither is another's."""
    first = fabric.global_rank == 0
    caches = {
        role: CorpusCache(folder / role, origin.open(role), origin.identity(role, fabric.device)) for role in ROLES
    }
    if first:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("--data.cache_dir", folder, f"cannot be written to: {error.strerror}") from error
    with writing_lock(folder) if first else nullcontext():
        if first:
            for cache in caches.values():
                cache.refuse_other()
        fabric.barrier()
        for role, cache in caches.items():
            _capture(fabric, origin, role, cache)
    if first:
        print(f"use it: python -m rs_cae fit ... --data.source cached --data.cache_dir {folder}")


def _capture(fabric: Fabric, origin: LiveOrigin, role: str, cache: CorpusCache) -> None:
    """Capture what is missing of one corpus, each process its own shards."""
    first = fabric.global_rank == 0
    missing = cache.missing()
    shards, lacking = len(cache.source.chunks), int(processes.total(torch.tensor(len(missing))))
    if lacking:
        capturer = origin.capturer(fabric.device)
        notes = {**origin.provenance(role), "versions": {name: version(name) for name in RECORDED_PACKAGES}}
        if first:
            print(_estimate(cache, capturer, missing, lacking))
            cache.begin(notes)
        fabric.barrier()
        written = cache.write(missing, capturer, lambda token: origin.token_texts(role, torch.tensor([token]))[0])
        for _ in track(written, f"cache {role}", len(missing), disable=not first):
            pass
        fabric.barrier()
        if first:
            cache.finish(notes)
    elif first:
        cache.finish_if_interrupted(origin.provenance(role))
    if first:
        print(f"{cache.folder}: {shards} shards, {len(cache.source)} samples, complete")


def _estimate(cache: CorpusCache, capturer: Capturer, missing: list[int], lacking: int) -> str:
    """What the missing shards need, in bytes and in time.

    Raises:
        InputError: If the disk has less.
    """
    sublayers, width = capturer.shape
    chunks = cache.source.chunks
    samples = round(lacking / len(chunks) * len(cache.source))
    size, free = samples * sublayers * width * capturer.dtype.itemsize, shutil.disk_usage(cache.folder.parent).free
    if size > free:
        problem = f"wants {_in_bytes(size)} for {samples} samples, but the disk has {_in_bytes(free)} free"
        raise InputError("--data.cache_dir", cache.folder, problem)
    requests = cache.source.requests([chunks[number] for number in missing])
    seconds = capturer.seconds(requests) if requests else None
    time = "" if seconds is None else f", about {seconds:.0f} s" if seconds < 120 else f", about {seconds / 60:.0f} min"
    resumed = "" if lacking == len(chunks) else f"{len(chunks) - lacking} of {len(chunks)} shards are there; "
    return f"{cache.folder}: {resumed}{samples} samples, {_in_bytes(size)} of {_in_bytes(free)} free{time}"


def _in_bytes(size: float) -> str:
    """Such as 2.1 GB."""
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"

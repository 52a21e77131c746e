"""Trajectories read from a cache without loading it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from rs_cae.stream.cache.manifest import Manifest
from rs_cae.stream.live import Trajectories
from rs_cae.stream.trajectories import TrajectoryBatch


class CachedTrajectories(Trajectories):
    """A corpus whose trajectories lie on disk.

    Shards are mapped into memory, so that only what a batch touches is read, and the system may drop it again: memory
    does not grow with the cache, nor with the number of loader workers, which share the pages.

    Args:
        folder: Holds the shards.
        manifest: Of that folder.

    Raises:
        ValueError: If a shard is missing or has another size than the manifest says; the message names it.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.files = [folder / shard.file for shard in manifest.shards]
        for file, shard in zip(self.files, manifest.shards, strict=True):
            if not file.is_file():
                raise ValueError(f"{file.name} is missing")
            if file.stat().st_size != shard.bytes:
                raise ValueError(f"{file.name} is damaged: {file.stat().st_size} bytes instead of {shard.bytes}")
        self.starts = torch.tensor([0, *(shard.samples for shard in manifest.shards)]).cumsum(0)
        self._mapped: dict[int, dict[str, Tensor]] = {}
        self.text_of = self._read_all("texts")

    def __getitems__(self, samples: Sequence[int]) -> TrajectoryBatch:
        chosen = torch.as_tensor(samples)
        shard_of = torch.searchsorted(self.starts, chosen, right=True) - 1
        rows = chosen - self.starts[shard_of]
        parts, places = [], []
        for shard in shard_of.unique().tolist():
            place = (shard_of == shard).nonzero().flatten()
            held = self._map(shard)
            parts.append([held[name][rows[place]] for name in ("states", "tokens", "positions", "texts")])
            places.append(place)
        states, tokens, positions, texts = (torch.cat(fields) for fields in zip(*parts, strict=True))
        order = torch.cat(places).argsort()
        return TrajectoryBatch(states[order], tokens[order], positions[order], chosen, texts[order])

    def _map(self, shard: int) -> dict[str, Tensor]:
        if shard not in self._mapped:
            with safe_open(self.files[shard], framework="pt") as file:
                self._mapped[shard] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return self._mapped[shard]

    def _read_all(self, name: str) -> Tensor:
        return torch.cat([self._map(shard)[name] for shard in range(len(self.files))])

    def __getstate__(self) -> dict[str, Any]:
        """Without the maps: a worker process makes its own."""
        return {**self.__dict__, "_mapped": {}}

"""Trajectories read from a cache without loading it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from rs_cae.stream.cache.manifest import Manifest
from rs_cae.stream.trajectories import Trajectories, TrajectoryBatch


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
        fields = [self._read(name) for name in ("tokens", "positions", "texts")]
        self.tokens, self.positions, self.text_of = (torch.cat(parts) for parts in fields)
        for file, shard, tokens in zip(self.files, manifest.shards, fields[0], strict=True):
            if len(tokens) != shard.samples:
                raise ValueError(f"{file.name} holds {len(tokens)} samples, and the manifest says {shard.samples}")
        self.starts = torch.tensor([0, *map(len, fields[0])]).cumsum(0)
        self._states: dict[int, Tensor] = {}

    def __getitems__(self, samples: Sequence[int]) -> TrajectoryBatch:
        chosen = torch.as_tensor(samples)
        shard_of = torch.searchsorted(self.starts, chosen, right=True) - 1
        rows = (chosen - self.starts[shard_of]).tolist()
        states = torch.stack([self._map(shard)[row] for shard, row in zip(shard_of.tolist(), rows, strict=True)])
        return TrajectoryBatch(states, self.tokens[chosen], self.positions[chosen], chosen, self.text_of[chosen])

    def _map(self, shard: int) -> Tensor:
        """The states of a shard, of which nothing is read yet."""
        if shard not in self._states:
            with safe_open(self.files[shard], framework="pt") as file:
                self._states[shard] = file.get_tensor("states")
        return self._states[shard]

    def _read(self, name: str) -> list[Tensor]:
        """A field of each shard's samples, in memory."""
        parts = []
        for path in self.files:
            with safe_open(path, framework="pt") as file:
                parts.append(file.get_tensor(name).clone())
        return parts

    def __getstate__(self) -> dict[str, Any]:
        """Without the maps: a worker process makes its own."""
        return {**self.__dict__, "_states": {}}

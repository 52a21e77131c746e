"""What a folder of shards says of itself."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rs_cae.atomic_files import write_json
from rs_cae.dynamics.moments import Moments
from rs_cae.sublayers import SublayerLayout

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ShardRecord:
    """What is known of one shard; it lies beside the shard, and all of them in the manifest.

    Attributes:
        file: Its name.
        identity: ``fingerprint`` of what the shard was captured from.
        samples: How many it holds.
        bytes: Its size.
        sha256: Of the whole file.
        mean: Per sublayer, over samples and units.
        variance: Per sublayer, the mean squared deviation from that mean, over samples and units.
        token_texts: The text of every token that is read in it, by its id.
    """

    file: str
    identity: str
    samples: int
    bytes: int
    sha256: str
    mean: list[float]
    variance: list[float]
    token_texts: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds and where it comes from.

    Attributes:
        identity: What makes two captures the same: model, weights, tokenizer, corpus, texts, options.
        origin: What else is worth knowing: library versions, verification of the hook points, truncated texts.
        shards: The shards, in the order of their samples; fewer than ``shard_count`` while it is being written.
        shard_count: How many there will be.
        format_version: Of the folder.
    """

    identity: dict[str, Any]
    origin: dict[str, Any]
    shards: list[ShardRecord]
    shard_count: int
    format_version: int = FORMAT_VERSION

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.shards) == self.shard_count

    @property
    def samples(self) -> int:
        """How many trajectories it holds."""
        return sum(shard.samples for shard in self.shards)

    @property
    def layout(self) -> SublayerLayout:
        """The sublayers of its trajectories."""
        return SublayerLayout(self.identity["layers"], tuple(self.identity["sites"]))

    @property
    def moments(self) -> Moments:
        """Moments per sublayer, over samples and units, of all shards."""
        width = self.identity["width"]
        parts = []
        for shard in self.shards:
            count = torch.tensor([shard.samples * width], dtype=torch.float64)
            mean, variance = (torch.tensor([row], dtype=torch.float64) for row in (shard.mean, shard.variance))
            parts.append(Moments(count, mean, variance * count))
        return Moments.merge(*parts)

    @property
    def token_texts(self) -> dict[int, str]:
        """The text of every token that is read, by its id."""
        return {int(token): text for shard in self.shards for token, text in shard.token_texts.items()}

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        content: dict[str, Any] = {"format_version": self.format_version, "complete": self.complete}
        if self.complete:
            moments = self.moments
            content |= {"samples": self.samples}
            content |= {"mean": moments.mean[0].tolist(), "variance": moments.variance[0].tolist()}
        content |= {"identity": self.identity, "origin": self.origin, "shard_count": self.shard_count}
        write_json(folder / MANIFEST, {**content, "shards": [asdict(shard) for shard in self.shards]})


class OtherFormatError(ValueError):
    """A manifest in a format that this version does not read."""


def fingerprint(identity: dict[str, Any]) -> str:
    """SHA-256 of what makes two captures the same."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        FileNotFoundError: If there is none.
        OtherFormatError: If another version of the format has written it.
        ValueError: If it is damaged.
    """
    text = (folder / MANIFEST).read_bytes()
    try:
        content = json.loads(text)
        version = content["format_version"]
        if version == FORMAT_VERSION:
            shards = [ShardRecord(**record) for record in content["shards"]]
            manifest = Manifest(dict(content["identity"]), dict(content["origin"]), shards, int(content["shard_count"]))
            _ = manifest.layout, int(manifest.identity["width"])
            return manifest
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / MANIFEST} is damaged") from error
    raise OtherFormatError(f"{folder / MANIFEST} is of format {version}; this version of rs_cae reads {FORMAT_VERSION}")

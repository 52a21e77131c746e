"""One shard: a safetensors file with the trajectories of some samples, and the record beside it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from rs_cae.atomic_files import write_json, write_whole
from rs_cae.dynamics.moments import Moments
from rs_cae.stream.cache.manifest import ShardRecord
from rs_cae.stream.trajectories import TrajectoryBatch


def shard_file(number: int) -> str:
    """Such as ``shard-00007.safetensors``."""
    return f"shard-{number:05d}.safetensors"


def record_file(number: int) -> str:
    """Such as ``shard-00007.json``."""
    return f"shard-{number:05d}.json"


def write_shard(
    folder: Path, number: int, batch: TrajectoryBatch, hashes: Tensor, identity: str, token_texts: Mapping[int, str]
) -> None:
    """Write a shard, then its record: a shard without one does not count.

    Args:
        folder: Of the corpus.
        number: Of the shard.
        batch: Its trajectories, in the corpus's order, in float32 or bfloat16.
        hashes: [samples], the first eight bytes of each text's SHA-256.
        identity: Fingerprint of what they were captured from.
        token_texts: The text of each token that is read.

    Raises:
        OSError: If it cannot be written; nothing of it is left then.
    """
    states = batch.states
    tensors = {
        "states": states.contiguous(),
        "tokens": batch.tokens,
        "positions": batch.positions,
        "texts": batch.texts,
        "text_hashes": hashes,
    }
    content = save(tensors)
    moments = _moments_of_sublayers(states)
    record = ShardRecord(
        file=shard_file(number),
        identity=identity,
        samples=len(states),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        mean=moments.mean[0].tolist(),
        variance=moments.variance[0].tolist(),
        token_texts={str(token): text for token, text in token_texts.items()},
    )
    write_whole(folder / record.file, content)
    write_json(folder / record_file(number), asdict(record))


def read_record(folder: Path, number: int) -> ShardRecord | None:
    """The record of a shard; None if there is none that can be read."""
    try:
        return ShardRecord(**json.loads((folder / record_file(number)).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def is_intact(folder: Path, record: ShardRecord) -> bool:
    """Whether a shard's file is the one that its record describes; reads all of it."""
    try:
        with (folder / record.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == record.sha256
    except OSError:
        return False


def _moments_of_sublayers(states: Tensor, samples_at_once: int = 16) -> Moments:
    """Moments of every sublayer over samples and units, a few samples at a time: in float64 they are large."""
    sublayers = states.shape[1]
    moments = Moments.zeros(1, sublayers)
    for part in states.split(samples_at_once):
        moments = Moments.merge(moments, Moments.of(part.transpose(1, 2).reshape(-1, sublayers)))
    return moments

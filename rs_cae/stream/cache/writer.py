"""Writing the trajectories of one corpus, shard by shard, so that any interruption can be gone on from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rs_cae.errors import InputError
from rs_cae.stream.cache.manifest import Manifest, OtherFormatError, ShardRecord, fingerprint, read_manifest
from rs_cae.stream.cache.shards import is_intact, read_record, write_shard
from rs_cae.stream.plan import CapturePlan
from rs_cae.stream.trajectories import Capturer


class CorpusCache:
    """The folder of one corpus while it is written.

    Each shard is a chunk of the live corpus and has a record of its own, so that processes write apart from each other
    and a manifest that is lost can be written again.

    Args:
        folder: Holds the manifest and the shards.
        plan: Of the corpus.
        identity: What makes two captures the same, by option name.
    """

    def __init__(self, folder: Path, plan: CapturePlan, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.plan = plan
        self.identity = identity
        self.fingerprint = fingerprint(identity)
        self.shard_count = len(plan.chunks)

    @property
    def samples(self) -> int:
        """How many trajectories it is to hold."""
        return len(self.plan.tokenized)

    def samples_in(self, shards: int) -> int:
        """About how many of them so many shards hold."""
        return round(shards / self.shard_count * self.samples)

    def refuse_other(self) -> None:
        """Raise an InputError if the folder holds another capture, naming what differs."""
        try:
            held = read_manifest(self.folder)
        except FileNotFoundError:
            if self.folder.is_dir() and any(path.name[0] != "." for path in self.folder.glob("*")) and not self._own():
                raise InputError("--data.cache_dir", self.folder, "is not empty and holds no cache") from None
            return
        except OtherFormatError as error:
            raise InputError("--data.cache_dir", self.folder, str(error)) from error
        except ValueError as error:
            if self._own():
                return  # the shards' records say that they are this capture's: the manifest is written anew
            problem = f"{error}, and no shard of this capture is there"
            raise InputError("--data.cache_dir", self.folder, problem) from error
        for name in {**self.identity, **held.identity}:
            there, here = held.identity.get(name), self.identity.get(name)
            if there != here:
                problem = f"holds another capture: its {name} is {there}, not {here}"
                raise InputError("--data.cache_dir", self.folder, problem)

    def begin(self, origin: dict[str, Any]) -> None:
        """Make the folder, with a manifest that says what is being captured; clear what an interruption left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*.partial"):
            leftover.unlink()
        Manifest(self.identity, origin, [], self.shard_count).write(self.folder)

    def missing(self) -> list[int]:
        """Numbers of this process's shards that are not there, or not as they were written; reads those that are."""
        try:
            listed = {record.file: record for record in read_manifest(self.folder).shards}
        except (OSError, ValueError):
            listed = {}
        return [number for number in self.plan.own if not self._intact(number, listed)]

    def write(self, numbers: Sequence[int], capturer: Capturer, text_of: Callable[[int], str]) -> Iterator[int]:
        """Capture and write these shards; yields each one's number when it is safely on the disk.

        Args:
            numbers: Of the shards.
            capturer: Runs the language model.
            text_of: The text of a token.
        """
        for number, batch in zip(numbers, capturer.trajectories(self.plan.requests(numbers)), strict=True):
            kept = batch.to("cpu")
            texts = {token: text_of(token) for token in kept.tokens.unique().tolist()}
            hashes = self.plan.tokenized.hashes[kept.texts]
            write_shard(self.folder, number, kept, hashes, self.fingerprint, texts)
            yield number

    def finish(self, origin: dict[str, Any]) -> None:
        """Write the manifest of all shards, once every process has written its own.

        Raises:
            InputError: If one of them is not there after all.
        """
        records = [read_record(self.folder, number) for number in range(self.shard_count)]
        own = [record for record in records if record is not None and record.identity == self.fingerprint]
        manifest = Manifest(self.identity, origin, own, self.shard_count)
        manifest.write(self.folder)
        if not manifest.complete:
            problem = f"has only {len(own)} of {self.shard_count} shards: another process has changed it; run it again"
            raise InputError("--data.cache_dir", self.folder, problem)

    def finish_if_interrupted(self, origin: dict[str, Any]) -> None:
        """Write the manifest if all shards are there and it is not, or is damaged."""
        try:
            held = read_manifest(self.folder)
        except (OSError, ValueError):
            self.finish(origin)
        else:
            if not held.complete:
                self.finish(held.origin)

    def _own(self) -> bool:
        """Whether a shard of this very capture lies in the folder."""
        records = (read_record(self.folder, number) for number in range(self.shard_count))
        return any(record is not None and record.identity == self.fingerprint for record in records)

    def _intact(self, number: int, listed: Mapping[str, ShardRecord]) -> bool:
        """Whether a shard is what its record says, and its record what the manifest says, if it lists it."""
        record = read_record(self.folder, number)
        if record is None or record.identity != self.fingerprint or listed.get(record.file, record) != record:
            return False
        return is_intact(self.folder, record)

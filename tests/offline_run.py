"""What an offline run of Weights & Biases holds, read from the file that ``wandb sync`` reads."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

HEADER, BLOCK, PREFIX = 7, 32768, struct.Struct("<IHB")  # of LevelDB's log format: checksum, length, kind of part
WHOLE, LAST = 1, 4


@dataclass
class OfflineRun:
    """An offline run.

    Attributes:
        folder: Where it lies.
        config: As it is at the end.
        summary: The same.
        metrics: By name: what was said of them.
        history: Its rows.
        artifacts: As they were logged.
        files: Names of the files that are to be uploaded.
        exit_code: How it ended.
        about: What W&B itself notes of the machine and the command.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[Any] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None
    about: list[Any] = field(default_factory=list)

    def table(self, key: str) -> list[dict[str, Any]]:
        """The rows of a table that was logged."""
        content = json.loads((self.folder / "files" / self.summary[key]["path"]).read_text())
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def read_offline_run(run_dir: Path) -> OfflineRun:
    """The only offline run of a run's folder."""
    (file,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    run = OfflineRun(file.parent)
    for record in _records(file.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind in ("config", "summary"):
            for item in getattr(record, kind).update:
                _put(getattr(run, kind), list(item.nested_key) or [item.key], json.loads(item.value_json))
        elif kind == "history":
            row: dict[str, Any] = {}
            for item in record.history.item:
                _put(row, list(item.nested_key) or [item.key], json.loads(item.value_json))
            run.history.append(row)
        elif kind == "metric":
            run.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "artifact":
            run.artifacts.append(record.artifact)
        elif kind == "files":
            run.files += [item.path for item in record.files.files]
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
        elif kind == "environment":
            run.about.append(record.environment)
    return run


def _records(content: bytes) -> list[Any]:
    place, parts, found = HEADER, b"", []
    while place < len(content):
        left = BLOCK - place % BLOCK
        if left < PREFIX.size:
            place += left
            continue
        _, length, kind = PREFIX.unpack_from(content, place)
        place += PREFIX.size
        parts += content[place : place + length]
        place += length
        if kind in (WHOLE, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        target = target.setdefault(name, {})
    target[path[-1]] = value

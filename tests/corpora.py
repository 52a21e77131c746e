"""What the tests of corpora share: datasets on the disk, and how a corpus is asked for."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rs_cae.errors import InputError
from rs_cae.stream.corpus import CorpusSpec

HUB_ID = "someone/something"
ROWS = ["first text", None, "= heading =", "line one\nline two", "  padded  ", "fourth text"]


def spec(name, count=None, role="train", min_chars=4, max_chars=40, default_count=1000) -> CorpusSpec:
    return CorpusSpec(role, str(name), min_chars, max_chars, count, default_count)


def problem(name, **more) -> str:
    """The message without the option and the value, which every message starts with."""
    with pytest.raises(InputError) as caught:
        spec(name, **more).load()
    message, start = str(caught.value), f"--data.{more.get('role', 'train')}_corpus {name}: "
    assert message.startswith(start)
    assert "\n" not in message
    return message.removeprefix(start)


def write_dataset(folder: Path, configs: dict[str, dict[str, dict[str, list]]]) -> Path:
    """A folder of parquet files, its configurations and their splits declared as on the hub; two rows a row group."""
    header = []
    for config, splits in configs.items():
        (folder / config).mkdir(parents=True)
        for split, columns in splits.items():
            parquet.write_table(pa.table(columns), folder / config / f"{split}-0.parquet", row_group_size=2)
        files = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
        header.append({"config_name": config, "data_files": files})
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(header)}\n---\n")
    return folder


def downloaded(hub: Path, name: str, revision: str) -> Path:
    """Where ``hf download --repo-type dataset NAME`` would put that revision of it."""
    place = hub / f"datasets--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(revision)
    return place / "snapshots" / revision

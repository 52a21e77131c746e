"""Readers of corpora: text files and Hugging Face datasets, one text at a time, so that only what is taken is read."""

import gzip
import logging
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, TextIO

from rs_cae.errors import InputError

WIKITEXT_REPOSITORY = "Salesforce/wikitext"
WIKITEXT_REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
HUB_FORM = "hf:NAME:CONFIG:SPLIT:COLUMN"

_LONGEST_REASON = 160
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_WIKITEXT = re.compile(r"(wikitext-(?:2|103))(?:/([^./]*))?")


@dataclass(frozen=True)
class DatasetColumn:
    """A column of a split of a Hugging Face dataset.

    Attributes:
        place: Id on the hub, or a local folder of data files.
        config: Its configuration; None where it has one only.
        split: Such as ``train``, or ``validation+test``.
        column: The column that holds the texts.
        revision: Commit of the hub's repository; None for the newest.
        streaming: Whether rows are fetched as they are taken. Otherwise the whole split is downloaded once and kept.
    """

    place: str
    config: str | None
    split: str
    column: str
    revision: str | None = None
    streaming: bool = True


def wikitext_column(name: str) -> DatasetColumn | None:
    """The dataset behind ``wikitext-2/SPLIT`` or ``wikitext-103/SPLIT``, the raw version; None for other names."""
    found = _WIKITEXT.fullmatch(name)
    if found is None:
        return None
    config, split = f"{found[1]}-raw-v1", found[2] or "train"
    return DatasetColumn(WIKITEXT_REPOSITORY, config, split, "text", WIKITEXT_REVISION, streaming=False)


def hub_column(name: str, option: str) -> DatasetColumn:
    """The dataset that ``hf:NAME:CONFIG:SPLIT:COLUMN`` stands for; CONFIG may be empty.

    Raises:
        InputError: If the name has another form, or NAME is neither a folder nor possible on the hub.
    """
    parts = name.split(":")[1:]
    if len(parts) != 4 or not (parts[0] and parts[2] and parts[3]):
        raise InputError(option, name, f"must have the form {HUB_FORM}, where CONFIG alone may be empty")
    place, config, split, column = parts
    if not Path(place).is_dir() and not _HUB_ID.fullmatch(place):
        raise InputError(option, name, f"{place} is no folder, and cannot be a dataset of the Hugging Face hub")
    return DatasetColumn(place, config or None, split, column)


def read_text_file(name: str, option: str) -> Iterator[str]:
    """Lines of a .txt or .txt.gz file in utf-8.

    Raises:
        InputError: If it cannot be read, as far as it is read, or has blank lines only.
    """
    blank = True
    try:
        with _open_text(name) as file:
            for line in file:
                blank = blank and not line.strip()
                yield from line.splitlines()
    except UnicodeDecodeError as error:
        raise InputError(option, name, f"is not utf-8: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(option, name, f"cannot be read: {_reason(error)}") from error
    if blank:
        raise InputError(option, name, "the file is empty")


def _open_text(name: str) -> TextIO:
    if name.endswith(".gz"):
        return gzip.open(name, "rt", encoding="utf-8-sig")
    return Path(name).open(encoding="utf-8-sig")


def read_dataset(source: DatasetColumn, name: str, option: str) -> Iterator[str]:
    """Values of the column, row by row; rows without a value are left out.

    Raises:
        InputError: If the dataset cannot be reached or read, or lacks the configuration, the split or the column.
    """
    try:
        yield from _values(_open_dataset(source), source.column)
    except Exception as error:  # datasets, pyarrow and the hub's HTTP client share no narrower class
        problem = f"cannot be read: {_reason(error)}"
        if not Path(source.place).is_dir() and _is_unreachable(error):
            revision = f" --revision {source.revision}" if source.revision else ""
            download = f"`hf download --repo-type dataset {source.place}{revision}`"
            problem += f"; {download} fetches it, demo/train needs no download"
        raise InputError(option, name, problem) from error


def _open_dataset(source: DatasetColumn) -> Any:
    import datasets  # takes most of a second, and the other corpora do without

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in datasets.config.ENV_VARS_TRUE_VALUES:
        datasets.config.HF_HUB_OFFLINE = True  # it was read at the import, which may have been before it was set
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)  # what fails is said by InputError
    load = partial(datasets.load_dataset, name=source.config, split=source.split, streaming=source.streaming)
    if Path(source.place).is_dir():
        return load(str(Path(source.place).absolute()))  # a relative "text" would mean the format of that name
    try:
        return load(source.place, revision=source.revision)
    except Exception as error:
        folder = _downloaded_copy(source)
        if folder is None:
            raise
        try:
            return load(folder)
        except FileNotFoundError:  # the copy lacks this configuration's files
            raise error from None


def _downloaded_copy(source: DatasetColumn) -> str | None:
    """Where ``hf download`` has put the dataset, if it has: ``datasets`` does not look there without a network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return snapshot_download(source.place, repo_type="dataset", revision=source.revision, local_files_only=True)
    except LocalEntryNotFoundError:
        return None


def _values(data: Any, column: str) -> Iterator[str]:
    if column in (data.column_names or ()):  # some formats name their columns with the first row only
        data = data.select_columns([column])  # other columns can hold images, which would be decoded
    for row in data:
        if column not in row:
            raise ValueError(f"has no column {column!r}, but {', '.join(row)}")
        value = row[column]
        if value is not None:
            if not isinstance(value, str):
                raise ValueError(f"column {column!r} holds {type(value).__name__}, not text")
            yield value


def _is_unreachable(error: Exception) -> bool:
    """Whether the hub could not be asked and no copy was found, as against a name that the dataset does not have."""
    from datasets.exceptions import DatasetNotFoundError

    if isinstance(error, DatasetNotFoundError):
        return False
    no_network = isinstance(error, OSError) or type(error).__module__.startswith("httpx")  # which httpx, varies
    return no_network or str(error).startswith("Couldn't find cache")


def _reason(error: Exception) -> str:
    return shorten(str(error) or type(error).__name__, _LONGEST_REASON, placeholder=" …")

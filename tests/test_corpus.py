"""Corpora: which texts are taken, no more is read than that, and what cannot be read is said in one line."""

import gzip
import json
import logging
import subprocess
import sys
from pathlib import Path

import datasets
import huggingface_hub
import pyarrow as pa
import pytest
from huggingface_hub.utils import httpx
from pyarrow import parquet

from rs_cae.demo.corpus import load_test_paragraphs
from rs_cae.errors import InputError
from rs_cae.stream import corpus_readers
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.corpus_readers import WIKITEXT_REVISION

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


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub; no network is asked, and the libraries learn of that after their import only."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", lambda *_, **__: pytest.fail("asks the network"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


@pytest.fixture
def folder(tmp_path):
    first = {
        "train": {"text": ROWS, "number": list(range(len(ROWS)))},
        "test": {"text": ["test text"], "number": [0]},
    }
    return write_dataset(tmp_path / "folder", {"first": first, "second": {"train": {"body": ["other text"]}}})


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("= head =\n =head=\nabc\n  abcd\t\n\nabcdefgh\nabcdefghi\na=bcd\n", encoding="utf-8")
    return path


def test_texts_are_stripped_and_those_within_the_bounds_taken_in_order_without_headings(lines):
    assert spec(lines, min_chars=4, max_chars=8).load() == ["abcd", "abcdefgh", "a=bcd"]
    assert "" not in spec(lines, min_chars=0).load()


@pytest.mark.parametrize(("count", "default_count", "taken"), [(2, 1, 2), (None, 2, 2), (None, 9, 3), (3, 9, 3)])
def test_the_count_is_taken_and_without_one_up_to_the_default(lines, count, default_count, taken):
    texts = ["abcd", "abcdefgh", "a=bcd"]
    assert spec(lines, count, max_chars=8, default_count=default_count).load() == texts[:taken]


@pytest.mark.parametrize("role", ["train", "test"])
def test_a_count_that_cannot_be_had_names_its_own_option(lines, role):
    with pytest.raises(InputError, match=rf"^--data.n_{role} 4: only 3 texts of 4 to 8 characters qualify in {lines}$"):
        spec(lines, 4, role, max_chars=8).load()
    with pytest.raises(InputError, match=rf"^--data.n_{role} 0: must be at least 1$"):
        spec("missing.txt", 0, role).load()
    with pytest.raises(InputError, match=r"^--data.min_chars 9: is above --data.max_chars 8$"):
        spec("missing.txt", min_chars=9, max_chars=8).load()
    assert problem(lines, role=role, min_chars=20) == "none of its texts has 20 to 40 characters"


def test_the_demo_corpus_by_name():
    expected = [text for text in load_test_paragraphs() if 100 <= len(text) <= 500 and text[0] != "="]
    assert spec("demo/test", 5, min_chars=100, max_chars=500).load() == expected[:5]


def test_a_compressed_file_reads_like_a_plain_one(tmp_path):
    content = "grüße an alle\r\nzweite Zeile\n".encode()
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    for name in ("a.txt", "a.txt.gz"):
        assert spec(tmp_path / name).load() == ["grüße an alle", "zweite Zeile"]


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 40]) + content[middle + 40 :]


LONG = gzip.compress("".join(f"text {number**5}\n" for number in range(2000)).encode())


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt.gz", b"plain text\n", "cannot be read: Not a gzipped file"),
        ("a.txt.gz", LONG[:-500], "cannot be read: Compressed file ended"),
        ("a.txt.gz", damaged(LONG), "cannot be read: "),
        ("a.txt.gz", LONG[:-8] + bytes(8), "cannot be read: CRC check failed"),
        ("a.txt.gz", gzip.compress(b"caf\xe9 au lait\n"), "is not utf-8: "),
        ("a.txt", b"caf\xe9 au lait\n", "is not utf-8: "),
        ("a.txt", b" \n\n", "the file is empty"),
        ("a.txt.gz", gzip.compress(b""), "the file is empty"),
        ("a.txt", None, "cannot be read: [Errno 2] No such file"),
        ("a.txt.gz", None, "cannot be read: [Errno 2] No such file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content, expected):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert problem(tmp_path / name, default_count=10**6).startswith(expected)


def test_a_folder_is_no_text_file(tmp_path):
    (tmp_path / "a.txt").mkdir()
    assert problem(tmp_path / "a.txt", role="test").startswith("cannot be read: ")


@pytest.mark.parametrize(("name", "pack"), [("a.txt", bytes), ("a.txt.gz", gzip.compress)])
def test_a_file_is_read_as_far_as_texts_are_taken(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(b"a text that qualifies\n" * 50_000 + b"\xff\n"))
    assert len(spec(tmp_path / name, 30).load()) == 30
    assert problem(tmp_path / name, count=60_000).startswith("is not utf-8")


@pytest.mark.parametrize("name", ["demo/tarin", "wikitext-9/train", "a.gz", "wikitext-2/a/b", ""])
def test_an_unknown_name_is_answered_by_those_that_exist(name):
    expected = problem(name)
    assert expected.startswith("no such corpus; give ")
    for known in ("demo/train", "demo/test", "wikitext-2/", "wikitext-103/", "hf:NAME:CONFIG:SPLIT:COLUMN", ".txt.gz"):
        assert known in expected


def test_a_row_is_one_text_and_one_without_a_value_is_skipped(folder):
    texts = ["first text", "line one\nline two", "padded", "fourth text"]
    assert spec(f"hf:{folder}:first:train:text").load() == texts
    assert spec(f"hf:{folder}:first:test+train:text").load() == ["test text", *texts]
    assert spec(f"hf:{folder}:second:train:body").load() == ["other text"]


@pytest.mark.parametrize(
    ("file", "content", "column"),
    [
        ("a.txt", "one text\nanother text\n", "text"),
        ("train.jsonl", '{"body": null, "n": 1}\n{"body": "one text"}\n{"n": 3, "body": "another text"}\n', "body"),
        ("a.csv", "n,body\n1,one text\n2,another text\n", "body"),
    ],
)
def test_a_folder_of_other_files_needs_no_configuration(tmp_path, file, content, column):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / file).write_text(content)
    assert spec(f"hf:{tmp_path / 'plain'}::train:{column}").load() == ["one text", "another text"]
    assert problem(f"hf:{tmp_path / 'plain'}::train:nope").startswith("cannot be read: has no column 'nope', but ")


def test_a_folder_comes_before_the_file_format_of_the_same_name(tmp_path, monkeypatch):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("inside the folder")
    (tmp_path / "a.txt").write_text("outside the folder")
    monkeypatch.chdir(tmp_path)
    assert spec("hf:text::train:text").load() == ["inside the folder"]


def test_no_more_rows_are_read_than_needed_and_no_other_column(folder, monkeypatch):
    seen = []
    iterate = datasets.IterableDataset.__iter__

    def counting(dataset):
        for row in iterate(dataset):
            seen.append(row)
            yield row

    monkeypatch.setattr(datasets.IterableDataset, "__iter__", counting)
    assert len(spec(f"hf:{folder}:first:train:text", 2).load()) == 2
    assert seen == [{"text": text} for text in ROWS[:4]]


def test_files_behind_the_last_text_taken_are_not_opened(folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)
    (folder / "first" / "train-1.parquet").write_bytes(b"damaged")
    assert len(spec(f"hf:{folder}:first:train:text", 4).load()) == 4
    assert problem(f"hf:{folder}:first:train:text", count=5).startswith("cannot be read: ")
    assert caplog.records == []  # the error is said once


@pytest.mark.parametrize(
    "rest", ["", "data", "data:train:text", "data::train:", ":::", ":a:b:c", "a:b:c:d:e", "a:b::c"]
)
def test_the_form_of_a_malformed_name_is_said(rest):
    assert problem(f"hf:{rest}", role="test").startswith("must have the form hf:NAME:CONFIG:SPLIT:COLUMN")


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("first:train:nope", ["no column 'nope'", "text, number"]),
        ("first:train:number", ["column 'number' holds int, not text"]),
        ("first:nope:text", ["nope", "'train', 'test'"]),
        ("nope:train:text", ["nope", "'first', 'second'"]),
        (":train:text", ["Config name is missing", "'first', 'second'"]),
    ],
)
def test_what_a_dataset_lacks_is_answered_by_what_it_has(folder, rest, words):
    said = problem(f"hf:{folder}:{rest}", role="test")
    assert all(word in said for word in words), said
    assert "hf download" not in said


def test_a_folder_with_a_script_is_refused_and_the_script_not_run(tmp_path):
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "scripts are no longer supported" in problem(f"hf:{tmp_path / 'script'}::train:text")
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_data_is_no_matter_of_downloading(tmp_path):
    (tmp_path / "empty").mkdir()
    said = problem(f"hf:{tmp_path / 'empty'}::train:text")
    assert "doesn't contain any data files" in said
    assert "hf download" not in said


@pytest.mark.parametrize("place", ["./nowhere", "/no/where", "no/such/folder", "a b/c"])
def test_a_folder_that_is_missing_is_not_sought_on_the_hub(place):
    said = problem(f"hf:{place}::train:text")
    assert said == f"{place} is no folder, and cannot be a dataset of the Hugging Face hub"


def test_without_network_and_copy_it_is_said_what_to_download():
    said = problem(f"hf:{HUB_ID}::train:text", role="test")
    assert f"`hf download --repo-type dataset {HUB_ID}` fetches it, demo/train needs no download" in said
    assert f"`hf download --repo-type dataset Salesforce/wikitext --revision {WIKITEXT_REVISION}`" in problem(
        "wikitext-103/validation+test"
    )


def test_a_downloaded_copy_is_read_without_network(hub):
    write_dataset(downloaded(hub, HUB_ID, "0" * 40), {"first": {"train": {"text": ["downloaded"]}}})
    assert spec(f"hf:{HUB_ID}:first:train:text").load() == ["downloaded"]
    assert "'train'" in problem(f"hf:{HUB_ID}:first:nope:text")
    assert "hf download" not in problem(f"hf:{HUB_ID}:first:nope:text")


def test_a_copy_of_another_revision_is_not_wikitext(hub):
    other = downloaded(hub, "Salesforce/wikitext", "0" * 40)
    write_dataset(other, {"wikitext-2-raw-v1": {"train": {"text": ["another revision"]}}})
    assert "hf download" in problem("wikitext-2/train")
    write_dataset(other.with_name(WIKITEXT_REVISION), {"wikitext-2-raw-v1": {"train": {"text": ["this revision"]}}})
    assert spec("wikitext-2/train").load() == ["this revision"]


def test_a_copy_without_the_data_files_is_no_copy(hub):
    place = write_dataset(downloaded(hub, HUB_ID, "0" * 40), {"first": {"train": {"text": ["downloaded"]}}})
    (place / "first" / "train-0.parquet").unlink()
    said = problem(f"hf:{HUB_ID}:first:train:text")
    assert "Couldn't reach" in said
    assert "hf download" in said


def test_a_copy_of_another_configuration_is_no_copy(tmp_path):
    (tmp_path / "arrow" / HUB_ID.replace("/", "___") / "first" / "0.0.0" / "some_hash").mkdir(parents=True)
    assert "hf download" in problem(f"hf:{HUB_ID}:second:train:text")


@pytest.mark.parametrize("error", [ConnectionError("down"), httpx.ConnectError("refused"), httpx.ReadTimeout("")])
def test_a_network_that_fails_is_like_none(hub, monkeypatch, error):
    load = datasets.load_dataset

    def failing(place, **more):
        if place == HUB_ID:
            raise error
        return load(place, **more)

    monkeypatch.setattr(datasets, "load_dataset", failing)
    said = problem(f"hf:{HUB_ID}:first:train:text")
    assert said.startswith(f"cannot be read: {str(error) or 'ReadTimeout'}; `hf download")
    write_dataset(downloaded(hub, HUB_ID, "0" * 40), {"first": {"train": {"text": ["downloaded"]}}})
    assert spec(f"hf:{HUB_ID}:first:train:text").load() == ["downloaded"]


def fails_with(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)


def test_a_dataset_that_the_hub_does_not_have_cannot_be_downloaded(monkeypatch):
    fails_with(monkeypatch, datasets.exceptions.DatasetNotFoundError("Dataset doesn't exist on the Hub"))
    assert problem(f"hf:{HUB_ID}::train:text") == "cannot be read: Dataset doesn't exist on the Hub"


def test_a_long_error_of_the_library_is_cut(monkeypatch):
    fails_with(monkeypatch, OSError("word\n " * 1000))
    with pytest.raises(InputError) as caught:
        spec("wikitext-103/validation+test").load()
    assert len(str(caught.value)) <= 400
    assert str(caught.value).endswith("fetches it, demo/train needs no download")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_says_whether_the_hub_is_asked(monkeypatch, value, offline):
    asked = []
    monkeypatch.setenv("HF_HUB_OFFLINE", value)

    def ask(*_, **more):
        asked.append(more["repo_id"])
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", ask)
    assert "hf download" in problem(f"hf:{HUB_ID}::train:text")
    assert asked == ([] if offline else [HUB_ID])


def test_the_hub_is_asked_for_the_pinned_wikitext_whole_and_for_a_stream_of_others(monkeypatch):
    asked = {}

    def record(place, **more):
        asked[place] = more
        raise ConnectionError

    monkeypatch.setattr(datasets, "load_dataset", record)
    problem("wikitext-103/test")
    problem(f"hf:{HUB_ID}::train:text")
    assert asked == {
        "Salesforce/wikitext": {
            "name": "wikitext-103-raw-v1",
            "split": "test",
            "streaming": False,
            "revision": WIKITEXT_REVISION,
        },
        HUB_ID: {"name": None, "split": "train", "streaming": True, "revision": None},
    }


def test_wikitext_by_version_and_split(tmp_path, monkeypatch):
    second = {split: {"text": ["", " = Title = \n", f" {split} text \n"]} for split in ("train", "validation", "test")}
    larger = {"train": {"text": ["the larger one"]}}
    place = write_dataset(tmp_path / "wiki", {"wikitext-2-raw-v1": second, "wikitext-103-raw-v1": larger})
    monkeypatch.setattr(corpus_readers, "WIKITEXT_REPOSITORY", str(place))
    assert spec("wikitext-2/train").load() == spec("wikitext-2").load() == ["train text"]
    assert spec("wikitext-2/validation+test").load() == ["validation text", "test text"]
    assert spec("wikitext-103/train").load() == ["the larger one"]
    said = problem("wikitext-2/nope", role="test")
    assert "nope" in said
    assert "'train', 'validation', 'test'" in said


def test_the_revision_is_that_of_wikitext_alone(tmp_path, monkeypatch):
    assert spec("wikitext-2/train").revision == spec("wikitext-103/validation+test").revision == WIKITEXT_REVISION
    assert len(WIKITEXT_REVISION) == 40
    for name in ("demo/train", f"hf:{HUB_ID}::train:text", "hf:", "wikitext-9/train", "wikitext-2/train.txt"):
        assert spec(name).revision is None
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "train.txt").write_text("a file of one's own")
    monkeypatch.chdir(tmp_path)
    assert spec("wikitext-2/train.txt").load() == ["a file of one's own"]


def test_the_library_of_datasets_is_imported_only_where_one_is_read(lines):
    root = Path(corpus_readers.__file__).parents[2]
    program = f"""
import sys, types
package = types.ModuleType("rs_cae.stream")  # what else the package imports costs seconds
package.__path__ = [{str(root / "rs_cae" / "stream")!r}]
sys.modules["rs_cae.stream"] = package
from rs_cae.stream.corpus import CorpusSpec
CorpusSpec("train", {str(lines)!r}, 4, 8, None, 9).load()
assert "rs_cae.stream.corpus_readers" in sys.modules
assert not {{"datasets", "pyarrow", "huggingface_hub"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)

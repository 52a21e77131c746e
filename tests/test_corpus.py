"""Corpora: which texts are taken, no more is read than that, and what cannot be read is said in one line."""

import gzip
import logging
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from corpora import ROWS, problem, spec

from rs_cae.demo.corpus import load_test_paragraphs
from rs_cae.errors import InputError
from rs_cae.stream import corpus_readers

pytestmark = pytest.mark.usefixtures("hub")


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


def test_a_row_is_one_text_and_one_without_a_value_is_skipped(dataset_folder):
    texts = ["first text", "line one\nline two", "padded", "fourth text"]
    assert spec(f"hf:{dataset_folder}:first:train:text").load() == texts
    assert spec(f"hf:{dataset_folder}:first:test+train:text").load() == ["test text", *texts]
    assert spec(f"hf:{dataset_folder}:second:train:body").load() == ["other text"]


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


def test_no_more_rows_are_read_than_needed_and_no_other_column(dataset_folder, monkeypatch):
    seen = []
    iterate = datasets.IterableDataset.__iter__

    def counting(dataset):
        for row in iterate(dataset):
            seen.append(row)
            yield row

    monkeypatch.setattr(datasets.IterableDataset, "__iter__", counting)
    assert len(spec(f"hf:{dataset_folder}:first:train:text", 2).load()) == 2
    assert seen == [{"text": text} for text in ROWS[:4]]


def test_files_behind_the_last_text_taken_are_not_opened(dataset_folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("datasets"), "propagate", True)
    (dataset_folder / "first" / "train-1.parquet").write_bytes(b"damaged")
    assert len(spec(f"hf:{dataset_folder}:first:train:text", 4).load()) == 4
    assert problem(f"hf:{dataset_folder}:first:train:text", count=5).startswith("cannot be read: ")
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
def test_what_a_dataset_lacks_is_answered_by_what_it_has(dataset_folder, rest, words):
    said = problem(f"hf:{dataset_folder}:{rest}", role="test")
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

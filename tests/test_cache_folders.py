"""Folders that a capture cannot or must not use: other people's, read-only ones, full disks."""

import errno
import os
import re
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from workplace import COUNTS, LAYERS, SHARDS, WIDTH, contents, kept, obey_permissions, start

from rs_cae.stream.cache import CorpusCache, writer

DATA_MB = sum(COUNTS.values()) * 2 * LAYERS * WIDTH * 4 / 1e6


@pytest.mark.parametrize("within", ["", "train", "test"])
def test_a_folder_with_other_things_in_it_is_refused(place, tmp_path, capsys, no_model, within):
    foreign = tmp_path / "thesis"
    (foreign / within).mkdir(parents=True)
    (foreign / within / "thesis.tex").write_text("precious")
    assert place.cache(foreign) == 2
    assert f"--data.cache_dir {foreign / within}: is not empty and holds no cache" in capsys.readouterr().err
    assert contents(foreign) == {str((foreign / within / "thesis.tex").relative_to(foreign)): b"precious"}
    assert len(list(foreign.rglob("*"))) == 1 + bool(within)


def test_an_empty_folder_is_welcome(place, tmp_path):
    (tmp_path / "empty/train").mkdir(parents=True)
    assert place.cache(tmp_path / "empty") == 0


def refused(printed):
    """The one line of a process that could not write."""
    error = next(line for line in printed.read_text().splitlines() if line.startswith("error:"))
    assert "Traceback" not in printed.read_text()
    return error


@pytest.mark.parametrize("how", ["disk", "limit"])
def test_a_full_disk(place, tmp_path, whole, how):
    folder, begin, write = tmp_path / "cache", CorpusCache.begin, writer.write_shard
    third = folder / "train/.shard-00002.safetensors.partial"

    def full_disk(self, notes):
        begin(self, notes)
        third.symlink_to("/dev/full")  # whose every write fails as on a disk that is full

    def limited(corpus, number, *rest):
        if number == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        write(corpus, number, *rest)

    def capture():
        CorpusCache.begin = full_disk if how == "disk" else begin
        writer.write_shard = limited if how == "limit" else write
        return place.cache(folder)

    process = start(capture, tmp_path / "printed")
    process.join(60)
    assert process.exitcode == 2
    reason = os.strerror(errno.ENOSPC if how == "disk" else errno.EFBIG)
    assert refused(tmp_path / "printed").startswith(f"error: --data.cache_dir {folder}: cannot be written: {reason}")
    assert list(kept(folder)) == SHARDS[:2]
    assert not list(folder.rglob("*.partial"))
    place.goes_on(folder, whole)


@pytest.mark.parametrize("read_only", [".", "cache", "cache/train", "cache/test"])
def test_a_folder_that_may_not_be_written(place, cache, tmp_path, read_only):
    folder = tmp_path / "cache"
    if read_only != ".":
        shutil.copytree(cache, folder)
        (folder / "train/shard-00001.safetensors").unlink()
        (folder / "test/shard-00001.json").unlink()
        (folder / ".lock").unlink()
    before, printed = contents(tmp_path), tmp_path.with_suffix(".printed")

    def capture():
        obey_permissions()
        return place.cache(folder)

    (tmp_path / read_only).chmod(0o555)
    process = start(capture, printed)
    process.join(60)
    (tmp_path / read_only).chmod(0o755)
    assert process.exitcode == 2
    assert refused(printed).startswith(f"error: --data.cache_dir {folder}: ")
    assert "cannot be written" in refused(printed)
    if read_only != "cache/test":  # when it comes to that, train has been mended
        assert contents(tmp_path).items() <= {**before, "cache/.lock": b""}.items()
    if read_only != ".":
        assert ("train", 0) in kept(folder)
        assert place.cache(folder) == 0
        assert contents(folder) == contents(cache)


@pytest.mark.parametrize("file", ["a", "a/b", "a/b/train"])
def test_a_file_in_the_folders_place(place, tmp_path, capsys, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("precious")
    assert place.cache(tmp_path / "a/b") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --data.cache_dir {tmp_path / 'a/b'}: ")
    assert "is not a folder" in error or "is not empty and holds no cache" in error
    assert error.count("\n") == 1
    assert {**contents(tmp_path), "a/b/.lock": b""} == {file: b"precious", "a/b/.lock": b""}


def test_a_read_only_file_system(place, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", fail)
    assert place.cache(tmp_path / "cache") == 2
    error = capsys.readouterr().err
    assert re.match(rf"error: --data.cache_dir {tmp_path}/cache: cannot be written.*: Read-only file system", error)
    assert error.count("\n") == 1


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_too_little_space_is_found_before_anything_is_written(place, tmp_path, capsys, monkeypatch, share):
    """Train alone takes 0.76 of both corpora: a disk that holds train, but not test, is too small as well."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=int(share * DATA_MB * 1e6)))
    assert place.cache(tmp_path / "cache") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --data.cache_dir {tmp_path / 'cache'}")
    assert "free" in error
    assert "MB" in error
    assert error.count("\n") == 1
    assert set(contents(tmp_path)) <= {"cache/.lock"}


def test_the_space_of_what_is_there_is_not_wanted_again(place, cache, tmp_path, monkeypatch):
    folder = shutil.copytree(cache, tmp_path / "copy")
    before = contents(folder)
    (folder / "train/shard-00002.safetensors").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=int(0.3 * DATA_MB * 1e6)))
    assert place.cache(folder) == 0
    assert contents(folder) == before

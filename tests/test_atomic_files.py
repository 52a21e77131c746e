"""Files are there whole or not at all."""

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from rs_cae.atomic_files import write_json, write_whole

OLD, NEW = b"what was there before", b"what is to be there\n" * 1000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(OLD)
    return path


def test_a_file_is_written_and_nothing_else(tmp_path):
    write_whole(tmp_path / "new.bin", NEW)
    assert (tmp_path / "new.bin").read_bytes() == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["new.bin"]


def test_an_old_file_is_replaced(file):
    write_whole(file, NEW)
    assert file.read_bytes() == NEW
    assert list(file.parent.iterdir()) == [file]


def test_an_empty_file_is_a_file(file):
    write_whole(file, b"")
    assert file.read_bytes() == b""


def test_it_is_on_the_disk_before_it_has_its_name_and_so_is_the_name(file, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor):
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append(("fsync", place, place.read_bytes() if place.is_file() else None))
        fsync(descriptor)

    def noting_replace(self, target):
        events.append(("replace", self, target))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    write_whole(file, NEW)
    (first, temporary, content), second, third = events
    assert (first, content) == ("fsync", NEW)  # all of it had left the process's own buffer
    assert temporary.parent == file.parent  # a rename is whole only within one file system
    assert temporary.name.startswith(".")
    assert second == ("replace", temporary, file)
    assert third == ("fsync", file.parent, None)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("owner", [os, Path], ids=["fsync", "replace"])
def test_whatever_stops_it_the_old_file_stays_and_the_temporary_one_goes(file, monkeypatch, owner, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(owner, "fsync" if owner is os else "replace", fail)
    with pytest.raises(type(error)):
        write_whole(file, NEW)
    monkeypatch.undo()
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("content", [NEW, b"short enough for a buffer"])
def test_a_full_disk(file, content):
    # every write to /dev/full fails as on a disk that is full, whoever writes
    file.with_name(f".{file.name}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(file, content)
    assert caught.value.errno == errno.ENOSPC
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file.bin", NEW)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_in_nobodys_way(file):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def killed():
        Path.replace = die
        write_whole(file, NEW)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert file.read_bytes() == OLD
    assert len(list(file.parent.iterdir())) == 2
    write_whole(file, NEW[:100])  # shorter than the leftover
    assert file.read_bytes() == NEW[:100]
    assert list(file.parent.iterdir()) == [file]


def test_json_is_read_back(file):
    content = {"mean": [0.1, 1e-300, -3.0], "text": "ü\n", "none": None}
    write_json(file, content)
    assert json.loads(file.read_text()) == content
    assert file.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("content", [{"mean": float("nan")}, {"mean": float("inf")}, {"path": object()}])
def test_what_json_cannot_hold_is_refused_before_anything_is_written(file, content):
    with pytest.raises((ValueError, TypeError)):
        write_json(file, content)
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]

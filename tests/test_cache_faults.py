"""A capture that is killed or interrupted: what it leaves, and that it goes on from there."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workplace import SHARDS, contents, kept, slow_capture, start, wait_for

from rs_cae.cli import main
from rs_cae.stream.cache import CorpusCache, writer

PAUSE = 0.05


def kill_while_it_writes(place, folder, generator):
    """Kill a capture at a random moment between its start and just after its end."""

    def capture():
        slow_capture(PAUSE)
        place.cache(folder)
        return signal.pause()  # the parent may be late

    process = start(capture, folder.with_suffix(".printed"))
    written = generator.randrange(len(SHARDS) + 1)
    wait_for(lambda: len(list(folder.glob("*/shard-*.safetensors"))) >= written)
    time.sleep(generator.uniform(0, 1.5 * PAUSE))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def check_a_random_kill(place, folder, whole, seed):
    generator = random.Random(seed)
    kill_while_it_writes(place, folder, generator)
    if folder.is_dir() and contents(folder).keys() - {".lock"}:
        complete = len(kept(folder)) == len(SHARDS)
        assert complete or main(["verify", str(folder)]) == 1
    kill_while_it_writes(place, folder, generator)  # while it goes on
    place.goes_on(folder, whole)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_it_goes_on(place, tmp_path, whole, seed):
    check_a_random_kill(place, tmp_path / "cache", whole, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 23))
def test_killed_at_many_random_moments_it_goes_on(place, tmp_path, whole, seed):
    check_a_random_kill(place, tmp_path / "cache", whole, seed)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "name", ["train/manifest.json", "train/shard-00002.safetensors", "train/shard-00002.json", "test/shard-00001.json"]
)
def test_killed_just_before_or_after_a_file_gets_its_name(place, tmp_path, whole, name, after):
    folder, replace = tmp_path / "cache", Path.replace

    def fatal(self, target):
        if target == folder / name and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(self, target)
        if target == folder / name:
            os.kill(os.getpid(), signal.SIGKILL)

    def capture():
        Path.replace = fatal
        return place.cache(folder)

    process = start(capture, tmp_path / "printed")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (name in contents(folder)) == after
    place.goes_on(folder, whole)


def test_killed_before_the_last_manifest_it_needs_no_model(place, cache, whole, tmp_path, monkeypatch):
    folder = shutil.copytree(cache, tmp_path / "copy")

    def stop(*_):
        raise RuntimeError("power cut")

    (folder / "test/shard-00001.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(CorpusCache, "finish", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            place.cache(folder)
    assert len(kept(folder)) == len(SHARDS)
    assert main(["verify", str(folder)]) == 1  # the manifest knows of no shard
    monkeypatch.setattr(writer.CorpusCache, "write", stop)
    place.goes_on(folder, whole)


def test_ctrl_c(place, tmp_path, whole):
    """To a real process, imports and all."""
    driver = "import sys, workplace, rs_cae.__main__ as m; workplace.slow_capture(1.0); sys.exit(m.main())"
    words = ["cache", *place.options(f"--data.cache_dir={tmp_path / 'cache'}")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", driver, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    wait_for(lambda: process.poll() is not None or list(tmp_path.glob("cache/train/shard-*1.json")), 240)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted: the shards that are complete are kept" in printed
    assert "Traceback" not in printed + errors
    assert not list(tmp_path.rglob("*.partial"))
    assert 2 <= len(kept(tmp_path / "cache")) < len(SHARDS)
    place.goes_on(tmp_path / "cache", whole)


def test_ctrl_c_before_there_is_anything_to_keep(place, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rs_cae.stream.origins.LiveOrigin.__init__", interrupt)
    try:
        code = place.cache(tmp_path / "cache")
    except KeyboardInterrupt:
        pytest.fail("a traceback")  # raised on, it would end the tests
    assert code == 130

"""What ``rs_cae cache`` refuses, in one line that names it, and with nothing touched."""

import importlib.metadata
import json
import multiprocessing
import shutil
import signal
import socket

import pytest
from safetensors.torch import load_file, save_file
from workplace import contents, stamps

from rs_cae.errors import InputError
from rs_cae.stream import LanguageModelSpec
from rs_cae.stream.cache import writing_lock


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.dtype=float16"], "error: --data.dtype float16: expected one of float32, bfloat16"),
        (["--data.cache_dir=null"], "error: --data.cache_dir : is wanted: the folder to write to"),
        (["--data.shard_size=0"], "error: --data.shard_size 0: must be at least 1"),
        (["--model.bottleneck=2"], "error: --model.bottleneck 2: no such option of cache"),
    ],
)
def test_what_makes_no_sense_is_refused(place, tmp_path, capsys, no_model, words, message):
    assert place.cache(tmp_path / "none", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def refused(place, cache, capsys, *words):
    """The one line that refuses to go on with a cache, which is left as it was."""
    before, written = contents(cache), stamps(cache)
    capsys.readouterr()
    assert place.cache(cache, *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert (contents(cache), stamps(cache)) == (before, written)
    return error


DIFFERENT = {
    "data.n_train": ("20", "44"),
    "data.n_test": ("5", "14"),
    "data.dtype": ("bfloat16", "float32"),
    "data.min_chars": ("120", "100"),
    "data.max_chars": ("400", "500"),
    "data.token_position": ("random", "last"),
    "data.tokens_per_batch": ("512", "4096"),
    "data.shard_size": ("7", "10"),
    "data.schedule": ("layerwise", "batchwise"),
}


@pytest.mark.parametrize("option", DIFFERENT)
def test_another_setting_is_refused_by_its_name(place, cache, capsys, no_model, option):
    here, there = DIFFERENT[option]
    error = refused(place, cache, capsys, f"--{option}={here}")
    assert f"holds another capture: its {option} is {there}, not {here}" in error


def test_another_seed_is_refused_where_positions_are_drawn(place, tmp_path, capsys, cache):
    assert place.cache(cache, "--data.seed=1") == 0  # nothing is drawn: the same capture
    assert place.cache(tmp_path / "drawn", "--data.token_position=random", "--data.seed=1") == 0
    error = refused(place, tmp_path / "drawn", capsys, "--data.token_position=random", "--data.seed=2")
    assert "its data.seed is 1, not 2" in error


def test_another_model_of_the_same_weights_is_refused(place, cache, tmp_path, capsys, no_model):
    twin = shutil.copytree(place.model, tmp_path / "twin")
    error = refused(place, cache, capsys, f"--data.model={twin}")
    assert f"its data.model is {place.model}, not {twin}" in error


def edit_corpus(folder):
    lines = (folder / "test.txt").read_text().splitlines()
    (folder / "test.txt").write_text("\n".join([*lines[:5], lines[5][:-1] + "?", *lines[6:]]))


def edit_weights(folder):
    weights = load_file(folder / "llama/model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] += 1e-3
    save_file(weights, folder / "llama/model.safetensors", {"format": "pt"})


def edit_tokenizer(folder):
    content = json.loads((folder / "llama/tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][:-100]
    (folder / "llama/tokenizer.json").write_text(json.dumps(content))


def edit_configuration(folder):
    content = json.loads((folder / "llama/config.json").read_text())
    (folder / "llama/config.json").write_text(json.dumps({**content, "rms_norm_eps": 0.1}))


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (edit_corpus, "its texts is"),
        (edit_weights, "its weights is sha256"),
        (edit_tokenizer, "its tokenizer is"),
        (edit_configuration, "its config"),  # the same weights, but not the same model
    ],
)
def test_what_changed_under_the_same_name_is_refused(place, cache, capsys, no_model, tmp_path, edit, name):
    files = ["test.txt", *(f"llama/{file}" for file in ("model.safetensors", "tokenizer.json", "config.json"))]
    original = {file: (place.folder / file).read_bytes() for file in files}
    try:
        edit(place.folder)
        assert f"holds another capture: {name}" in refused(place, cache, capsys)
    finally:
        for file, content in original.items():
            (place.folder / file).write_bytes(content)


def held_elsewhere(folder):
    """A process that holds the lock until it is killed."""

    def hold():
        with writing_lock(folder, first=True):
            held.send("held")
            signal.pause()

    waiting, held = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, daemon=True)
    process.start()
    assert waiting.poll(60)
    return process


def test_a_second_writer_is_refused_until_the_first_is_gone(place, cache, tmp_path, capsys, no_model):
    folder = shutil.copytree(cache, tmp_path / "copy")
    before = contents(folder)
    first = held_elsewhere(folder)
    try:
        assert place.cache(folder) == 2
        error = capsys.readouterr().err
        assert f"is being written by process {first.pid} on {socket.gethostname()}" in error
        assert error.count("\n") == 1
        assert place.cache(folder) == 2  # the one who was refused has not taken the lock along
        assert f"process {first.pid} on" in capsys.readouterr().err
    finally:
        first.kill()
        first.join()
    assert place.cache(folder) == 0  # the system gave up a dead process's lock
    assert contents(folder) == before


def test_the_folder_is_locked_while_any_process_of_a_capture_lives(tmp_path):
    with writing_lock(tmp_path, first=False):  # the first of them has died
        with pytest.raises(InputError, match="is being written by"), writing_lock(tmp_path, first=True):
            pass
        with writing_lock(tmp_path, first=False):  # its companions do not stand in each other's way
            pass
    with writing_lock(tmp_path, first=True):
        pass


def test_a_models_own_code_is_part_of_it(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    trusted = LanguageModelSpec(str(tmp_path), trust_remote_code=True)
    before = [LanguageModelSpec(str(tmp_path)).weights_identity(), trusted.weights_identity()]
    (tmp_path / "modeling.py").write_text("factor = 2")
    after = [LanguageModelSpec(str(tmp_path)).weights_identity(), trusted.weights_identity()]
    assert before[0] == after[0]  # code that may not run changes nothing
    assert before[1] != after[1]


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_another_version_does_not_go_on_with_a_capture(place, tmp_path, capsys, monkeypatch, package):
    assert place.cache(tmp_path / "cache") == 0
    capsys.readouterr()
    real = importlib.metadata.version
    monkeypatch.setattr("rs_cae.stream.origins.live.version", lambda name: "0.0" if name == package else real(name))
    assert place.cache(tmp_path / "cache") == 2
    assert f"holds another capture: its {package} is {real(package)}, not 0.0" in capsys.readouterr().err

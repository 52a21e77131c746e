"""``rs_cae predict``: latents of other texts, those of a test where the texts are its own."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr
from workplace import contents, quietly

import rs_cae
from rs_cae.cli import main
from rs_cae.results import open_dataset

TEXTS = ["= no heading =", "Short.", "", "   ", "A list is a sequence of items.", "words and " * 120, "Short."]
LINES = [1, 2, 5, 6, 7]
"""Of the texts that are not blank."""

QUIET = "--trainer.enable_progress_bar=false"


@pytest.fixture(scope="module")
def run(tested, tmp_path_factory):
    """A copy of a tested run."""
    return shutil.copytree(tested[1], tmp_path_factory.mktemp("predicted") / "run")


@pytest.fixture(scope="module")
def new_texts(run):
    (run.parent / "new.txt").write_text("\n".join(TEXTS), encoding="utf-8-sig")
    return run.parent / "new.txt"


def predict(*words):
    code, printed = quietly(lambda: main(["predict", QUIET, *map(str, words)]))
    assert code == 0, printed
    return printed


def opened(path):
    return xr.load_dataset(path, engine="h5netcdf")


@pytest.fixture(scope="module")
def predicted(run, new_texts):
    printed = predict(f"--run_dir={run}", f"--texts={new_texts}")
    assert "texts longer than the context, cut on the left: 1" in printed
    assert printed.rstrip().endswith(f"5 samples, 2 latents at 6 sublayers: {run}/predictions/new.nc")
    return opened(run / "predictions" / "new.nc")


def test_without_texts_the_latents_are_those_of_the_test(run):
    predict(f"--run_dir={run}")
    found, latent = opened(run / "predictions" / "test.nc"), open_dataset(run, "latent")
    for name in ("latents", "last_token", "last_token_text", "text", "position", "sublayer", "layer", "site"):
        np.testing.assert_array_equal(found[name], latent[name], err_msg=name)
    assert "line" not in found
    assert set(found.dims) == {"sample", "sublayer", "latent"}


@pytest.mark.slow
def test_the_same_texts_as_a_file_have_the_same_latents(tested, run, tmp_path):
    predict(f"--run_dir={run}", f"--texts={tested[0].folder / 'test.txt'}", f"--out={tmp_path / 'a/b.nc'}")
    found = opened(tmp_path / "a" / "b.nc")
    np.testing.assert_array_equal(found["latents"], open_dataset(run, "latent")["latents"])
    np.testing.assert_array_equal(found["line"], np.arange(1, 15))


def test_every_line_that_is_not_blank_is_read_whatever_its_length(predicted, loaded, run):
    captured = rs_cae.capture(*loaded, [text.strip() for text in TEXTS if text.strip()])
    latents = rs_cae.load_reducer(run).encode(captured.states)
    np.testing.assert_allclose(predicted["latents"], latents, atol=1e-5)
    assert predicted["line"].values.tolist() == LINES
    assert predicted["text"].values.tolist() == [0, 1, 2, 3, 4]
    assert predicted["last_token_text"].values.tolist() == [" =", ".", ".", " and", "."]
    np.testing.assert_array_equal(predicted["last_token"], captured.tokens)
    np.testing.assert_array_equal(predicted["position"], captured.positions)
    np.testing.assert_array_equal(predicted["latents"][1], predicted["latents"][4])
    assert predicted.attrs["truncated_texts"] == captured.truncated == 1


def test_how_far_reconstructions_are_off(predicted, loaded, run):
    states = rs_cae.capture(*loaded, [text.strip() for text in TEXTS if text.strip()]).states
    residual = (states.double() - rs_cae.load_reducer(run)(states).double()).numpy()
    np.testing.assert_allclose(predicted["squared_residual"], (residual**2).sum(-1), rtol=1e-3)
    variance = states.double().numpy().var(axis=0).sum(-1)
    np.testing.assert_allclose(predicted["total_variance"], variance, rtol=1e-4)
    np.testing.assert_allclose(predicted["explained_variance"], 1 - residual.var(axis=0).sum(-1) / variance, atol=1e-3)


def test_it_says_where_it_comes_from(predicted, run, new_texts):
    latent = open_dataset(run, "latent").attrs
    same = {"language_model", "random_init", "train_corpus", "reducer", "seed", "versions", "model_commit"}
    assert {name: predicted.attrs[name] for name in same} == {name: latent[name] for name in same}
    assert predicted.attrs["test_corpus"] == str(new_texts)
    assert json.loads(predicted.attrs["settings"])["data"]["model"] == latent["language_model"]
    assert all(variable.attrs["long_name"] for name, variable in predicted.items() if name != "last_token_text")


def test_nothing_else_of_the_run_changes(run, new_texts, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    before = contents(run)
    predict(f"--run_dir={run}", f"--texts={new_texts}", "--wandb=true")  # logs no number, and so no run
    changed = {name for name, content in contents(run).items() if before.get(name) != content}
    assert {name.partition("/")[0] for name in changed} <= {"predictions", "logs"}
    assert {path.suffix for path in (run / "predictions").iterdir()} == {".nc"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [["--model=rs_cae.PCAModule"], ["--model=rs_cae.AutoencoderModule", "--model.scope=per_sublayer"]]
)
def test_other_reducers(tested, new_texts, tmp_path, kind):
    place, folder = tested[0], tmp_path / "run"
    words = ["fit", *place.options(), QUIET, "--trainer.max_epochs=1", f"--run_dir={folder}", *kind]
    assert quietly(lambda: main(words))[0] == 0
    predict(f"--run_dir={folder}", f"--texts={new_texts}")
    captured = rs_cae.capture(*rs_cae.load_model(str(place.model)), [text.strip() for text in TEXTS if text.strip()])
    expected = rs_cae.load_reducer(folder).encode(captured.states)
    np.testing.assert_allclose(opened(folder / "predictions" / "new.nc")["latents"], expected, atol=1e-4)


def test_a_cached_run_runs_the_model_in_the_precision_of_its_cache(tested, run, new_texts, tmp_path):
    place = tested[0]
    assert quietly(lambda: place.cache(tmp_path / "cache", "--data.dtype=bfloat16"))[0] == 0
    cached = [f"--run_dir={run}", "--data.source=cached", f"--data.cache_dir={tmp_path / 'cache'}"]
    predict(*cached, f"--texts={new_texts}", f"--out={tmp_path / 'new.nc'}")
    model, tokenizer = rs_cae.load_model(str(place.model), dtype="bfloat16")
    states = rs_cae.capture(model, tokenizer, [text.strip() for text in TEXTS if text.strip()]).states
    expected = rs_cae.load_reducer(run).encode(states)
    found = opened(tmp_path / "new.nc")["latents"].values
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - opened(run / "predictions" / "new.nc")["latents"].values).max() > 1e-3  # float32


@pytest.mark.slow
def test_a_cache_of_another_model_is_refused(tested, run, new_texts, tmp_path, capsys):
    place = tested[0]
    assert quietly(lambda: place.cache(tmp_path / "cache"))[0] == 0
    changed = shutil.copytree(place.model, tmp_path / "kept")
    model, _ = rs_cae.load_model(str(place.model))
    model.get_input_embeddings().weight.mul_(2)
    cached = ["--data.source=cached", f"--data.cache_dir={tmp_path / 'cache'}", f"--texts={new_texts}"]
    try:
        model.save_pretrained(place.model)
        assert main(["predict", f"--run_dir={run}", *cached]) == 2
    finally:
        shutil.copytree(changed, place.model, dirs_exist_ok=True)
    assert "is of another model or corpus than there is now: its weights has changed" in capsys.readouterr().err


@pytest.mark.slow
def test_every_token_in_a_folder_of_its_own_and_no_text_is_dropped(run, new_texts, tmp_path):
    words = [f"--ckpt_path={run / 'checkpoints/best.ckpt'}", f"--run_dir={tmp_path / 'own'}"]
    words += ["--data.token_position=all", "--data.outliers=drop", "--data.outlier_norm_factor=1"]
    predict(*words, f"--texts={new_texts}")
    found = opened(tmp_path / "own" / "predictions" / "new.nc")
    assert found["text"].to_series().value_counts().sort_index().index.tolist() == [0, 1, 2, 3, 4]
    for text, line in enumerate(LINES):
        at = found["text"] == text
        assert (found["line"][at] == line).all()
        assert found["position"][at].values.tolist() == list(range(1, 1 + int(at.sum())))
    predict(*words)
    assert opened(tmp_path / "own" / "predictions" / "test.nc").sizes["sample"] < 14 * 20  # outliers of its own corpora


@pytest.mark.slow
def test_two_processes_predict_what_one_does(run, predicted, new_texts, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "rs_cae"]
    words = ["predict", f"--run_dir={run}", f"--texts={new_texts}", f"--out={tmp_path / 'two.nc'}", QUIET]
    done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = opened(tmp_path / "two.nc")
    assert set(found) == set(predicted)
    for name in found:
        if found[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], predicted[name], rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], predicted[name], err_msg=name)
    assert torch.get_num_threads() == 1

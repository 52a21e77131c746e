"""Streams displaced in a test: of live models and caches, without a model, and what is refused before a run begins."""

import json

import numpy as np
import pytest
from workplace import contents, quietly, stamps

from rs_cae.callbacks import PerturbationField
from rs_cae.cli import main
from rs_cae.errors import InputError
from rs_cae.results import open_dataset


@pytest.fixture(scope="module")
def cached(tested):
    place, _ = tested
    folder = place.folder / "cache"
    assert quietly(lambda: place.cache(folder))[0] == 0
    return ["--data.source=cached", f"--data.cache_dir={folder}"]


def test_cached_and_live_tests_give_the_same_numbers(tested, test_again, cached):
    """To the last digit: shards are captured in the very batches in which live trajectories are."""
    live, from_cache = (open_dataset(folder, "perturbation") for folder in (tested[1], test_again(*cached)[0]))
    assert set(live.variables) == set(from_cache.variables)
    for name in live.variables:
        np.testing.assert_array_equal(from_cache[name], live[name], err_msg=name)


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "its weights has changed"),
        ("../test.txt", "--data.test_corpus"),
    ],
)
def test_a_cached_test_goes_on_without_a_model_or_texts_that_are_gone(tested, test_again, cached, lost, why):
    file = tested[0].model / lost
    file.rename(tested[0].folder / "away")
    try:
        folder, printed = test_again(*cached)
    finally:
        (tested[0].folder / "away").rename(file)
    said = [line for line in printed.splitlines() if line.startswith("streams are not perturbed: ")]
    assert len(said) == 1
    assert why in said[0]
    assert {path.name for path in (folder / "results").iterdir()} == {"latent.nc"}
    assert (
        not {"recovery_first_injection", "stable_fixed_points"}
        & json.loads((folder / "metrics.json").read_text()).keys()
    )


def test_layer_by_layer_streams_are_not_displaced(test_again):
    folder, printed = test_again("--data.schedule=layerwise")
    assert printed.count("streams are not perturbed: --data.schedule layerwise: holds one layer at a time") == 1
    assert {path.name for path in (folder / "results").iterdir()} == {"latent.nc"}


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("grid", 1, "must be at least 2"),
        ("texts", 0, "must be at least 1"),
        ("steps", 0, "must be at least 1"),
        ("bootstrap", 38, "must be at least 39"),
        ("seed", -1, "must be at least 0"),
        ("seed", 2**32, r"must be below 2\^32"),
    ],
)
def test_numbers_that_cannot_be_are_refused(option, value, problem):
    with pytest.raises(InputError, match=f"--perturbation.{option} {value}: {problem}"):
        PerturbationField(**{option: value})


BAD = {
    "grid=1": "must be at least 2",
    "offplane=drop": "expected one of mean, keep",
    "layers=[0,3]": "the model has layers 0 to 2",
    "layers=[-1]": "the model has layers 0 to 2",
    "layers=[]": "expected one layer or more",
    "site=head": "expected one of attn, mlp, the model's",
}


@pytest.mark.parametrize("option", BAD)
def test_what_cannot_be_is_refused_before_anything_is_computed(tested, option, no_model, capsys):
    """Also what depends on the model, whose layers are known before it is loaded."""
    before = stamps(tested[1])
    assert main(["test", f"--run_dir={tested[1]}", f"--perturbation.{option}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: --perturbation.{option.partition('=')[0]} ")
    assert BAD[option] in error
    assert stamps(tested[1]) == before


def test_a_fit_that_would_end_so_does_not_begin(tested, tmp_path, no_model, capsys):
    assert tested[0].fit(tmp_path / "run", "--perturbation.layers=[7]") == 2
    assert capsys.readouterr().err == "error: --perturbation.layers 7: the model has layers 0 to 2\n"
    assert contents(tmp_path) == {}
    without = ["--report=false", "--analyses=[latent_trajectory]", "--perturbation.layers=[7]"]
    best = tested[1] / "checkpoints" / "best.ckpt"
    words = ["test", f"--ckpt_path={best}", f"--run_dir={tmp_path / 'run'}", *without]
    with pytest.raises(pytest.fail.Exception, match="was loaded"):  # not asked, so it begins
        main(words)

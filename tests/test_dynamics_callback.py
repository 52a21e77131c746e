"""What a test finds of the dynamics, against plain NumPy and scikit-learn on the same states."""

import json

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_regression
from transformers import LlamaConfig, LlamaForCausalLM

import rs_cae
from rs_cae.cli import main
from rs_cae.results import open_dataset

FEW = ["--dynamics.surrogates=99", "--dynamics.bootstrap=200", "--dynamics.mi_halves=5"]
QUIET = ["--report=false", "--trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module")
def fitted(place):
    """A run that was tested on 14 texts."""
    assert place.fit(place.folder / "run", *QUIET, "--dynamics.mi_units=7", *FEW) == 0
    return place.folder / "run"


@pytest.fixture(scope="module")
def dynamics(fitted):
    return open_dataset(fitted, "dynamics")


@pytest.fixture(scope="module")
def headlines(fitted):
    return json.loads((fitted / "metrics.json").read_text())


@pytest.fixture(scope="module")
def states(place):
    """[texts, sublayers, width] in float64, captured apart."""
    return rs_cae.capture(*rs_cae.load_model(str(place.model)), place.texts["test"]).states.double().numpy()


def rotations(traces):
    """Of traces [..., sublayers]."""
    angles = np.arctan2(np.diff(np.gradient(traces, axis=-1), axis=-1), np.diff(traces, axis=-1))
    turns = np.pi - np.mod(np.pi - np.diff(angles, axis=-1), 2 * np.pi)
    return -turns.sum(-1) / (2 * np.pi)


def test_the_contract(dynamics):
    sizes = {"sample": 14, "sublayer": 6, "transition": 5, "unit": 32, "surrogate": 6, "draw": 99}
    assert dict(dynamics.sizes) == sizes
    shapes = {
        ("sublayer", "unit"): ("mean_activation", "tied_share", "turning"),
        ("transition", "unit"): ("correlation", "mutual_information"),
        ("sample", "transition"): ("cosine_similarity", "velocity", "relative_velocity"),
        ("sample", "sublayer"): ("norm", "mean_abs", "participation_ratio"),
        ("unit",): ("rotations", "rotations_per_sample_mean"),
        ("surrogate", "unit"): tuple(f"rotations_surrogate_{name}" for name in ("mean", "std", "z", "p")),
        ("surrogate", "draw"): ("rotations_surrogate_unit_mean",),
        ("sample",): ("last_token", "text", "position"),
    }
    for dimensions, names in shapes.items():
        for name in names:
            assert dynamics[name].dims == dimensions, name
    assert dynamics["surrogate"].values[0] == "increment_sign_flip"
    assert json.loads(dynamics.attrs["mutual_information"]) == {"estimator": "ksg", "units": 7, "samples": 14}
    for name, variable in dynamics.data_vars.items():
        assert variable.attrs["long_name"], name
        assert variable.attrs["units"], name


def test_vectors(dynamics, states):
    close = {"rtol": 1e-4, "atol": 1e-4}  # float32 forward passes in batches of other lengths: 1e-5 of a state's norm
    np.testing.assert_allclose(dynamics["mean_activation"], states.mean(0), **close)
    norms, steps = np.linalg.norm(states, axis=-1), np.linalg.norm(np.diff(states, axis=1), axis=-1)
    np.testing.assert_allclose(dynamics["norm"], norms, **close)
    np.testing.assert_allclose(dynamics["velocity"], steps, **close)
    np.testing.assert_allclose(dynamics["relative_velocity"], steps / norms[:, :-1], **close)
    cosine = (states[:, 1:] * states[:, :-1]).sum(-1) / (norms[:, 1:] * norms[:, :-1])
    np.testing.assert_allclose(dynamics["cosine_similarity"], cosine, **close)
    ratio = (states**2).sum(-1) ** 2 / (states.shape[-1] * (states**4).sum(-1))
    np.testing.assert_allclose(dynamics["participation_ratio"], ratio, **close)
    r = [[np.corrcoef(states[:, s, u], states[:, s + 1, u])[0, 1] for u in range(32)] for s in range(5)]
    np.testing.assert_allclose(dynamics["correlation"], r, atol=1e-3)
    np.testing.assert_allclose(dynamics["correlation_mean"], np.mean(r, axis=1), atol=1e-3)


def test_information_of_the_units_that_were_drawn(dynamics, states):
    known = ~np.isnan(dynamics["mutual_information"].values).all(axis=0)
    assert known.sum() == 7
    found = dynamics["mutual_information"].values[:, known]
    units = np.flatnonzero(known)
    expected = [
        [mutual_info_regression(states[:, t, [u]], states[:, t + 1, u], random_state=0)[0] for u in units]
        for t in range(5)
    ]
    # a rounding error may move a neighbour across a radius, and there are 14 samples
    np.testing.assert_allclose(found, expected, atol=0.1)
    np.testing.assert_allclose(dynamics["mutual_information_mean"], found.mean(axis=1))
    assert (dynamics["tied_share"].values[1:, known] == 0).all()
    assert np.isnan(dynamics["tied_share"].values[:, ~known]).all()


def test_rotations(dynamics, states):
    np.testing.assert_allclose(dynamics["rotations"], rotations(dynamics["mean_activation"].values.T), atol=1e-12)
    per_sample = rotations(np.swapaxes(states, 1, 2)).mean(axis=0)
    np.testing.assert_allclose(dynamics["rotations_per_sample_mean"], per_sample, atol=0.08)  # a turn of one in 14
    np.testing.assert_allclose(np.nansum(dynamics["turning"], axis=0), dynamics["rotations"], atol=1e-12)
    assert dynamics["cumulative_turning_mean"].values[-2] == pytest.approx(float(dynamics["rotations"].mean()))


def test_headlines_have_a_null_an_interval_and_a_sentence(headlines):
    thirds = [f"correlation_{third}_third" for third in ("first", "middle", "last")]
    for name in [*thirds, "velocity_ratio", "mutual_information_drop", "rotations_mean", "rotations_per_sublayer"]:
        line = headlines[name]
        assert line["low"] <= line["value"] <= line["high"], name
        assert line["null"] is not None
        assert f"{line['value']:.3g}" in line["sentence"]
    for name in ("correlation_first_third", "velocity_ratio", "mutual_information_drop", "rotations_mean"):
        assert headlines[f"{name}_without_embedding"]["sentence"]
    assert all(line["sentence"] for line in headlines.values())


def test_headlines_are_those_of_the_dataset(headlines, dynamics):
    mean = float(dynamics["rotations"].mean())
    drawn = dynamics["rotations_surrogate_unit_mean"].values[0]
    line = headlines["rotations_mean"]
    assert line["value"] == pytest.approx(mean)
    assert line["null"] == pytest.approx(drawn.mean())
    assert line["p"] == (1 + (abs(drawn - drawn.mean()) >= abs(mean - drawn.mean())).sum()) / 100
    velocity, norm = dynamics["velocity"].values.mean(0), dynamics["norm"].values.mean(0)
    assert headlines["velocity_ratio"]["value"] == pytest.approx(velocity[4] / velocity[0], rel=1e-5)
    assert headlines["velocity_ratio"]["null"] == pytest.approx(norm[4] / norm[0], rel=1e-5)
    assert headlines["velocity_ratio_without_embedding"]["value"] == pytest.approx(velocity[4] / velocity[2], rel=1e-5)
    curve = dynamics["mutual_information_mean"].values
    assert headlines["mutual_information_drop"]["value"] == pytest.approx(curve[:2].mean() - curve[4:].mean())
    assert headlines["mutual_information_drop_without_embedding"]["value"] == pytest.approx(curve[1] - curve[4])


@pytest.mark.slow
def test_the_same_test_again_gives_the_same(fitted, dynamics):
    assert main(["test", f"--run_dir={fitted}", *QUIET]) == 0
    again = open_dataset(fitted, "dynamics")
    for name in dynamics.data_vars:
        np.testing.assert_array_equal(again[name], dynamics[name], err_msg=name)


def test_samples_behind_mutual_information_are_capped(fitted, place):
    folder = place.folder / "capped"
    words = ["test", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}", f"--run_dir={folder}", *QUIET, *FEW]
    assert main([*words, "--dynamics.mi_samples=10", "--dynamics.mi_estimator=gaussian"]) == 0
    dynamics = open_dataset(folder, "dynamics")
    assert json.loads(dynamics.attrs["mutual_information"]) == {"estimator": "gaussian", "units": 7, "samples": 10}
    assert dynamics.sizes["sample"] == 14


@pytest.mark.slow
def test_a_model_of_one_layer_lacks_numbers_rather_than_having_wrong_ones(place):
    """Nothing can turn, and most thirds of depth are empty."""
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=2048, **shape)).save_pretrained(place.folder / "shallow")
    for file in place.model.glob("tokenizer*"):
        (place.folder / "shallow" / file.name).write_bytes(file.read_bytes())
    run, lowest = place.folder / "shallow_run", ["--perturbation.layers=[0]"]
    assert place.fit(run, f"--data.model={place.folder / 'shallow'}", "--report=true", *FEW, *lowest) == 0
    headlines = json.loads((run / "metrics.json").read_text())
    assert headlines["rotations_mean"]["value"] is None
    assert headlines["correlation_last_third"]["value"] is None
    assert headlines["correlation_first_third"]["value"] is not None
    assert np.isnan(open_dataset(run, "dynamics")["rotations"]).all()


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.slow
def test_one_text_lacks_what_takes_several(fitted, place):
    folder = place.folder / "single"
    words = ["test", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}", f"--run_dir={folder}", "--data.n_test=1"]
    assert main([*words, "--trainer.enable_progress_bar=false", *FEW]) == 0
    dynamics = open_dataset(folder, "dynamics")
    assert np.isnan(dynamics["correlation"]).all()
    assert np.isnan(dynamics["mutual_information"]).all()
    assert np.isfinite(dynamics["velocity"]).all()

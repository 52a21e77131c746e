"""Streams displaced in a test: perturbation.nc by its contract, and beside whole forwards with a hook."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch

from rs_cae.callbacks.perturbation.callback import _one_of_each
from rs_cae.modules import load_reducer
from rs_cae.results import open_dataset
from rs_cae.stream import LanguageModelSpec, find_hook_points
from rs_cae.stream.capture import capture
from rs_cae.stream.tokens import TokenBatch

SIZES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0]

OVER_GRID = {
    f"{name}{end}" for name in ("recovery", "recovery_direction", "recovery_plane", "kl") for end in ("", "_random")
}
OVER_ALL = {f"{name}_mean" for name in OVER_GRID} | {"divergence", "contraction_mean", "contraction_uncorrected_mean"}
OVER_ALL |= {f"{name}_uncorrected_mean" for name in ("recovery", "recovery_direction", "recovery_plane", "kl")}
BY_STEP = {"recovery_by_step", "recovery_random_by_step"}
BY_SIZE = {"dose_recovery", "dose_kl"}
WITH_INTERVALS = OVER_GRID | OVER_ALL | BY_STEP | BY_SIZE | {"displacement"}


@pytest.fixture(scope="module")
def perturbation(tested):
    return open_dataset(tested[1], "perturbation")


def test_dimensions_and_variables(perturbation):
    sizes = {"sublayer": 6, "injection": 2, "grid": 9, "step": 4, "latent": 2, "axis": 2, "displaced": 2, "size": 9}
    assert {name: size for name, size in perturbation.sizes.items() if name != "fixed_point"} == sizes
    shapes = {
        ("grid", "latent"): {"points"},
        ("sublayer", "latent"): {"control"},
        ("injection", "grid", "step", "latent"): {"trajectories"},
        ("injection", "grid", "latent"): {"displacement", "displacement_uncorrected"},
        ("injection", "grid"): OVER_GRID,
        ("injection", "step"): BY_STEP,
        ("injection", "displaced", "size"): BY_SIZE,
        ("fixed_point", "axis"): {f"fixed_point_{name}" for name in ("place", "real", "imaginary")},
        ("fixed_point",): {
            f"fixed_point_{name}" for name in ("injection", "kind", "persistence", "prompt_share", "uncorrected")
        },
    }
    shapes["injection",] = OVER_ALL | {"steps_left", "divergence_uncorrected"}
    expected = {name: dimensions for dimensions, names in shapes.items() for name in names}
    expected |= {f"{name}_{end}": expected[name] for name in WITH_INTERVALS for end in ("low", "high")}
    assert {name: variable.dims for name, variable in perturbation.data_vars.items()} == expected


def test_coordinates_units_and_attributes(perturbation):
    coordinates = {
        "sublayer": ["L00.attn", "L00.mlp", "L01.attn", "L01.mlp", "L02.attn", "L02.mlp"],
        "layer": [0, 0, 1, 1, 2, 2],
        "injection": ["L00.attn", "L02.attn"],
        "injection_sublayer": [0, 4],
        "injection_depth": [0, 2],
        "step": [0, 1, 2, 3],
        "latent": ["latent 0", "latent 1"],
        "axis": ["latent 0", "latent 1"],
        "displaced": ["random", "principal"],
        "size": SIZES,
    }
    for name, values in coordinates.items():
        assert perturbation[name].values.tolist() == values, name
    units = {
        "displacement": "latent unit",
        "points": "latent unit",
        "kl_mean": "nat",
        "recovery": "1",
        "divergence": "1",
    }
    assert {name: perturbation[name].attrs["units"] for name in units} == units
    assert all(variable.attrs["long_name"] for variable in perturbation.data_vars.values())
    assert all("units" in variable.attrs for variable in perturbation.data_vars.values() if variable.dtype.kind != "U")
    expected = {"prompts": 14, "steps": 3, "offplane": "mean", "way": "prefix kept", "random_init": 0}
    assert {name: perturbation.attrs[name] for name in expected} == expected
    assert perturbation.attrs["reducer"] == "AutoencoderModule"
    assert json.loads(perturbation.attrs["settings"])["perturbation"]["grid"] == 3


def test_numbers_are_there_where_there_are_sublayers(perturbation):
    """After the higher injection a single one is left."""
    assert perturbation["steps_left"].values.tolist() == [3, 1]
    past = np.array([[False] * 4, [False, False, True, True]])
    for name in ("recovery_by_step", "recovery_random_by_step"):
        np.testing.assert_array_equal(np.isnan(perturbation[name]), past, err_msg=name)
    unknown = np.isnan(perturbation["trajectories"].values)
    np.testing.assert_array_equal(unknown, np.broadcast_to(past[:, None, :, None], unknown.shape))
    for name, variable in perturbation.data_vars.items():
        if variable.dtype.kind == "U":
            continue
        assert not np.isinf(variable).any(), name
        assert {"step"} & set(variable.dims) or np.isfinite(variable).all() or "persistence" in name, name
    for name in WITH_INTERVALS:
        low, high = (perturbation[f"{name}_{end}"] for end in ("low", "high"))
        inside = (low <= perturbation[name]) & (perturbation[name] <= high)
        assert (inside | np.isnan(perturbation[name])).all(), name
    np.testing.assert_allclose(perturbation["recovery_uncorrected_mean"], 0, atol=1e-6)  # states are in float32
    np.testing.assert_allclose(perturbation["recovery_by_step"].values[:, 0], 0, atol=0)
    np.testing.assert_allclose(perturbation["recovery_by_step"].values[[0, 1], [3, 1]], perturbation["recovery_mean"])


def test_points_are_the_grid_over_the_extent_of_the_tests_latents(tested, perturbation):
    (low, high), (left, right) = open_dataset(tested[1], "latent")["grid_extent"].values
    expected = [[first, second] for first in np.linspace(low, high, 3) for second in np.linspace(left, right, 3)]
    np.testing.assert_allclose(perturbation["points"], expected, rtol=1e-12)


def test_trajectories_are_those_of_whole_forwards_with_a_hook(tested, perturbation):
    """By a plain hook on a layer's input, text by text."""
    place, run_dir = tested
    reducer, spec = load_reducer(run_dir), LanguageModelSpec(str(place.model))
    model, tokenizer, points = (
        spec.load(torch.device("cpu")),
        spec.tokenizer(),
        torch.from_numpy(perturbation["points"].values),
    )
    hook_points = find_hook_points(model)
    for number, layer in enumerate([0, 2]):
        targets = reducer.at([2 * layer]).decode(points.float()[:, None])[:, 0]

        def put(module, arguments, targets=targets):
            states = arguments[0].clone()
            states[:, -1] = targets
            return states, *arguments[1:]

        latents = []
        for text in place.texts["test"]:
            ids = torch.tensor(tokenizer(text)["input_ids"]).repeat(9, 1)
            rows = torch.arange(9)
            batch = TokenBatch(ids, torch.ones_like(ids), rows, torch.full((9,), ids.shape[1] - 1), rows, rows)
            handle = model.model.layers[layer].register_forward_pre_hook(put)
            latents.append(reducer.encode(capture(model, batch, hook_points))[:, 2 * layer : 2 * layer + 4])
            handle.remove()
        expected = torch.stack(latents).double().mean(dim=0)
        found = perturbation["trajectories"].values[number][:, : expected.shape[1]]
        # sums in another order: 1e-6 of a state's norm, of latents that are within 10
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            perturbation["displacement"].values[number], expected[:, -1] - expected[:, 0], atol=1e-4
        )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_file_and_another_one_does_not(tested, test_again, perturbation):
    again, other = (test_again(*words)[0] for words in ([], ["--perturbation.seed=1"]))
    file = "results/perturbation.nc"
    assert (again / file).read_bytes() == (tested[1] / file).read_bytes()
    other = open_dataset(other, "perturbation")
    assert not np.allclose(perturbation["recovery_random"], other["recovery_random"], rtol=1e-3)
    np.testing.assert_array_equal(perturbation["trajectories"], other["trajectories"])  # of all texts: none is drawn


def test_few_texts_are_some_of_them(tested, test_again):
    few = open_dataset(test_again("--perturbation.texts=2")[0], "perturbation")
    assert few.attrs["prompts"] == 2
    assert np.isnan(few["recovery_mean_low"]).all()
    latents = open_dataset(tested[1], "latent")["latents"].values
    pairs = [
        pair
        for pair in combinations(range(14), 2)
        if np.allclose(latents[list(pair)].mean(0), few["control"], atol=1e-4)
    ]
    assert len(pairs) == 1
    assert pairs != [(0, 1)]  # drawn, and not the first


def test_of_each_text_the_first_sample_in_the_drawn_order_is_taken():
    numbers, text_of = torch.tensor([4, 0, 5, 2, 1, 3]), torch.tensor([0, 0, 1, 1, 2, 2])
    assert _one_of_each(numbers, text_of).tolist() == [4, 0, 2]
    assert len(_one_of_each(torch.arange(200_000), torch.arange(200_000) // 50)) == 4000

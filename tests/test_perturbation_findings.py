"""Fixed points that were planted, and no others; intervals over prompts; sentences whose nulls are the right ones."""

import json

import numpy as np
import pytest
import torch
from planted_fields import (
    FOCUS,
    GRID,
    LAYOUT,
    LINE,
    NODE,
    SADDLE,
    STEPS,
    linear,
    noise,
    recorded,
    results_of,
    uniform,
)
from scipy import stats

from rs_cae.callbacks.perturbation import PromptBootstrap
from rs_cae.callbacks.perturbation.fixed_points import field_findings
from rs_cae.results import headlines_as_json

LABELS = ["L00.attn", "L00.mlp", "L01.attn"]


def test_an_interval_is_as_wide_as_scipy_s_bootstrap():
    values = noise(80, 3) * torch.tensor([1.0, 5.0, 0.1])
    mean, low, high = PromptBootstrap(torch.arange(80), 1000, 0).interval(values)
    torch.testing.assert_close(mean, values.mean(dim=0))
    theirs = stats.bootstrap((values.numpy(),), np.mean, axis=0, n_resamples=1000, method="percentile", rng=0)
    np.testing.assert_allclose(high - low, np.subtract(*theirs.confidence_interval[::-1]), rtol=0.1)
    torch.testing.assert_close(high - mean, mean - low)


def test_identical_prompts_have_an_interval_of_no_width():
    mean, low, high = PromptBootstrap(torch.arange(20), 99, 0).interval(torch.full((20, 2, 3), 0.25))
    assert mean.shape == low.shape == high.shape == (2, 3)
    for end in (mean, low, high):
        assert (end == 0.25).all()


@pytest.mark.parametrize(("texts", "known"), [(1, False), (9, False), (10, True)])
def test_of_fewer_than_ten_texts_no_interval_is_known(texts, known):
    values = noise(30, 4)
    mean, low, high = PromptBootstrap(torch.arange(30) % texts, 99, 0).interval(values)
    torch.testing.assert_close(mean, values.mean(dim=0))
    assert bool(low.isfinite().all()) == bool(high.isfinite().all()) == known
    assert bool(low.isnan().all()) != known


def test_prompts_of_one_text_are_drawn_together():
    values = noise(20, 2)
    texts = torch.arange(20)
    few = PromptBootstrap(texts, 199, 0).interval(values)
    many = PromptBootstrap(texts.repeat(5), 199, 0).interval(values.repeat(5, 1))
    apart = PromptBootstrap(torch.arange(100), 199, 0).interval(values.repeat(5, 1))
    torch.testing.assert_close(many, few)
    assert ((many[2] - many[1]) > 1.7 * (apart[2] - apart[1])).all()


def test_unknown_values_do_not_count_and_many_entries_are_each_their_own():
    values = noise(12, 5000)
    values[:3, 4500] = torch.nan
    prompts = PromptBootstrap(torch.arange(12), 50, 0)
    every, one = prompts.interval(values), prompts.interval(values[:, 4500])
    torch.testing.assert_close(every[0][4500], values[3:, 4500].mean())
    for ours, theirs in zip(every, one, strict=True):
        assert ours.shape == (5000,)
        torch.testing.assert_close(ours[4500], theirs)


def test_planted_fixed_points_are_found_and_persist():
    zeros = [0.1, -0.3], [-0.42, 0.33], [0.05, 0.61]
    arrows = [linear(matrix, zero, spread=0.05) for matrix, zero in zip((NODE, SADDLE, FOCUS), zeros, strict=True)]
    outwards = [uniform(), uniform(), linear(-NODE, [0.2, 0.2])]
    record, found = recorded(results_of(arrows, outwards))
    assert found["fixed_point_kind"].values.tolist() == ["stable node", "saddle", "stable focus", "unstable node"]
    assert found["fixed_point_injection"].values.tolist() == [0, 1, 2, 2]
    assert found["fixed_point_uncorrected"].values.tolist() == [0, 0, 0, 1]
    assert found["fixed_point_persistence"].values.tolist() == [1, 1, 1, 1]
    assert found["fixed_point_prompt_share"].values.tolist() == [1, 1, 1, 1]
    mean = np.array(zeros) + 0.05 * noise(60, 1, 2).mean(dim=0).numpy()
    np.testing.assert_allclose(found["fixed_point_place"], [*mean, [0.2, 0.2]], atol=1e-9)
    real = np.sort(found["fixed_point_real"], axis=1)
    np.testing.assert_allclose(real, [[-0.8, -0.5], [-0.5, 0.5], [-0.3, -0.3], [0.5, 0.8]], atol=1e-9)
    np.testing.assert_allclose(np.abs(found["fixed_point_imaginary"]).max(axis=1), [0, 0, 0.8, 0], atol=1e-9)
    np.testing.assert_allclose(found["divergence"], [-1.3, 0, -0.6], atol=1e-9)
    np.testing.assert_allclose(found["divergence_uncorrected"], [0, 0, 1.3], atol=1e-9)
    headline = record.headlines["stable_fixed_points"]
    assert (headline.value, headline.null) == (2, 0)
    assert headline.sentence.endswith("persists when texts are resampled: 2 of 3; if uncorrected 0.")


def test_stable_fixed_points_of_what_nothing_corrects_are_the_null():
    arrows, kept = [uniform(), linear(SADDLE, [0.0, 0.3])], [linear(NODE, [0.1, 0.2]), linear(FOCUS, [0.3, 0.1])]
    headlines = field_findings(results_of(arrows, kept), PromptBootstrap(torch.arange(60), 99, 0), 2, LABELS).headlines
    assert (headlines["stable_fixed_points"].value, headlines["stable_fixed_points"].null) == (0, 2)


def test_a_fixed_point_of_some_prompts_does_not_persist():
    push = torch.tensor([5.0, 5.0]).double() * torch.tensor([1, -1]).repeat(12)[:, None, None]
    some = torch.cat([linear(NODE, [0.07, 0.07], 26), push.expand(-1, len(GRID), 2)])
    spread = linear(NODE, [0.07, 0.07], 50, spread=0.2)
    record, found = recorded(results_of([some, spread]))
    share, persistence = found["fixed_point_prompt_share"].values, found["fixed_point_persistence"].values
    assert found["fixed_point_injection"].values.tolist() == [0, 1]
    assert share[0] == 26 / 50
    apart = 0.2 * (noise(50, 2) - noise(50, 2).mean(dim=0))
    assert share[1] == (apart.norm(dim=1) < 0.25).double().mean()  # a step of the grid
    assert 0 < persistence[0] < 0.3
    assert share[1] < 0.8 < persistence[1] == 1
    assert record.headlines["stable_fixed_points"].value == 1


def test_a_field_without_zeros_has_no_fixed_points(tmp_path):
    record, found = recorded(results_of([uniform(), uniform()]), tmp_path)
    assert found.sizes["fixed_point"] == 0
    for name in ("kind", "place", "persistence", "prompt_share", "uncorrected", "injection", "real", "imaginary"):
        assert found[f"fixed_point_{name}"].shape[0] == 0
    assert found["fixed_point_place"].shape == (0, 2)
    written = json.loads((tmp_path / "metrics.json").read_text())["stable_fixed_points"]
    assert written["value"] == record.headlines["stable_fixed_points"].value == 0
    np.testing.assert_allclose(found["divergence"], 0, atol=1e-12)


@pytest.mark.parametrize(("prompts", "texts"), [(49, 49), (60, 49), (1, 1)])
def test_with_fewer_than_fifty_texts_nobody_knows_what_persists(prompts, texts):
    results = results_of([linear(NODE, [0.1, -0.3], prompts)])
    record, found = recorded(results, texts=torch.arange(prompts) % texts)
    assert found["fixed_point_kind"].values.tolist() == ["stable node"]
    assert found["fixed_point_persistence"].isnull().all()
    assert found["fixed_point_prompt_share"] == 1
    headline = record.headlines["stable_fixed_points"]
    assert np.isnan([headline.value, headline.null]).all()
    assert headline.sentence.endswith("when texts are resampled: not known with fewer than 50 texts.")
    written = headlines_as_json(record.headlines)["stable_fixed_points"]
    assert written["value"] is written["null"] is None


def test_on_a_line_there_are_nodes():
    arrows = [linear(-torch.eye(1).double(), [0.3], points=LINE), linear(torch.eye(1).double(), [-0.4], points=LINE)]
    record, found = recorded(results_of(arrows, points=LINE), points=LINE)
    assert found["fixed_point_kind"].values.tolist() == ["stable node", "unstable node"]
    np.testing.assert_allclose(found["fixed_point_place"], [[0.3], [-0.4]], atol=1e-9)
    np.testing.assert_allclose(found["divergence"], [-1, 1], atol=1e-9)
    assert record.headlines["stable_fixed_points"].value == 1
    assert found["axis"].values.tolist() == ["PC 1"]


def test_the_divergence_s_interval():
    slopes = 1 + 0.1 * noise(60, 1, 1)
    prompts = PromptBootstrap(torch.arange(60), 499, 0)
    found = field_findings(results_of([linear(NODE, [0.1, -0.3]) * slopes]), prompts, 2, LABELS).variables
    value, low, high = (found[f"divergence{end}"][1][0] for end in ("", "_low", "_high"))
    traces = -1.3 * slopes.flatten().numpy()
    assert value == pytest.approx(traces.mean())
    assert high - low == pytest.approx(2 * 2 * traces.std() / 60**0.5, rel=0.1)
    assert low < value < high


def test_two_fixed_points_of_one_injection_count_once_and_without_a_field_there_is_no_count():
    two = linear(NODE, [-0.5, 0.0])
    two[:, GRID[:, 0] > 0] = linear(NODE, [0.5, 0.0])[:, GRID[:, 0] > 0]
    record, found = recorded(results_of([two, uniform()]))
    assert found["fixed_point_kind"].values.tolist().count("stable node") == 2
    assert record.headlines["stable_fixed_points"].value == 1
    nowhere = torch.full_like(two, torch.nan)
    record, _ = recorded(results_of([nowhere], [nowhere]))
    assert np.isnan(record.headlines["stable_fixed_points"].value)
    assert record.headlines["stable_fixed_points"].sentence.endswith(": not defined here.")


def test_coordinates_and_what_the_record_says(tmp_path):
    results = results_of([linear(NODE, [0.1, 0.2])] * 3, untrained=True)
    results["latents"] = torch.nn.functional.pad(results["latents"], (0, 1), value=7.0)
    for name in ("displacement", "displacement_uncorrected", "control"):
        results[name] = torch.nn.functional.pad(results[name], (0, 1), value=7.0)
    _, found = recorded(results, tmp_path, sublayers=[1, 4, 7])
    assert found["steps_left"].values.tolist() == [STEPS, 3, 0]
    assert found["injection"].values.tolist() == ["L00.mlp", "L02.attn", "L03.mlp"]
    assert found["injection_sublayer"].values.tolist() == [1, 4, 7]
    assert found["injection_depth"].values.tolist() == [0.5, 2, 3.5]
    assert found["sublayer"].values.tolist() == LAYOUT.labels
    assert found["step"].values.tolist() == list(range(STEPS + 1))
    assert found["latent"].values.tolist() == ["PC 1", "PC 2", "PC 3"]
    assert found["axis"].values.tolist() == ["PC 1", "PC 2"]
    assert found["displaced"].values.tolist() == ["random", "principal"]
    assert found["size"].values[[0, -1]].tolist() == [0.01, 4]
    np.testing.assert_array_equal(found["points"][:, :2], GRID)
    assert found["points"][:, 2].isnull().all()
    assert found.attrs == {"model": "none", "prompts": 60, "steps": 4, "offplane": "keep"} | {
        "way": "prefix kept",
        "way_reason": "",
        "persistent_share": 0.95,
        "least_prompts": 50,
    }
    assert found["trajectories"].dims == ("injection", "grid", "step", "latent")

"""What a test says of the reduced space, whatever the reducer: components, unrelated spaces, units."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from rs_cae.callbacks.components import component_findings
from rs_cae.cli import main
from rs_cae.dynamics import Moments, align_sublayers, explained_variance_pooled, velocity
from rs_cae.results import open_dataset

SAMPLES, SUBLAYERS, WIDTH, KEPT, MANY = 200, 4, 6, 5, 4


@pytest.fixture(scope="module")
def states():
    """Raw states whose variance falls along mixed units and grows with depth."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
    drawn = torch.randn(SAMPLES, SUBLAYERS, WIDTH, generator=generator, dtype=torch.float64)
    falling = torch.linspace(3, 0.2, WIDTH, dtype=torch.float64)
    return (drawn * falling) @ mixing * torch.arange(1.0, SUBLAYERS + 1)[:, None] + 5


@pytest.fixture(scope="module")
def fitted(states):
    """Scale, standardized states, scikit-learn's PCA of them, and coordinates along its directions."""
    scale = states.square().mean(dim=(0, 2)).sqrt()
    standardized = states / scale[:, None]
    pca = PCA(KEPT).fit(standardized.reshape(-1, WIDTH).numpy())
    coordinates = pca.transform(standardized.reshape(-1, WIDTH).numpy()).reshape(SAMPLES, SUBLAYERS, KEPT)
    return scale, standardized, pca, torch.from_numpy(coordinates)


def findings(fitted, shared=True, groups=4):
    scale, standardized, _, coordinates = fitted
    group = torch.arange(SAMPLES) % groups
    moments = (Moments.of(values, group, groups) for values in (standardized, coordinates))
    return component_findings(*moments, scale, shared)


def test_curves_over_components_equal_reconstructions(states, fitted, monkeypatch):
    monkeypatch.setattr("rs_cae.callbacks.components.MANY", MANY)
    scale, standardized, pca, coordinates = fitted
    found = findings(fitted)
    by_sublayer, cumulative = (
        found.variables[name][1] for name in ("explained_variance_100", "cumulative_explained_variance")
    )
    for components in range(1, KEPT + 1):
        reconstructed = coordinates[..., :components].numpy() @ pca.components_[:components] + pca.mean_
        residual = states - torch.from_numpy(reconstructed) * scale[:, None]
        expected = explained_variance_pooled(Moments.of(states), Moments.of(residual))
        np.testing.assert_allclose(cumulative[components - 1], expected, rtol=1e-10)
    reconstructed = coordinates[..., :MANY].numpy() @ pca.components_[:MANY] + pca.mean_
    left = (standardized - torch.from_numpy(reconstructed)).var(dim=0).sum(dim=1)
    np.testing.assert_allclose(by_sublayer, 1 - left / standardized.var(dim=0).sum(dim=1), rtol=1e-10)
    headline = found.headlines["explained_variance_100_pooled"]
    assert headline.value == pytest.approx(cumulative[MANY - 1])
    assert headline.null == MANY / WIDTH
    assert headline.low < headline.value < headline.high


def test_the_share_over_texts_and_depth_is_scikit_learns(fitted):
    share = findings(fitted).variables["cumulative_variance_share"][1]
    np.testing.assert_allclose(share, fitted[2].explained_variance_ratio_.cumsum(), rtol=1e-10)
    assert "cumulative_variance_share" not in findings(fitted, shared=False).variables


def test_what_is_called_100_is_of_100_or_of_all(fitted):
    found = findings(fitted)  # five of six are kept
    assert "explained_variance_100" not in found.variables
    assert not found.headlines


def test_no_components_no_findings(fitted):
    scale, standardized, _, coordinates = fitted
    none = component_findings(Moments.of(standardized), Moments.of(coordinates[..., :0]), scale, True)
    assert not none.variables
    assert not none.headlines


@pytest.mark.parametrize("bottleneck", [1, 3])
def test_alignment_undoes_rigid_motions(bottleneck):
    generator = np.random.default_rng(0)
    still = generator.standard_normal((50, 1, bottleneck)) * np.arange(1, bottleneck + 1)
    moved = np.repeat(still, 5, axis=1)
    for sublayer in range(5):
        turn = ortho_group.rvs(bottleneck, random_state=sublayer) if bottleneck > 1 else -np.eye(1)
        moved[:, sublayer] = moved[:, sublayer] @ turn + generator.standard_normal(bottleneck)
    aligned = align_sublayers(torch.from_numpy(moved))
    assert velocity(aligned).max() < 1e-9
    assert velocity(torch.from_numpy(moved)).mean() > 0.1  # negative control
    stretched = torch.from_numpy(moved * np.array([1, 1, 1, 2, 1])[:, None])
    assert velocity(align_sublayers(stretched)).max() > 0.1  # no rigid motion does that


@pytest.fixture(scope="module")
def runs(place):
    """Three fitted and tested runs on the tiny model."""
    kinds = {
        "each": ["--model.scope=per_sublayer"],
        "aligned": ["--model.scope=per_sublayer", "--latent_trajectory.align=procrustes"],
        "pca": ["--model=PCAModule"],
    }
    for name, words in kinds.items():
        assert place.fit(place.folder / name, *words, "--analyses=[explained_variance,latent_trajectory]") == 0
    return {name: place.folder / name for name in kinds}


def test_latents_of_unrelated_spaces_are_not_compared(runs):
    each, aligned = (open_dataset(runs[name], "latent") for name in ("each", "aligned"))
    for name in ("mean_trajectory", "layer_distance", "layer_distance_low"):
        assert each[name].isnull().all()
    assert "space of its own" in each["layer_distance"].attrs["note"]
    assert each["latents"].notnull().all()
    assert (aligned["layer_distance"] > 0).all()
    assert aligned["mean_trajectory"].isnull().all()
    assert "path_length" not in json.loads((runs["each"] / "metrics.json").read_text())
    assert each["explained_variance"].notnull().all()


def test_results_of_a_pca(runs):
    latent = open_dataset(runs["pca"], "latent")
    bottleneck = latent.sizes["latent"]
    at_bottleneck = latent["cumulative_explained_variance"].sel(component=bottleneck)
    assert float(at_bottleneck) == pytest.approx(float(latent["explained_variance_pooled"]), abs=1e-5)
    assert latent["latent"].values.tolist() == ["PC 1", "PC 2"]
    assert latent["component"].values.tolist() == list(range(1, 33))
    assert (latent["cumulative_explained_variance"].diff("component") >= 0).all()
    assert float(latent["cumulative_explained_variance"][-1]) == pytest.approx(1, abs=1e-5)
    metrics = json.loads((runs["pca"] / "metrics.json").read_text())
    assert metrics["r2_standardized_pooled"]["null"] is not None
    assert metrics["path_length"]["value"] > 0


def test_analyses_that_are_left_out_leave_no_trace(runs):
    assert not (runs["pca"] / "results" / "dynamics.nc").exists()
    assert "analyses" not in (runs["pca"] / "config.yaml").read_text()


def test_an_unknown_analysis_is_refused(place, tmp_path, capsys):
    assert main(["fit", *place.options(f"--run_dir={tmp_path / 'run'}", "--analyses=[dynamics,foo]")]) == 2
    assert "--analyses foo: expected some of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

"""PCA as a module: through the command line its directions are scikit-learn's, however many passes it takes."""

import csv

import numpy as np
import pytest
import torch
from memory import StatesInMemory, fit, make_trainer
from sklearn.decomposition import PCA

from rs_cae import load_reducer
from rs_cae.cli import main
from rs_cae.modules import AutoencoderModule, PCAModule, principal

WIDTH, SUBLAYERS = 32, 6
MODEL = "--model=rs_cae.PCAModule"


@pytest.fixture(scope="module")
def train(place):
    """The train trajectories [samples, sublayers, width] in float64."""
    return torch.cat([batch.states for batch in place.data().batches("train", torch.device("cpu"))]).double().numpy()


def fit_words(place, run_dir, *words):
    quiet = ["--trainer.enable_progress_bar=false", "--data.batch_size=16", f"--run_dir={run_dir}", MODEL]
    return main(["fit", *place.options(*quiet, *words)])


def standardized(train, mode):
    if mode == "none":
        return train
    if mode == "global":
        centred = train - train.mean(axis=(0, 1))
        return centred / np.sqrt((centred**2).mean())
    return train / np.sqrt((train**2).mean(axis=(0, 2)))[:, None]


def rows_of(states, scope):
    return [states.reshape(-1, WIDTH)] if scope == "shared" else list(states.transpose(1, 0, 2))


def assert_is_scikit_learns(reducer, states):
    for rows, mean, directions, variances in zip(
        rows_of(states, reducer.scope), reducer.mean, reducer.directions, reducer.variances, strict=True
    ):
        oracle = PCA(WIDTH, svd_solver="full").fit(rows)
        # the pass is in float64 of states and scales in float32, which moves an axis by 1e-7 over the gap to the next
        scale = np.abs(rows).max()
        np.testing.assert_allclose(mean, oracle.mean_, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(variances, oracle.explained_variance_, rtol=1e-5, atol=1e-6 * scale**2)
        there = min(10, (oracle.explained_variance_ > 1e-6).sum())  # the first sublayer has as many states as tokens
        cosine = np.abs((directions.numpy()[:there] * oracle.components_[:there]).sum(axis=1))
        np.testing.assert_allclose(cosine, 1, rtol=0, atol=1e-6)
        largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
        assert (largest > 0).all()


@pytest.mark.parametrize(
    ("scope", "mode"),
    [("shared", "none"), ("shared", "global"), ("shared", "per_sublayer"), ("per_sublayer", "per_sublayer")],
)
def test_one_epoch_gives_scikit_learns_components(place, train, tmp_path, scope, mode):
    words = [f"--model.scope={scope}", f"--model.standardize={mode}", "--model.bottleneck=3"]
    assert fit_words(place, tmp_path / "run", *words) == 0
    checkpoints = {path.name: torch.load(path, weights_only=True) for path in (tmp_path / "run/checkpoints").iterdir()}
    assert checkpoints.keys() == {"best.ckpt", "last.ckpt"}
    for name, held in checkpoints.items():
        assert held["epoch"] == 0, name  # of 40 that the trainer allows
        parts = {key.partition(".")[0] for key in held["state_dict"]}
        assert parts == {"reducer", "loss_weight", "prepared"}
        reducer = load_reducer(tmp_path / "run/checkpoints" / name)
        assert reducer.directions.shape == (1 if scope == "shared" else SUBLAYERS, WIDTH, WIDTH)
        assert reducer.bottleneck == 3
        assert_is_scikit_learns(reducer, standardized(train, mode))


def test_the_epoch_is_validated_with_its_components(place, tmp_path):
    assert fit_words(place, tmp_path / "run") == 0
    with (tmp_path / "run/logs/fit/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    reducer = load_reducer(tmp_path / "run")
    data = place.data()
    states = torch.cat([data.origin.run(batch).states for batch in data.val_dataloader()])
    scaled = reducer.standardizer(states)
    error = float((reducer.expand(reducer.compress(scaled)) - scaled).square().mean())
    assert [float(row["val/loss"]) for row in rows if row["val/loss"]] == [pytest.approx(error, rel=1e-5)]
    assert [float(row["val/best_loss"]) for row in rows if row["val/best_loss"]] == [pytest.approx(error, rel=1e-5)]


@pytest.mark.parametrize("scope", ["shared", "per_sublayer"])
def test_wide_streams_take_five_epochs(place, train, tmp_path, monkeypatch, scope):
    monkeypatch.setattr(principal, "WIDEST", WIDTH - 1)
    words = [f"--model.scope={scope}", "--model.components=5"]
    assert fit_words(place, tmp_path / "run", *words) == 0
    for name in ("best", "last"):
        assert torch.load(tmp_path / f"run/checkpoints/{name}.ckpt", weights_only=True)["epoch"] == 4
    reducer = load_reducer(tmp_path / "run")
    assert reducer.directions.shape[1] == 5
    exact = fitted(train, scope=scope, components=5)
    gap = torch.linalg.matrix_norm(reducer.directions.mT @ reducer.directions - exact.directions.mT @ exact.directions)
    assert gap.max() < 1e-3


def test_too_few_epochs_for_a_wide_stream_are_refused(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(principal, "WIDEST", WIDTH - 1)
    assert fit_words(place, tmp_path / "run", "--trainer.max_epochs=4") == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1] == "error: --trainer.max_epochs 4: must be at least 5 for covariances of this size"
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_an_interrupted_search_begins_again_where_epochs_are_left(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(principal, "WIDEST", WIDTH - 1)

    def cut_power(module):
        if module.current_epoch == 2:
            raise RuntimeError("power cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PCAModule, "on_train_epoch_start", cut_power)
        with pytest.raises(RuntimeError, match="power cut"):
            fit_words(place, tmp_path / "run", "--trainer.max_epochs=7")
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert main(["fit", f"--ckpt_path={last}", "--trainer.max_epochs=6"]) == 2
    assert "--trainer.max_epochs 6: must be at least 7 for covariances of this size" in capsys.readouterr().err
    assert main(["fit", f"--ckpt_path={last}", "--trainer.max_epochs=7"]) == 0
    assert torch.load(last, weights_only=True)["epoch"] == 6
    assert (load_reducer(last).variances > 0).all()


def fitted(states, **options):
    module = PCAModule(WIDTH, SUBLAYERS, **options)
    fit(module, StatesInMemory(torch.as_tensor(states).float(), batch_size=7), 40)
    return module.reducer.requires_grad_(False)


@pytest.mark.parametrize("options", [{}, {"epochs": -1}, {"limit_train_batches": 3}, {"num_sanity_val_steps": 2}])
def test_the_trainers_options_do_not_keep_it_from_stopping(train, options):
    states, seen = torch.as_tensor(train).float(), 21 if "limit_train_batches" in options else len(train)
    module = PCAModule(WIDTH, SUBLAYERS, standardize="none")
    trainer = make_trainer(**{"epochs": 40, **options})
    trainer.fit(module, StatesInMemory(states, batch_size=7))
    assert trainer.current_epoch == 1
    oracle = PCA(2, svd_solver="full").fit(train[:seen].reshape(-1, WIDTH))
    cosine = np.abs((module.reducer.directions[0, :2].detach().numpy() * oracle.components_).sum(axis=1))
    np.testing.assert_allclose(cosine, 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("asked", "bottleneck", "kept"), [(100, 2, WIDTH), (5, 2, 5), (3, 8, 8), (1, 2, 2)])
def test_components_that_are_kept(asked, bottleneck, kept):
    module = PCAModule(WIDTH, SUBLAYERS, bottleneck, components=asked)
    assert module.reducer.directions.shape == (1, kept, WIDTH)
    assert module.reducer.encode(torch.ones(4, SUBLAYERS, WIDTH)).shape == (4, SUBLAYERS, bottleneck)
    assert module.reducer.coefficients(torch.ones(4, SUBLAYERS, WIDTH)).shape == (4, SUBLAYERS, kept)


@pytest.mark.parametrize("scope", ["shared", "per_sublayer"])
def test_latents_and_coefficients_are_scikit_learns_transform(train, scope):
    reducer, scaled = fitted(train, scope=scope, bottleneck=3, components=9), standardized(train, "per_sublayer")
    states = torch.as_tensor(train).float()
    for rows, latents, coefficients, decoded in zip(
        rows_of(scaled, scope),
        reducer.by_map(reducer.encode(states)),
        reducer.by_map(reducer.coefficients(torch.as_tensor(scaled).float())),
        reducer.by_map(reducer.standardizer(reducer.decode(reducer.encode(states)))),
        strict=True,
    ):
        oracle = PCA(9, svd_solver="full").fit(rows)
        expected = oracle.transform(rows)
        signs = np.sign((coefficients.numpy() * expected).sum(axis=0))
        np.testing.assert_allclose(coefficients, expected * signs, rtol=0, atol=1e-3)
        np.testing.assert_allclose(latents, (expected * signs)[:, :3], rtol=0, atol=1e-4)
        back = expected[:, :3] @ oracle.components_[:3] + oracle.mean_
        np.testing.assert_allclose(decoded, back, rtol=0, atol=1e-4)


def test_an_autoencoder_has_no_such_coefficients():
    reducer = AutoencoderModule(WIDTH, SUBLAYERS).reducer
    assert reducer.coefficients(torch.ones(4, SUBLAYERS, WIDTH)).shape == (4, SUBLAYERS, 0)

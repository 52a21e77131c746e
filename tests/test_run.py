"""The main job on a tiny model: fit, test, joining, resuming, and what a run leaves behind."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

import rs_cae
from rs_cae.cli import main
from rs_cae.demo.corpus import load_test_paragraphs
from rs_cae.figures.catalogue import FIGURES
from rs_cae.modules import AutoencoderModule
from rs_cae.results import open_dataset
from rs_cae.stream import LanguageModelSpec

LAYERS, WIDTH = 3, 32
DRAWN = FIGURES.keys() - {"cumulative_explained_variance", "explained_variance_100"}  # which an autoencoder has not


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a tiny random Llama and two text files, one text a line."""
    folder = tmp_path_factory.mktemp("workplace")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "llama")
    AutoTokenizer.from_pretrained(LanguageModelSpec("demo").path).save_pretrained(folder / "llama")
    texts = [text for text in load_test_paragraphs() if 100 <= len(text) <= 500]
    (folder / "train.txt").write_text("= Heading =\nshort\n" + "\n".join(texts[:80]))
    (folder / "test.txt").write_text("\n".join(texts[100:133]))
    return folder


def options(workplace: Path) -> list[str]:
    data = {"model": "llama", "train_corpus": "train.txt", "test_corpus": "test.txt"}
    words = [f"--data.{name}={workplace / value}" for name, value in data.items()]
    few = ["--dynamics.surrogates=19", "--dynamics.bootstrap=39", "--dynamics.mi_halves=2"]
    few += ["--perturbation.texts=2", "--perturbation.grid=3", "--perturbation.bootstrap=39"]
    return [*words, *few, "--data.batch_size=16", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=3"]


@pytest.fixture(scope="module")
def run_dir(workplace):
    """A run that was fitted and tested."""
    folder = workplace / "run"
    words = ["fit", *options(workplace), f"--run_dir={folder}", "--test_after=true", "--wandb=true"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        assert main(words) == 0
    return folder


def test_results_keep_the_contract(run_dir):
    latent = open_dataset(run_dir, "latent")
    sizes = {"sublayer": 6, "sample": 33, "latent": 2, "transition": 5, "bound": 2}
    assert dict(latent.sizes) == {**sizes, "token": len(np.unique(latent["last_token"]))}
    assert latent["latents"].dims == ("sample", "sublayer", "latent")
    assert latent["explained_variance"].dims == ("sublayer",)
    assert latent["layer_distance"].dims == ("transition",)
    assert latent["kind"].values.tolist() == ["within", "across"] * 2 + ["within"]
    assert {"r2", "r2_pooled", "explained_variance_pooled", "explained_variance_standardized"} <= set(latent)
    assert all(isinstance(value, str | int | float | np.number) for value in latent.attrs.values())
    assert json.loads(latent.attrs["settings"])["model"]["init_args"]["bottleneck"] == 2
    assert np.allclose(latent["mean_trajectory"], latent["latents"].mean("sample"), atol=1e-5)


def test_the_histogram_of_the_read_tokens(run_dir):
    latent = open_dataset(run_dir, "latent")
    counts = dict(zip(latent["token_text"].values, latent["token_count"].values, strict=True))
    texts, expected = np.unique(latent["last_token_text"].values, return_counts=True)
    assert counts == dict(zip(texts, expected, strict=True))
    assert (np.diff(latent["token_count"]) <= 0).all()
    assert latent.attrs["truncated_texts"] == 0
    assert [check["passed"] for check in json.loads(latent.attrs["hook_point_checks"])] == [True] * 5
    np.testing.assert_array_equal(latent["text"], np.arange(33))


def test_headlines_stand_beside_a_null_or_an_interval(run_dir):
    headlines = json.loads((run_dir / "metrics.json").read_text())
    assert "explained_variance_pooled" in headlines
    for name, line in headlines.items():
        assert set(line) == {"value", "low", "high", "null", "p", "unit", "sentence"}
        if line["value"] is not None:
            assert line["null"] is not None or line["low"] <= line["value"] <= line["high"], name


def test_explained_variance_equals_an_independent_computation(run_dir, workplace):
    texts = (workplace / "test.txt").read_text().splitlines()
    states = rs_cae.capture(*rs_cae.load_model(str(workplace / "llama")), texts).states
    module = AutoencoderModule.load_from_checkpoint(run_dir / "checkpoints/best.ckpt", weights_only=True)
    with torch.no_grad():
        residual = (states - module(states)).double().numpy()
    target = states.double().numpy()
    expected = 1 - residual.var(axis=0).sum(-1) / target.var(axis=0).sum(-1)
    latent = open_dataset(run_dir, "latent")
    # float32 forward passes in batches of other lengths: 1e-5 of a state's norm, a hundredfold in a ratio of variances
    np.testing.assert_allclose(latent["explained_variance"], expected, atol=1e-3)
    squares = (residual**2).sum()
    around_grand_mean = ((target - target.mean(axis=(0, 1))) ** 2).sum()
    assert float(latent["r2_pooled"]) == pytest.approx(1 - squares / around_grand_mean, abs=1e-3)


def test_checkpoints_hold_no_language_model_and_load_safely(run_dir):
    for name in ("best", "last"):
        content = torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert content["hyper_parameters"]["width"] == WIDTH
        parts = {key.partition(".")[0] for key in content["state_dict"]}
        assert parts == {"reducer", "network", "loss_weight", "prepared", "best_loss", "waited"}


def test_losses_and_learning_rate_are_in_the_csv(run_dir):
    with (run_dir / "logs/fit/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("train/loss", "val/loss", "val/best_loss", "val/explained_variance", "train/lr"):
        assert sum(bool(row[name]) for row in rows) == 3, name


def test_figures_are_drawn(run_dir):
    names = {path.stem for path in (run_dir / "figures").glob("*.png")}
    assert names == DRAWN


def test_weights_and_biases_gets_the_figures(run_dir):
    images = (run_dir / "wandb").glob("offline-run-*/files/media/images/figures/*.png")
    assert {path.name.rpartition("_")[0].rpartition("_")[0] for path in images} == DRAWN


def test_test_joins_the_run_and_replaces_its_results(run_dir):
    before = open_dataset(run_dir, "latent")
    (run_dir / "results" / "stale.nc").write_text("from an older test")
    assert main(["test", f"--run_dir={run_dir}", "--trainer.enable_progress_bar=false", "--report=false"]) == 0
    assert {path.name for path in (run_dir / "results").iterdir()} == {"dynamics.nc", "latent.nc", "perturbation.nc"}
    after = open_dataset(run_dir, "latent")
    np.testing.assert_array_equal(after["latents"], before["latents"])
    np.testing.assert_array_equal(after["explained_variance"], before["explained_variance"])


@pytest.mark.slow
def test_a_second_fit_with_wandb_in_the_same_place(run_dir, workplace, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    before = open_dataset(run_dir, "latent")
    words = ["fit", *options(workplace), f"--run_dir={run_dir}", "--test_after=true", "--wandb=true"]
    assert main(words) == 0
    assert len(list((run_dir / "wandb").glob("offline-run-*"))) == 3  # fit, test, fit
    np.testing.assert_array_equal(open_dataset(run_dir, "latent")["latents"], before["latents"])  # the same seed


def test_resuming_equals_a_run_that_was_never_interrupted(workplace):
    whole, parts = workplace / "whole", workplace / "parts"
    assert main(["fit", *options(workplace), f"--run_dir={whole}"]) == 0

    def cut_power(module):
        if module.current_epoch == 2:
            raise RuntimeError("power cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutoencoderModule, "on_train_epoch_start", cut_power)
        with pytest.raises(RuntimeError, match="power cut"):
            main(["fit", *options(workplace), f"--run_dir={parts}"])
    last = parts / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] == 1
    assert main(["fit", f"--ckpt_path={last}"]) == 0
    one, other = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, parts))
    assert one["global_step"] == other["global_step"]
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][name], value, rtol=0, atol=0, msg=name)


def test_live_states_equal_remembered_ones(workplace, run_dir):
    folder = workplace / "live"
    words = ["fit", *options(workplace), "--data.memory_budget_gb=0", f"--run_dir={folder}"]
    assert main(words) == 0
    losses = []
    for run in (folder, run_dir):
        with (run / "logs/fit/version_0/metrics.csv").open() as file:
            losses.append([float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]])
    # other batches pad otherwise: 1e-5 of the states' norm, carried through 3 epochs of training
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
def test_one_test_text_gives_nan_where_there_is_no_variance(run_dir, workplace):
    best = run_dir / "checkpoints" / "best.ckpt"
    words = ["test", f"--ckpt_path={best}", "--data.n_test=1", f"--run_dir={workplace / 'one'}"]
    assert main([*words, "--trainer.enable_progress_bar=false"]) == 0
    assert np.isnan(open_dataset(workplace / "one", "latent")["explained_variance"]).all()
    assert json.loads((workplace / "one" / "metrics.json").read_text())["explained_variance_pooled"]["value"] is None

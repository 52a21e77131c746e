"""The same seed gives the same results bit for bit, another seed others; every result says which seeds and commit."""

import json
import os

import pytest
import torch
from compared import attributes_of, differences, files_of, results_of, weights_of
from workplace import ODD, quietly, start

from rs_cae.callbacks import ANALYSES
from rs_cae.commands.provenance import git_commit
from rs_cae.modules import AutoencoderModule

SEEDED = [name for name in ANALYSES if name != "explained_variance"]
OTHER = ["--seed_everything=5", "--data.seed=6", *(f"--{name}.seed=7" for name in SEEDED)]
DRAWN = [
    *("latent/latents", "latent/explained_variance", "metrics/explained_variance_pooled/value"),
    *("dynamics/correlation_mean_low", "dynamics/rotations_surrogate_mean", "dynamics/mutual_information_mean_null"),
    *("dynamics/cosine_similarity_mean_null", "perturbation/recovery_random", "perturbation/recovery"),
]
NOT_DRAWN = ["dynamics/correlation", "dynamics/norm_mean", "dynamics/mutual_information", "latent/last_token"]


def assert_the_same_bits(one, other):
    assert differences(one, other) == dict.fromkeys(results_of(one), 0.0)
    assert differences(one, other, weights_of) == dict.fromkeys(weights_of(one), 0.0)
    assert attributes_of(one) == attributes_of(other)
    assert (one / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()
    assert files_of(one) == files_of(other)


def test_the_same_seed_gives_the_same_bits(asked_everything):
    place, one = asked_everything
    assert quietly(lambda: place.fit(place.folder / "again", *ODD))[0] == 0
    assert {name.partition("/")[0] for name in results_of(one)} == {"dynamics", "latent", "perturbation", "metrics"}
    assert_the_same_bits(one, place.folder / "again")


def test_another_seed_gives_other_numbers_where_something_is_drawn(asked_everything):
    place, one = asked_everything
    assert quietly(lambda: place.fit(place.folder / "other", *ODD, *OTHER))[0] == 0
    found = differences(one, place.folder / "other")
    assert {name for name in DRAWN if not found[name]} == set()
    assert {name for name in NOT_DRAWN if found[name]} == set()
    held = json.loads(attributes_of(place.folder / "other")["latent"]["seeds"])
    assert held == {"seed_everything": 5, "data.seed": 6, "model.seed": None} | {f"{name}.seed": 7 for name in SEEDED}


def test_every_result_names_every_seed_and_the_commit(asked_everything):
    _, run_dir = asked_everything
    found = attributes_of(run_dir)
    assert found.keys() == {"dynamics", "latent", "perturbation"}
    for attributes in found.values():
        seeds = json.loads(attributes["seeds"])
        assert seeds == {"seed_everything": 0, "data.seed": 0, "model.seed": None} | {f"{n}.seed": 0 for n in SEEDED}
        assert attributes["git_commit"] == git_commit()
        assert {"rs-cae", "torch", "numpy", "python"} < json.loads(attributes["versions"]).keys()
    for line in json.loads((run_dir / "metrics.json").read_text()).values():
        assert line.keys() == {"value", "unit", "low", "high", "null", "p", "sentence"}


def test_a_killed_fit_goes_on_to_the_same_bits(asked_everything, monkeypatch):
    place, one = asked_everything
    run_dir = place.folder / "killed"

    def killed():
        monkeypatch.setattr(AutoencoderModule, "on_train_epoch_start", lambda self: self.current_epoch and os._exit(9))
        return place.fit(run_dir, *ODD)

    process = start(killed, place.folder / "printed")
    process.join(60)
    assert process.exitcode == 9
    last = run_dir / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert quietly(lambda: place.fit(run_dir, *ODD, f"--ckpt_path={last}", "--test_after=false"))[0] == 0
    assert torch.load(last, weights_only=True)["epoch"] == 1
    assert differences(one, run_dir, weights_of) == dict.fromkeys(weights_of(one), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--model.noise=0.1"],
        ["--model.scope=per_sublayer", "--latent_trajectory.align=procrustes"],
        ["--model=rs_cae.PCAModule"],
        ["--data.source=cached", "--trainer.deterministic=true"],
        ["--data.token_position=all", "--data.max_positions=3", "--data.shuffle_tokens=true"],
        ["--data.memory_budget_gb=0", "--data.random_init=true"],
        ["--data.num_workers=2", "--dynamics.mi_estimator=binned"],
    ],
)
def test_whatever_is_fitted_to_whatever(place, cache, words, tmp_path):
    given = [*words, f"--data.cache_dir={cache}"]
    for name in ("one", "other"):
        assert quietly(lambda name=name: place.fit(tmp_path / name, *given))[0] == 0
    assert_the_same_bits(tmp_path / "one", tmp_path / "other")

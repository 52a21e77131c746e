"""Runs from a cache: the same numbers as live, no language model, little memory, and what is refused."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from workplace import COUNTS, OF_TRAJECTORIES, SHARD_SIZE, quietly

from rs_cae.results import open_dataset
from rs_cae.stream import LanguageModelSpec
from rs_cae.stream.cache import CachedTrajectories, read_manifest

POSITIONS = {"last": [], "all": ["--data.token_position=all", "--data.max_positions=3"]}


@pytest.fixture(scope="module")
def caches(place):
    """A cache of the last tokens and one of three of each text."""
    made = {position: place.folder / f"cache-{position}" for position in POSITIONS}
    for position, words in POSITIONS.items():
        assert quietly(lambda folder=made[position], words=words: place.cache(folder, *words))[0] == 0
    return made


@pytest.fixture(scope="module")
def cache(caches):
    return caches["last"]


def cached(folder):
    return ["--data.source=cached", f"--data.cache_dir={folder}"]


def losses(run_dir):
    with (run_dir / "logs/fit/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ["train/loss", "val/loss", "val/best_loss", "val/explained_variance"]
    found = {name: [row[name] for row in rows if row[name]] for name in names}
    assert all(len(values) == 2 for values in found.values())
    return found


def check_equal_runs(one, other):
    """To the last digit: a shard is captured in the very batches in which live trajectories are."""
    assert losses(one) == losses(other)
    assert (one / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()
    first, second = open_dataset(one, "latent"), open_dataset(other, "latent")
    assert set(first.variables) == set(second.variables)
    for name in first.variables:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    recorded = ("truncated_texts", "hook_point_checks", "language_model", "train_corpus", "test_corpus")
    assert [first.attrs[name] for name in recorded] == [second.attrs[name] for name in recorded]
    for name in ("best", "last"):
        states = [torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"] for run in (one, other)]
        for key, value in states[0].items():
            torch.testing.assert_close(value, states[1][key], rtol=0, atol=0, msg=key)


@pytest.mark.parametrize("position", POSITIONS)
def test_cached_and_live_runs_give_the_same_numbers(place, caches, tmp_path, monkeypatch, position):
    words = [*POSITIONS[position], OF_TRAJECTORIES]
    assert place.fit(tmp_path / "live", *words) == 0
    weights = place.model / "model.safetensors"
    weights.rename(place.folder / "away")
    try:  # without the weights, and without their being asked for
        with monkeypatch.context() as patch:
            patch.setattr(LanguageModelSpec, "load", lambda *_: pytest.fail("the language model was loaded"))
            assert place.fit(tmp_path / "cached", *words, *cached(caches[position])) == 0
            assert place.fit(tmp_path / "workers", *words, *cached(caches[position]), "--data.num_workers=2") == 0
    finally:
        (place.folder / "away").rename(weights)
    check_equal_runs(tmp_path / "live", tmp_path / "cached")
    check_equal_runs(tmp_path / "live", tmp_path / "workers")


def samples_of_epoch(loader, epoch=0):
    loader.batch_sampler.set_epoch(epoch)
    return [batch.samples.tolist() for batch in loader]


def test_batches_are_shuffled_over_all_shards_as_live(place, cache):
    live, from_cache = place.data(), place.data(source="cached", cache_dir=str(cache))
    for epoch in range(2):
        batches = samples_of_epoch(from_cache.train_dataloader(), epoch)
        assert batches == samples_of_epoch(live.train_dataloader(), epoch)
        assert sorted(sample for batch in batches for sample in batch) == list(range(40))
        assert all(len({sample // SHARD_SIZE for sample in batch}) >= 3 for batch in batches)
    again = samples_of_epoch(from_cache.train_dataloader(), 0)
    assert again != batches
    for name in ("val_dataloader", "test_dataloader"):
        assert samples_of_epoch(getattr(from_cache, name)()) == samples_of_epoch(getattr(live, name)())


def test_a_batch_holds_each_samples_own_states(cache):
    """In any order, across shards, and twice if asked for twice."""
    trajectories = CachedTrajectories(cache / "train", read_manifest(cache / "train"))
    files = [load_file(file) for file in sorted((cache / "train").glob("*.safetensors"))]
    whole = {name: torch.cat([file[name] for file in files]) for name in ("states", "tokens", "positions", "texts")}
    chosen = [43, 0, 17, 9, 10, 0, 39, 40]
    batch = trajectories.__getitems__(chosen)
    assert batch.samples.tolist() == chosen
    for name, field in whole.items():
        assert torch.equal(getattr(batch, name), field[chosen]), name


def test_fewer_texts_than_the_cache_holds_are_its_first(place, cache, no_model):
    few = {"n_train": 23, "n_test": 4}
    data = place.data(source="cached", cache_dir=str(cache), **few)
    assert {name: part.tolist() for name, part in data.splits.items()} == {
        "train": list(range(21)),
        "validation": [21, 22],
        "test": list(range(4)),
    }
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(batch.states, load_file(cache / "test/shard-00000.safetensors")["states"][:4])


def test_fewer_texts_of_several_samples(place, caches, no_model):
    options = {"token_position": "all", "max_positions": 3, "n_train": 10, "n_test": 2}
    data = place.data(source="cached", cache_dir=str(caches["all"]), **options)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 27, "validation": 3, "test": 6}


def refused(place, run_dir, capsys, *words):
    capsys.readouterr()
    assert place.fit(run_dir, *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not run_dir.exists()
    return error


@pytest.mark.parametrize("role", COUNTS)
def test_more_texts_than_the_cache_holds_are_refused(place, cache, tmp_path, capsys, role):
    error = refused(place, tmp_path / "run", capsys, *cached(cache), f"--data.n_{role}=100")
    assert error.startswith(f"error: --data.n_{role} 100: the cache {cache / role} holds only {COUNTS[role]} texts")


CONTRADICTIONS = {
    "data.model": ("demo", None),
    "data.random_init": ("true", "False, not True"),
    "data.dtype": ("bfloat16", "float32, not bfloat16"),
    "data.train_corpus": ("demo/test", None),
    "data.test_corpus": ("demo/test", None),
    "data.min_chars": ("120", "100, not 120"),
    "data.max_chars": ("400", "500, not 400"),
    "data.token_position": ("random", "last, not random"),
    "data.revision": ("v1", "None, not v1"),
    "data.hook_points": ("{layers: layers, attn: input_layernorm, mlp: mlp}", None),
}


@pytest.mark.parametrize("option", CONTRADICTIONS)
def test_options_that_contradict_the_cache_are_refused(place, cache, tmp_path, capsys, no_model, option):
    value, words = CONTRADICTIONS[option]
    error = refused(place, tmp_path / "run", capsys, *cached(cache), f"--{option}={value}")
    assert "holds another capture" in error
    assert f"its {option} is {words or ''}" in error


def test_other_positions_are_refused(place, caches, tmp_path, capsys, no_model):
    words = [*cached(caches["all"]), "--data.token_position=all"]
    assert "its data.max_positions is 3, not 4" in refused(
        place, tmp_path / "run", capsys, *words, "--data.max_positions=4"
    )
    assert "its data.seed is 0, not 1" in refused(
        place, tmp_path / "run", capsys, *words, "--data.max_positions=3", "--data.seed=1"
    )

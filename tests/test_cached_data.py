"""Reading a cache: in little memory, from folders that are not as they should be, and with outliers in it."""

import gc
import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from workplace import COUNTS, SHARD_SIZE, contents, obey_permissions, start

from rs_cae.results import open_dataset
from rs_cae.stream.cache import CachedTrajectories, Manifest, read_manifest
from rs_cae.stream.cache.shards import read_record, write_shard
from rs_cae.stream.trajectories import TrajectoryBatch


def anonymous_megabytes():
    """Memory that is this process's own: the system cannot drop it, as it can drop pages of a file."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e3


@pytest.fixture(scope="module")
def large_corpus(tmp_path_factory):
    """200 MB, in which the first unit of a state is its sample's number."""
    folder, shards, samples, sublayers, width = tmp_path_factory.mktemp("large"), 10, 320, 8, 2048
    states = torch.randn(samples, sublayers, width, generator=torch.Generator().manual_seed(0))
    for shard in range(shards):
        numbers = torch.arange(shard * samples, (shard + 1) * samples)
        states[:, :, 0] = numbers[:, None]
        batch = TrajectoryBatch(states, *(numbers.clone() for _ in range(4)))
        write_shard(folder, shard, batch, numbers, "large", {})
    records = [read_record(folder, shard) for shard in range(shards)]
    Manifest({"layers": 4, "sites": ["attn", "mlp"], "width": width}, {}, records, shards).write(folder)
    assert sum(record.bytes for record in records) > 200e6
    yield folder
    shutil.rmtree(folder)


def test_memory_does_not_grow_with_the_cache(large_corpus):
    generator = random.Random(0)
    gc.collect()
    before = most = anonymous_megabytes()
    trajectories = CachedTrajectories(large_corpus, read_manifest(large_corpus))
    for _ in range(200):
        chosen = generator.sample(range(len(trajectories)), 32)
        batch = trajectories.__getitems__(chosen)
        assert batch.states[:, -1, 0].tolist() == chosen
        most = max(most, anonymous_megabytes())
    assert most - before < 20


def refused(place, run_dir, capsys, *words):
    """The one line by which a cached run is refused before it has written anything."""
    capsys.readouterr()
    assert place.fit(run_dir, "--data.source=cached", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not run_dir.exists()
    return error


def test_a_cached_run_wants_to_know_the_cache(place, tmp_path, capsys):
    error = refused(place, tmp_path / "run", capsys)
    assert error.startswith("error: --data.source cached: wants --data.cache_dir")


@pytest.mark.parametrize("folder", ["nowhere", "empty", "file"])
def test_where_there_is_no_cache(place, tmp_path, capsys, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    error = refused(place, tmp_path / "run", capsys, f"--data.cache_dir={tmp_path / folder}")
    assert error.startswith(f"error: --data.cache_dir {tmp_path / folder}: holds no cache")


@pytest.mark.parametrize("role", COUNTS)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_shard_that_is_not_whole_is_named(place, copy, tmp_path, capsys, role, damage):
    file = copy / role / "shard-00001.safetensors"
    size = file.stat().st_size
    file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:-100])
    error = refused(place, tmp_path / "run", capsys, f"--data.cache_dir={copy}")
    said = "is missing" if damage == "missing" else f"is damaged: {size - 100} bytes instead of {size}"
    assert f"--data.cache_dir {copy / role}: shard-00001.safetensors {said}" in error
    assert "`python -m rs_cae cache` with the same options mends it" in error


@pytest.mark.parametrize("role", COUNTS)
def test_a_corpus_that_is_missing_is_named(place, copy, tmp_path, capsys, role):
    shutil.rmtree(copy / role)
    error = refused(place, tmp_path / "run", capsys, f"--data.cache_dir={copy}")
    assert f"--data.cache_dir {copy / role}: cannot be read" in error
    assert "`python -m rs_cae cache` makes or mends it" in error


def test_an_incomplete_cache_is_refused(place, copy, tmp_path, capsys):
    held = read_manifest(copy / "train")
    Manifest(held.identity, held.origin, held.shards[:2], held.shard_count).write(copy / "train")
    error = refused(place, tmp_path / "run", capsys, f"--data.cache_dir={copy}")
    problem = "is not complete (5 of 5 shards are there): run `python -m rs_cae cache` again"
    assert f"--data.cache_dir {copy / 'train'}: {problem}" in error


def test_a_cache_is_only_read(place, copy, tmp_path):
    before = contents(copy)

    def fit():
        obey_permissions()
        return place.fit(tmp_path / "run", "--data.source=cached", f"--data.cache_dir={copy}")

    for path in (*copy.rglob("*"), copy):
        path.chmod(0o555 if path.is_dir() else 0o444)
    process = start(fit, tmp_path / "printed")
    process.join(60)
    for path in (copy, *copy.iterdir()):
        path.chmod(0o755)
    assert process.exitcode == 0, (tmp_path / "printed").read_text()
    assert contents(copy) == before


OUTLIERS = {"train": [3, 17, 42], "test": [5, 11]}


@pytest.fixture(scope="module")
def planted(cache):
    """The cache with a few samples whose state at one sublayer is a hundredfold."""
    folder = cache.with_name("planted")
    for role, outliers in OUTLIERS.items():
        held = read_manifest(cache / role)
        (folder / role).mkdir(parents=True)
        for number, record in enumerate(held.shards):
            tensors = load_file(cache / role / record.file)
            samples = torch.arange(record.samples) + number * SHARD_SIZE
            tensors["states"][torch.isin(samples, torch.tensor(outliers)), 3] *= 100
            batch = TrajectoryBatch(*(tensors[name] for name in ("states", "tokens", "positions")), samples, samples)
            texts = {int(token): text for token, text in record.token_texts.items()}
            write_shard(folder / role, number, batch, tensors["text_hashes"], record.identity, texts)
        records = [read_record(folder / role, number) for number in range(held.shard_count)]
        Manifest(held.identity, held.origin, records, held.shard_count).write(folder / role)
    return folder


def states_of(planted, role):
    return torch.cat([load_file(file)["states"] for file in sorted((planted / role).glob("*.safetensors"))])


@pytest.mark.parametrize("outliers", ["report", "drop"])
def test_outliers_are_counted_and_dropped_if_asked_to(place, planted, tmp_path, capsys, outliers):
    words = ["--data.source=cached", f"--data.cache_dir={planted}"]
    words += ["--data.outlier_norm_factor=10", f"--data.outliers={outliers}"]
    assert place.fit(tmp_path / "run", *words) == 0
    latent = open_dataset(tmp_path / "run", "latent")
    assert latent.attrs["outlier_samples"] == 2
    assert "outliers by their norm: 2 test samples" in capsys.readouterr().out
    kept = [text for text in range(COUNTS["test"]) if outliers == "report" or text not in OUTLIERS["test"]]
    assert latent["text"].values.tolist() == kept
    assert latent["latents"].sizes["sample"] == len(kept)
    assert latent["outlier"].values.tolist() == [int(text in OUTLIERS["test"]) for text in kept]


@pytest.mark.parametrize("outliers", ["report", "drop"])
def test_dropped_outliers_are_no_part_of_the_training(place, planted, outliers):
    options = {"source": "cached", "cache_dir": str(planted), "outlier_norm_factor": 10, "outliers": outliers}
    data = place.data(**options)
    train = [sample for sample in range(40) if outliers == "report" or sample not in OUTLIERS["train"]]
    assert sorted(sample for batch in data.train_dataloader() for sample in batch.samples.tolist()) == train
    validation = [sample for sample in range(40, 44) if outliers == "report" or sample not in OUTLIERS["train"]]
    assert [sample for batch in data.val_dataloader() for sample in batch.samples.tolist()] == validation
    assert {split: found.tolist() for split, found in data.outliers.items()} == {"train": [3, 17], "validation": [42]}
    moments, states = data.train_moments(torch.device("cpu")), states_of(planted, "train")[train].double()
    torch.testing.assert_close(moments.mean[0], states.mean(dim=0))
    torch.testing.assert_close(moments.variance[0], states.var(dim=0, correction=0))


def test_without_a_factor_nobody_is_an_outlier(place, planted, tmp_path):
    assert place.fit(tmp_path / "run", "--data.source=cached", f"--data.cache_dir={planted}") == 0
    latent = open_dataset(tmp_path / "run", "latent")
    assert "outlier_samples" not in latent.attrs
    assert "outlier" not in latent
    assert latent["latents"].sizes["sample"] == COUNTS["test"]

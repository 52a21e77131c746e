"""``rs_cae cache``: what it writes, against an independent computation; and what ``verify`` says of it."""

import hashlib
import json
import re
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from workplace import CONTEXT, COUNTS, LAYERS, SHARD_SIZE, SHARDS, WIDTH, contents, quietly, stamps

import rs_cae
from rs_cae.cli import main


@pytest.fixture(scope="module")
def made(place):
    """A cache, and what was printed while it was made."""
    code, printed = quietly(lambda: place.cache(place.folder / "cache"))
    assert code == 0
    return place.folder / "cache", printed


@pytest.fixture
def cache(made):
    return made[0]


def shards(corpus):
    return [load_file(file) for file in sorted(corpus.glob("*.safetensors"))]


def joined(corpus, name):
    return torch.cat([shard[name] for shard in shards(corpus)])


def token_ids(place, role):
    """Each text's tokens, the begin-of-text token first; a long text loses what comes right after it."""
    tokenizer = AutoTokenizer.from_pretrained(place.model)
    whole = [tokenizer(text)["input_ids"] for text in place.texts[role]]
    return [ids if len(ids) <= CONTEXT else [ids[0], *ids[1 - CONTEXT :]] for ids in whole]


@torch.no_grad()
def states_of_texts_alone(place, role):
    """Last token's states [texts, sublayers, width]: each text alone, read by plain hooks on the layers and MLPs."""
    model, found, collected = AutoModelForCausalLM.from_pretrained(place.model, dtype=torch.float32), [], []
    for layer in model.model.layers:
        for module in (layer, layer.post_attention_layernorm):
            module.register_forward_pre_hook(lambda _, args: found.append(args[0][0, -1].clone()))
    for ids in token_ids(place, role):
        model(torch.tensor([ids]))
        collected.append(torch.stack(found))
        found.clear()
    return torch.stack(collected)


@pytest.mark.parametrize("role", COUNTS)
def test_shards_hold_what_an_independent_computation_finds(place, cache, role):
    count = COUNTS[role]
    for number, shard in enumerate(shards(cache / role)):
        samples = min(SHARD_SIZE, count - number * SHARD_SIZE)
        assert shard["states"].shape == (samples, 2 * LAYERS, WIDTH)
        assert shard["states"].dtype == torch.float32
        for name in ("tokens", "positions", "texts", "text_hashes"):
            assert (shard[name].dtype, shard[name].shape) == (torch.int64, (samples,)), name
    ids = token_ids(place, role)
    assert joined(cache / role, "tokens").tolist() == [row[-1] for row in ids]
    assert joined(cache / role, "positions").tolist() == [len(row) - 1 for row in ids]
    assert joined(cache / role, "texts").tolist() == list(range(count))
    digests = [hashlib.sha256(text.encode()).digest()[:8] for text in place.texts[role]]
    assert [value.to_bytes(8, "big", signed=True) for value in joined(cache / role, "text_hashes").tolist()] == digests


@pytest.mark.parametrize("role", COUNTS)
def test_states_are_those_of_the_texts_alone(place, cache, role):
    states, expected = joined(cache / role, "states"), states_of_texts_alone(place, role)
    assert ((states - expected).norm(dim=-1) < 1e-5 * expected.norm(dim=-1)).all()
    expected = rs_cae.capture(*rs_cae.load_model(str(place.model)), place.texts[role]).states
    assert ((states - expected).norm(dim=-1) < 1e-5 * expected.norm(dim=-1)).all()


def test_the_manifest_says_what_was_captured_from_what(place, cache):
    manifest = json.loads((cache / "train/manifest.json").read_text())
    assert (manifest["format_version"], manifest["complete"]) == (1, True)
    assert (manifest["samples"], manifest["shard_count"]) == (COUNTS["train"], 5)
    identity = manifest["identity"]
    weights = hashlib.sha256((place.model / "model.safetensors").read_bytes()).digest()
    assert identity["weights"] == f"sha256 {hashlib.sha256(weights).hexdigest()}"
    assert re.fullmatch("[0-9a-f]{64}", identity["tokenizer"])
    hashes = joined(cache / "train", "text_hashes").numpy()
    assert identity["texts"] == hashlib.sha256(hashes.tobytes()).hexdigest()
    settings = {"model": str(place.model), "train_corpus": f"{place.folder}/train.txt", "dtype": "float32"}
    settings |= {"n_train": 44, "min_chars": 100, "max_chars": 500, "token_position": "last", "max_positions": None}
    settings |= {"tokens_per_batch": 4096, "shard_size": SHARD_SIZE, "random_init": False, "schedule": "batchwise"}
    assert {name: identity[f"data.{name}"] for name in settings} == settings
    assert (identity["layers"], identity["sites"], identity["width"]) == (LAYERS, ["attn", "mlp"], WIDTH)
    origin = manifest["origin"]
    packages = ("rs-cae", "torch", "transformers", "tokenizers", "safetensors")
    assert origin["versions"] == {name: version(name) for name in packages}
    tokenizer = AutoTokenizer.from_pretrained(place.model)
    assert origin["truncated_texts"] == sum(len(tokenizer(t)["input_ids"]) > CONTEXT for t in place.texts["train"]) > 0
    checks = origin["hook_point_checks"]
    assert {check["claim"][:3] for check in checks} == {"(a)", "(b)", "(c)", "(d)"}
    assert all(check["passed"] and check["error"] <= check["tolerance"] for check in checks)


def test_the_manifest_describes_every_shard_as_it_is(place, cache):
    tokenizer = AutoTokenizer.from_pretrained(place.model)
    for role in COUNTS:
        manifest = json.loads((cache / role / "manifest.json").read_text())
        described = [shard["file"] for shard in manifest["shards"]]
        assert described == [f"shard-{number:05d}.safetensors" for of, number in SHARDS if of == role]
        for shard, tensors in zip(manifest["shards"], shards(cache / role), strict=True):
            content = (cache / role / shard["file"]).read_bytes()
            assert (shard["sha256"], shard["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
            assert shard["samples"] == len(tensors["states"])
            read = set(tensors["tokens"].tolist())
            assert shard["token_texts"] == {str(token): tokenizer.decode([token]) for token in read}
            check_moments(shard, tensors["states"])
            record = cache / role / shard["file"].replace("safetensors", "json")
            assert json.loads(record.read_text()) == shard
        check_moments(manifest, joined(cache / role, "states"))


def check_moments(described, states):
    numbers = states.double().numpy()
    np.testing.assert_allclose(described["mean"], numbers.mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(described["variance"], numbers.var(axis=(0, 2)), rtol=1e-12)


def test_nothing_is_pickled_and_nothing_is_left_over(cache):
    shard_names = {f"{role}/shard-{number:05d}" for role, number in SHARDS}
    expected = {f"{name}.{kind}" for name in shard_names for kind in ("json", "safetensors")}
    assert set(contents(cache)) == {*expected, "train/manifest.json", "test/manifest.json", ".lock"}
    for name, content in contents(cache).items():
        if name.endswith(".json"):
            json.loads(content)  # the others were all read as safetensors above


def test_an_estimate_comes_first(made):
    size = COUNTS["train"] * 2 * LAYERS * WIDTH * 4 / 1e6
    line = made[1].splitlines()[0]
    assert re.search(rf"train: 44 samples, {size:.3g} MB of [\d.]+ [GM]B free, about \d+ s$", line), line
    assert "--data.source cached --data.cache_dir" in made[1]


def test_again_nothing_is_run(place, cache, no_model, capsys):
    before, written = contents(cache), stamps(cache)
    assert place.cache(cache) == 0
    assert (contents(cache), stamps(cache)) == (before, written)
    assert "5 shards, 44 samples, complete" in capsys.readouterr().out


@pytest.mark.slow
def test_bfloat16(place, tmp_path, cache):
    assert place.cache(tmp_path / "half", "--data.dtype=bfloat16") == 0
    states, exact = joined(tmp_path / "half/test", "states"), joined(cache / "test", "states")
    assert states.dtype == torch.bfloat16
    assert ((states.float() - exact).norm(dim=-1) < 0.05 * exact.norm(dim=-1)).all()
    manifest = json.loads((tmp_path / "half/test/manifest.json").read_text())
    assert manifest["identity"]["data.dtype"] == "bfloat16"
    assert manifest["shards"][0]["bytes"] < 0.7 * (cache / "test/shard-00000.safetensors").stat().st_size
    check_moments(manifest, states)
    assert place.fit(tmp_path / "run", "--data.source=cached", f"--data.cache_dir={tmp_path / 'half'}") == 0


def test_all_positions_of_a_text_are_in_one_shard(place, tmp_path):
    assert place.cache(tmp_path / "all", "--data.token_position=all", "--data.max_positions=3") == 0
    for role, count in COUNTS.items():
        corpus, ids = tmp_path / "all" / role, token_ids(place, role)
        texts_of = [shard["texts"].unique().tolist() for shard in shards(corpus)]
        assert [text for texts in texts_of for text in texts] == list(range(count))  # none twice
        assert [len(texts) for texts in texts_of[:-1]] == [4] * (len(texts_of) - 1)  # the fourth text fills a shard
        texts, positions = joined(corpus, "texts"), joined(corpus, "positions")
        assert texts.tolist() == [number for number in range(count) for _ in range(3)]
        places = list(zip(texts.tolist(), positions.tolist(), strict=True))
        assert places == sorted(set(places))
        assert all(0 < position < len(ids[text]) for text, position in places)  # never the begin-of-text token
        assert joined(corpus, "tokens").tolist() == [ids[text][position] for text, position in places]
        digests = [hashlib.sha256(place.texts[role][text].encode()).digest()[:8] for text in texts]
        assert [v.to_bytes(8, "big", signed=True) for v in joined(corpus, "text_hashes").tolist()] == digests


def test_states_of_all_positions_are_those_of_the_model(place, tmp_path):
    assert place.cache(tmp_path / "all", "--data.token_position=all", "--data.n_train=2", "--data.n_test=3") == 0
    model, tokenizer = rs_cae.load_model(str(place.model))
    expected = rs_cae.capture(model, tokenizer, place.texts["test"][:3], token_position="all").states
    states = joined(tmp_path / "all/test", "states")
    assert len(states) == sum(len(ids) - 1 for ids in token_ids(place, "test")[:3])
    assert ((states - expected).norm(dim=-1) < 1e-5 * expected.norm(dim=-1)).all()


def test_verify_finds_it_intact(cache, capsys):
    assert main(["verify", str(cache)]) == 0
    printed = capsys.readouterr().out
    for part in ("train/manifest.json", "test/manifest.json", *(f"{role}/shard-{n:05d}." for role, n in SHARDS)):
        assert part in printed
    assert printed.count("intact") == len(SHARDS) + 2
    assert "mend" not in printed
    assert main(["verify", str(cache / "test")]) == 0
    assert capsys.readouterr().out.count("intact") == 3


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_verify_says_where_there_is_no_cache(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: verify {tmp_path / name}: ")
    assert ("holds no cache" if name == "empty" else "no such folder") in error
    assert error.count("\n") == 1


def test_verify_names_parts_in_full_whatever_the_folder_is_called(cache, tmp_path, capsys):
    folder = shutil.copytree(cache, tmp_path / ("a_name_that_is_as_long_as_half_a_line" * 2 + "[old]"))
    (folder / "train/shard-00003.safetensors").unlink()
    assert main(["verify", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"train/shard-00003\.safetensors.*is missing", printed), printed
    assert "[old]" in "".join(printed.split())  # the title is broken where the line ends

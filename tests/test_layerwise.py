"""Layer by layer, the states are those of the whole model, and neither weights nor files are left behind."""

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from layers import CLOSE, assert_nothing_left, distance, layerwise, of_base, ordinary, rewrite
from tiny_models import FAMILIES, tiny_config, tiny_model
from transformers import AutoModelForCausalLM

from rs_cae.errors import InputError


@pytest.fixture
def scratch_folder(tmp_path, monkeypatch):
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_equals_the_ordinary_capture(name, requests, tmp_path, capfd):
    model = tiny_model(name)
    model.save_pretrained(tmp_path)
    capturer = layerwise(tmp_path, tiny_config(name))
    capfd.readouterr()
    got = list(capturer.trajectories(requests))
    assert capfd.readouterr() == ("", "")  # no report, no progress bar
    assert distance(got, ordinary(model, requests)) <= CLOSE
    assert not got[0].states.is_inference()  # reducers are trained on them
    assert capturer.bytes_read == of_base(model)
    assert_nothing_left(capturer)


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_shards(name, requests, tmp_path):
    model = tiny_model(name)
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    capturer = layerwise(tmp_path, model.config)
    assert distance(list(capturer.trajectories(requests)), ordinary(model, requests)) <= CLOSE
    assert capturer.bytes_read == of_base(model)


@pytest.mark.parametrize(("name", "prefix"), [("gpt2", "transformer."), ("llama", "model."), ("opt", "model.")])
def test_checkpoints_of_the_headless_model(name, prefix, requests, tmp_path):
    model = tiny_model(name)
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: {key.removeprefix(prefix): tensor for key, tensor in tensors.items()})
    got = list(layerwise(tmp_path, model.config).trajectories(requests))
    assert distance(got, ordinary(model, requests)) <= CLOSE


@pytest.mark.parametrize("name", ["gemma2", "bloom", "mixtral", "phi3"])
@pytest.mark.parametrize(
    ("stored", "run"), [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)], ids=["widened", "rounded"]
)
def test_another_precision_than_that_of_the_files(name, stored, run, requests, tmp_path):
    tiny_model(name).to(stored).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=run)
    config = tiny_config(name, dtype=stored)
    capturer = layerwise(tmp_path, config, run)
    got, wanted = list(capturer.trajectories(requests)), ordinary(model, requests)
    assert got[0].states.dtype == run
    assert distance(got, wanted) <= CLOSE
    assert capturer.bytes_read == of_base(model.to(stored))
    assert config.dtype == stored  # the caller's configuration is as it was


@pytest.mark.parametrize("kept", ["model.embed_tokens.weight", "lm_head.weight"])
def test_tied_embeddings_under_either_name(kept, requests, tmp_path):
    model = tiny_model("llama", tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: {kept if "embed" in key else key: tensor for key, tensor in tensors.items()})
    capturer = layerwise(tmp_path, model.config)
    assert distance(list(capturer.trajectories(requests)), ordinary(model, requests)) <= CLOSE
    assert capturer.bytes_read == of_base(model)


def test_names_given_by_hand(requests, tmp_path):
    model = tiny_model("qwen2")
    model.save_pretrained(tmp_path)
    model.config.model_type = "unknown"
    with pytest.raises(ValueError, match="'unknown' is not a known decoder"):
        layerwise(tmp_path, model.config)
    model.config.model_type = "qwen2"
    names = {"layers": "model.layers", "attn": "input_layernorm", "mlp": "post_attention_layernorm"}
    got = list(layerwise(tmp_path, model.config, names=names).trajectories(requests))
    assert distance(got, ordinary(model, requests)) <= CLOSE


def test_weights_are_read_once_whatever_the_number_of_samples(requests, tmp_path):
    model = tiny_model("gpt2")  # its head is tied, so that all of the file is needed
    model.save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    for asked in (requests[:1], requests * 5):
        capturer = layerwise(tmp_path, model.config)
        assert len(list(capturer.trajectories(asked))) == len(asked)
        assert 0.9 * size < capturer.bytes_read <= 1.01 * size


def test_one_layer_at_a_time_has_weights(requests, tmp_path):
    model = tiny_model("mistral")
    model.save_pretrained(tmp_path)
    capturer = layerwise(tmp_path, model.config)
    base, alive = capturer.weights.model.base_model, []

    def look(module, arguments):
        alive.append([number for number, layer in enumerate(base.layers) if not next(layer.parameters()).is_meta])

    handles = [layer.self_attn.register_forward_pre_hook(look) for layer in base.layers]
    list(capturer.trajectories(requests))
    for handle in handles:
        handle.remove()
    batches = sum(len(request.batches) for request in requests)
    assert alive == [[number] for number in range(3) for _ in range(batches)]
    assert_nothing_left(capturer)


def test_no_requests(tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    assert list(layerwise(tmp_path, model.config).trajectories([])) == []


@pytest.fixture
def mapped(monkeypatch):
    """The scratch files that were made."""
    made, original = [], torch.from_file
    monkeypatch.setattr(torch, "from_file", lambda name, **options: made.append(name) or original(name, **options))
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scratch_files_give_the_same_and_are_gone(dtype, requests, tmp_path, scratch_folder, mapped):
    tiny_model("llama").save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)  # .to(dtype) would round its rotary table too
    streams = sum(part.input_ids.numel() for request in requests for part in request.batches) * 32 * dtype.itemsize
    for budget, files in [(4e9, 0), (streams, 1), (0, 2)]:
        mapped.clear()
        capturer = layerwise(tmp_path, model.config, dtype, memory_budget_bytes=budget)
        assert distance(list(capturer.trajectories(requests)), ordinary(model, requests)) <= CLOSE
        assert len(mapped) == files
        assert all(Path(name).is_relative_to(scratch_folder) for name in mapped)
        assert list(scratch_folder.iterdir()) == []


def test_nothing_is_left_by_an_exception(requests, tmp_path, scratch_folder, mapped):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    capturer = layerwise(tmp_path, model.config, memory_budget_bytes=0)

    def fail(module, arguments):
        raise RuntimeError("planted")

    handle = capturer.points.layers[1].mlp.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="planted"):
        next(capturer.trajectories(requests))
    handle.remove()
    assert len(mapped) == 2
    assert list(scratch_folder.iterdir()) == []
    assert_nothing_left(capturer)
    assert distance(list(capturer.trajectories(requests)), ordinary(model, requests)) <= CLOSE  # it can be used again


def test_a_disk_too_small_is_named_beforehand(requests, tmp_path, scratch_folder, monkeypatch):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    capturer = layerwise(tmp_path, model.config, memory_budget_bytes=0)
    with pytest.raises(InputError, match="name a larger folder in TMPDIR"):
        next(capturer.trajectories(requests))
    assert capturer.bytes_read == 0
    next(layerwise(tmp_path, model.config).trajectories(requests))  # what fits into memory needs no disk


@pytest.mark.parametrize(("part", "place"), [("self_attn.o_proj", "L01.mlp"), ("mlp.down_proj", "L02.attn")])
def test_a_state_that_is_not_finite_is_named(part, place, requests, tmp_path):
    model = tiny_model("llama")
    model.model.layers[1].get_submodule(part).weight[0, 0] = torch.nan
    model.save_pretrained(tmp_path)
    with pytest.raises(FloatingPointError, match=f"at position [0-9]+, sublayer {place}, is not finite") as wanted:
        ordinary(model, requests)
    capturer = layerwise(tmp_path, model.config)
    with pytest.raises(FloatingPointError) as got:
        next(capturer.trajectories(requests))
    assert str(got.value) == str(wanted.value)
    assert_nothing_left(capturer)

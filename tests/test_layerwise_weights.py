"""Layer by layer: files that lack something, hold something else, or are another model's."""

import json

import pytest
import torch
from layers import CLOSE, assert_nothing_left, distance, layerwise, ordinary, rewrite
from tiny_models import tiny_config, tiny_model

from rs_cae.errors import InputError


@pytest.mark.parametrize(
    "name", ["layers.1.mlp.up_proj.weight", "layers.2.input_layernorm.weight", "embed_tokens.weight"]
)
def test_a_missing_weight_is_named(name, requests, tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: {key: tensor for key, tensor in tensors.items() if not key.endswith(name)})
    capturer = layerwise(tmp_path, model.config)
    with pytest.raises(ValueError, match=f"the weight {name} is missing in the files$"):
        next(capturer.trajectories(requests))
    assert_nothing_left(capturer)


def test_a_weight_of_another_shape_is_named(requests, tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    config = tiny_config("llama", intermediate_size=64)
    message = r"the weight layers.0.mlp.\w+.weight has the shape \[.*48.*\] in the files, and \[.*64.*\] in the model"
    with pytest.raises(ValueError, match=message):
        next(layerwise(tmp_path, config).trajectories(requests))


def test_a_missing_expert_is_noticed(requests, tmp_path):
    model = tiny_model("mixtral")
    model.save_pretrained(tmp_path)
    rewrite(
        tmp_path,
        lambda tensors: {
            key: value for key, value in tensors.items() if "layers.1" not in key or "experts.3" not in key
        },
    )
    with pytest.raises(ValueError, match=r"the weight layers.1.mlp.experts.\w+ has the shape \[3, "):
        next(layerwise(tmp_path, model.config).trajectories(requests))


def test_what_cannot_be_run_is_refused(tmp_path):
    model = tiny_model("llama")
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    with pytest.raises(ValueError, match="needs safetensors"):
        layerwise(tmp_path, model.config)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="float16, in which residual streams overflow: use bfloat16 or float32"):
        layerwise(tmp_path, model.config, torch.float16)
    with pytest.raises(ValueError, match="quantized"):
        layerwise(tmp_path, tiny_config("llama", quantization_config={"quant_method": "fp8"}))


def test_layers_in_another_order_would_be_noticed(requests, tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)

    def swapped(key):
        return key.replace(".1.", ".x.").replace(".2.", ".1.").replace(".x.", ".2.")

    rewrite(tmp_path, lambda tensors: {swapped(key): tensor for key, tensor in tensors.items()})
    got = list(layerwise(tmp_path, model.config).trajectories(requests))
    assert distance(got, ordinary(model, requests)) > 100 * CLOSE


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "olmo3"])
def test_another_mask_would_be_noticed(name, requests, tmp_path):
    model = tiny_model(name)
    model.save_pretrained(tmp_path)
    kinds = model.config.layer_types
    assert "sliding_attention" in kinds
    config = tiny_config(name, layer_types=["full_attention"] * 3)
    got = list(layerwise(tmp_path, config).trajectories(requests))
    assert distance(got, ordinary(model, requests)) > 100 * CLOSE


def test_an_index_whose_shard_is_gone(requests, tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    files = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    lost = files["model.layers.1.mlp.up_proj.weight"]
    (tmp_path / lost).unlink()
    capturer = layerwise(tmp_path, model.config)
    with pytest.raises(InputError, match=lost):
        next(capturer.trajectories(requests))

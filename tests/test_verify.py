"""Hook points that hold are confirmed for every family; those that do not are found out, with the sublayer named."""

import re

import pytest
import torch
from tiny_models import FAMILIES, tiny_model
from torch import nn

from rs_cae.stream import Tokenization, find_hook_points
from rs_cae.stream.verify import TEXTS, verify_hook_points
from rs_cae.sublayers import SublayerLayout

EPS = torch.finfo(torch.float32).eps
LLAMA = {"layers": "model.layers", "attn": "input_layernorm", "mlp": "post_attention_layernorm"}
LLAMA_ADDS = {"attn_adds": "self_attn", "mlp_adds": "mlp"}
CLAIMS = ["a", "b", "kept", "carried", "d"]


@pytest.fixture
def verify(demo_tokenizer):
    """The checks by a short name, in order."""

    def run(model, points=None, **options):
        checks = verify_hook_points(
            model, Tokenization(demo_tokenizer, 256), points or find_hook_points(model), **options
        )
        assert [check.claim[:3] for check in checks] == ["(a)", "(b)", "(c)", "(c)", "(d)"]
        assert ["own value" in check.claim for check in checks] == [False, False, True, False, False]
        return dict(zip(CLAIMS, checks, strict=True))

    return run


def failed(checks):
    return {name: check.where for name, check in checks.items() if not check.passed}


def hooks_of(model):
    return [
        hook
        for module in model.modules()
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    ]


class Copying(nn.Module):
    """A norm that is handed a copy of the stream, and with ``listens`` false even ignores it."""

    def __init__(self, norm, listens=True):
        super().__init__()
        self.norm, self.copy, self.listens = norm, nn.Identity(), listens

    def forward(self, stream):
        copy = self.copy(stream.clone())
        return self.norm(copy if self.listens else stream)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_holds(verify, family):
    checks = verify(tiny_model(family))
    assert failed(checks) == {}
    assert 0 < checks["carried"].error < 1e-4  # what a sublayer adds, over a state a million times as large
    assert checks["a"].error == checks["kept"].error == 0.0  # the very same numbers
    assert [check.tolerance for check in checks.values()] == [EPS, 4 * EPS, EPS, 0.1, 1e-5]


@pytest.mark.parametrize("family", ["gemma2", "gpt_neox", "granite"])
def test_a_family_holds_in_bfloat16(verify, family):
    checks = verify(tiny_model(family).bfloat16())
    assert failed(checks) == {}
    eps = torch.finfo(torch.bfloat16).eps
    assert checks["b"].tolerance == 4 * eps
    # float32's tolerance would not do: sums are rounded to eps / 2 of the largest of up to three terms
    assert EPS < checks["b"].error < 1.5 * eps


def late(model):
    """The second layer's attention is read a layer late."""
    points = find_hook_points(model)
    points.readers[2] = points.layers[2].input_layernorm
    return points


def one_layer_later(model):
    """All is as it should be but for the count: the second layer is taken for the first."""
    points = find_hook_points(model)
    return points._replace(layout=SublayerLayout(2), readers=points.readers[2:], adders=points.adders[2:])


def swapped(model):
    points = find_hook_points(model)
    points.readers[2:4] = points.readers[2:4][::-1]
    return points


def another_adder(model):
    points = find_hook_points(model)
    points.adders[3] = [points.layers[1].post_attention_layernorm]
    return points


def no_multiplier(model):
    return find_hook_points(model)._replace(multiplier=1.0)


def llamas_names(model):
    return find_hook_points(model, {**LLAMA, **LLAMA_ADDS})


def a_copy_is_read(model):
    """What is written to it reaches the MLP, but not the stream."""
    points = find_hook_points(model)
    points.layers[1].post_attention_layernorm = norm = Copying(points.readers[3])
    return points._replace(readers=[*points.readers[:3], norm.copy, *points.readers[4:]])


def a_dead_end_is_read(model):
    """What is written to it reaches nothing."""
    points = find_hook_points(model)
    points.layers[2].post_attention_layernorm = norm = Copying(points.readers[5], listens=False)
    return points._replace(readers=[*points.readers[:5], norm.copy])


def padding_is_looked_at(model):
    """The last attention takes in every token, whatever the mask says."""
    attention = model.model.layers[2].self_attn
    attention.register_forward_hook(lambda module, inputs, output: (output[0] + output[0].mean(1, keepdim=True), None))
    return find_hook_points(model)


@pytest.mark.parametrize(
    ("family", "plant", "expected"),
    [
        ("llama", late, {"a": "L01.attn", "b": "L01.attn", "kept": "L01.attn"}),
        ("llama", one_layer_later, {"a": "L00.attn"}),
        ("llama", swapped, {"kept": "L01.*"}),
        ("llama", another_adder, {"b": "L01.mlp"}),
        ("granite", no_multiplier, {"b": "L.*"}),
        ("gemma2", llamas_names, {"b": "L.*", "carried": "L.*"}),
        ("llama", a_copy_is_read, {"carried": "L01.mlp"}),
        ("llama", a_dead_end_is_read, {"carried": "L02.mlp"}),
        ("llama", padding_is_looked_at, {"d": "the last layer's output"}),
    ],
)
def test_what_does_not_hold_is_found_and_its_place_named(verify, family, plant, expected):
    model = tiny_model(family)
    places = failed(verify(model, plant(model)))
    assert places.keys() == expected.keys()
    for claim, place in expected.items():
        assert re.fullmatch(place, places[claim]), (claim, places[claim])


def test_a_mask_that_is_ignored_is_found(verify, monkeypatch):
    model = tiny_model("llama")
    monkeypatch.setattr("transformers.models.llama.modeling_llama.create_causal_mask", lambda **keywords: None)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    assert failed(verify(model)).keys() == {"d"}


def test_fewer_layers_are_written_at_when_time_is_short(verify):
    found = []
    for layer in range(5):
        model = tiny_model("llama", num_hidden_layers=5)
        points = find_hook_points(model)
        points.layers[layer].input_layernorm = norm = Copying(points.readers[2 * layer])
        points.readers[2 * layer] = norm.copy
        found.append((failed(verify(model, points, every_layer=False)), failed(verify(model, points))))
    named = [{"carried": f"L{layer:02d}.attn"} for layer in range(5)]
    assert found == [(named[0], named[0]), ({}, named[1]), (named[2], named[2]), ({}, named[3]), (named[4], named[4])]


@pytest.mark.parametrize("names", [LLAMA, {**LLAMA, "mlp_adds": "mlp"}])
def test_where_nobody_named_what_adds_less_is_claimed(verify, names):
    model = tiny_model("llama")
    checks = verify(model, find_hook_points(model, names))
    assert failed(checks) == {}
    assert checks["b"].claim == "(b) something is added to the state before"
    assert failed(verify(model, find_hook_points(model, {**names, **LLAMA_ADDS}))) == {}


@pytest.mark.parametrize(
    ("wrong", "claim"),
    [
        ({"attn": "self_attn"}, "a"),
        ({"mlp": "mlp"}, "carried"),  # a normalized copy of the stream
        ({"mlp": "self_attn.q_proj"}, "carried"),
        ({"mlp": "."}, "b"),  # the stream, but that before attention
    ],
)
def test_a_wrong_name_is_found_without_what_adds(verify, wrong, claim):
    model = tiny_model("llama")
    assert claim in failed(verify(model, find_hook_points(model, {**LLAMA, **wrong})))


def test_the_last_sublayer_is_checked_as_well(verify):
    model = tiny_model("llama")
    points = find_hook_points(model)
    points.adders[5] = [points.layers[2].post_attention_layernorm]
    assert failed(verify(model, points)) == {"b": "L02.mlp"}


def test_a_single_layer(verify):
    assert failed(verify(tiny_model("gpt_neox", num_hidden_layers=1))) == {}


@pytest.mark.parametrize(
    ("weights", "text", "place"), [("layers.1.self_attn.o_proj", 0, "L01.mlp"), ("embed_tokens", 1, "L00.mlp")]
)
def test_states_that_are_not_finite_are_named_and_hooks_removed(verify, demo_tokenizer, weights, text, place):
    model, ids = tiny_model("llama"), [demo_tokenizer(text)["input_ids"] for text in TEXTS]
    verify(model)  # Transformers leaves hooks of its own behind once it was asked for its hidden states
    before = hooks_of(model)
    verify(model)
    assert hooks_of(model) == before
    row = next(token for token in ids[1] if token not in ids[0])  # of the embeddings, that of the second text alone
    model.model.get_submodule(weights).weight.data[0 if text == 0 else row] = torch.nan
    message = f"the state of verification text {text} at position {len(ids[text]) - 1}, sublayer {place}, is not finite"
    with pytest.raises(FloatingPointError, match=message):
        verify(model)
    assert hooks_of(model) == before


def test_hooks_are_gone_after_an_exception_while_a_state_is_written(verify):
    model, runs = tiny_model("llama"), []
    verify(model)
    before = hooks_of(model)

    def fail_at_last(states):
        runs.append(len(hooks_of(model)) - len(before))
        if len(runs) == 4:
            raise RuntimeError("planted")
        return states

    model.model.norm.forward = fail_at_last
    with pytest.raises(RuntimeError, match="planted"):
        verify(model)
    assert hooks_of(model) == before
    assert runs == [13, 13, 13, 14]  # both texts, each alone, and then the first with one that writes


def test_logits_that_are_not_finite_fail(verify):
    model = tiny_model("llama")
    model.lm_head.weight.data[0] = torch.nan
    checks = verify(model)
    assert "kept" in failed(checks)
    assert checks["kept"].error == torch.inf

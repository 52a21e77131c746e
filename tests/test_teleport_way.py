"""Whether a model's prefix is kept is found out, and what cannot be teleported is refused."""

import re
from copy import deepcopy

import pytest
import torch
from linear_model import HOOK_POINTS, linear_model
from test_capture import hooks_of
from test_intervene import IDS, KINDS, close, targets_for, teleporter_of
from transformers.cache_utils import DynamicIndexedLayer, LinearAttentionLayer, QuantoQuantizedLayer

from rs_cae.stream import find_hook_points
from rs_cae.teleportation.intervene import Teleports, WholePrompt
from rs_cae.teleportation.prefix import SharedLayer


@pytest.fixture
def broken(tiny_llama):
    """A copy that a test may break."""
    return deepcopy(tiny_llama)


def test_a_model_without_attention_keeps_its_prefix():
    model = linear_model(2, 0.5 * torch.eye(4))
    teleports = Teleports(model, find_hook_points(model, HOOK_POINTS))
    assert (teleports.way, teleports.reason) == ("prefix kept", "")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_keep_their_prefix(broken, dtype):
    model = broken.to(dtype)
    teleports = Teleports(model, find_hook_points(model))
    assert teleports.way == "prefix kept"
    assert teleports.of(IDS).teleport(1, torch.ones(2, 32), 2).states.dtype == dtype


def ignoring(model):
    """Its attention does not see what the cache holds."""
    for layer in model.model.layers:
        forward = layer.self_attn.forward
        layer.self_attn.forward = lambda *a, forward=forward, **words: forward(*a, **words | {"past_key_values": None})


def misplacing(model):
    """Its rotary embedding always begins at the first position."""
    forward = model.model.rotary_emb.forward
    model.model.rotary_emb.forward = lambda x, position_ids: forward(x, position_ids - position_ids.min())


def refusing(model):
    """It knows no cache."""
    forward = model.model.forward

    def without(past_key_values=None, **words):
        if past_key_values is not None:
            raise NotImplementedError("there is\n no cache")
        return forward(**words)

    model.model.forward = without


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (ignoring, r"\w+ differ by \d\.\de[-+]\d\d from those of the whole prompt"),
        (misplacing, r"\w+ differ by \d\.\de[-+]\d\d from those of the whole prompt"),
        (refusing, "NotImplementedError: there is no cache"),
    ],
)
def test_a_model_whose_cache_is_wrong_runs_whole_prompts(tiny_llama, broken, spoil, reason):
    before = hooks_of(broken)
    spoil(broken)
    teleports = Teleports(broken, find_hook_points(broken))
    assert teleports.way == "whole prompt"
    assert re.fullmatch(reason, teleports.reason)
    assert hooks_of(broken) == before
    if spoil is refusing:  # all else about this one is right
        teleporter = teleports.of(IDS)
        assert isinstance(teleporter, WholePrompt)
        expected = teleporter_of(tiny_llama).teleport(2, targets_for(teleporter.control[2]), 3, logits=True)
        found = teleporter.teleport(2, targets_for(teleporter.control[2]), 3, logits=True)
        assert close(found.states, expected.states)
        assert close(found.logits, expected.logits)


@pytest.mark.parametrize("kind", [LinearAttentionLayer, QuantoQuantizedLayer, DynamicIndexedLayer])
def test_what_is_not_keys_and_values_of_tokens_is_not_shared(kind):
    with pytest.raises(TypeError, match=f"a layer's memory is a {kind.__name__}, which cannot be shared"):
        SharedLayer(kind.__new__(kind))


def test_models_that_cannot_be_hooked_are_refused(tiny_llama, broken):
    points = find_hook_points(tiny_llama)
    with pytest.raises(ValueError, match="compiled"):
        Teleports(torch.compile(tiny_llama, backend="eager"), points)
    with pytest.raises(ValueError, match="float16"):
        Teleports(broken.half(), points)


@pytest.mark.parametrize("ids", [torch.tensor([], dtype=torch.long), IDS[None]])
def test_what_is_no_prompt_is_refused(tiny_llama, ids):
    for kind in KINDS:
        with pytest.raises(ValueError, match="a prompt is one row of tokens, at least one, not of shape"):
            teleporter_of(tiny_llama, kind, ids)


@pytest.mark.parametrize(("sublayer", "points", "steps"), [(6, 2, 1), (-1, 2, 1), (0, 0, 1), (0, 2, -1)])
def test_what_cannot_be_run_is_refused(tiny_llama, sublayer, points, steps):
    with pytest.raises(ValueError, match="there is nothing to run"):
        teleporter_of(tiny_llama).teleport(sublayer, torch.ones(points, 32), steps)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ("layers.1.self_attn.o_proj", "state of prompt 0 at position 8, sublayer L01.mlp, is"),
        ("layers.1.mlp.down_proj", "state of prompt 0 at position 8, sublayer L02.attn, is"),
        ("layers.2.mlp.down_proj", "prompt's state after the last layer, or a logit, is"),
    ],
)
def test_a_control_that_is_not_finite_is_named(broken, part, place):
    broken.model.get_submodule(part).weight.data[0, 0] = torch.nan
    for kind in KINDS:
        with pytest.raises(FloatingPointError, match=place):
            teleporter_of(broken, kind)
    with pytest.raises(FloatingPointError, match="not finite"):
        Teleports(broken, find_hook_points(broken))

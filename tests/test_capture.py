"""The captured states are those of the unmodified model, at the right token, and nothing is left behind."""

from copy import deepcopy
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from tiny_models import TEXTS, inputs, together

from rs_cae.stream import Batchwise, Tokenization, capture, find_hook_points
from rs_cae.stream.tokens import CaptureRequest


@pytest.fixture
def batch(demo_tokenizer):
    return together(demo_tokenizer)


@pytest.fixture
def broken(tiny_llama):
    """A copy that a test may break."""
    return deepcopy(tiny_llama)


def hooks_of(model):
    """All hooks; Transformers itself leaves some behind once it was asked for its hidden states."""
    return [
        hook
        for module in model.modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
        for hook in hooks.values()
    ]


def attention_outputs(model, batch):
    """What each layer's attention adds to the stream, at the batch's samples."""
    added = []

    def keep(module, arguments, output):
        added.append(output[0][batch.rows, batch.positions])

    handles = [layer.self_attn.register_forward_hook(keep) for layer in model.model.layers]
    with torch.inference_mode():
        model(**inputs(batch))
    for handle in handles:
        handle.remove()
    return torch.stack(added, dim=1)


def assert_close(states, expected):
    # float32 products summed in another order: some 1e-7 a product, a dozen products deep; another text's or
    # position's trajectory is off by about its own norm
    assert states.shape == expected.shape
    assert ((states - expected).norm(dim=-1) <= 1e-5 * expected.norm(dim=-1)).all()


@pytest.mark.parametrize("position", ["last", "random", "all"])
def test_states_before_attention_are_the_hidden_states(tiny_llama, demo_tokenizer, position):
    batch = together(demo_tokenizer, position=position)
    assert len(batch.attention_mask.sum(1).unique()) > 2  # otherwise right padding would not be tested
    trajectories = capture(tiny_llama, batch)
    with torch.inference_mode():
        hidden = tiny_llama(**inputs(batch), output_hidden_states=True).hidden_states
    assert trajectories.shape == (len(batch.samples), 6, 32)
    for layer in range(3):
        # bit-equal to what the model itself says of the very same batch
        assert torch.equal(trajectories[:, 2 * layer], hidden[layer][batch.rows, batch.positions])


def test_states_before_mlps_have_the_attention_added(tiny_llama, batch):
    trajectories, added = capture(tiny_llama, batch), attention_outputs(tiny_llama, batch)
    # the model computes the same sum of the same two tensors
    assert torch.equal(trajectories[:, 1::2], trajectories[:, ::2] + added)
    assert added.norm(dim=-1).min() > 0.1  # negative control: the sum is not the state itself


def test_a_batch_equals_its_texts_alone(tiny_llama, demo_tokenizer, batch):
    alone = [capture(tiny_llama, together(demo_tokenizer, [text])) for text in TEXTS]
    assert_close(capture(tiny_llama, batch), torch.cat(alone))


def test_hook_points_are_in_the_order_in_which_they_run(tiny_llama):
    points = find_hook_points(tiny_llama)
    assert points.layout.labels == ["L00.attn", "L00.mlp", "L01.attn", "L01.mlp", "L02.attn", "L02.mlp"]
    assert points.readers[3] is tiny_llama.model.layers[1].post_attention_layernorm
    assert points.adders[2:4] == [[tiny_llama.model.layers[1].self_attn], [tiny_llama.model.layers[1].mlp]]


def test_the_model_gets_the_mask_and_fills_no_cache(broken, batch):
    given = {}
    hook = broken.base_model.register_forward_pre_hook(lambda module, _, words: given.update(words), with_kwargs=True)
    capture(broken, batch)
    hook.remove()
    assert torch.equal(given["attention_mask"], batch.attention_mask)
    assert given["use_cache"] is False


def test_gradients_are_not_recorded(broken, batch):
    assert not capture(broken.requires_grad_(True), batch).requires_grad


def test_bfloat16_stays_bfloat16(broken, batch):
    assert capture(broken.bfloat16(), batch).dtype == torch.bfloat16


def test_nothing_above_the_last_state_is_run(broken, batch):
    ran = []
    top = {"mlp": broken.model.layers[-1].mlp, "norm": broken.model.norm, "head": broken.lm_head}
    for name, module in {**top, "attention": broken.model.layers[-1].self_attn}.items():
        module.register_forward_pre_hook(lambda module, arguments, name=name: ran.append(name))
    capture(broken, batch)
    assert ran == ["attention"]
    with torch.inference_mode():
        broken(**inputs(batch))
    assert ran == ["attention", "attention", "mlp", "norm", "head"]  # negative control: the counters count


def test_hooks_are_gone_afterwards(tiny_llama, batch):
    before = hooks_of(tiny_llama)
    capture(tiny_llama, batch)
    assert hooks_of(tiny_llama) == before


def test_hooks_are_gone_after_an_exception_in_the_model(broken, batch):
    before = hooks_of(broken)

    def fail(*arguments, **keywords):
        assert len(hooks_of(broken)) == len(before) + 6
        raise RuntimeError("planted")

    broken.model.layers[1].self_attn.forward = fail
    with pytest.raises(RuntimeError, match="planted"):
        capture(broken, batch)
    assert hooks_of(broken) == before


@pytest.mark.parametrize(("part", "place"), [("self_attn.o_proj", "L01.mlp"), ("mlp.down_proj", "L02.attn")])
def test_the_sublayer_of_a_state_that_is_not_finite_is_named(broken, batch, part, place):
    broken.model.layers[1].get_submodule(part).weight.data[0, 0] = torch.nan
    before = hooks_of(broken)
    with pytest.raises(
        FloatingPointError, match=f"the state of text 0 at position 13, sublayer {place}, is not finite"
    ):
        capture(broken, batch)
    assert hooks_of(broken) == before


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_the_text_and_the_position_of_a_state_that_is_not_finite_are_named(broken, demo_tokenizer, value):
    tokenized = Tokenization(demo_tokenizer, 256, "all")(TEXTS)
    # of its text that place alone: masked attention multiplies a NaN by zero, which spreads it to the places before
    bad, spared = demo_tokenizer(TEXTS[2])["input_ids"][7], (tokenized.text_of == 2) & (tokenized.position_of != 7)
    request = tokenized.request((~spared).nonzero().flatten(), tokens_per_batch=60)
    assert [bad in demo_tokenizer(text)["input_ids"] for text in TEXTS] == [False, False, True, False]
    broken.model.embed_tokens.weight.data[bad, 3] = value
    with pytest.raises(FloatingPointError, match=r"state of text 2 at position 7, sublayer L00\.attn, is not finite"):
        next(Batchwise(broken, find_hook_points(broken)).trajectories([request]))


def test_a_compiled_model_is_refused(tiny_llama, batch):
    with pytest.raises(ValueError, match="compiled"):
        capture(torch.compile(tiny_llama, backend="eager"), batch)


def test_float16_is_refused(broken, batch):
    with pytest.raises(ValueError, match="float16, in which residual streams overflow: use bfloat16 or float32"):
        capture(broken.half(), batch)


@pytest.mark.parametrize("tokens_per_batch", [1, 40, 10**6])
def test_states_come_in_the_order_in_which_samples_were_asked_for(tiny_llama, demo_tokenizer, tokens_per_batch):
    tokenized = Tokenization(demo_tokenizer, 256, "all")(TEXTS)
    generator = torch.Generator().manual_seed(0)
    asked = [torch.randperm(len(tokenized), generator=generator), torch.tensor([40, 3, 40, 20]), torch.tensor([7])]
    requests = [tokenized.request(samples.tolist(), tokens_per_batch) for samples in asked]
    assert len(requests[0].batches) == {1: 4, 40: 3, 10**6: 1}[tokens_per_batch]
    whole = together(demo_tokenizer, position="all")
    states = capture(tiny_llama, whole)
    given = list(Batchwise(tiny_llama, find_hook_points(tiny_llama)).trajectories(requests))
    for samples, batch in zip(asked, given, strict=True):
        assert_close(batch.states, states[samples])
        fields = batch.tokens, batch.positions, batch.samples, batch.texts
        expected = whole.tokens, whole.positions, torch.arange(len(tokenized)), whole.texts
        assert all(torch.equal(field, whole[samples]) for field, whole in zip(fields, expected, strict=True))


def test_a_text_of_several_samples_runs_once(broken, demo_tokenizer):
    rows = []
    broken.model.embed_tokens.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    tokenized = Tokenization(demo_tokenizer, 256, "all")(TEXTS)
    request = tokenized.request(range(len(tokenized)), tokens_per_batch=50)
    next(Batchwise(broken, find_hook_points(broken)).trajectories([request]))
    assert sum(rows) == len(TEXTS)


def test_a_capturer_knows_what_it_gives(broken, batch):
    capturer = Batchwise(broken.bfloat16(), find_hook_points(broken))
    batch = next(capturer.trajectories([CaptureRequest([batch], torch.arange(4))]))
    assert (capturer.dtype, capturer.shape) == (batch.states.dtype, tuple(batch.states.shape[1:]))


def test_seconds_are_those_of_a_small_a_middling_and_a_large_batch_by_tokens(broken, demo_tokenizer, monkeypatch):
    tokenized = Tokenization(demo_tokenizer, 256)(TEXTS)
    request = tokenized.request(range(4), tokens_per_batch=1)  # texts of 3, 14, 15 and 24 tokens, each alone
    ran, seen = [], []
    broken.base_model.register_forward_pre_hook(
        lambda module, _, words: ran.append(words["input_ids"].shape[1]), with_kwargs=True
    )
    clock = SimpleNamespace(perf_counter=lambda: seen.append(list(ran)) or 10.0 * len(seen))
    monkeypatch.setattr(import_module("rs_cae.stream.capture"), "time", clock)
    assert Batchwise(broken, find_hook_points(broken)).seconds([request]) == pytest.approx(10 * 56 / (3 + 15 + 24))
    assert seen == [[3], [3, 3, 15, 24]]  # what is set up once is not timed

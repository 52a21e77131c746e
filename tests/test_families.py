"""Every known family: where its stream is read, what is added to it there, and what a written state does."""

from contextlib import contextmanager
from functools import cache

import pytest
import torch
import transformers
from tiny_models import FAMILIES, PARALLEL, SHAPE, TEXTS, inputs, tiny_config, tiny_model, together

from rs_cae.stream import capture, families, find_hook_points
from rs_cae.stream.hookpoints import layout_of
from rs_cae.stream.hooks import writing

EPS = torch.finfo(torch.float32).eps

MLP_BRANCH = {
    "bloom": "post_attention_layernorm mlp.dense_h_to_4h mlp.gelu_impl mlp.dense_4h_to_h",
    "falcon": "input_layernorm mlp",
    "falcon-new": "ln_mlp mlp",
    "gemma2": "pre_feedforward_layernorm mlp post_feedforward_layernorm",
    "gemma3_text": "pre_feedforward_layernorm mlp post_feedforward_layernorm",
    "gpt2": "ln_2 mlp",
    "olmo2": "mlp post_feedforward_layernorm",
    "olmo3": "mlp post_feedforward_layernorm",
    "opt": "final_layer_norm fc1 activation_fn fc2",
    "stablelm-parallel": "input_layernorm mlp",
}
"""What a layer does to a state between the stream and the MLP's sum, read off each model's code; others as Llama."""

ATTENTION = {"falcon": "self_attention", "falcon-new": "self_attention", "gpt_neox": "attention"}
"""Attention of the parallel ones, whose sum cannot be told apart from the MLP's; others as Llama."""

BY_HAND = {
    "llama": {"layers": "model.layers", "attn": "input_layernorm", "mlp": "post_attention_layernorm"},
    "gpt2": {"layers": "transformer.h", "attn": "ln_1", "mlp": "ln_2"},
    "olmo2": {"layers": "layers", "attn": ".", "mlp": "mlp"},  # the headless model's path will do, too
    "gpt_neox": {"layers": "gpt_neox.layers", "layer": "."},
}

UNKNOWN = {
    "gptj": ("GPTJConfig", {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "vocab_size": 2048}),
    "phi": ("PhiConfig", {**SHAPE, "intermediate_size": 48, "pad_token_id": 0}),
}

tiny = cache(tiny_model)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    return tiny(family)


@pytest.fixture
def everywhere(demo_tokenizer):
    """Every token but the BOS of texts of four lengths."""
    return together(demo_tokenizer, position="all")


def relative(difference, whole):
    return float((difference.norm(dim=-1) / whole.norm(dim=-1)).max())


@contextmanager
def watching(modules, batch, outputs=False):
    """The whole inputs, or outputs, [texts, tokens, width] of modules, by a hook that is none of the package's."""
    seen, shape = {}, (*batch.input_ids.shape, -1)

    def read_input(module, arguments, keywords):
        seen[module] = (arguments[0] if arguments else keywords["hidden_states"]).reshape(shape).clone()

    def read_output(module, arguments, output):
        seen[module] = (output[0] if isinstance(output, tuple) else output).reshape(shape).clone()

    if outputs:
        handles = [module.register_forward_hook(read_output) for module in modules]
    else:
        handles = [module.register_forward_pre_hook(read_input, with_kwargs=True) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def whole_run(model, points, batch):
    """Streams and what is added to each, [sublayers, texts, tokens, width], and the logits."""
    adders = [module for modules in points.adders for module in modules]
    with watching(points.readers, batch) as states, watching(adders, batch, outputs=True) as added:
        logits = model(**inputs(batch)).logits
    sums = [points.multiplier * sum(added[module].double() for module in modules) for modules in points.adders]
    return torch.stack([states[module] for module in points.readers]), torch.stack(sums), logits


@torch.inference_mode()
def hidden_states(model, batch):
    """[samples, layers, width], at the batch's samples."""
    hidden = model(**inputs(batch), output_hidden_states=True).hidden_states
    return torch.stack([state[batch.rows, batch.positions] for state in hidden[:-1]], dim=1)


def test_every_known_family_has_a_tiny_model():
    assert {tiny_config(name).model_type for name in FAMILIES} == set(families.FAMILIES)
    assert all(name.partition("-")[0] == tiny_config(name).model_type for name in FAMILIES)


def test_states_before_attention_are_the_hidden_states(family, model, everywhere):
    assert len(everywhere.attention_mask.sum(1).unique()) == len(TEXTS)  # otherwise padding would not be tested
    trajectories, points = capture(model, everywhere), find_hook_points(model)
    sites = 1 if family in PARALLEL else 2
    assert trajectories.shape == (len(everywhere.samples), 3 * sites, 32)
    assert points.layout == layout_of(model.config)
    assert (points.layout.layers, len(points.layout.sites)) == (3, sites)
    assert torch.equal(trajectories[:, ::sites], hidden_states(model, everywhere))


def test_the_mlp_adds_to_the_state_before_it(family, model, everywhere):
    """Its branch, run by hand on what was read before it, leads to the model's own next hidden state."""
    points, sites = find_hook_points(model), 1 if family in PARALLEL else 2
    before, after = capture(model, everywhere)[:, sites - 1 :: sites], hidden_states(model, everywhere)[:, 1:]
    name = ATTENTION.get(family, "self_attn")
    attention = [layer.get_submodule(name) for layer in points.layers] if family in PARALLEL else []
    with torch.inference_mode(), watching(attention, everywhere, outputs=True) as attended:
        model(**inputs(everywhere))
        for number, layer in enumerate(points.layers[:-1]):
            branch = before[:, number].unsqueeze(0)  # the experts of a mixture want three axes
            for name in MLP_BRANCH.get(family, "post_attention_layernorm mlp").split():
                branch = layer.get_submodule(name)(branch)
            if attention:
                branch = branch + attended[attention[number]][everywhere.rows, everywhere.positions]
            expected = before[:, number] + (0.5 if family == "granite" else 1.0) * branch[0]
            # another shape, so products of up to 128 terms summed in another order: some ten times EPS
            assert relative(expected - after[:, number], after[:, number]) < 20 * EPS
            assert relative(branch[0], after[:, number]) > 0.1  # negative control: it matters


def test_each_state_is_the_one_before_plus_what_is_added(model, everywhere):
    points = find_hook_points(model)
    states, added, _ = whole_run(model, points, everywhere)
    real = everywhere.attention_mask.bool()
    sums = states[:-1].double() + added[:-1]
    # up to three float32 sums where attention and MLP are added together; EPS / 2 each of the largest of the terms
    assert relative((states[1:] - sums)[:, real], torch.maximum(states[1:], states[:-1])[:, real]) < 4 * EPS
    assert relative(added[:-1][:, real], states[1:][:, real]) > 0.1  # negative control


def test_a_written_state_is_what_follows_and_nothing_else_is_written(model, everywhere):
    points, row, place = find_hook_points(model), 2, 5
    one = everywhere._replace(rows=torch.tensor([row]), positions=torch.tensor([place]))
    states, _, logits = whole_run(model, points, everywhere)
    noise = torch.randn(32, generator=torch.Generator().manual_seed(0))
    apart = everywhere.attention_mask.bool()
    apart[row, place:] = False  # what lies before it and other texts
    for sublayer, reader in enumerate(points.readers):
        own = states[sublayer, row, place]
        with writing(reader, one, own[None]):
            assert torch.equal(whole_run(model, points, everywhere)[2], logits)
        value = noise * own.norm() / noise.norm()
        with writing(reader, one, value[None]):
            now, added, other = whole_run(model, points, everywhere)
        assert torch.equal(now[:sublayer], states[:sublayer])
        assert (now[sublayer] != states[sublayer]).any(-1).nonzero().tolist() == [[row, place]]
        assert torch.equal(now[sublayer, row, place], value)
        for following in range(sublayer + 1, len(now)):  # the first builds on the value, the others on what comes of it
            sums = now[following - 1, row, place].double() + added[following - 1, row, place]
            larger = max(now[following, row, place].norm(), now[following - 1, row, place].norm())
            assert (now[following, row, place] - sums).norm() < 4 * EPS * larger
        assert relative(other[row, place] - logits[row, place], logits[row, place]) > 0.01
        # to rounding: the experts of a mixture get other tokens' states along with these
        assert relative((other - logits)[apart], logits[apart]) < 1e-5


def test_a_padded_batch_equals_its_texts_alone(model, demo_tokenizer):
    trajectories = capture(model, together(demo_tokenizer))
    alone = torch.cat([capture(model, together(demo_tokenizer, [text])) for text in TEXTS])
    # float32 products summed in another order: some 1e-7 a product, a dozen products deep
    assert relative(trajectories - alone, alone) < 1e-5
    assert relative(trajectories - alone.roll(1, 0), alone) > 0.1  # negative control: another text's


@pytest.mark.parametrize("name", [name for name in FAMILIES if "sliding_window" in FAMILIES[name][1]])
def test_sliding_windows_matter(name, demo_tokenizer):
    batch = together(demo_tokenizer)
    short, long = (capture(model, batch) for model in (tiny(name), tiny(name, sliding_window=256)))
    differences = ((short - long).norm(dim=-1) / long.norm(dim=-1)).amax(dim=1)
    assert (differences > 0.01).tolist() == (batch.positions >= 8).tolist() == [True, False, True, True]
    assert differences[1] < 1e-5  # three tokens are within either; the same up to another way of masking


@pytest.mark.parametrize("name", BY_HAND)
def test_names_by_hand_give_what_the_table_gives(name, everywhere):
    points = find_hook_points(tiny(name), BY_HAND[name])
    assert points.layout == find_hook_points(tiny(name)).layout == layout_of(tiny(name).config, BY_HAND[name])
    assert points.adders == [[]] * len(points.layout)  # nobody named them
    assert torch.equal(capture(tiny(name), everywhere, points), capture(tiny(name), everywhere))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mlp": "ln_2"}, "no attribute `ln_2`; a layer has self_attn, mlp, input_layernorm, post_attention_layernorm"),
        ({"attn_adds": "self_attn+nope"}, "no attribute `nope`; a layer has self_attn, mlp"),
        ({"layers": "transformer.h"}, "the model has no list of layers 'transformer.h'"),
        ({"layers": "model.norm"}, "the model has no list of layers 'model.norm'"),
        ({"head": "lm_head"}, "wants layers, attn and mlp .* and has head, which is none of them"),
        ({"layer": "."}, "and has attn, which is none of them"),
        ({"layers": None}, "and lacks layers"),
        ({"attn": None}, "and lacks attn"),
        ({"mlp": None}, "and lacks mlp"),
    ],
)
def test_wrong_names_are_refused(wrong, message):
    names = {what: name for what, name in {**BY_HAND["llama"], **wrong}.items() if name is not None}
    with pytest.raises(ValueError, match=message):
        find_hook_points(tiny("llama"), names)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_family_is_refused_and_the_way_out_named(name, everywhere):
    config_class, settings = UNKNOWN[name]
    config = getattr(transformers, config_class)(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for refused in (lambda: capture(model, everywhere), lambda: layout_of(config)):
        with pytest.raises(
            ValueError, match=f"family '{name}' is not a known decoder; known: bloom, .*--data.hook_points"
        ):
            refused()
    layers, adds = ("transformer.h", "attn+mlp") if name == "gptj" else ("model.layers", "self_attn+mlp")
    points = find_hook_points(model, {"layers": layers, "layer": ".", "layer_adds": adds})
    assert points.layout.labels == ["L00.layer", "L01.layer", "L02.layer"]
    assert [len(modules) for modules in points.adders] == [2, 2, 2]
    assert torch.equal(capture(model, everywhere, points), hidden_states(model, everywhere))


@pytest.mark.parametrize(
    ("name", "setting"),
    [("bloom", {"apply_residual_connection_post_layernorm": True}), ("opt", {"do_layer_norm_before": False})],
)
def test_models_without_a_residual_stream_are_refused(name, setting):
    for refused in (find_hook_points, lambda model: layout_of(model.config)):
        with pytest.raises(ValueError, match=f"with {next(iter(setting))} .* there is no residual stream"):
            refused(tiny(name, **setting))

"""The captured states are those of the unmodified model, at the right token, and nothing is left behind."""

from copy import deepcopy

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rs_cae.stream import Tokenization, capture, capture_texts, find_hook_points

TEXTS = [
    "The garden lies behind the house.",
    "No",
    "A function returns the number of items in the container, or zero where there are none at all.",
    "Every object has an identity, a type and a value.",
]

FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


@pytest.fixture
def batch(demo_tokenizer):
    return Tokenization(demo_tokenizer, 256).batch(TEXTS, list(range(len(TEXTS))))


def inputs(batch):
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}


def at_last_token(states, batch):
    """The rows of [batch, tokens, width] at the last position that the attention mask keeps."""
    last = batch.attention_mask.cumsum(1).argmax(1)
    return states[torch.arange(len(last)), last]


def hooks_of(model):
    """All hooks; Transformers itself leaves some behind once it was asked for its hidden states."""
    return [
        hook
        for module in model.modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
        for hook in hooks.values()
    ]


def assert_hidden_states(model, batch):
    """Pre-attention sublayers are bit-equal to what the model itself says of the very same batch."""
    trajectories = capture(model, batch)
    with torch.inference_mode():
        hidden = model(**inputs(batch), output_hidden_states=True).hidden_states
    layers = model.config.num_hidden_layers
    assert trajectories.shape == (len(TEXTS), 2 * layers, model.config.hidden_size)
    for layer in range(layers):
        assert torch.equal(trajectories[:, 2 * layer], at_last_token(hidden[layer], batch))


def attention_outputs(model, batch):
    """What each layer's attention adds to the stream, at the last token."""
    added = []

    def keep(module, arguments, output):
        added.append(at_last_token(output[0], batch))

    handles = [layer.self_attn.register_forward_hook(keep) for layer in model.model.layers]
    with torch.inference_mode():
        model(**inputs(batch))
    for handle in handles:
        handle.remove()
    return torch.stack(added, dim=1)


def test_states_before_attention_are_the_hidden_states(tiny_llama, batch):
    assert len(batch.attention_mask.sum(1).unique()) > 2  # otherwise right padding would not be tested
    assert_hidden_states(tiny_llama, batch)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, batch):
    config_class, model_class = FAMILIES[family]
    config = config_class(
        vocab_size=2048,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.2,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config).eval()
    assert_hidden_states(model, batch)
    trajectories = capture(model, batch)
    assert torch.equal(trajectories[:, 1::2], trajectories[:, ::2] + attention_outputs(model, batch))


def test_states_before_mlps_have_the_attention_added(tiny_llama, batch):
    trajectories, added = capture(tiny_llama, batch), attention_outputs(tiny_llama, batch)
    # the model computes the same sum of the same two tensors
    assert torch.equal(trajectories[:, 1::2], trajectories[:, ::2] + added)
    assert added.norm(dim=-1).min() > 0.1  # negative control: the sum is not the state itself


def test_a_batch_equals_its_texts_alone(tiny_llama, demo_tokenizer, batch):
    together = capture(tiny_llama, batch)
    tokenization = Tokenization(demo_tokenizer, 256)
    for number, text in enumerate(TEXTS):
        alone = capture(tiny_llama, tokenization.batch([text], [number]))[0]
        # float32 products summed in another order: some 1e-7 a product, a dozen products deep
        assert ((together[number] - alone).norm(dim=-1) <= 1e-5 * alone.norm(dim=-1)).all()


def test_hooks_are_gone_afterwards(tiny_llama, batch):
    before = hooks_of(tiny_llama)
    capture(tiny_llama, batch)
    assert hooks_of(tiny_llama) == before


def test_hooks_are_gone_after_an_exception_in_the_model(tiny_llama, batch):
    model = deepcopy(tiny_llama)
    before = hooks_of(model)

    def fail(*arguments, **keywords):
        assert len(hooks_of(model)) == len(before) + 6
        raise RuntimeError("planted")

    model.model.layers[1].self_attn.forward = fail
    with pytest.raises(RuntimeError, match="planted"):
        capture(model, batch)
    assert hooks_of(model) == before


@pytest.mark.parametrize(("part", "place"), [("self_attn.o_proj", "L01.mlp"), ("mlp.down_proj", "L02.attn")])
def test_a_state_that_is_not_finite_is_named(tiny_llama, batch, part, place):
    model = deepcopy(tiny_llama)
    model.model.layers[1].get_submodule(part).weight.data[0, 0] = torch.nan
    before = hooks_of(model)
    with pytest.raises(FloatingPointError, match=f"text 0 at sublayer {place} is not finite"):
        capture(model, batch)
    assert hooks_of(model) == before


def test_a_compiled_model_is_refused(tiny_llama, batch):
    with pytest.raises(ValueError, match="compiled"):
        capture(torch.compile(tiny_llama, backend="eager"), batch)


def test_an_unknown_family_is_refused_and_the_known_ones_named(batch):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=2048, n_embd=8, n_layer=1, n_head=1, n_positions=8))
    with pytest.raises(KeyError, match="'gpt2' is not a known decoder; known: llama, mistral, qwen2, qwen3"):
        capture(model, batch)


def test_nothing_above_the_last_state_is_run(tiny_llama, batch):
    model, ran = deepcopy(tiny_llama), []
    top = {"mlp": model.model.layers[-1].mlp, "norm": model.model.norm, "head": model.lm_head}
    for name, module in {**top, "attention": model.model.layers[-1].self_attn}.items():
        module.register_forward_pre_hook(lambda module, arguments, name=name: ran.append(name))
    capture(model, batch)
    assert ran == ["attention"]
    with torch.inference_mode():
        model(**inputs(batch))
    assert ran == ["attention", "attention", "mlp", "norm", "head"]  # negative control: the counters count


def test_hook_points_are_in_the_order_in_which_they_run(tiny_llama):
    layout, readers = find_hook_points(tiny_llama)
    assert layout.labels == ["L00.attn", "L00.mlp", "L01.attn", "L01.mlp", "L02.attn", "L02.mlp"]
    assert readers[3] is tiny_llama.model.layers[1].post_attention_layernorm


def test_gradients_are_not_recorded(tiny_llama, batch):
    model = deepcopy(tiny_llama).requires_grad_(True)
    assert not capture(model, batch).requires_grad


def test_capture_texts_gives_back_the_order_of_the_texts(tiny_llama, demo_tokenizer):
    trajectories = capture_texts(tiny_llama, demo_tokenizer, TEXTS, batch_size=3)
    tokenization = Tokenization(demo_tokenizer, 256)
    for text, trajectory in zip(TEXTS, trajectories, strict=True):
        alone = capture(tiny_llama, tokenization.batch([text], [0]))[0]
        # as above; another text's trajectory is off by about its own norm
        assert ((trajectory - alone).norm(dim=-1) <= 1e-5 * alone.norm(dim=-1)).all()


def test_the_last_real_token_is_read(demo_tokenizer, batch):
    assert batch.positions.tolist() == (batch.attention_mask.sum(1) - 1).tolist()
    for text, token, mask in zip(TEXTS, batch.read_tokens, batch.attention_mask, strict=True):
        ids = demo_tokenizer(text)["input_ids"]
        assert (int(token), int(mask.sum())) == (ids[-1], len(ids))
        assert mask.diff().max() <= 0  # padding on the right alone


def test_the_last_token_may_be_the_pad_token(demo_tokenizer):
    text = "The end" + demo_tokenizer.pad_token
    batch = Tokenization(demo_tokenizer, 256).batch([text, TEXTS[2]], [0, 1])
    ids = demo_tokenizer(text)["input_ids"]
    assert ids[-1] == demo_tokenizer.pad_token_id
    assert (int(batch.positions[0]), int(batch.attention_mask[0].sum())) == (len(ids) - 1, len(ids))


@pytest.mark.parametrize("pad_token", [None, "<s>"])
def test_the_pad_token_does_not_matter(tiny_llama, demo_tokenizer, batch, pad_token):
    demo_tokenizer.pad_token = pad_token
    assert demo_tokenizer.pad_token_id == (None if pad_token is None else 0)
    other = Tokenization(demo_tokenizer, 256).batch(TEXTS, list(range(len(TEXTS))))
    assert torch.equal(other.attention_mask, batch.attention_mask)
    assert torch.equal(other.positions, batch.positions)
    assert torch.equal(capture(tiny_llama, other), capture(tiny_llama, batch))


def test_at_most_one_bos(demo_tokenizer):
    bos = demo_tokenizer.bos_token
    batch = Tokenization(demo_tokenizer, 256).batch([f"{bos}{bos}Hello there", "Hello there"], [0, 1])
    counts = (batch.input_ids == demo_tokenizer.bos_token_id) & (batch.attention_mask == 1)
    assert counts.sum(1).tolist() == [1, 1]


@pytest.mark.parametrize("context", [1, 2, 5])
def test_truncation_from_the_left_keeps_the_bos(demo_tokenizer, context):
    ids = demo_tokenizer(TEXTS[2])["input_ids"]
    batch = Tokenization(demo_tokenizer, context).batch([TEXTS[2]], [0])
    assert batch.input_ids[0].tolist() == [ids[0], *ids[len(ids) - context + 1 :]]
    assert batch.input_ids.shape == (1, context)


def test_truncation_without_a_bos_keeps_the_last_tokens(demo_tokenizer):
    demo_tokenizer.bos_token = None
    ids = demo_tokenizer(TEXTS[2])["input_ids"]
    batch = Tokenization(demo_tokenizer, 5).batch([TEXTS[2]], [0])
    assert batch.input_ids[0].tolist() == ids[-5:]


def test_a_text_that_just_fits_is_whole(demo_tokenizer):
    ids = demo_tokenizer(TEXTS[2])["input_ids"]
    assert Tokenization(demo_tokenizer, len(ids)).batch([TEXTS[2]], [0]).input_ids[0].tolist() == ids


def test_random_positions_depend_on_seed_and_index_alone(demo_tokenizer):
    def positions(index, seed=0):
        batch = Tokenization(demo_tokenizer, 256, "random", seed).batch([TEXTS[2]] * len(index), index)
        return batch.positions.tolist()

    length = len(demo_tokenizer(TEXTS[2])["input_ids"])
    drawn = positions(list(range(1000)))
    torch.randint(9, (3,))  # the global generator must not matter
    assert positions([7, 3]) == [drawn[7], drawn[3]]
    assert positions(list(range(1000)), seed=1) != drawn
    assert set(drawn) == set(range(1, length))  # all real tokens, and never the BOS
    # even: each of them 1000 / (length - 1) times, within 6 standard errors of a Poisson count
    expected = 1000 / (length - 1)
    assert all(abs(drawn.count(position) - expected) < 6 * expected**0.5 for position in range(1, length))


def test_random_positions_are_real_tokens_of_short_texts(demo_tokenizer):
    batch = Tokenization(demo_tokenizer, 256, "random").batch([*TEXTS, ""], list(range(5)))
    assert (batch.positions < batch.attention_mask.sum(1)).all()
    assert batch.positions[:4].min() >= 1
    assert batch.positions[4] == 0  # a text that is nothing but a BOS


def test_a_text_without_tokens_is_named(demo_tokenizer):
    class NoSpecialTokens:
        bos_token_id = None

        def __call__(self, text, **options):
            return {"input_ids": demo_tokenizer(text, add_special_tokens=False)["input_ids"]}

    with pytest.raises(ValueError, match="text 41 has no tokens"):
        Tokenization(NoSpecialTokens(), 256).batch(["Hello", ""], [40, 41])

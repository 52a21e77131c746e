"""The public names: equal to what the command line captures and finds, for any decoder; wrong arguments in one line."""

import subprocess
import sys
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tiny_models import TEXTS, tiny_model, together
from workplace import SHARD_SIZE

import rs_cae
from rs_cae.results import open_dataset
from rs_cae.stream import capture as capture_batch
from rs_cae.stream import find_hook_points
from rs_cae.stream.verify import verify_hook_points

TOKENS = [14, 3, 24, 15]
"""Of ``TEXTS``."""


def assert_close(states, expected):
    """To 1e-5 of each state's norm: batches that pad otherwise sum in another order."""
    assert states.shape == expected.shape
    assert ((states - expected).norm(dim=-1) < 1e-5 * expected.norm(dim=-1)).all()


@pytest.fixture
def gpt2():
    return tiny_model("gpt2")


def test_the_public_names_are_found_and_nothing_is_imported_for_them():
    for name in rs_cae.__all__:
        assert getattr(rs_cae, name) is not None
    assert set(rs_cae.__all__) == set(dir(rs_cae))
    from rs_cae import dynamics, teleportation

    assert rs_cae.dynamics is dynamics
    assert callable(rs_cae.teleport)
    assert teleportation.Teleports
    with pytest.raises(AttributeError, match="no attribute 'capture_texts'"):
        _ = rs_cae.capture_texts
    words = [sys.executable, "-c", "import sys, rs_cae; print(dir(rs_cae), 'torch' in sys.modules)"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.endswith("False\n")


def test_a_loaded_model_is_a_plain_one(tiny_llama_dir, tiny_llama):
    model, tokenizer = rs_cae.load_model(str(tiny_llama_dir))
    assert type(model) is transformers.LlamaForCausalLM
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, tiny_llama.state_dict()[name]), name
    assert tokenizer("A list").input_ids
    halved, _ = rs_cae.load_model(str(tiny_llama_dir), dtype=torch.bfloat16)
    assert halved.dtype == torch.bfloat16


def test_untrained_weights_depend_on_the_seed(tiny_llama_dir):
    drawn = [rs_cae.load_model(str(tiny_llama_dir), random_init=True, seed=seed)[0] for seed in (0, 0, 1)]
    same, again, other = (model.get_input_embeddings().weight for model in drawn)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_what_is_captured_gives_the_latents_of_the_run(tested, loaded):
    place, run_dir = tested
    captured = rs_cae.capture(*loaded, place.texts["test"])
    latent = open_dataset(run_dir, "latent")
    latents = rs_cae.load_reducer(run_dir).encode(captured.states).numpy()
    np.testing.assert_array_equal(latents[:SHARD_SIZE], latent["latents"][:SHARD_SIZE])  # the same batches: to the bit
    np.testing.assert_allclose(latents, latent["latents"], atol=1e-5)
    assert captured.labels == latent["sublayer"].values.tolist()
    assert captured.transition_kinds == latent["kind"].values.tolist()
    np.testing.assert_array_equal(captured.tokens, latent["last_token"])
    np.testing.assert_array_equal(captured.positions, latent["position"])
    np.testing.assert_array_equal(captured.texts, latent["text"])
    assert captured.truncated == latent.attrs["truncated_texts"] == 0


def test_texts_keep_their_order_whatever_runs_together(tiny_llama, demo_tokenizer):
    alone = torch.cat([capture_batch(tiny_llama, together(demo_tokenizer, [text])) for text in TEXTS])
    for budget in (30, 4096):
        states = rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS, tokens_per_batch=budget).states
        assert not states.is_inference()  # it can be written to
        assert_close(states, alone)
    assert not torch.allclose(alone[0], alone[3])


def test_every_token_is_read_but_the_bos(tiny_llama, demo_tokenizer):
    captured = rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS, token_position="all")
    alone = [capture_batch(tiny_llama, together(demo_tokenizer, [text], position="all")) for text in TEXTS]
    expected = torch.cat(alone)
    assert_close(captured.states, expected)
    assert captured.texts.bincount().tolist() == [count - 1 for count in TOKENS]
    assert captured.positions.tolist() == [place for count in TOKENS for place in range(1, count)]
    few = rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS, token_position="all", max_positions=2, seed=3)
    again = rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS, token_position="all", max_positions=2, seed=3)
    assert few.texts.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(few.states, again.states)
    drawn = [rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS, token_position="random", seed=seed) for seed in (0, 1)]
    assert not torch.equal(drawn[0].positions, drawn[1].positions)


def test_long_texts_are_cut_on_the_left_and_counted(tiny_llama, demo_tokenizer):
    long = " ".join(TEXTS * 10)
    captured = rs_cae.capture(tiny_llama, demo_tokenizer, [TEXTS[0], long])
    assert captured.truncated == 1
    assert captured.positions.tolist() == [13, 255]
    expected = capture_batch(tiny_llama, together(demo_tokenizer, [long], context=256))
    assert_close(captured.states[1:], expected)


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "falcon"])
def test_other_families_that_someone_has_loaded(family, demo_tokenizer):
    model = tiny_model(family)
    captured = rs_cae.capture(model, demo_tokenizer, TEXTS)
    sites = len(find_hook_points(model).layout.sites)
    batch = together(demo_tokenizer)
    with torch.no_grad():
        hidden = model(batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True).hidden_states
    expected = torch.stack([state[batch.rows, batch.positions] for state in hidden[:-1]], dim=1)
    assert_close(captured.states[:, ::sites], expected)
    assert captured.layout.layers == 3


def test_names_by_hand_for_a_family_that_is_not_known(demo_tokenizer, monkeypatch, gpt2):
    expected = rs_cae.capture(gpt2, demo_tokenizer, TEXTS).states
    monkeypatch.setattr(type(gpt2.config), "model_type", "gpt99")
    with pytest.raises(ValueError, match=r"^model gpt99: family 'gpt99' is not a known.* hook_points '\{layers"):
        rs_cae.capture(gpt2, demo_tokenizer, TEXTS)
    names = {"layers": "transformer.h", "attn": "ln_1", "mlp": "ln_2"}
    assert torch.equal(rs_cae.capture(gpt2, demo_tokenizer, TEXTS, hook_points=names).states, expected)
    wrong = {"layers": "transformer.h", "attn": "ln_1", "mlp": "mlp"}  # which reads the stream after its norm
    with pytest.raises(ValueError, match=r"^hook_points \{.*\}: its hook points do not hold: \(c\)"):
        rs_cae.capture(gpt2, demo_tokenizer, TEXTS, hook_points=wrong)
    assert rs_cae.capture(gpt2, demo_tokenizer, TEXTS, hook_points=wrong, verify=False).states.shape == expected.shape


def test_hook_points_are_verified_before_anything_is_captured(tiny_llama, demo_tokenizer, monkeypatch):
    verified = []
    module = sys.modules["rs_cae.api.models"]
    monkeypatch.setattr(module, "verify_hook_points", lambda *a, **k: verified.append(1) or verify_hook_points(*a, **k))
    rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS)
    rs_cae.capture(tiny_llama, demo_tokenizer, TEXTS, verify=False)
    assert len(verified) == 1


def unfit(tiny_llama):
    """Models that cannot be used, and what is said of them."""
    small = tiny_model("llama", vocab_size=256)
    training = deepcopy(tiny_llama).train()
    return {
        "another tokenizer's": (small, "and it has 256: they do not belong together"),
        "training": (training, "in training mode"),
        "float16": (deepcopy(tiny_llama).half(), "float16"),
        "compiled": (SimpleNamespace(_orig_mod=tiny_llama), "compiled"),
        "headless": (tiny_llama.model, "has no head: load it with AutoModelForCausalLM"),
        "a name": ("gpt2", "model is a str: expected one of Transformers"),
    }


def test_a_model_that_cannot_be_used_is_refused_in_one_line(tiny_llama, demo_tokenizer):
    for name, (model, problem) in unfit(tiny_llama).items():
        for call in (
            lambda model=model: rs_cae.capture(model, demo_tokenizer, TEXTS, verify=False),
            lambda model=model: rs_cae.teleport(model, demo_tokenizer, TEXTS[0], 0, torch.zeros(32), verify=False),
        ):
            with pytest.raises(ValueError, match=problem) as refused:
                call()
            assert "\n" not in str(refused.value), name


CAPTURES = [
    ({"texts": "one"}, "texts is one string"),
    ({"texts": []}, "texts is empty"),
    ({"texts": ["a", None]}, "texts holds NoneType, not strings alone"),
    ({"texts": ["a", ""]}, "text 1 has no tokens"),
    ({"token_position": "middle"}, "token_position middle: expected one of last, random, all"),
    ({"max_positions": 2}, "max_positions 2: goes with"),
    ({"max_positions": 0, "token_position": "all"}, "max_positions 0: must be at least 1"),
    ({"tokens_per_batch": 0}, "tokens_per_batch 0: must be at least 1"),
    ({"hook_points": {"layers": "h"}}, "hook_points {'layers': 'h'}: wants layers, attn and mlp"),
]


@pytest.mark.parametrize(("wrong", "problem"), CAPTURES, ids=[problem for _, problem in CAPTURES])
def test_wrong_arguments_of_capture(tiny_llama, demo_tokenizer, wrong, problem):
    demo_tokenizer.add_bos_token = False
    with pytest.raises(ValueError, match=".*".join(map(str, [problem.partition("{")[0]]))) as refused:
        rs_cae.capture(tiny_llama, demo_tokenizer, **{"texts": TEXTS, **wrong}, verify=False)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


LOADS = [
    ({"name": "./nowhere"}, "model ./nowhere: neither a local folder"),
    ({"dtype": "float16"}, "dtype float16: expected one of float32, bfloat16"),
    ({"dtype": torch.float64}, "dtype float64: expected one of"),
    ({"device": "warp"}, "device warp: expected one of PyTorch's"),
    ({"hook_points": {"layers": "h"}}, "hook_points {'layers': 'h'}: wants layers, attn and mlp"),
]


@pytest.mark.parametrize(("wrong", "problem"), LOADS, ids=[problem for _, problem in LOADS])
def test_wrong_arguments_of_load_model(wrong, problem, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - what it says is looked at below
        rs_cae.load_model(**wrong)
    assert str(refused.value).startswith(problem)
    assert "--" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match="device cuda: there is no GPU"):
        rs_cae.load_model(device="cuda")

"""What is run for a teleport and what is not, and what is left behind."""

from copy import deepcopy

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from linear_model import HOOK_POINTS, linear_model
from test_capture import hooks_of

from rs_cae.stream import find_hook_points
from rs_cae.stream.hooks import handing_on
from rs_cae.teleportation.intervene import KeptPrefix, WholePrompt

KINDS = [KeptPrefix, WholePrompt]
IDS = torch.tensor([0, 48, 81, 300, 7, 1020, 5, 77, 12])


@pytest.fixture
def broken(tiny_llama):
    """A copy that a test may break."""
    return deepcopy(tiny_llama)


def teleporter_of(model, kind=KeptPrefix, ids=IDS):
    return kind(model, find_hook_points(model), ids)


def targets_for(control, count=3):
    return control + torch.randn(count, len(control), generator=torch.Generator().manual_seed(3))


def close(actual, expected, tolerance=1e-5):
    return bool(((actual - expected).norm(dim=-1) <= tolerance * expected.norm(dim=-1)).all())


def counting(model):
    """Runs of the parts of the model from now on, by name and rows: [(name, rows, tokens)]."""
    ran = []
    parts = {"embed": model.model.embed_tokens, "norm": model.model.norm, "head": model.lm_head}
    for number, layer in enumerate(model.model.layers):
        parts |= {f"attn {number}": layer.self_attn, f"mlp {number}": layer.mlp}
    for name, part in parts.items():

        def note(module, arguments, keywords, name=name):
            state = arguments[0] if arguments else keywords["hidden_states"]
            ran.append((name, *state.shape[:2]))

        part.register_forward_pre_hook(note, with_kwargs=True)
    return ran


def test_only_layers_that_are_read_are_run(broken):
    ran = counting(broken)
    teleporter = teleporter_of(broken)
    layers = [f"{part} {number}" for number in range(3) for part in ("attn", "mlp")]
    everything = ["embed", *layers, "norm"]
    prefix, control = [(name, 1, 8) for name in everything], [(name, 1, 1) for name in [*everything, "head"]]
    assert ran == [*prefix, *control]
    for sublayer, steps, expected in [
        (2, 2, ["attn 1", "mlp 1"]),
        (3, 1, ["attn 1", "mlp 1"]),  # the attention of its layer is run on the control's state
        (3, 2, ["attn 1", "mlp 1", "attn 2"]),
        (2, 0, []),
        (0, 1, ["attn 0"]),
        (5, 9, ["attn 2"]),
    ]:
        ran.clear()
        states, logits = teleporter.teleport(sublayer, targets_for(teleporter.control[sublayer], 4), steps)
        assert logits is None
        assert states.shape == (4, min(steps, 5 - sublayer) + 1, 32)
        assert ran == [(name, 4, 1) for name in ["embed", *expected]]
    ran.clear()
    _, logits = teleporter.teleport(4, targets_for(teleporter.control[4], 4), 0, logits=True)
    assert ran == [(name, 4, 1) for name in ["embed", "attn 2", "mlp 2", "norm", "head"]]
    assert logits.shape == (4, 2048)
    ran.clear()
    teleporter.read_out(states[:, 0])
    assert ran == [(name, 4, 1) for name in ["embed", "norm", "head"]]


def test_the_attention_below_an_injection_runs_on_the_control(broken):
    teleporter, seen = teleporter_of(broken), []
    broken.model.layers[1].input_layernorm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    teleporter.teleport(3, targets_for(teleporter.control[3]), 1)
    assert torch.equal(seen[0], teleporter.control[2].expand(3, 1, 32))


def test_fewer_steps_are_the_first_of_more(tiny_llama):
    teleporter = teleporter_of(tiny_llama)
    targets = targets_for(teleporter.control[1])
    whole, ends = teleporter.teleport(1, targets, 99, logits=True)
    for steps in range(5):
        states, logits = teleporter.teleport(1, targets, steps, logits=steps == 2)
        assert torch.equal(states, whole[:, : steps + 1])
        assert logits is None or torch.equal(logits, ends)


@pytest.mark.parametrize("kind", KINDS)
def test_how_many_run_together_changes_nothing(tiny_llama, monkeypatch, kind):
    teleporter = teleporter_of(tiny_llama, kind)
    targets = targets_for(teleporter.control[2], 7)
    states, logits = teleporter.teleport(2, targets, 3, logits=True)
    ends = teleporter.read_out(targets)
    for budget, rows in ((9, 1), (27, 3), (35, 3), (1, 1)):
        batches = []
        monkeypatch.setattr(kind, "tokens_at_once", budget)
        monkeypatch.setattr(teleporter, "_batch", lambda n, seen=batches: seen.append(n) or kind._batch(teleporter, n))
        again = teleporter.teleport(2, targets, 3, logits=True)
        assert batches == ([rows] * (7 // rows) + [7 % rows] * (7 % rows > 0))
        assert close(again.states, states)
        assert close(again.logits, logits)
        assert close(teleporter.read_out(targets), ends)


def test_the_prefix_is_neither_copied_nor_does_it_grow(broken):
    teleporter = teleporter_of(broken)
    held = [(layer.keys, layer.keys.clone()) for layer in teleporter.prefix.layers]
    assert {tuple(keys.shape) for keys, _ in held} == {(1, 2, 8, 8)}
    targets = targets_for(teleporter.control[0], 50)
    first = teleporter.teleport(0, targets, 99, logits=True)
    second = teleporter.teleport(0, targets, 99, logits=True)
    assert torch.equal(first.states, second.states)
    for layer, (keys, before) in zip(teleporter.prefix.layers, held, strict=True):
        assert layer.keys is keys
        assert torch.equal(keys, before)
        assert layer.get_seq_length() == 8


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind(broken, kind):
    before = hooks_of(broken)
    teleporter = teleporter_of(broken, kind)
    teleporter.teleport(3, targets_for(teleporter.control[3]), 2)
    teleporter.read_out(teleporter.control[:2])
    assert hooks_of(broken) == before
    assert not any("forward" in vars(layer) for layer in broken.model.layers)

    def fail(*arguments, **keywords):
        assert len(hooks_of(broken)) > len(before)
        raise RuntimeError("planted")

    broken.model.layers[2].self_attn.forward = fail
    with pytest.raises(RuntimeError, match="planted"):
        teleporter.teleport(3, targets_for(teleporter.control[3]), 2)
    broken.model.norm.forward = fail
    with pytest.raises(AssertionError):  # no hook is open while states are read out
        teleporter.read_out(teleporter.control[:2])
    assert hooks_of(broken) == before
    assert not any("forward" in vars(layer) for layer in broken.model.layers)


def test_a_forward_of_one_s_own_is_given_back(tiny_llama, broken):
    """As accelerate puts one on every layer that it moves."""
    for layer in broken.model.layers:
        add_hook_to_module(layer, AlignDevicesHook(execution_device="cpu", io_same_device=True))
    own = [layer.forward for layer in broken.model.layers]
    plain, hooked = teleporter_of(tiny_llama), teleporter_of(broken)
    targets = targets_for(plain.control[4])
    assert torch.equal(hooked.teleport(4, targets, 1, True).logits, plain.teleport(4, targets, 1, True).logits)
    assert torch.equal(hooked.read_out(targets), plain.read_out(targets))
    assert [layer.forward for layer in broken.model.layers] == own
    layer = broken.model.layers[0]
    with handing_on([layer, layer], "handed on"):  # a layer may be in a model twice
        assert layer(torch.zeros(1, 1, 32)) == "handed on"
    assert layer.forward is own[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_of_one_token(tiny_llama, kind):
    teleporter = teleporter_of(tiny_llama, kind, IDS[:1])
    assert torch.equal(teleporter.control[0], tiny_llama.model.embed_tokens.weight[IDS[0]])
    (states,), _ = teleporter.teleport(0, teleporter.control[:1], 99)
    assert close(states, teleporter.control)


@pytest.mark.parametrize("kind", KINDS)
def test_linear_maps_are_applied_one_after_the_other(kind):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.eye(5) + 0.3 * torch.randn(5, 5, generator=generator) for _ in range(6)]
    model = linear_model(3, maps)
    teleporter = kind(model, find_hook_points(model, HOOK_POINTS), torch.tensor([3, 1, 4]))
    targets = torch.randn(7, 5, generator=generator)
    for sublayer in range(6):
        states, logits = teleporter.teleport(sublayer, targets, 4, logits=True)
        expected = [targets]
        for matrix in maps[sublayer:]:
            expected.append(expected[-1] @ matrix.T)
        assert close(states, torch.stack(expected[: min(4, 5 - sublayer) + 1], dim=1))
        assert close(logits, expected[-1] @ model.head.weight.T)
    assert close(teleporter.read_out(targets), targets @ model.head.weight.T)

"""``rs_cae.teleport``: its own state, a hook by hand, and what cannot be teleported."""

import pytest
import torch

import rs_cae


def test_the_own_state_written_back_gives_the_control(loaded):
    prompt = "The cat sat on the"
    own = rs_cae.capture(*loaded, [prompt]).states[0]
    for sublayer, label in ((0, "L00.attn"), (3, "L01.mlp")):
        run = rs_cae.teleport(*loaded, prompt, label, own[[sublayer, 0]], logits=True, steps=2)
        assert run.states.shape == (2, 3, 32)
        assert run.labels[0] == label
        assert (run.states[0] - run.control).norm() < 1e-5 * run.control.norm()
        assert (run.control - own[sublayer : sublayer + 3]).norm() < 1e-5 * own.norm()
        assert (run.logits[0] - run.control_logits).norm() < 1e-4 * run.control_logits.norm()
        assert bool((run.states[1] - run.control).norm() > 0.01 * run.control.norm()) == (sublayer != 0)  # another
        assert run.way == "prefix kept"
    assert rs_cae.teleport(*loaded, prompt, 3, own[3], steps=0).logits is None


def test_a_teleport_equals_a_hook_written_by_hand(tiny_llama, demo_tokenizer):
    prompt, layer = "Every object has an identity.", 1
    targets = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    run = rs_cae.teleport(tiny_llama, demo_tokenizer, prompt, 2 * layer, targets, logits=True)
    assert run.states.shape == (3, 4, 32)  # as many steps as there are sublayers
    assert run.labels == ["L01.attn", "L01.mlp", "L02.attn", "L02.mlp"]
    ids = demo_tokenizer(prompt, return_tensors="pt").input_ids
    for point, target in enumerate(targets):
        seen = {}

        def write(module, arguments, target=target):
            arguments[0][0, -1] = target

        def read(module, arguments, seen=seen):
            seen["last"] = arguments[0][0, -1].clone()

        hooks = [
            tiny_llama.model.layers[layer].input_layernorm.register_forward_pre_hook(write),
            tiny_llama.model.layers[2].post_attention_layernorm.register_forward_pre_hook(read),
        ]
        try:
            logits = tiny_llama(ids, use_cache=False).logits[0, -1]
        finally:
            for hook in hooks:
                hook.remove()
        assert (run.states[point, -1] - seen["last"]).norm() < 1e-5 * seen["last"].norm()
        assert (run.logits[point] - logits).norm() < 1e-5 * logits.norm()
    assert not any(tensor.is_inference() for tensor in (run.states, run.control, run.logits, run.control_logits))


TELEPORTS = [
    ({"sublayer": 6}, "sublayer 6: must be from 0 to 5, or a label such as L02.mlp"),
    ({"sublayer": -1}, "sublayer -1: must be from 0 to 5"),
    ({"sublayer": "L3.attn"}, "sublayer L3.attn: expected one of L00.attn to L02.mlp"),
    ({"target_states": torch.zeros(2, 31)}, "target_states of shape (2, 31): expected [points, 32]"),
    ({"target_states": torch.zeros(0, 32)}, "target_states of shape (0, 32): expected [points, 32]"),
    ({"target_states": torch.full((1, 32), torch.nan)}, "target_states: one of them is not finite"),
    ({"steps": -1}, "steps -1: must be at least 0"),
    ({"prompt": "  "}, "prompt '  ': expected a text"),
    ({"prompt": ["a", "b"]}, "prompt ['a', 'b']: expected a text"),
    ({"prompt": "word " * 400}, "and the model takes 256"),
]


@pytest.mark.parametrize(("wrong", "problem"), TELEPORTS, ids=[problem for _, problem in TELEPORTS])
def test_wrong_arguments_of_teleport(tiny_llama, demo_tokenizer, wrong, problem):
    right = {"prompt": "A list", "sublayer": 0, "target_states": torch.zeros(1, 32)}
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - what it says is looked at below
        rs_cae.teleport(tiny_llama, demo_tokenizer, **{**right, **wrong}, verify=False)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)

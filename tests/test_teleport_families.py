"""Teleports on every known family, beside full forward passes with hooks that are none of the package's."""

from functools import cache

import pytest
import torch
from tiny_models import FAMILIES, SLIDING, tiny_model

from rs_cae.stream import TokenBatch, capture, find_hook_points
from rs_cae.teleportation.intervene import KeptPrefix, Teleports, WholePrompt

LENGTHS = (1, 2, 6, 8, 9, 23)
"""Tokens of a prompt: none before the last, and shorter, as long, longer than a window of 8."""

ONLY_WINDOWS = {"gemma3_text", "mistral", "olmo3"}
"""Those whose three layers all see a window of 8, so 22 tokens together; gemma2's take turns."""

tiny = cache(tiny_model)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    return tiny(family)


def prompt_of(tokens, seed=0):
    return torch.randint(3, 2048, (tokens,), generator=torch.Generator().manual_seed(seed))


def targets_for(state):
    """Three states [3, width] in random directions, some shorter and some longer than this one [width]."""
    drawn = torch.randn(3, len(state), generator=torch.Generator().manual_seed(5))
    return drawn / drawn.norm(dim=1, keepdim=True) * state.norm() * torch.tensor([[0.3], [1.0], [3.0]])


def relative(actual, expected):
    assert actual.shape == expected.shape
    return float(((actual - expected).norm(dim=-1) / expected.norm(dim=-1)).max())


@torch.inference_mode()
def by_full_forward(model, ids, sublayer, targets):
    """States [points, sublayers from the injection on, width] and logits: copies of the prompt, and plain hooks."""
    readers, seen = find_hook_points(model).readers, []

    def stream(arguments, keywords):
        return (arguments[0] if arguments else keywords["hidden_states"]).view(len(targets), len(ids), -1)

    def write(module, arguments, keywords):
        stream(arguments, keywords)[:, -1] = targets

    def read(module, arguments, keywords):
        seen.append(stream(arguments, keywords)[:, -1].clone())

    handles = [readers[sublayer].register_forward_pre_hook(write, with_kwargs=True)]
    handles += [reader.register_forward_pre_hook(read, with_kwargs=True) for reader in readers[sublayer:]]
    copies = ids.repeat(len(targets), 1)
    logits = model(input_ids=copies, attention_mask=torch.ones_like(copies), use_cache=False).logits[:, -1]
    for handle in handles:
        handle.remove()
    return torch.stack(seen, dim=1), logits


@torch.inference_mode()
def by_output(model, ids, states):
    """Logits if the last layer's output is these states: a plain hook."""

    def write(module, arguments, output):
        (output[0] if isinstance(output, tuple) else output)[:, -1] = states

    handle = find_hook_points(model).layers[-1].register_forward_hook(write)
    logits = model(input_ids=ids.repeat(len(states), 1), use_cache=False).logits[:, -1]
    handle.remove()
    return logits


def captured(model, ids):
    """What ``capture`` reads at the last token, [sublayers, width]."""
    zero, last = torch.zeros(1, dtype=torch.long), torch.tensor([len(ids) - 1])
    return capture(model, TokenBatch(ids[None], torch.ones_like(ids)[None], zero, last, zero, zero))[0]


@pytest.mark.parametrize("kind", [KeptPrefix, WholePrompt])
def test_teleports_equal_full_forwards_that_are_written_to(model, kind):
    points = find_hook_points(model)
    for tokens in LENGTHS:
        ids = prompt_of(tokens)
        teleporter = kind(model, points, ids)
        for sublayer in range(len(points.layout)):  # three layers: first, middle and last
            targets = targets_for(teleporter.control[sublayer])
            states, logits = teleporter.teleport(sublayer, targets, steps=len(points.layout), logits=True)
            expected, expected_logits = by_full_forward(model, ids, sublayer, targets)
            assert torch.equal(states[:, 0], targets)
            assert relative(states, expected) < 1e-5
            assert relative(logits, expected_logits) < 1e-5


def test_one_s_own_state_is_the_control_and_the_control_is_what_is_captured(model):
    points = find_hook_points(model)
    for tokens in LENGTHS:
        ids = prompt_of(tokens)
        teleporter = KeptPrefix(model, points, ids)
        with torch.inference_mode():
            plain = model(input_ids=ids[None]).logits[0, -1]
        assert relative(teleporter.control, captured(model, ids)) < 1e-5
        assert relative(teleporter.logits[None], plain[None]) < 1e-5
        assert relative(teleporter.read_out(teleporter.output[None]), plain[None]) < 1e-5
        for sublayer in (0, len(points.layout) // 2, len(points.layout) - 1):
            own = teleporter.control[[sublayer]]
            states, logits = teleporter.teleport(sublayer, own, steps=99, logits=True)
            assert relative(states[0], teleporter.control[sublayer:]) < 1e-5
            assert relative(logits, plain[None]) < 1e-5


@pytest.mark.parametrize("kind", [KeptPrefix, WholePrompt])
def test_states_are_read_out_as_if_the_last_layer_had_returned_them(model, kind):
    ids = prompt_of(6)
    teleporter = kind(model, find_hook_points(model), ids)
    targets = targets_for(teleporter.output)
    assert relative(teleporter.read_out(targets), by_output(model, ids, targets)) < 1e-5
    assert relative(teleporter.read_out(targets), teleporter.logits.expand(3, -1)) > 0.1  # negative control


def test_what_precedes_the_last_token_matters(family, model):
    """Negative control: with another prefix teleports lead elsewhere; within a window, with another far token not."""
    points, ids = find_hook_points(model), prompt_of(23)
    other, far = torch.cat([prompt_of(22, seed=1), ids[-1:]]), ids.clone()
    far[0] += 1
    first = KeptPrefix(model, points, ids)
    targets = targets_for(first.control[0])
    at_start, elsewhere, after_far = (
        KeptPrefix(model, points, prompt).teleport(0, targets, 99).states[:, -1] for prompt in (ids, other, far)
    )
    assert relative(elsewhere, at_start) > 0.01
    assert (relative(after_far, at_start) == 0) == (family in ONLY_WINDOWS)


def test_no_layer_below_an_injection_or_above_what_is_read_is_run(model):
    points, ran = find_hook_points(model), []
    teleporter = KeptPrefix(model, points, prompt_of(6))
    handles = [
        module.register_forward_pre_hook(lambda module, arguments, layer=layer: ran.append(layer))
        for layer, modules in zip(points.layout.layer_of, points.adders, strict=True)
        for module in modules
    ]
    for sublayer, layer in enumerate(points.layout.layer_of):
        for steps in range(len(points.layout) - sublayer):
            ran.clear()
            teleporter.teleport(sublayer, targets_for(teleporter.control[sublayer]), steps)
            assert set(ran) <= set(range(layer, points.layout.layer_of[sublayer + steps] + 1))
            assert steps < len(points.layout.sites) or layer in ran
    for handle in handles:
        handle.remove()


def test_every_known_family_keeps_its_prefix(model):
    teleports = Teleports(model, find_hook_points(model))
    assert (teleports.way, teleports.reason) == ("prefix kept", "")
    assert isinstance(teleports.of(prompt_of(4)), KeptPrefix)


@pytest.mark.parametrize("name", [name for name in FAMILIES if "sliding_window" in FAMILIES[name][1]])
def test_a_window_s_prefix_is_no_longer_than_the_window(name):
    prefix = KeptPrefix(tiny(name), find_hook_points(tiny(name)), prompt_of(23)).prefix
    kept = {layer.keys.shape[-2] for layer in prefix.layers if layer.is_sliding}
    assert kept == {SLIDING["sliding_window"] - 1}

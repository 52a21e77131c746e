"""A reducer at some sublayers: what the whole one says there, in the memory of the whole one."""

from copy import deepcopy

import pytest
import torch

from rs_cae.dynamics import Moments
from rs_cae.reducers import CompressingAutoencoder, PrincipalComponents

SAMPLES, SUBLAYERS, WIDTH = 5, 8, 12
CHOICES = [[5], [0], [7, 2, 4], [3, 3], range(2, SUBLAYERS), range(SUBLAYERS), [1, 0, 6, 1, 5, 2, 3, 4, 7, 7]]
SCOPES = ["shared", "per_sublayer"]
KINDS = {
    "pca": lambda **shape: PrincipalComponents(WIDTH, components=7, **shape),
    "plain": lambda **shape: CompressingAutoencoder(WIDTH, n_layers=4, init="random", layer_norm=True, **shape),
    "linear path": lambda **shape: CompressingAutoencoder(WIDTH, n_layers=4, **shape),
    "tied": lambda **shape: CompressingAutoencoder(WIDTH, widths=[6], tied=True, init="random", **shape),
    "gates": lambda **shape: CompressingAutoencoder(WIDTH, widths=[6, 4], tied=True, layer_norm=True, **shape),
}


def states(sublayers=SUBLAYERS, dtype=torch.float64):
    """Of mean and norm that grow with depth."""
    drawn = torch.randn(SAMPLES, sublayers, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ((drawn + 0.5) * torch.linspace(1, 8, sublayers)[:, None]).to(dtype)


def made(kind, scope, mode="per_sublayer", sublayers=SUBLAYERS, dtype=torch.float64):
    """A reducer whose tensors are all random, so that no two maps are alike."""
    reducer = KINDS[kind](sublayers=sublayers, bottleneck=3, scope=scope, standardize=mode)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in reducer.state_dict().items():
            if not name.startswith("standardizer."):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    reducer.standardizer.fit(Moments.of(states(sublayers)))
    return reducer.to(dtype)


@pytest.mark.parametrize("mode", ["none", "global", "per_sublayer"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_the_whole_reducer_says_there(kind, scope, mode):
    whole = made(kind, scope, mode)
    latents = whole.encode(states())
    standardized, reconstructed = whole.standardizer(states()), whole.decode(latents)
    coefficients = whole.coefficients(standardized)
    for chosen in CHOICES:
        part, there = whole.at(chosen), list(chosen)
        # products of other shapes may be summed in another order
        close = {"rtol": 1e-12, "atol": 1e-12 * float(reconstructed.detach().abs().max())}
        torch.testing.assert_close(part.encode(states()[:, there]), latents[:, there], **close)
        torch.testing.assert_close(part.decode(latents[:, there]), reconstructed[:, there], **close)
        torch.testing.assert_close(part(states()[0, there]), reconstructed[0, there], **close)
        torch.testing.assert_close(part.coefficients(standardized[:, there]), coefficients[:, there], **close)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", KINDS)
def test_in_float32(kind, scope):
    whole, chosen = made(kind, scope, dtype=torch.float32), [6, 1]
    found, expected = whole.at(chosen)(states(dtype=torch.float32)[:, chosen]), whole(states(dtype=torch.float32))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected[:, chosen], rtol=0, atol=1e-6 * float(expected.detach().abs().max()))


def test_where_the_products_are_the_same_so_is_every_bit():
    whole = made("gates", "per_sublayer")
    assert torch.equal(whole.at(range(SUBLAYERS))(states()), whole(states()))
    whole = made("pca", "shared")
    assert torch.equal(whole.at(range(SUBLAYERS)).encode(states()), whole.encode(states()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_only_sublayer_can_be_repeated(kind):
    whole = made(kind, "per_sublayer", sublayers=1)
    found = whole.at([0, 0])(states(1).expand(-1, 2, -1))
    torch.testing.assert_close(found, whole(states(1)).expand(-1, 2, -1))


@pytest.mark.parametrize("scope", SCOPES)
def test_a_part_of_a_part(scope):
    whole = made("linear path", scope)
    part = whole.at([4, 6, 1]).at([2, 0])
    assert torch.equal(part(states()[:, [1, 4]]), whole.at([1, 4])(states()[:, [1, 4]]))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_sublayers_share_is_held_once_and_nothing_else(kind, scope):
    whole = made(kind, scope)
    part = whole.at([1, 2])
    held = {name: tensor.data_ptr() for name, tensor in whole.state_dict().items()}
    shared = {name for name, tensor in part.state_dict().items() if tensor.data_ptr() == held[name]}
    everything = set(held) - {"standardizer.scale"}
    assert shared == (everything if scope == "shared" else {"standardizer.offset"})
    assert {len(tensor) for name, tensor in part.state_dict().items() if name != "standardizer.offset"} <= {1, 2}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_reducer_stays_as_it_was(kind, scope, tmp_path):
    whole = made(kind, scope).train()
    tensors = dict([*whole.named_parameters(), *whole.named_buffers()])
    values, modules, config = deepcopy(whole.state_dict()), list(whole.modules()), deepcopy(whole._hub_mixin_config)
    part = whole.at([2, 5])
    after = dict([*whole.named_parameters(), *whole.named_buffers()])
    assert after.keys() == tensors.keys()
    assert all(after[name] is tensor and torch.equal(tensor, values[name]) for name, tensor in tensors.items())
    assert all(parameter.requires_grad for parameter in whole.parameters())
    assert [id(module) for module in whole.modules()] == [id(module) for module in modules]
    assert whole.training
    assert whole.sublayers == SUBLAYERS
    assert whole._hub_mixin_config == config
    assert not any(one is other for one in part.modules() for other in modules)
    assert not any(module.training for module in part.modules())
    assert len(list(part.parameters())) == len(list(whole.parameters()))
    assert all(isinstance(parameter, torch.nn.Parameter) for parameter in part.parameters())
    assert not any(parameter.requires_grad for parameter in part.parameters())
    assert (type(part), part.sublayers, part.maps) == (type(whole), 2, 1 if scope == "shared" else 2)
    whole.save_pretrained(tmp_path)
    again = type(whole).from_pretrained(tmp_path).double()
    torch.testing.assert_close(again(states()), whole(states()))


def test_other_shapes_are_refused():
    part = made("pca", "per_sublayer").at([2, 5])
    with pytest.raises(ValueError, match=r"expected \[..., 2, 12\], got \[5, 8, 12\]"):
        part.encode(states())


@pytest.mark.parametrize("chosen", [[SUBLAYERS], [0, -1], []])
def test_sublayers_out_of_range_are_refused(chosen):
    with pytest.raises(ValueError, match=r"sublayers \[.*\] must be some of 0 to 7"):
        made("pca", "shared").at(chosen)

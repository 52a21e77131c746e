"""Autoencoders side by side: their layers are PyTorch's, their widths, weights and seeds as asked for."""

import pytest
import torch
from memory import prepare
from torch import nn

from rs_cae.modules import AutoencoderModule
from rs_cae.reducers import CompressingAutoencoder, geometric_widths, halving_widths
from rs_cae.reducers.stacked import StackedAutoencoder, StackedLayers

SAMPLES, SUBLAYERS, WIDTH = 200, 4, 16
ORACLES = {"gelu": nn.GELU(), "relu": nn.ReLU(), "silu": nn.SiLU(), "tanh": nn.Tanh(), "identity": nn.Identity()}
SCOPES = ["shared", "per_sublayer"]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states(seed=0):
    """States whose norm grows with depth and whose mean is not zero; each sublayer has axes of its own."""
    spread = draw(SUBLAYERS, WIDTH, WIDTH, seed=seed + 100) * torch.linspace(1, 0.1, WIDTH)
    drawn = draw(SAMPLES, SUBLAYERS, WIDTH, seed=seed) + 0.5
    return torch.einsum("nsw,suw->nsu", drawn, spread) * torch.linspace(1, 4, SUBLAYERS)[:, None]


def randomized(module):
    """The module with other biases, gains and shifts than the zeros and ones it begins with."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter += 0.1 * draw(*parameter.shape, seed=number)
    return module


def one_of(layers, index, activation, layer_norm):
    """The layers of one map as PyTorch has them."""
    parts = []
    for number, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        if number and layer_norm:
            norm = nn.LayerNorm(weight.shape[1])
            norm.weight.data, norm.bias.data = (
                part[number - 1][index, 0] for part in (layers.norm_gains, layers.norm_shifts)
            )
            parts.append(norm)
        linear = nn.Linear(*weight.shape[1:])
        linear.weight.data, linear.bias.data = weight[index].T, bias[index, 0]
        parts += [ORACLES[activation], linear] if number else [linear]
    return nn.Sequential(*parts)


@pytest.mark.parametrize("maps", [1, 3])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("activation", ORACLES)
def test_each_map_is_pytorchs_layers(maps, layer_norm, activation):
    layers = randomized(StackedLayers(maps, [16, 9, 5, 2], activation, layer_norm))
    rows = draw(maps, 11, 16)
    for index, found in enumerate(layers(rows)):
        expected = one_of(layers, index, activation, layer_norm)(rows[index])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_decoder_mirrors_the_encoder():
    network = StackedAutoencoder(2, [16, 9, 5, 2])
    shapes = [tuple(weight.shape[1:]) for half in (network.encoder, network.decoder) for weight in half.weights]
    assert shapes == [(16, 9), (9, 5), (5, 2), (2, 5), (5, 9), (9, 16)]


def test_a_tied_decoder_has_the_encoders_weights_transposed():
    tied, own = (randomized(StackedAutoencoder(2, [16, 9, 5, 2], tied=tied)) for tied in (True, False))
    weights = [size * 2 for size in (16 * 9, 9 * 5, 5 * 2)]
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (tied, own)]
    assert sizes[1] - sizes[0] == sum(weights)
    own.decoder.load_state_dict({**own.decoder.state_dict(), **tied.decoder.state_dict()})
    for number, weight in enumerate(reversed(list(tied.encoder.weights))):
        own.decoder.weights[number].data = weight.mT
    latents = draw(2, 7, 2)
    torch.testing.assert_close(tied.decode(latents), own.decode(latents), rtol=0, atol=1e-6)
    pointers = [tensor.data_ptr() for tensor in tied.state_dict().values()]
    assert len(set(pointers)) == len(pointers)  # safetensors refuses tensors that share memory


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_layers": 6}, geometric_widths(64, 2, 3)),
        ({"n_layers": 8, "widths": "halving"}, [64, 32, 16, 8, 2]),
        ({"n_layers": 12, "widths": "halving", "bottleneck": 8}, [64, 32, 16, 8, 8, 8, 8]),
        ({"widths": [50, 7]}, [64, 50, 7, 2]),
        ({"widths": []}, [64, 2]),
    ],
)
def test_widths_of_the_layers(options, expected):
    encoder = CompressingAutoencoder(64, 3, **options).network.encoder
    assert [encoder.weights[0].shape[1], *(weight.shape[2] for weight in encoder.weights)] == expected
    assert halving_widths(64, 2, 1) == [64, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, "activation 'swish' is none of gelu, relu, silu, tanh, identity"),
        ({"widths": [8, 0]}, r"widths \[8,0\] must be at least 1 each"),
        ({"widths": "cubic"}, "widths 'cubic' is neither a list nor one of geometric, halving"),
        ({"init": "PCA"}, "init 'PCA' is none of pca, random"),
        ({"scope": "both"}, "scope 'both' is none of shared, per_sublayer"),
    ],
)
def test_what_is_unknown_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        CompressingAutoencoder(WIDTH, SUBLAYERS, **options)


def test_the_seed_alone_decides_on_the_weights():
    def weights(seed, pytorchs):
        with torch.random.fork_rng():
            torch.manual_seed(pytorchs)
            reducer = CompressingAutoencoder(WIDTH, SUBLAYERS, scope="per_sublayer", seed=seed)
            after = torch.rand(1)
        return torch.cat([parameter.flatten() for parameter in reducer.parameters()]), after

    assert torch.equal(weights(3, 0)[0], weights(3, 1)[0])
    assert not torch.equal(weights(3, 0)[0], weights(4, 0)[0])
    assert torch.equal(weights(3, 0)[1], weights(4, 0)[1])  # PyTorch's own generator is left where it was
    assert torch.equal(weights(None, 0)[0], weights(None, 0)[0])
    assert not torch.equal(weights(None, 0)[0], weights(None, 1)[0])


def test_initial_weights_keep_a_signals_variance_and_differ_by_map():
    first, second = CompressingAutoencoder(64, 2, 32, "per_sublayer", n_layers=4).network.encoder.weights[0]
    assert not torch.allclose(first, second)
    torch.testing.assert_close(first.T @ first, 2 * torch.eye(first.shape[1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scope", SCOPES)
def test_shapes_and_which_map_sees_which_sublayer(scope):
    reducer, h = randomized(CompressingAutoencoder(WIDTH, SUBLAYERS, 3, scope)), states()
    latents = reducer.encode(h)
    assert latents.shape == (SAMPLES, SUBLAYERS, 3)
    assert reducer.decode(latents).shape == h.shape
    torch.testing.assert_close(reducer.encode(h[0]), latents[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(reducer.encode(h[:6].reshape(2, 3, SUBLAYERS, -1))[1, 0], latents[3], rtol=0, atol=1e-4)
    h[:, 2] += 1
    changed = (reducer.encode(h) != latents).flatten(2).any(dim=2).any(dim=0)
    assert changed.tolist() == [False, False, True, False]
    same = draw(4, 1, WIDTH).expand(-1, SUBLAYERS, -1)
    alike = torch.allclose(reducer.encode(same)[:, 0], reducer.encode(same)[:, 1], atol=1e-4)
    assert alike == (scope == "shared") == reducer.shares_latent_space


@pytest.mark.parametrize("scope", SCOPES)
def test_gradient_reaches_every_weight_in_training_and_no_other(scope):
    module = prepare(AutoencoderModule(WIDTH, SUBLAYERS, scope=scope, n_layers=6, init="random", seed=0), states())
    module._by_network(module.reducer.standardizer(states())).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.network.parameters())
    assert not any(parameter.requires_grad for parameter in module.reducer.parameters())
    assert not {id(part) for part in module.network.parameters()} & {id(part) for part in module.reducer.parameters()}


def test_only_a_linear_path_can_begin_as_a_pca():
    network = StackedAutoencoder(1, [4, 2])
    with pytest.raises(ValueError, match="only a linear path can begin as principal components"):
        network.begin_as_principal_components(torch.zeros(1, 4), torch.eye(4)[None, :2], torch.ones(1))

"""What autoencoders must give where the answer is known: PCA before the first step, planes, circles, constants."""

import math

import pytest
import torch
from memory import prepare

from rs_cae.dynamics import Moments, explained_variance_pooled
from rs_cae.modules import AutoencoderModule, PCAModule

SAMPLES, SUBLAYERS, WIDTH = 200, 4, 16
SCOPES = ["shared", "per_sublayer"]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states(seed=0):
    """States whose norm grows with depth and whose mean is not zero; each sublayer has axes of its own."""
    spread = draw(SUBLAYERS, WIDTH, WIDTH, seed=seed + 100) * torch.linspace(1, 0.1, WIDTH)
    drawn = draw(SAMPLES, SUBLAYERS, WIDTH, seed=seed) + 0.5
    return torch.einsum("nsw,suw->nsu", drawn, spread) * torch.linspace(1, 4, SUBLAYERS)[:, None]


def principal(h, **options):
    """A PCA of all these states, by SVD."""
    module = PCAModule(WIDTH, SUBLAYERS, **options)
    module.reducer.standardizer.fit(Moments.of(h))
    rows = module.reducer.by_map(module.reducer.standardizer(h)).double()
    mean = rows.mean(dim=1)
    axes = torch.linalg.svd(rows - mean[:, None], full_matrices=False).Vh
    with torch.no_grad():
        module.reducer.mean.copy_(mean)
        module.reducer.directions.copy_(axes[:, : module.reducer.directions.shape[1]])
    return module


def explained(target, reconstruction):
    residual = target.double() - reconstruction.detach().double()
    return float(explained_variance_pooled(Moments.of(target), Moments.of(residual)))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("n_layers", [2, 6])
def test_training_begins_where_pca_ends(scope, tied, layer_norm, n_layers):
    h, options = states(), {"bottleneck": 3, "scope": scope}
    module = AutoencoderModule(WIDTH, SUBLAYERS, n_layers=n_layers, tied=tied, layer_norm=layer_norm, **options)
    prepare(module, h)
    standardized = module.reducer.standardizer(h)
    expected = principal(h, **options).reconstruct(standardized)
    torch.testing.assert_close(module._by_network(standardized), expected, rtol=0, atol=1e-5)
    latents = module.network.encode(module.reducer.by_map(standardized))
    # one number divides a map's latents, so that their mean square is one
    torch.testing.assert_close(latents.square().mean(dim=(1, 2)), torch.ones(len(latents)), rtol=0.01, atol=0)


@pytest.mark.parametrize("scope", SCOPES)
def test_states_of_rank_three_are_kept_by_three_latents_and_not_by_two(scope):
    planes = draw(SUBLAYERS if scope == "per_sublayer" else 1, 3, WIDTH, seed=1)
    h = (draw(SAMPLES, SUBLAYERS, 1, 3) @ planes).squeeze(2)
    for bottleneck in (3, 2):
        linear = {"activation": "identity", "n_layers": 4, "bottleneck": bottleneck, "scope": scope}
        autoencoder = prepare(AutoencoderModule(WIDTH, SUBLAYERS, **linear, seed=0), h)
        standardized = autoencoder.reducer.standardizer(h)
        pca = principal(h, bottleneck=bottleneck, scope=scope).reconstruct(standardized)
        for found in (autoencoder._by_network(standardized), pca):
            assert (explained(standardized, found) > 0.99999) == (bottleneck == 3)
            assert explained(standardized, found) > 0.5


def trained(h, steps, lr, **options):
    """A module after some steps on all these states."""
    module = prepare(AutoencoderModule(h.shape[2], h.shape[1], seed=0, **options), h)
    standardized = module.reducer.standardizer(h)
    optimizer = torch.optim.Adam(module.network.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        (module.reducer.maps * module._loss(module._by_network(standardized), standardized)).backward()
        optimizer.step()
    return module


@pytest.mark.parametrize("scope", SCOPES)
def test_random_weights_find_a_planted_plane(scope):
    train, test = (draw(SAMPLES, SUBLAYERS, 2, seed=seed) @ torch.eye(2, WIDTH) for seed in (0, 1))
    options = {"n_layers": 2, "init": "random", "activation": "identity", "scope": scope, "standardize": "none"}
    two, one = (trained(train, 300, 1e-2, bottleneck=bottleneck, **options) for bottleneck in (2, 1))
    assert explained(test, two._by_network(test)) > 0.999
    # negative control: both directions of the plane have the same variance, so a line explains about a half
    assert 0.4 < explained(test, one._by_network(test)) < 0.65


@pytest.mark.parametrize("init", ["pca", "random"])
def test_a_circle_is_kept_by_two_latents_and_torn_by_one(init):
    plane = torch.linalg.qr(draw(8, 2, seed=1)).Q.T

    def circle(points):
        angles = torch.arange(points) * (2 * math.pi / points)
        return (torch.stack([angles.cos(), angles.sin()], dim=1) @ plane).unflatten(0, (-1, 2))

    options = {"n_layers": 4, "widths": [16, 16], "init": init, "standardize": "none"}
    modules = [trained(circle(128), 300, 5e-3, bottleneck=bottleneck, **options) for bottleneck in (2, 1)]
    fresh = circle(100_000)
    two, one = (module._by_network(fresh).detach() for module in modules)
    assert explained(fresh, two) > 0.99
    assert (fresh - two).norm(dim=-1).max() < 0.3
    # one number that varies continuously along a circle is the same at the ends of some diameter (Borsuk and Ulam):
    # of these two points, 2 apart, it misses one by the radius or more, however well it does elsewhere
    assert explained(fresh, one) < explained(fresh, two) - 0.005
    assert (fresh - one).norm(dim=-1).max() > 0.95


@pytest.mark.parametrize("jitter", [0, 1e-7])
@pytest.mark.parametrize("loss", ["mse", "relative"])
def test_a_sublayer_that_does_not_vary_does_no_harm(loss, jitter):
    h = states()
    # such as the embedding of the full stop with which all texts end, to the last digit of float32
    h[:, 1] = draw(WIDTH) * 3 * (1 + jitter * draw(SAMPLES, 1))
    module = trained(h, 50, 2e-3, scope="per_sublayer", loss=loss, n_layers=4)
    assert module.loss_weight[1] == 1
    standardized = module.reducer.standardizer(h)
    losses = module.loss_by_map((module._by_network(standardized) - standardized).square().mean(dim=(0, 2)))
    assert losses[1] < 1e-4
    assert losses.isfinite().all()


@pytest.mark.parametrize("tied", [False, True])
def test_training_leaves_the_pca_that_it_begins_as(tied):
    # a tied decoder whose first weights were 0 would be linear in them, and stay
    angle = 2 * math.pi * torch.arange(64) / 64
    circle = torch.stack([angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()], dim=-1)
    states = (circle @ draw(4, WIDTH, seed=3))[:, None].expand(-1, SUBLAYERS, -1).clone()
    module = prepare(AutoencoderModule(WIDTH, SUBLAYERS, 2, tied=tied, seed=0), states)
    standardized = module.reducer.standardizer(states)
    optimizer, losses = torch.optim.AdamW(module.network.parameters(), 8e-3), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = module._loss(module._by_network(standardized), standardized)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.6 * losses[0]

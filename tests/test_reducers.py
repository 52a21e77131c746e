"""Standardization, and what the autoencoder's constructor refuses."""

import pytest
import torch

from rs_cae.dynamics import Moments
from rs_cae.reducers import CompressingAutoencoder, Standardizer, geometric_widths

SAMPLES, SUBLAYERS, WIDTH = 200, 6, 16


def states(seed=0):
    """States whose norm grows eight-fold with depth and whose mean is not zero."""
    raw = torch.randn(SAMPLES, SUBLAYERS, WIDTH, generator=torch.Generator().manual_seed(seed)) + 0.5
    return raw * torch.linspace(1, 8, SUBLAYERS)[:, None]


def fitted(mode):
    standardizer = Standardizer(WIDTH, SUBLAYERS, mode)
    standardizer.fit(Moments.of(states()))
    return standardizer


def test_widths_fall_by_a_constant_factor():
    assert geometric_widths(4096, 2, 5) == [4096, 891, 194, 42, 9, 2]
    assert geometric_widths(64, 1, 1) == [64, 1]
    assert geometric_widths(81, 1, 4) == [81, 27, 9, 3, 1]


@pytest.mark.parametrize("bottleneck", [0, -1, WIDTH, WIDTH + 1])
def test_bottleneck_out_of_range_is_refused_by_name(bottleneck):
    with pytest.raises(ValueError, match=f"bottleneck {bottleneck} must be at least 1 and below the width {WIDTH}"):
        CompressingAutoencoder(WIDTH, SUBLAYERS, bottleneck)


@pytest.mark.parametrize("n_layers", [-2, 0, 1, 3, 9])
def test_odd_or_missing_layers_are_refused_by_name(n_layers):
    with pytest.raises(ValueError, match=f"n_layers {n_layers} must be even and at least 2"):
        CompressingAutoencoder(WIDTH, SUBLAYERS, n_layers=n_layers)


def test_unknown_standardization_is_refused():
    with pytest.raises(ValueError, match="'zscore' is none of none, global, per_sublayer"):
        Standardizer(WIDTH, SUBLAYERS, "zscore")


def test_shapes_of_latents_and_reconstructions():
    reducer = CompressingAutoencoder(WIDTH, SUBLAYERS, 3)
    latents = reducer.encode(states())
    assert latents.shape == (SAMPLES, SUBLAYERS, 3)
    assert reducer.decode(latents).shape == (SAMPLES, SUBLAYERS, WIDTH)
    assert reducer.encode(states()[0]).shape == (SUBLAYERS, 3)
    assert reducer.encode(states().bfloat16()).dtype == torch.float32


def test_one_latent_space_for_all_sublayers():
    reducer = CompressingAutoencoder(WIDTH, SUBLAYERS, 2, standardize="none")
    same = torch.randn(4, 1, WIDTH, generator=torch.Generator().manual_seed(1)).expand(-1, SUBLAYERS, -1)
    latents = reducer.encode(same)
    # rows of one matrix product may be summed in another order: float32, latents of size 1
    torch.testing.assert_close(latents, latents[:, :1].expand_as(latents), rtol=0, atol=1e-5)


def test_per_sublayer_divides_by_rms_and_centres_nothing():
    standardizer, h = fitted("per_sublayer"), states()
    rms = h.double().square().mean(dim=(0, 2)).sqrt()
    # the buffers are float32: 2^-24 relative, and one division
    torch.testing.assert_close(standardizer(h).double(), h.double() / rms[:, None], rtol=3e-7, atol=0)
    assert (standardizer.offset == 0).all()
    assert standardizer(h).mean(dim=(0, 2)).min() > 0.2  # the mean trajectory is still there


def test_global_takes_the_mean_and_one_number():
    standardizer, h = fitted("global"), states()
    offset = h.double().mean(dim=(0, 1))
    rms = (h.double() - offset).square().mean().sqrt()
    # float32 subtraction: 2^-23 of states up to 40, over an RMS of 5
    torch.testing.assert_close(standardizer(h).double(), (h.double() - offset) / rms, rtol=0, atol=5e-6)
    assert len(standardizer.scale.unique()) == 1


def test_none_changes_nothing():
    h = states()
    assert torch.equal(fitted("none")(h), h)


@pytest.mark.parametrize("mode", ["none", "global", "per_sublayer"])
def test_inverse_undoes_standardization(mode):
    standardizer, h = fitted(mode), states()
    # four roundings of 2^-24 of numbers up to 40
    torch.testing.assert_close(standardizer.inverse(standardizer(h)), h, rtol=0, atol=4 * 40 * 2**-24)


@pytest.mark.parametrize("mode", ["global", "per_sublayer"])
def test_fitting_is_remembered_in_the_state_dict(mode):
    fresh = Standardizer(WIDTH, SUBLAYERS, mode)
    fresh.load_state_dict(fitted(mode).state_dict())
    assert torch.equal(fresh(states()), fitted(mode)(states()))


def test_a_sublayer_of_zeros_is_left_alone():
    h = states()
    h[:, 0] = 0
    standardizer = Standardizer(WIDTH, SUBLAYERS)
    standardizer.fit(Moments.of(h))
    assert standardizer.scale[0] == 1
    assert (standardizer(h)[:, 0] == 0).all()

"""Pearson's r of units between sublayers, from moments that merge: against NumPy, and of processes with a known r."""

import numpy as np
import pytest
import torch

from rs_cae.dynamics import TransitionMoments, correlation, correlation_of_unrelated_updates
from rs_cae.metrics import UnitBootstrap

SAMPLES, SUBLAYERS, WIDTH = 983, 4, 5

# Deviations from the mean are exact to 1e-16 of the value, of which unit 0 has 1e4 at a deviation of 1
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def planted(dtype=torch.float32, seed=0):
    """Walks whose units differ in scale; unit 0 has mean 1e4."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(SAMPLES, SUBLAYERS, WIDTH, generator=generator).cumsum(1) * torch.arange(1, WIDTH + 1)
    states[:, :, 0] += 1e4
    return states.to(dtype)


def r_of(states):
    return correlation(TransitionMoments.of(states))


def by_numpy(states):
    h = states.double().numpy()
    transitions, units = range(h.shape[1] - 1), range(h.shape[2])
    with np.errstate(invalid="ignore"):
        return np.array([[np.corrcoef(h[:, t, u], h[:, t + 1, u])[0, 1] for u in units] for t in transitions])


def pairs(start, end):
    """Trajectories [samples, 2, units]."""
    return torch.stack([start, end], dim=1)


def assert_same(moments, other):
    for field, expected in zip(moments, other, strict=True):
        torch.testing.assert_close(field, expected, equal_nan=True, **EXACT)


def standard_error(r):
    """Of the estimate of r from so many Gaussian samples."""
    return (1 - r**2) / SAMPLES**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_r_and_the_moments_are_numpy_s(dtype):
    states = planted(dtype)
    moments = TransitionMoments.of(states)
    h = states.double().numpy()
    assert moments.count == SAMPLES
    np.testing.assert_allclose(moments.mean, h.mean(0), **EXACT)
    np.testing.assert_allclose(moments.squared_deviations / SAMPLES, h.var(0), **EXACT)
    covariance = ((h - h.mean(0))[:, 1:] * (h - h.mean(0))[:, :-1]).mean(0)
    np.testing.assert_allclose(moments.products / SAMPLES, covariance, **EXACT)
    assert np.array_equal(moments.lowest, h.min(0))
    assert np.array_equal(moments.highest, h.max(0))
    assert correlation(moments).shape == (SUBLAYERS - 1, WIDTH)
    np.testing.assert_allclose(correlation(moments), by_numpy(states), **EXACT)


def test_raw_moments_would_not_do():
    """Negative control: E[xy] - E[x] E[y] misses at a mean of 1e4."""
    h = planted().double()
    mean, square, product = h.mean(0), h.square().mean(0), (h[:, 1:] * h[:, :-1]).mean(0)
    variance = square - mean.square()
    r = (product - mean[1:] * mean[:-1]) / (variance[1:] * variance[:-1]).sqrt()
    assert ((r - r_of(planted()))[:, 0].abs() > 1e-9).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_states_are_left_as_they_were(dtype):
    states = planted(dtype)
    TransitionMoments.of(states)
    assert torch.equal(states, planted(dtype))


@pytest.mark.parametrize("size", [1, 2, 100, SAMPLES])
def test_parts_merge_to_the_whole_in_any_order(size):
    whole = TransitionMoments.of(planted())
    parts = [TransitionMoments.of(part) for part in planted().split(size)]
    assert_same(TransitionMoments.merge(*parts), whole)
    assert_same(TransitionMoments.merge(*reversed(parts)), whole)
    halves = [TransitionMoments.merge(*some) for some in (parts[::2], parts[1::2]) if some]
    assert_same(TransitionMoments.merge(*halves), whole)


def test_no_samples_add_nothing():
    part, nothing = TransitionMoments.of(planted()), TransitionMoments.zeros(SUBLAYERS, WIDTH)
    assert_same(TransitionMoments.merge(nothing, nothing, part, nothing), part)
    assert TransitionMoments.merge(nothing, nothing).count == 0
    assert correlation(TransitionMoments.merge(nothing, nothing)).isnan().all()
    assert correlation_of_unrelated_updates(nothing).isnan().all()


def test_known_answers():
    x = torch.tensor([[1.0], [2.0], [3.0]])
    assert r_of(pairs(x, x * 3 + 5)).item() == 1
    assert r_of(pairs(x, -x)).item() == -1
    assert r_of(pairs(x, torch.tensor([[2.0], [3.0], [1.0]]))).item() == -0.5
    assert r_of(pairs(x, torch.tensor([[1.0], [-2.0], [1.0]]))).item() == 0


def test_r_never_leaves_its_bounds():
    x = torch.randn(50, 3000, generator=torch.Generator().manual_seed(0))
    assert r_of(pairs(x, x / 3)).max() == 1
    assert r_of(pairs(x, -x / 3)).min() == -1


def test_offset_and_scale_do_not_matter():
    states = planted(torch.float64) - torch.tensor([1e4, 0, 0, 0, 0])
    scale = torch.tensor([1.0, -2.0, 3.0, 0.1])[:, None]
    changed = r_of(states * scale + torch.tensor([5.0, 300.0, -7.0, 0.0])[:, None])
    torch.testing.assert_close(changed, r_of(states) * torch.tensor([-1.0, -1.0, 1.0])[:, None], **EXACT)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e4 + 1 / 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_unit_of_one_value_has_no_r(value, dtype):
    """Though the mean of many a 0.1 is not quite 0.1."""
    states = planted(dtype)
    states[:, 1, 2] = value
    for found in (
        TransitionMoments.of(states.clone()),
        TransitionMoments.merge(*map(TransitionMoments.of, states.clone().split(7))),
    ):
        assert found.constant.nonzero().tolist() == [[1, 2]]
        for function in (correlation, correlation_of_unrelated_updates):
            assert function(found).isnan().nonzero().tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_unit_may_be_constant_in_each_part_and_vary_all_the_same(dtype):
    states = planted(dtype)[:20]
    states[:10, 1, 0], states[10:, 1, 0] = 1, 2
    moments = TransitionMoments.merge(*map(TransitionMoments.of, states.clone().split(10)))
    assert not moments.constant.any()
    np.testing.assert_allclose(correlation(moments), by_numpy(states), **EXACT)


def test_two_samples_lie_on_a_line_and_one_nowhere():
    states = torch.tensor([[[0.0, 5.0], [1.0, 1.0]], [[2.0, 7.0], [3.0, 0.5]]])
    assert r_of(states).tolist() == [[1, -1]]
    assert r_of(states[:1]).isnan().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("batch", [50, SAMPLES])
def test_what_is_not_finite_stays_in_its_unit(bad, batch):
    states = planted()
    states[100, 2, 3] = bad
    moments = TransitionMoments.merge(*map(TransitionMoments.of, states.split(batch)))
    for function in (correlation, correlation_of_unrelated_updates):
        found, clean = function(moments), function(TransitionMoments.of(planted()))
        assert found.isnan().nonzero().tolist() == [[1, 3], [2, 3]]
        torch.testing.assert_close(found[:, :3], clean[:, :3], **EXACT)


@pytest.mark.parametrize("r", [-0.9, 0.0, 0.6, 0.99])
def test_r_of_gaussians_is_theirs(r):
    x, noise = torch.randn(2, SAMPLES, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = r_of(pairs(x, r * x + (1 - r**2) ** 0.5 * noise))
    # a mean over 200 units, biased by r (1 - r^2) / 2N, which is far below its own error
    assert abs(found.mean() - r) < 4 * standard_error(r) / 200**0.5
    assert abs(found.std() / standard_error(r) - 1) < 4 / (2 * 200) ** 0.5


def updated(pull, units=200):
    """States x and x - pull x + noise: of updates that have nothing to do with the state, where there is no pull."""
    x, noise = torch.randn(2, SAMPLES, units, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return pairs(x, x - pull * x + 0.7 * noise)


def exchanged(states):
    """The r when each sample gets the update of another one."""
    update = states[:, 1] - states[:, 0]
    return r_of(pairs(states[:, 0], states[:, 0] + update.roll(1, dims=0)))


@pytest.mark.parametrize("pull", [0.0, 0.8, -0.5])
def test_unrelated_updates_have_the_r_of_exchanged_ones(pull):
    states = updated(pull)
    expected = correlation_of_unrelated_updates(TransitionMoments.of(states.clone()))
    gap = (exchanged(states) - expected).flatten()
    assert abs(gap.mean()) < 4 * gap.std() / len(gap) ** 0.5
    assert abs(expected.mean() - 1 / (1 + pull**2 + 0.49) ** 0.5) < 0.01


def test_r_tells_related_updates_from_unrelated_ones():
    gaps = []
    for pull in (0.0, 0.8, -0.5):
        moments = TransitionMoments.of(updated(pull))
        gaps.append((correlation(moments) - correlation_of_unrelated_updates(moments)).flatten())
    assert abs(gaps[0].mean()) < 4 * gaps[0].std() / len(gaps[0]) ** 0.5
    assert gaps[1].max() < -0.3  # a pull to the origin: less alike than a sum of unrelated terms
    assert gaps[2].min() > 0.05  # growth along the state: more alike
    assert all(bool((gap > -1).all()) for gap in gaps)


def test_states_that_stay_have_an_r_of_one_either_way():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    moments = TransitionMoments.of(pairs(x, x))
    for function in (correlation, correlation_of_unrelated_updates):
        torch.testing.assert_close(function(moments), torch.ones(1, 3, dtype=torch.float64), **EXACT)


def resampled(states, texts):
    """Mean activations and both correlations, then those of 400 draws of the texts; of each unit by itself."""
    found = []
    for unit in states.split(1, dim=2):
        metric = UnitBootstrap(unit.shape[1], 1, draws=400)
        metric.update(unit, texts)
        found.append(metric.compute())
    return [torch.stack(values, dim=-1) for values in zip(*found, strict=True)]


@pytest.mark.parametrize("pull", [0.0, 0.8])
def test_resamples_deviate_by_the_standard_error(pull):
    states = updated(pull, units=20)
    mean, r, _ = resampled(states, torch.arange(SAMPLES))
    # a mean over units: each deviation is uncertain by 1 / sqrt(2 * 400) of itself, and units share the draws
    error = states.std(dim=0) / SAMPLES**0.5
    assert abs((mean[1:, ..., 0, :].std(dim=0) / error).mean() - 1) < 0.04
    assert abs((r[1:].std(dim=0) / standard_error(r_of(states.clone()))).mean() - 1) < 0.06
    assert ((mean[1:, ..., 0, :].mean(dim=0) - states.mean(dim=0)).abs() < 5 * error / 400**0.5).all()


def test_samples_of_one_text_are_drawn_together():
    states, texts = updated(0.8, units=10)[:200], torch.arange(200)
    repeated = states.repeat_interleave(4, dim=0)
    together, apart = (resampled(repeated, labels) for labels in (texts.repeat_interleave(4), torch.arange(800)))
    for field, once in enumerate(resampled(states, texts)):
        torch.testing.assert_close(together[field], once, **EXACT)  # copies add no certainty
        ratio = together[field][1:].std(dim=0) / apart[field][1:].std(dim=0)
        assert abs(ratio.mean() - 2) < 0.1

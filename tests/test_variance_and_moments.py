"""Moments, explained variance and intervals against NumPy, SciPy and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchmetrics import ExplainedVariance

from rs_cae.dynamics import (
    Moments,
    bootstrap_mean_interval,
    explained_variance,
    explained_variance_pooled,
    jackknife_interval,
    layer_distance,
    r2,
    r2_pooled,
    velocity,
)
from rs_cae.dynamics.variance import r2_of_sublayer_means

SAMPLES, SUBLAYERS, WIDTH = 983, 4, 5

# Moments in float64: x - mean is exact to 1e-16 of itself, and rounding of the mean enters the squared deviations only
# in second order. At a mean of 1e4 running means drift by some 1e-11 of a unit deviation, of which signs cancel.
# E[x^2] - E[x]^2 would be off by 1e8 * 1e-16 = 1e-8.
EXACT = {"rtol": 1e-12, "atol": 0}


def planted(seed=0):
    """States whose sublayers differ in mean and scale; unit 0 has mean 1e4 and variance 1; float32."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(SAMPLES, SUBLAYERS, WIDTH, generator=generator)
    states = states * torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None] + torch.arange(SUBLAYERS)[:, None]
    states[:, :, 0] = 1e4 + torch.randn(SAMPLES, SUBLAYERS, generator=generator)
    return states


def noisy(states, size=0.5, seed=1):
    return states.double() + size * torch.randn(states.shape, generator=torch.Generator().manual_seed(seed))


def moments_of(states, reconstructions):
    return Moments.of(states), Moments.of(states.double() - reconstructions.double())


def assert_same(moments, other):
    for field, expected in zip(moments, other, strict=True):
        torch.testing.assert_close(field, expected, equal_nan=True, **EXACT)


def assert_numpy(moments, states):
    """Every group's moments against NumPy's two passes over a list of samples."""
    for group, samples in enumerate(np.asarray(part, dtype=np.float64) for part in states):
        assert moments.count[group] == len(samples)
        np.testing.assert_allclose(moments.mean[group], samples.mean(0), **EXACT)
        np.testing.assert_allclose(moments.variance[group], samples.var(0), **EXACT)
        # squares adds two sums of 1e3 positive terms, each exact to 1e-15
        np.testing.assert_allclose(moments.squares[group], (samples**2).sum(0), **EXACT)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 982, 983])
def test_any_batch_split_equals_numpy_on_the_whole(batch_size):
    states = planted()
    running = Moments.zeros(1, SUBLAYERS, WIDTH)
    for batch in states.split(batch_size):
        running = Moments.merge(running, Moments.of(batch))
    assert_numpy(running, [states])


def test_groups_equal_numpy_group_by_group():
    states, group = planted(), torch.arange(SAMPLES) % 7
    assert_numpy(Moments.of(states, group, 7), [states[group == number] for number in range(7)])


def test_merge_order_does_not_matter():
    parts = [Moments.of(part) for part in planted().split([3, 500, 1, 479])]
    forward, backward = Moments.merge(*parts), Moments.merge(*parts[::-1])
    pairwise = Moments.merge(Moments.merge(parts[2], parts[0]), Moments.merge(parts[3], parts[1]))
    assert_same(forward, backward)
    assert_same(forward, pairwise)


def test_merge_keeps_groups_apart():
    states, group = planted(), torch.arange(SAMPLES) % 3
    halves = [Moments.of(states[part], group[part], 3) for part in (slice(0, 400), slice(400, None))]
    assert_same(Moments.merge(*halves), Moments.of(states, group, 3))


def test_pooled_groups_equal_the_whole():
    states = planted()
    assert_numpy(Moments.of(states, torch.arange(SAMPLES) % 7, 7).pooled(), [states])


def test_empty_groups_have_no_variance_and_change_nothing():
    states = planted()
    moments = Moments.of(states, torch.full((SAMPLES,), 2), 4)
    assert moments.count.tolist() == [0, 0, SAMPLES, 0]
    assert moments.variance[[0, 1, 3]].isnan().all()
    assert (moments.mean[[0, 1, 3]] == 0).all()
    assert_numpy(moments.pooled(), [states])
    empty = Moments.zeros(1, SUBLAYERS, WIDTH)
    assert_same(Moments.merge(empty, empty), empty)
    assert_numpy(Moments.merge(empty, Moments.of(states), empty), [states])


def test_leave_one_out_equals_numpy_without_each_group():
    states, group = planted(), torch.arange(SAMPLES) % 5
    moments = Moments.of(states, group, 5).leave_one_out()
    assert_numpy(moments, [states[group != number] for number in range(5)])


def test_mean_predictor_scores_zero_and_perfect_one():
    states = planted()
    mean = states.double().mean(0).expand(states.shape)
    for score in (explained_variance, r2):
        # residuals repeat the states' deviations: rounding of a mean of 1e4 is 1e-12 of a unit deviation
        torch.testing.assert_close(score(*moments_of(states, mean)), torch.zeros(1, SUBLAYERS).double(), **loose(1e-11))
        assert (score(*moments_of(states, states)) == 1).all()
    # the pooled ratio is of the same sums
    assert abs(float(explained_variance_pooled(*moments_of(states, mean)))) < 1e-11
    assert float(explained_variance_pooled(*moments_of(states, states))) == 1
    assert float(r2_pooled(*moments_of(states, states))) == 1


def loose(tolerance):
    return {"rtol": 0, "atol": tolerance}


def test_explained_variance_and_r2_equal_numpy():
    states = planted()
    reconstructions = noisy(states) + 0.3
    h, residual = states.double().numpy(), (states.double() - reconstructions).numpy()
    moments = moments_of(states, reconstructions)
    variances, errors = h.var(0).sum(-1), (residual**2).mean(0).sum(-1)
    np.testing.assert_allclose(explained_variance(*moments)[0], 1 - residual.var(0).sum(-1) / variances, **loose(1e-12))
    np.testing.assert_allclose(r2(*moments)[0], 1 - errors / variances, **loose(1e-12))


def test_constant_bias_is_forgiven_by_explained_variance_alone():
    states = planted()
    biased = states.double() + 2.0
    assert (explained_variance(*moments_of(states, biased)) == 1).all()  # float32 + 2 is exact in float64
    bias_over_variance = WIDTH * 2.0**2 / states.double().numpy().var(0).sum(-1)
    np.testing.assert_allclose(r2(*moments_of(states, biased))[0], 1 - bias_over_variance, **loose(1e-12))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_states_that_do_not_vary_give_nan_not_infinity(value):
    states = planted()
    states[:, 1] = value
    scores = moments_of(states, noisy(states))
    for score in (explained_variance(*scores)[0], r2(*scores)[0]):
        assert score.isnan().tolist() == [False, True, False, False]
    split = Moments.zeros(1, SUBLAYERS, WIDTH)
    for batch in states.split(7):
        split = Moments.merge(split, Moments.of(batch))
    assert explained_variance(split, scores[1])[0].isnan().tolist() == [False, True, False, False]
    constant = torch.full_like(states, value)
    for score in (explained_variance_pooled, r2_pooled):
        assert score(*moments_of(constant, noisy(constant))).isnan().all()


@pytest.mark.parametrize("scale", [None, torch.tensor([1.0, 2.0, 4.0, 8.0])])
def test_pooled_is_the_ratio_of_sums_not_the_mean_of_ratios(scale):
    states = planted()
    reconstructions = noisy(states, size=2.0)
    divided = 1.0 if scale is None else scale.double().numpy()[:, None]
    h, residual = states.double().numpy() / divided, (states.double() - reconstructions).numpy() / divided
    expected = 1 - residual.var(0).sum() / h.var(0).sum()
    moments = moments_of(states, reconstructions)
    if scale is not None:
        moments = [part.rescaled(scale[:, None], torch.randn(WIDTH)) for part in moments]  # an offset changes nothing
    np.testing.assert_allclose(explained_variance_pooled(*moments), [expected], **loose(1e-12))
    assert abs(float(explained_variance(*moments).mean()) - expected) > 0.01  # negative control: they differ here


def test_pooled_r2_is_about_the_grand_mean():
    states = planted()
    reconstructions = noisy(states) + 0.3
    h, residual = states.double().numpy(), (states.double() - reconstructions).numpy()
    total = ((h - h.mean((0, 1))) ** 2).sum()
    np.testing.assert_allclose(r2_pooled(*moments_of(states, reconstructions)), [1 - (residual**2).sum() / total])


def test_r2_of_sublayer_means_is_what_that_predictor_scores():
    states = planted()
    h = states.double().numpy()
    within, total = ((h - h.mean(0)) ** 2).sum(), ((h - h.mean((0, 1))) ** 2).sum()
    score = r2_of_sublayer_means(Moments.of(states))
    np.testing.assert_allclose(score, [1 - within / total], **loose(1e-12))
    assert float(score) > 0.01  # sublayers differ in their means, so a null of 0 would be wrong
    mean = states.double().mean(0).expand(states.shape)
    torch.testing.assert_close(score, r2_pooled(*moments_of(states, mean)), **loose(1e-11))


def test_explained_variance_is_torchmetrics_variance_weighted():
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(SAMPLES, WIDTH, generator=generator, dtype=torch.float64) * torch.arange(1, WIDTH + 1)
    reconstructions = states + 0.2 + torch.randn(states.shape, generator=generator)
    other = ExplainedVariance(multioutput="variance_weighted")
    for start in range(0, SAMPLES, 100):
        other.update(reconstructions[start : start + 100], states[start : start + 100])
    ours = explained_variance(*moments_of(states[:, None], reconstructions[:, None]))
    # torchmetrics sums squares about zero, harmless at a mean of 0: 1e3 terms exact to 1e-16 each
    assert abs(float(ours) - float(other.compute())) < 1e-12


def test_scores_of_several_groups_keep_the_groups_axis():
    states, group = planted(), torch.arange(SAMPLES) % 3
    reconstructions = noisy(states)
    grouped = [Moments.of(part, group, 3) for part in (states, states.double() - reconstructions)]
    for score in (explained_variance, r2, explained_variance_pooled, r2_pooled):
        alone = [score(*moments_of(states[group == number], reconstructions[group == number])) for number in range(3)]
        torch.testing.assert_close(score(*grouped), torch.cat(alone), **loose(1e-12))


def test_jackknife_of_a_mean_with_groups_of_one_is_students_interval():
    values = planted()[:50, :, 1:].double()
    groups = Moments.of(values, torch.arange(50), 50)
    low, high = jackknife_interval(groups.pooled().mean[0], groups.leave_one_out().mean)
    expected = stats.t.interval(0.95, 49, loc=values.mean(0), scale=stats.sem(values, axis=0))
    # means without one of 50 differ by 1/49 of a deviation, so a spread of theirs is exact to 50 * 1e-16 or so
    np.testing.assert_allclose(np.stack([low, high]), expected, rtol=0, atol=1e-11)


def test_jackknife_of_fewer_than_two_groups_is_nan():
    whole = torch.ones(3, dtype=torch.float64)
    assert all(bound.isnan().all() for bound in jackknife_interval(whole, whole[None]))


def test_bootstrap_covers_the_true_mean_as_often_as_theory_says():
    samples, repeats, level = 100, 2000, 0.95
    values = 3 + 2 * torch.randn(samples, repeats, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    low, high = bootstrap_mean_interval(values, draws=1000, level=level)
    covered = ((low <= 3) & (high >= 3)).double().mean()
    # The interval is z population deviations over sqrt(n) to either side, and the mean's error follows Student's t.
    z = stats.norm.ppf((1 + level) / 2) * np.sqrt((samples - 1) / samples)
    expected = 1 - 2 * stats.t.sf(z, samples - 1)
    # 6 standard errors of a share of 2000 independent repeats: 0.03; without the 1/sqrt(n) coverage would be 1
    assert abs(covered - expected) < 6 * np.sqrt(expected * (1 - expected) / repeats)
    # Mean width: 6 standard errors of the two quantiles of 1000 draws, sqrt(p (1 - p) / draws) / density(z) each,
    # as if all repeats shared one error, which they do in part, since they are resampled together.
    quantile_error = np.sqrt(0.025 * 0.975 / 1000) / stats.norm.pdf(stats.norm.ppf(0.975))
    width = (high - low).mean() / (2 * 2 / np.sqrt(samples))
    assert abs(width - z) < 6 * quantile_error / np.sqrt(2)
    assert width > 0.5


def test_bootstrap_keeps_shape_and_depends_on_the_seed_alone():
    values = planted()
    low, high = bootstrap_mean_interval(values, draws=50, seed=1)
    assert low.shape == high.shape == (SUBLAYERS, WIDTH)
    assert low.dtype == torch.float64
    again = bootstrap_mean_interval(values, draws=50, seed=1)
    assert torch.equal(low, again[0])
    assert not torch.equal(low, bootstrap_mean_interval(values, draws=50, seed=2)[0])
    # columns are resampled together: a column's interval is the same alone as among others, up to a product's rounding
    # of 983 terms of 1e4 / 983
    alone = bootstrap_mean_interval(values[:, 1, 0], draws=50, seed=1)
    torch.testing.assert_close(torch.stack(alone), torch.stack([low, high])[:, 1, 0], rtol=1e-13, atol=0)


def test_velocity_and_layer_distance_equal_numpy():
    states = planted()
    h = states.double().numpy()
    expected = np.sqrt((np.diff(h, axis=1) ** 2).sum(-1))
    np.testing.assert_allclose(velocity(states.double()), expected, rtol=1e-13)
    np.testing.assert_allclose(layer_distance(states), expected.mean(0), rtol=1e-13)
    # not the distance of the means, which is smaller by the triangle inequality
    assert (layer_distance(states).numpy() > np.linalg.norm(np.diff(h.mean(0), axis=0), axis=-1)).all()


@pytest.mark.parametrize("function", [velocity, layer_distance])
@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 4), (2, 3, 4, 5)])
def test_kinematics_name_the_shape_they_refuse(function, shape):
    with pytest.raises(ValueError, match=f"at least 2 sublayers, got \\({shape[0]}, {shape[1]}"):
        function(torch.zeros(shape))

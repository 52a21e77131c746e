"""Intervals that draw whole texts, and which samples are outliers."""

import numpy as np
import pytest
import torch
from scipy import stats

from rs_cae.dynamics import (
    bootstrap_mean_interval,
    bootstrap_p,
    jackknife_interval,
    jackknife_p,
    norm_outliers,
    poisson_weights,
    standard_error_interval,
)
from rs_cae.metrics import ResampledMean


def grouped(texts=40, seed=0):
    """Values [samples, 3] of texts of one to nine samples, and the text of each."""
    generator = torch.Generator().manual_seed(seed)
    text_of = torch.arange(texts).repeat_interleave(torch.randint(1, 10, (texts,), generator=generator))
    return torch.randn(len(text_of), 3, generator=generator, dtype=torch.float64) + text_of[:, None] / 10, text_of


def assert_same(interval, expected):
    # sums of some hundred terms of order one, in another order: a few times 1e-16 each; blocks of a product likewise
    torch.testing.assert_close(torch.stack(interval), torch.stack(expected), rtol=0, atol=1e-12)


def differ(interval, other):
    return bool(((torch.stack(interval) - torch.stack(other)).abs() > 1e-3).all())


def test_the_interval_is_of_the_mean_over_samples_of_drawn_texts():
    """Against a resample put together text by text; texts differ in size, so means of texts would be another number."""
    values, text_of = grouped()
    chosen = torch.randint(40, (200, 40), generator=torch.Generator().manual_seed(5))
    drawn = [torch.cat([values[text_of == text] for text in row]) for row in chosen]
    means = np.stack([samples.mean(0).numpy() for samples in drawn])
    expected = torch.from_numpy(np.quantile(means, [0.05, 0.95], axis=0))
    assert_same(bootstrap_mean_interval(values, 200, 0.9, seed=5, texts=text_of), (*expected,))
    of_texts = [torch.stack([values[text_of == text].mean(0) for text in row]).mean(0).numpy() for row in chosen]
    assert differ((*expected,), (*torch.from_numpy(np.quantile(of_texts, [0.05, 0.95], axis=0)),))  # negative control


def test_without_texts_each_sample_is_its_own():
    values, _ = grouped()
    expected = bootstrap_mean_interval(values, draws=100)
    assert_same(bootstrap_mean_interval(values, draws=100, texts=torch.arange(len(values))), expected)
    # their numbers do not matter, but for their order
    assert_same(bootstrap_mean_interval(values, draws=100, texts=torch.arange(len(values)) * 7 + 100), expected)


def test_samples_may_come_in_any_order():
    values, text_of = grouped()
    shuffled = torch.randperm(len(values), generator=torch.Generator().manual_seed(1))
    expected = bootstrap_mean_interval(values, draws=100, texts=text_of)
    assert_same(bootstrap_mean_interval(values[shuffled], draws=100, texts=text_of[shuffled]), expected)
    assert differ(bootstrap_mean_interval(values, draws=100, texts=text_of[shuffled]), expected)  # negative control


def test_repeating_the_samples_of_texts_adds_no_certainty():
    values = grouped()[0][:40]
    repeated, texts = values.repeat_interleave(9, dim=0), torch.arange(40).repeat_interleave(9)
    expected = low, high = bootstrap_mean_interval(values)
    assert_same(bootstrap_mean_interval(repeated, texts=texts), expected)
    # negative control: as samples of their own they would seem to narrow it to a third, to 6 standard errors of the
    # two quantiles of 1000 draws, which are sqrt(p (1 - p) / draws) / density(z) of a standard error each
    naive_low, naive_high = bootstrap_mean_interval(repeated)
    z = stats.norm.ppf(0.975)
    error = np.sqrt(0.025 * 0.975 / 1000) / stats.norm.pdf(z) / z
    assert (((naive_high - naive_low) / (high - low) - 1 / 3).abs() < 6 * error * np.sqrt(2) / 3).all()


def test_coverage_of_samples_that_depend_on_each_other():
    """Values that texts share wholly: drawing texts covers the true mean as theory says, drawing samples far less."""
    count, repeats = 100, 2000
    shared = torch.randn(count, repeats, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    texts = torch.arange(count).repeat_interleave(4)
    shares = []
    for given in (texts, None):
        low, high = bootstrap_mean_interval(shared[texts], draws=1000, texts=given)
        shares.append(float(((low <= 0) & (high >= 0)).double().mean()))
    # z population deviations over sqrt(texts) to either side, while the mean's error follows Student's t; of samples a
    # half of that, as there are four times as many
    z = stats.norm.ppf(0.975) * np.sqrt((count - 1) / count)
    for share, reach in zip(shares, (z, z / 2), strict=True):
        expected = 1 - 2 * stats.t.sf(reach, count - 1)
        # 6 standard errors of a share of 2000 independent repeats
        assert abs(share - expected) < 6 * np.sqrt(expected * (1 - expected) / repeats)


def test_one_text_has_no_width():
    values, _ = grouped()
    low, high = bootstrap_mean_interval(values, draws=20, texts=torch.full((len(values),), 3))
    assert_same((low, high), (values.mean(0), values.mean(0)))


def test_many_numbers_are_each_resampled_as_they_would_be_alone():
    """They are worked off in blocks."""
    generator = torch.Generator().manual_seed(0)
    values, texts = torch.randn(12, 5, 1000, generator=generator), torch.arange(12) // 2
    low, high = bootstrap_mean_interval(values, draws=20, texts=texts)
    assert low.shape == high.shape == (5, 1000)
    for place in [(0, 0), (4, 95), (4, 96), (4, 999)]:  # 4 * 1000 + 96 is the first of the second block
        alone = bootstrap_mean_interval(values[:, *place], draws=20, texts=texts)
        assert_same(alone, (low[place], high[place]))


def test_outliers_exceed_their_own_sublayer_s_median_at_any_sublayer():
    generator = torch.Generator().manual_seed(0)
    norms = (1 + torch.rand(101, 4, generator=generator)) * torch.tensor([1.0, 10.0, 100.0, 1000.0])
    assert not norm_outliers(norms, factor=2.5).any()  # a median of the whole would be that of one of them
    norms[7, 0], norms[13, 3] = 10.0, 10000.0
    found = norm_outliers(norms, factor=2.5)
    assert found.dtype == torch.bool
    assert found.nonzero().flatten().tolist() == [7, 13]
    assert norm_outliers(norms, factor=1.0).float().mean() > 0.9  # half of them at each of four sublayers


@pytest.mark.parametrize("outlier", [10.0, 1e30])
def test_outliers_do_not_hide_each_other(outlier):
    norms = torch.ones(9, 1)
    norms[:4] = outlier  # so many that they lift the mean along with them
    assert norm_outliers(norms, factor=5).tolist() == [True] * 4 + [False] * 5
    assert not (norms > 5 * norms.mean(0)).any()


def test_a_norm_at_the_bound_is_no_outlier():
    norms = torch.tensor([[1.0], [1.0], [4.0]])
    assert norm_outliers(norms, factor=4).tolist() == [False, False, False]
    assert norm_outliers(norms, factor=3.99).tolist() == [False, False, True]


def test_the_p_of_a_bootstrapped_difference_is_uniform_where_there_is_none():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(60, 400, generator=generator, dtype=torch.float64)
    weights = poisson_weights(torch.arange(60), 999)
    p = bootstrap_p(weights @ values / weights.sum(dim=1, keepdim=True))
    assert stats.kstest(p.numpy(), "uniform").pvalue > 0.01
    shifted = bootstrap_p(weights @ (values + 0.5) / weights.sum(dim=1, keepdim=True))
    assert (shifted <= 0.05).double().mean() > 0.9
    assert shifted.min() == 2 / 1000


def test_the_p_of_a_difference_counts_what_is_known():
    differences = torch.tensor([[1.0, torch.nan], [2.0, torch.nan], [torch.nan, torch.nan], [-1.0, torch.nan]])
    p = bootstrap_p(differences)
    assert p[0] == 1.0
    assert p[1].isnan()
    assert bootstrap_p(torch.zeros(10)) == 1


def test_an_interval_by_standard_error_leaves_out_what_is_unknown():
    draws = torch.tensor([[1.0, 1.0], [3.0, torch.nan], [torch.nan, torch.nan]], dtype=torch.float64)
    low, high = standard_error_interval(torch.tensor([5.0, 5.0], dtype=torch.float64), draws)
    half = stats.t.ppf(0.975, 1) * np.sqrt(2)
    assert (low[0], high[0]) == (pytest.approx(5 - half), pytest.approx(5 + half))
    assert low[1].isnan()


def test_what_is_unknown_of_a_sample_does_not_count():
    metric = ResampledMean(2, draws=12)
    values = torch.tensor([[1.0, torch.nan], [3.0, 5.0], [torch.nan, torch.nan]])
    metric.update(values, torch.arange(3))
    assert metric.compute()[0].tolist() == [2.0, 5.0]
    weights = poisson_weights(torch.arange(3), 12)
    expected = (weights[:, 0] + 3 * weights[:, 1]) / (weights[:, 0] + weights[:, 1])
    torch.testing.assert_close(metric.compute()[1:, 0], expected, equal_nan=True)


def test_the_jackknifes_p_is_where_its_interval_ends_at_zero():
    whole, others = torch.tensor(1.3, dtype=torch.float64), 1.3 + 0.1 * torch.randn(12, dtype=torch.float64)
    p = float(jackknife_p(whole, others))
    assert float(jackknife_interval(whole, others, level=1 - p)[0]) == pytest.approx(0, abs=1e-9)
    assert jackknife_p(whole, others[:1]).isnan()

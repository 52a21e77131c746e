"""Mutual information of Gaussians, where it is known; against brute force and scikit-learn; of ties and of nothing."""

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.feature_selection import _mutual_info, mutual_info_regression

from rs_cae.dynamics import (
    half_samples,
    information,
    information_of_unrelated_updates,
    mutual_information,
    standard_error_interval,
    tied_share,
)
from rs_cae.dynamics.estimators import binned, gaussian, ksg

SAMPLES = 1000
ESTIMATORS = {"ksg": ksg, "binned": binned, "gaussian": gaussian}


def correlated(r, units=60, samples=SAMPLES, seed=0):
    """x and y [samples, units], jointly Gaussian."""
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, samples, units, generator=generator, dtype=torch.float64)
    return x, r * x + (1 - r**2) ** 0.5 * noise


def true_information(r):
    return -0.5 * np.log(1 - r**2)


def walk(units=40, sublayers=3, pull=0.0, samples=SAMPLES, seed=0):
    """[samples, sublayers, units]: each update is unrelated to the state, or pulls it to the origin."""
    generator = torch.Generator().manual_seed(seed)
    states = [torch.randn(samples, units, generator=generator, dtype=torch.float64)]
    for _ in range(sublayers - 1):
        states.append((1 - pull) * states[-1] + torch.randn(samples, units, generator=generator, dtype=torch.float64))
    return torch.stack(states, dim=1)


def brute_force(x, y):
    """Every distance of every pair of samples, of one unit."""
    x, y = (values.double().numpy() / values.double().numpy().std() for values in (x, y))
    apart = np.abs(x[:, None] - x), np.abs(y[:, None] - y)
    radius = np.sort(np.maximum(*apart), axis=1)[:, 3:4]  # the nearest is the sample itself
    counts = [(distances < radius).sum(1) for distances in apart]  # likewise the one of nx + 1
    return max(0, digamma(len(x)) + digamma(3) - sum(digamma(count).mean() for count in counts))


def by_bins(x, y, bins):
    """The plug-in estimate of one unit by NumPy's histogram of ranks, equal values sharing the lowest."""
    first, second = ((values[:, None] > values).sum(1) * bins // len(values) for values in (x.numpy(), y.numpy()))
    joint = np.histogram2d(first, second, bins=[np.arange(bins + 1)] * 2)[0]

    def entropy(cells):
        share = cells[cells > 0] / len(x)
        return -(share * np.log(share)).sum() + (len(share) - 1) / (2 * len(x))

    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)


def assert_close(found, expected, atol):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("r", [0.0, 0.3, 0.6, 0.9, -0.99])
def test_information_of_gaussians(r):
    x, y = correlated(r)
    for name, bias in (("ksg", 0.01 + 0.015 * true_information(r)), ("gaussian", 1 / SAMPLES)):
        found = ESTIMATORS[name](x, y)
        error = found.std()
        # each estimate, and more sharply their mean, up to what is known of the bias: of the floor, and of the method
        assert ((found - true_information(r)).abs() < 3 * error + bias).double().mean() > 0.95
        assert abs(found.mean() - true_information(r)) < 3 * error / len(found) ** 0.5 + bias


def test_the_floor_lifts_what_is_independent_by_a_hundredth():
    assert 0.005 < ksg(*correlated(0, units=200)).mean() < 0.015


def test_bins_are_right_where_little_is_shared_and_fall_short_where_much_is():
    for r in (0.0, 0.3, 0.6):
        assert abs(binned(*correlated(r)).mean() - true_information(r)) < 0.02
    assert 0.25 < true_information(0.99) - binned(*correlated(0.99)).mean() < 0.4


@pytest.mark.parametrize("r", [0.0, 0.6, 0.999])
@pytest.mark.parametrize("samples", [5, 50, SAMPLES])
def test_ksg_is_what_brute_force_finds(r, samples):
    x, y = correlated(r, units=5, samples=samples, seed=samples)
    x[:, 3], y[:, 4] = x[:, 3].exp(), x[:, 4].square() * 1e6 + y[:, 4]
    assert_close(ksg(x, y), [brute_force(x[:, unit], y[:, unit]) for unit in range(5)], 1e-12)


@pytest.mark.parametrize("r", [0.0, 0.6, 0.99])
def test_ksg_is_scikit_learn_s(r):
    x, y = (values.numpy() for values in correlated(r, units=5))
    found = ksg(torch.from_numpy(x), torch.from_numpy(y))
    for unit in range(5):
        a, b = x[:, unit], y[:, unit]
        assert abs(_mutual_info._compute_mi_cc(a / a.std(), b / b.std(), 3) - found[unit]) < 1e-10
        assert abs(mutual_info_regression(a[:, None], b, random_state=0)[0] - found[unit]) < 1e-6


@pytest.mark.parametrize("bins", [None, 2, 5])
def test_binned_is_numpy_s(bins):
    x, y = correlated(0.7, units=3, samples=407)
    x[:, 1], y[:, 1] = (x[:, 1] * 2).round(), (y[:, 1] * 2).round()  # equal values share a bin
    expected = [by_bins(x[:, unit], y[:, unit], bins or 9) for unit in range(3)]  # 9^2 cells of five samples
    assert_close(binned(x, y, bins), expected, 1e-12)


def test_gaussian_is_numpy_s():
    x, y = (values + 1e4 for values in correlated(0.7, units=3))
    expected = [true_information(np.corrcoef(x[:, unit], y[:, unit])[0, 1]) for unit in range(3)]
    np.testing.assert_allclose(gaussian(x, y), expected, rtol=1e-10)
    assert (gaussian(x, 3 * x) > 15).all()


def test_ties_of_low_precision_do_not_bias():
    x, y = correlated(0.6, units=30)
    rounded = [values.bfloat16().double() for values in (x, y)]
    assert tied_share(rounded[0][:, None]).min() > 0.1
    gap = ksg(*rounded) - ksg(x, y)
    assert gap.abs().max() < 0.05
    assert abs(gap.mean()) < 0.005
    coarse = [((values * 16).round() / 16) for values in (x, y)]
    for offset in (0, 2**24):
        assert (ksg(coarse[0] + offset, coarse[1]) - ksg(x, y)).abs().max() < 0.1
    # negative control: counted as they are, such ties bias it
    untreated = np.array([brute_force(*(values[:, unit] for values in coarse)) for unit in range(5)])
    assert np.abs(untreated - ksg(x, y)[:5].numpy()).min() > 0.1


def test_ties_are_broken_alike_each_time():
    x, y = (torch.randint(5, (SAMPLES, 10), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    found = ksg(x, y)
    assert torch.equal(ksg(x, y), found)
    assert not torch.equal(ksg(x, y, seed=1), found)
    assert (found < 0.05).all()  # the jitters of the two are unrelated
    assert ksg(x, x).min() > 1.2  # log 5 is shared; within a value all is noise
    x, y = correlated(1 - 1e-7, units=3)  # alike to 4e-4 of their scale, far above the jitter
    assert_close(ksg(torch.cat([x[1:2], x[1:]]), y), ksg(x, y), 0.02)


def test_independent_variables_have_zero_in_their_interval():
    x, y = correlated(0, units=20)
    rows = half_samples(torch.arange(SAMPLES))
    value, draws = ksg(x, y), torch.stack([ksg(x[some], y[some]) for some in rows])
    low, high = standard_error_interval(value, draws)
    assert ((low <= 0) & (high >= 0)).double().mean() >= 0.9
    related = torch.stack([ksg(x[some], (x + y)[some]) for some in rows])
    assert (standard_error_interval(ksg(x, x + y), related)[0] > 0).all()
    # negative control: what is drawn twice tells of itself
    again = torch.randint(SAMPLES, (SAMPLES,), generator=torch.Generator().manual_seed(0))
    assert ksg(x[again], y[again]).min() > 0.4


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_scale_offset_and_order_do_not_matter(estimate):
    x, y = correlated(0.6, units=5)
    found, shuffled = estimate(x, y), torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(2))
    assert_close(estimate(x * 3.7 + 100, y * 0.01 - 5), found, 1e-10)
    assert_close(estimate(x[shuffled], y[shuffled]), found, 1e-12)
    assert_close(estimate(y, x), found, 1e-12)
    if estimate is not binned:  # whose bins are unequal by one
        assert_close(estimate(-x, y), found, 1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, "constant"])
def test_only_pairs_with_a_unit_that_has_no_information_are_undefined(name, bad):
    states = walk(units=9, samples=70)
    clean = mutual_information(states, name)
    states[slice(None) if bad == "constant" else 17, 1, 5] = 0.1 if bad == "constant" else bad
    found = mutual_information(states, name)
    assert found.isnan().nonzero().tolist() == [[0, 5], [1, 5]]
    assert torch.equal(found[found.isfinite()], clean[found.isfinite()])


def test_three_neighbours_take_four_samples():
    states = walk(samples=4)
    assert mutual_information(states).isfinite().all()
    for samples in (1, 2, 3):
        assert mutual_information(states[:samples]).isnan().all()


@pytest.mark.parametrize("function", [mutual_information, information_of_unrelated_updates])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_neither_threads_nor_blocks_matter(function, name, monkeypatch):
    states = walk(units=11, samples=200).float()
    states[:, :, 3:6] = states[:, :, 3:6].bfloat16().float()
    found, seen = function(states, name), []
    threads = torch.get_num_threads()
    for block, number in ((1, 1), (4, 3), (100, 2)):
        monkeypatch.setattr(information, "UNITS_AT_ONCE", block)
        torch.set_num_threads(number)
        try:
            torch.testing.assert_close(function(states, name, progress=seen.append), found, rtol=0, atol=1e-15)
        finally:
            torch.set_num_threads(threads)
    assert seen == [1] * 11 + [4, 4, 3] + [11]


def test_units_meet_themselves_one_sublayer_on():
    states = walk(units=3, sublayers=4)
    expected = [[ksg(states[:, t, unit], states[:, t + 1, unit]) for unit in range(3)] for t in range(3)]
    assert torch.equal(mutual_information(states), torch.tensor(expected))


def test_every_sample_gets_another_one_s_update_of_all_units(monkeypatch):
    states, seen = torch.randint(1000, (50, 3, 9), generator=torch.Generator().manual_seed(0)), []
    monkeypatch.setitem(information.ESTIMATORS, "ksg", lambda x, y: seen.append((x, y)) or x[0])
    information_of_unrelated_updates(states)
    start, end = (torch.cat(parts, dim=-1) for parts in zip(*seen, strict=True))
    assert torch.equal(start, states[:, :-1].double())
    given, own = (end - start).flatten(1), states.double().diff(dim=1).flatten(1)
    origin = (given[:, None] == own).all(dim=-1).int().argmax(dim=1)
    assert torch.equal(given, own[origin])
    assert origin.sort().values.tolist() == list(range(50))
    assert (origin != torch.arange(50)).all()
    assert len((origin - torch.arange(50)).unique()) > 20  # at random, not the neighbour's
    information_of_unrelated_updates(states, seed=1)
    assert not torch.equal(seen[-1][1], seen[1][1])


def test_a_walk_has_the_information_of_unrelated_updates_and_a_pull_has_not():
    for name in ("ksg", "gaussian"):
        gap = (mutual_information(walk(), name) - information_of_unrelated_updates(walk(), name)).flatten()
        assert abs(gap.mean()) < 4 * gap.std() / len(gap) ** 0.5
        pulled = walk(sublayers=2, pull=0.5)
        # r of x and x / 2 + noise, and of x and x + other updates of variance 1 / 4 + 1
        for function, r in ((mutual_information, 0.2**0.5), (information_of_unrelated_updates, (1 / 2.25) ** 0.5)):
            found = function(pulled, name).flatten()
            assert abs(found.mean() - true_information(r)) < 4 * found.std() / len(found) ** 0.5 + 0.01
    assert true_information((1 / 2.25) ** 0.5) - true_information(0.2**0.5) > 0.15


def test_tied_share_by_hand():
    values = torch.tensor([[1, 1, 2, 3, 3, 3], [1, 2, 3, 4, 5, 6], [7, 7, 7, 7, 7, 7], [2, 1, 3, 1, 2, 9]]).T
    states = values[:, None].repeat(1, 2, 5)  # in more than one block
    expected = torch.tensor([5 / 6, 0, 1, 4 / 6], dtype=torch.float64).repeat(2, 5)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        assert torch.equal(tied_share(states.to(dtype)), expected)
    assert tied_share(states[:1].float()).sum() == 0

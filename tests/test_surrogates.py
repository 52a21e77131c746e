"""Nulls of the rotation count: what each keeps, what it says of walks and noise, and how often its p is wrong."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.stats import false_discovery_control

from rs_cae.dynamics import (
    SURROGATES,
    benjamini_hochberg,
    compare_with_surrogate,
    rotation_count,
    surrogate_counts,
    two_sided_p,
)
from rs_cae.dynamics.surrogates import HEADLINE, surrogate_turning

INCREMENTS = ("increment_sign_flip", "increment_shuffle", "increment_shuffle_within_kind")


def noise(sublayers, units, seed=0):
    return torch.randn(sublayers, units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def walks(sublayers, units, seed=0):
    return noise(sublayers, units, seed).cumsum(0)


def kinds_of(sublayers):
    return (["within", "across"] * sublayers)[: sublayers - 1]


def draw(name, transitions, number=0):
    kinds = np.array(kinds_of(transitions + 1))
    return SURROGATES[name].draw(np.random.default_rng([0, number]), kinds), kinds


def applied(drawn, values):
    return drawn.sign[:, None] * values[drawn.order]


def assert_mean(values, expected, slack=0.0):
    """To 4 standard errors of independent values."""
    assert abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5 + slack


def rank_three(sublayers, units, seed):
    """Units that are mixtures of three walks."""
    return walks(sublayers, 3, seed) @ noise(3, units, seed + 10**6)


def flipped_apart(traces, draws, seed):
    """Counts [draws, units] with every unit's signs drawn for itself."""
    steps = traces.diff(dim=0)
    signs = torch.randint(2, (draws, *steps.shape), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return rotation_count(torch.nn.functional.pad((signs * steps).cumsum(1), (0, 0, 1, 0)))


def p_of_the_mean(traces, draws, seed, name=HEADLINE):
    counts = surrogate_counts(traces, kinds_of(len(traces)), name, draws, seed)
    return compare_with_surrogate(rotation_count(traces), counts).unit_mean_p.item()


def assert_uniform(p, draws):
    """p is a multiple of 1 / (1 + draws): spread over the step below, it is uniform."""
    spread = np.asarray(p) - np.random.default_rng(0).random(len(p)) / (1 + draws)
    assert stats.kstest(spread, "uniform").pvalue > 0.01


def test_the_headline_null_comes_first():
    assert next(iter(SURROGATES)) == HEADLINE == "increment_sign_flip"


@pytest.mark.parametrize("transitions", [1, 2, 31])
def test_each_surrogate_keeps_what_it_says(transitions):
    steps, points = noise(transitions, 4).numpy(), noise(transitions + 1, 4).numpy()
    for number in range(5):
        drawn, kinds = draw("increment_sign_flip", transitions, number)
        assert np.array_equal(np.abs(applied(drawn, steps)), np.abs(steps))
        drawn, _ = draw("increment_shuffle", transitions, number)
        assert np.array_equal(np.sort(applied(drawn, steps), axis=0), np.sort(steps, axis=0))
        drawn, _ = draw("increment_shuffle_within_kind", transitions, number)
        for kind in set(kinds):
            found = applied(drawn, steps)[kinds == kind]
            assert np.array_equal(np.sort(found, axis=0), np.sort(steps[kinds == kind], axis=0))
        for name in ("layer_shuffle", "point_shuffle"):
            drawn, _ = draw(name, transitions, number)
            assert np.array_equal(np.sort(applied(drawn, points), axis=0), np.sort(points, axis=0))
        assert draw("gaussian_walk", transitions, number)[0].mixing.shape == (transitions, transitions)


def test_shuffles_and_flips_are_even():
    numbers = range(600)
    flips = np.stack([draw("increment_sign_flip", 6, number)[0].sign for number in numbers])
    assert stats.chisquare(np.bincount(((flips + 1) / 2 @ 2 ** np.arange(6)).astype(int), minlength=64)).pvalue > 0.01
    for name, length, rows in (
        ("increment_shuffle", 6, range(6)),
        ("increment_shuffle_within_kind", 6, (0, 2, 4)),
        ("layer_shuffle", 7, range(7)),
        ("point_shuffle", 7, range(7)),
    ):
        orders = np.stack([draw(name, 6, number)[0].order for number in numbers])
        assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(length), (600, 1)))
        for row in rows:
            counts = np.bincount(orders[:, row], minlength=length)
            assert stats.chisquare(counts[list(rows)]).pvalue > 0.001
    assert (orders[:, 0] != orders[:, 1]).all()


def test_a_gaussian_walk_has_the_size_and_the_correlations_of_the_steps():
    steps = noise(31, 2).numpy() * np.linspace(0.1, 4, 31)[:, None] + 0.5
    steps[:, 1] += steps[:, 0]
    mixed = np.stack([draw("gaussian_walk", 31, number)[0].mixing @ steps for number in range(400)])
    for unit in range(2):
        assert_mean((mixed[:, :, unit] ** 2).mean(1), (steps[:, unit] ** 2).mean())
        assert_mean(mixed[:, :, unit].mean(1), 0)
    assert_mean((mixed[:, :, 0] * mixed[:, :, 1]).mean(1), (steps[:, 0] * steps[:, 1]).mean())
    first, last = (mixed[:, 0, 0] ** 2).mean(), (mixed[:, -1, 0] ** 2).mean()
    assert 0.6 < first / last < 1.7  # the sizes by depth are not kept


def test_the_shuffle_within_kinds_keeps_what_the_other_loses():
    steps = torch.tensor([1.0, 100.0]).repeat(16)[:, None] * noise(32, 1)
    large = [np.abs(applied(draw(name, 32, 1)[0], steps.numpy()))[1::2].min() for name in INCREMENTS]
    assert large[1] < 1 < large[0] == large[2]


@pytest.mark.parametrize("traces", [walks(64, 300), noise(64, 300)], ids=["walks", "noise"])
def test_points_in_any_order_do_not_turn_on_average(traces):
    found = surrogate_counts(traces, kinds_of(64), "point_shuffle", draws=200)
    assert_mean(found.mean(dim=1), 0)
    assert rotation_count(traces).mean() > 10


def test_activations_in_any_order_turn_as_white_noise_does():
    found = surrogate_counts(walks(64, 300), kinds_of(64), "layer_shuffle", draws=100) / 62
    assert_mean(found.mean(dim=0), 0.240, 1e-3)


@pytest.mark.parametrize("name", [*INCREMENTS, "gaussian_walk"])
def test_the_steps_of_walks_in_any_order_are_walks(name):
    traces = walks(64, 400)
    found = surrogate_counts(traces, kinds_of(64), name, draws=50)
    assert_mean(found.mean(dim=0) / 62, 0.176, 1.5e-3)
    assert abs(found.std() / rotation_count(traces).std() - 1) < 0.15
    of_noise = surrogate_counts(noise(64, 400), kinds_of(64), name, draws=50) / 62
    assert abs(of_noise.mean() - 0.178) < 0.006  # once its steps have lost their order, noise is a walk, nearly


def test_p_of_units_and_of_their_mean_is_uniform_under_the_null():
    traces = walks(24, 600)
    p = two_sided_p(rotation_count(traces), surrogate_counts(traces, kinds_of(24), HEADLINE, 199))
    assert_uniform(p, 199)
    assert_uniform([p_of_the_mean(walks(24, 8, seed), 99, seed) for seed in range(250)], 99)


def test_correlated_units_need_draws_in_common():
    """Of units that are mixtures of three walks, those flipped together are found significant in 5 %, apart in most."""
    together = np.array([p_of_the_mean(rank_three(32, 64, seed), 99, seed) for seed in range(250)])
    assert_uniform(together, 99)
    assert 0.02 < (together <= 0.05).mean() < 0.09  # 5 %, to 3 standard errors of a share of 250
    apart = []
    for seed in range(50):
        traces = rank_three(32, 64, seed)
        apart.append(compare_with_surrogate(rotation_count(traces), flipped_apart(traces, 99, seed)).unit_mean_p.item())
    assert 0.4 < (np.array(apart) <= 0.05).mean() < 0.8


def test_orbits_are_found():
    phase = torch.linspace(0, 2 * torch.pi, 30, dtype=torch.float64)
    orbits = torch.sin(6 * torch.pi * torch.linspace(0, 1, 64, dtype=torch.float64)[:, None] + phase)
    for name in INCREMENTS:
        found = compare_with_surrogate(rotation_count(orbits), surrogate_counts(orbits, kinds_of(64), name, 199))
        assert found.unit_mean_p == 1 / 200
        assert found.significant_share > 0.9
        assert (found.z < -2).all()  # three slow turns, where a walk of 64 steps has eleven


@pytest.mark.parametrize("sublayers", [3, 4, 6])
def test_draws_equal_to_what_was_measured_count_in_spite_of_rounding(sublayers):
    """Few steps have few signs: a p cannot be below the share of draws that flip all of them, or none."""
    traces = walks(sublayers, 300)
    counts = surrogate_counts(traces, kinds_of(sublayers), HEADLINE, 400)
    drawn = [draw(HEADLINE, sublayers - 1, number)[0].sign for number in range(400)]
    same = sum(abs(signs.sum()) == sublayers - 1 for signs in drawn)
    assert two_sided_p(rotation_count(traces), counts).min() >= (1 + same) / 401


def test_p_by_hand():
    drawn = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0], [6.0, torch.nan]])
    measured = torch.tensor([5.0, 1.0])
    found = compare_with_surrogate(measured, drawn)
    assert found.mean[0] == 3
    assert found.std[0] == pytest.approx((20 / 3) ** 0.5)  # of four draws, about three
    assert found.z[0] == pytest.approx(2 / (20 / 3) ** 0.5)
    assert found.p[0] == pytest.approx(3 / 5)  # 0 and 6 are as far from 3 as 5 is
    assert all(values[1].isnan() for values in found[:4])
    assert two_sided_p(torch.tensor([7.0, 1.0, 3.0]), drawn[:, [0, 0, 0]]).tolist() == pytest.approx([0.2, 0.6, 1.0])
    still = compare_with_surrogate(torch.tensor([2.0]), torch.tensor([[1.0], [1.0 + 1e-12]], dtype=torch.float64))
    assert (still.z.isnan().item(), still.p.item()) == (True, pytest.approx(1 / 3))
    assert found.unit_mean.tolist() == [0.5, 1.5, 4.0, 6.0]  # of the units that are known
    assert found.unit_mean_p == pytest.approx(1.0)  # a mean of 3, and the draws' is 3 also


def test_units_without_a_count_are_not_significant_and_count_among_all():
    measured = torch.tensor([100.0, torch.nan, 100.0, 0.0])
    drawn = noise(999, 4).masked_fill(measured.isnan(), torch.nan)
    found = compare_with_surrogate(measured, drawn)
    assert found.significant_share == 0.5
    assert found.p.isnan().tolist() == found.z.isnan().tolist() == [False, True, False, False]
    assert not found.unit_mean.isnan().any()
    assert found.unit_mean_p == 1 / 1000
    drawn = noise(999, 40)
    alone = compare_with_surrogate(torch.cat([drawn.sort(dim=0).values[990, :1], torch.zeros(39)]), drawn)
    assert 0.01 < alone.p[0] < 0.03  # one in forty is no wonder
    assert alone.significant_share == 0


def test_benjamini_and_hochberg_by_hand_and_scipy():
    p = torch.tensor([0.039, 0.001, 0.9, 0.008, 0.041])  # bounds, in ascending order: 0.01, 0.02, 0.03, 0.04, 0.05
    assert benjamini_hochberg(p).tolist() == [False, True, False, True, False]
    assert benjamini_hochberg(p, q=0.2).tolist() == [True, True, False, True, True]
    assert benjamini_hochberg(torch.tensor([0.049, 0.02, 0.048])).all()  # the largest that is within its bound decides
    random = torch.rand(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    for q in (0.01, 0.05, 0.3):
        assert benjamini_hochberg(random, q).tolist() == (false_discovery_control(random.numpy()) <= q).tolist()
        ranked = random.sort().values
        count = max((rank for rank in range(1, 301) if ranked[rank - 1] <= q * rank / 300), default=0)
        assert benjamini_hochberg(random, q).sum() == count


def test_unknown_p_do_not_count():
    known = torch.tensor([0.001, 0.03, 0.9])
    padded = torch.cat([known, torch.full((50,), torch.nan)])[torch.randperm(53)]
    assert benjamini_hochberg(padded).sum() == benjamini_hochberg(known).sum() == 2
    assert not benjamini_hochberg(torch.full((3,), torch.nan)).any()
    assert benjamini_hochberg(torch.zeros(0)).shape == (0,)


@pytest.mark.parametrize("name", INCREMENTS)
def test_turns_by_depth_are_those_of_the_counts(name):
    traces = walks(12, 9)
    traces[:, 4] = 0.1
    turns = surrogate_turning(traces, kinds_of(12), name, draws=6, seed=2)
    assert turns.shape == (6, 10)
    counts = surrogate_counts(traces, kinds_of(12), name, draws=6, seed=2)
    torch.testing.assert_close(turns.sum(1), counts.nanmean(1), rtol=0, atol=1e-12)

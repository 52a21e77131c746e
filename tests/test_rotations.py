"""Turns of traces: of curves that are known, of noise, and of rearranged traces, which the compiled count takes."""

from math import asinh, pi

import numpy as np
import pytest
import torch

from rs_cae.dynamics import SURROGATES, gradient, portrait, rotation_count, surrogate_counts, turning
from rs_cae.dynamics.surrogates import HEADLINE, surrogate_turning
from rs_cae.dynamics.winding import wind

# A sum of some dozen angles, each exact to 1e-16 of a turn
EXACT = {"rtol": 0, "atol": 1e-12}


def walks(sublayers, units, seed=0):
    return torch.randn(sublayers, units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).cumsum(0)


def tied(sublayers, units, highest=2, seed=0):
    """Whole numbers: many steps have no length, or lead back exactly to where the one before came from."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(highest + 1, (sublayers, units), generator=generator).double()


def kinds_of(sublayers):
    return (["within", "across"] * sublayers)[: sublayers - 1]


def sinusoid(turns, points=2000):
    return torch.sin(2 * pi * turns * torch.linspace(0, 1, points, dtype=torch.float64))[:, None]


def by_numpy(points, slopes):
    """Turns of the curves [sublayers, units] through these points, as the definition has it."""
    theta = np.arctan2(np.diff(slopes, axis=0) + 0.0, np.diff(points, axis=0) + 0.0)
    change = np.diff(theta, axis=0)
    change = np.where(change > pi, change - 2 * pi, np.where(change <= -pi, change + 2 * pi, change))
    return -change.sum(0) / (2 * pi)


def by_reversals(points, slopes):
    """The same of whole numbers, whose products are exact: a step straight back is half a turn, counterclockwise."""
    x, y = np.diff(points, axis=0), np.diff(slopes, axis=0)
    x = np.where((x == 0) & (y == 0), 1.0, x)
    cross, dot = x[:-1] * y[1:] - y[:-1] * x[1:], x[:-1] * x[1:] + y[:-1] * y[1:]
    return -np.arctan2(cross + 0.0, dot).sum(0) / (2 * pi)


def rearranged(traces, kinds, name, seed, draw):
    """Points and gradients [sublayers, units] of one draw, put together step by step."""
    surrogate, points = SURROGATES[name], traces.double().numpy()
    drawn = surrogate.draw(np.random.default_rng([seed, draw]), np.array(kinds))
    values = np.diff(points, axis=0) if surrogate.of_increments else points
    values = values if drawn.mixing is None else drawn.mixing @ values
    values = drawn.sign[:, None] * values[drawn.order]
    if surrogate.of_increments:
        values = np.concatenate([points[:1], points[:1] + values.cumsum(0)])
    own = np.gradient(points, axis=0)
    return values, own[drawn.order] if surrogate.carries_gradient else np.gradient(values, axis=0)


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, **EXACT)


@pytest.mark.parametrize(("cumulated", "turns"), [(False, 0.240), (True, 0.176)])
def test_noise_and_walks_turn_at_their_rates(cumulated, turns):
    noise = torch.randn(64, 8000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = rotation_count(noise.cumsum(0) if cumulated else noise) / 62
    error = found.std() / len(found.double()) ** 0.5
    assert error < 4e-4
    assert abs(found.mean() - turns) < 4 * error + 1e-3  # the rates are rounded, and slightly lower at the ends


@pytest.mark.parametrize("turns", [0.5, 1, 3, 10])
def test_a_sinusoid_turns_clockwise(turns):
    assert rotation_count(sinusoid(turns)).item() == pytest.approx(turns, abs=0.02)


def test_the_same_curve_run_through_backwards_turns_the_other_way():
    trace, turns = sinusoid(3), np.empty(1)
    order = np.arange(len(trace))[::-1].copy()
    wind(trace.numpy(), order, np.ones(len(trace)), gradient(trace).numpy(), False, True, turns)
    assert_same(turns, -rotation_count(trace))
    # a trace run through backwards has its gradient turned over, too
    assert_same(rotation_count(trace.flip(0)), rotation_count(trace))
    assert_same(rotation_count(walks(40, 30).flip(0)), rotation_count(walks(40, 30)))


def test_hyperbolic_functions_turn_a_quarter_either_way():
    """Tangents (cosh, sinh) go from -45 to 45 degrees, (sinh, cosh) from 135 to 45, with steps that make g' as a''."""
    s = asinh(1) * torch.arange(-15, 16, dtype=torch.float64)[:, None]
    inner = slice(1, -1)  # at the ends gradients are one-sided
    assert turning(torch.sinh(s))[inner].sum().item() == pytest.approx(-0.25, abs=1e-6)
    assert turning(torch.cosh(s))[inner].sum().item() == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("sublayers", [3, 4, 9, 64])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_counts_are_numpy_s(sublayers, dtype):
    traces = walks(sublayers, 500).to(dtype)
    points = traces.double().numpy()
    found = rotation_count(traces)
    assert found.dtype == torch.float64
    if dtype == torch.bfloat16:  # whose traces have exact reversals
        found, points = found[:0], points[:, :0]
    assert_same(found, by_numpy(points, np.gradient(points, axis=0)))


def test_gradient_and_portrait_are_numpy_s():
    traces = torch.stack([walks(9, 5), tied(9, 5)])
    expected = np.gradient(traces.numpy(), axis=1)
    assert_same(gradient(traces), expected)
    for found, curve in zip(portrait(traces), (traces.numpy(), expected), strict=True):
        assert_same(found, curve - curve[:, :1])
    assert gradient(torch.tensor([[1.0], [4.0]])).tolist() == [[3], [3]]


def test_turning_is_where_the_count_comes_from():
    traces = walks(20, 30)
    steps = turning(traces)
    assert steps.shape == (18, 30)
    assert_same(steps.sum(0), rotation_count(traces))
    assert steps.min() >= -0.5
    assert steps.max() < 0.5
    assert_same(turning(torch.tensor([[0.0], [0.0], [1.0], [1.0]])).flatten(), [1 / 4, 1 / 4])  # at 90, 0, -90 degrees


def test_steps_by_hand():
    """Angles in degrees: 0 and 0 of steps without length, 90, 27; and -45, 180, 0, -135, with a step straight back."""
    late = rotation_count(torch.tensor([[0.0], [0.0], [0.0], [0.0], [1.0]]))
    assert_same(late, -np.arctan(0.5) / (2 * pi))
    assert_same(rotation_count(torch.tensor([[0.0], [1.0], [0.0], [1.0], [0.0]])), 3 / 8 - 1 / 2 + 3 / 8)


@pytest.mark.parametrize("highest", [1, 2, 9])
def test_a_step_straight_back_is_half_a_turn_whatever_its_direction(highest):
    traces = tied(12, 2000, highest)
    points = traces.numpy()
    defined = ~rotation_count(traces).isnan()
    assert_same(rotation_count(traces)[defined], by_reversals(points, np.gradient(points, axis=0))[defined])


def test_constant_traces_and_two_sublayers_have_no_count():
    traces = walks(9, 4)
    traces[:, 1], traces[:, 3] = 0.1, -7
    assert rotation_count(traces).isnan().tolist() == [False, True, False, True]
    assert rotation_count(walks(2, 3)).isnan().tolist() == [True] * 3
    assert turning(walks(2, 3)).shape == (0, 3)
    assert rotation_count(torch.arange(9.0)[:, None]).item() == 0  # a straight line is not constant
    traces[4, 0] = torch.nan
    assert rotation_count(traces).isnan().tolist() == [True, True, False, True]


def test_offset_scale_and_sign_do_not_matter():
    traces = walks(40, 50)
    expected = rotation_count(traces)
    for changed in (traces * 8, traces * 0.3, -traces, traces + 100, 5 - 2 * traces):
        assert_same(rotation_count(changed), expected)


def test_leading_dimensions_are_batches():
    traces = torch.stack([walks(12, 7, seed) for seed in range(6)]).unflatten(0, (2, 3))
    traces[1, 2, :, 5] = 1.0
    found = rotation_count(traces)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[i, j], rotation_count(traces[i, j]))
    assert turning(traces).shape == (2, 3, 10, 7)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize(("sublayers", "units"), [(3, 1), (4, 64), (33, 130)])
def test_the_compiled_count_is_that_of_the_rearranged_traces(name, sublayers, units):
    traces, kinds = walks(sublayers, units), kinds_of(sublayers)
    found = surrogate_counts(traces, kinds, name, draws=7, seed=3)
    for draw in range(7):
        points, slopes = rearranged(traces, kinds, name, 3, draw)
        assert_same(found[draw], by_numpy(points, slopes))
        if not SURROGATES[name].carries_gradient:
            assert_same(found[draw], rotation_count(torch.from_numpy(points)))


@pytest.mark.parametrize("name", [name for name in SURROGATES if name != "gaussian_walk"])
@pytest.mark.parametrize(("sublayers", "highest"), [(3, 3), (5, 1), (16, 1), (16, 2), (64, 9)])
def test_the_compiled_count_agrees_where_steps_vanish_or_lead_straight_back(name, sublayers, highest):
    traces, kinds = tied(sublayers, 130, highest), kinds_of(sublayers)
    found = surrogate_counts(traces, kinds, name, draws=7)
    defined = ~rotation_count(traces).isnan()
    assert torch.equal(~found.isnan(), defined.expand(7, -1))
    for draw in range(7):
        points, slopes = rearranged(traces, kinds, name, 0, draw)
        assert_same(found[draw, defined], by_reversals(points, slopes)[defined])
        if not SURROGATES[name].carries_gradient:
            count = rotation_count(torch.from_numpy(points))
            assert_same(found[draw, defined], count[defined])


def test_negative_zeros_are_zeros():
    traces = tied(9, 300)
    negative = traces.where((traces != 0) | (tied(9, 300, 1, seed=1) == 0), -0.0)
    assert negative.signbit().any()
    np.testing.assert_array_equal(rotation_count(negative), rotation_count(traces))
    for name in SURROGATES:
        found, expected = (surrogate_counts(values, kinds_of(9), name, draws=5) for values in (negative, traces))
        np.testing.assert_array_equal(found, expected)


def test_units_without_a_count_have_none_in_any_draw():
    traces = walks(9, 70)
    traces[:, 66] = 0.1
    traces[3, 2] = torch.nan
    for name in SURROGATES:
        found = surrogate_counts(traces, kinds_of(9), name, draws=3)
        assert found.isnan().nonzero().tolist() == [[draw, unit] for draw in range(3) for unit in (2, 66)]
        assert surrogate_counts(walks(2, 3), ["within"], name, draws=3).isnan().all()


@pytest.mark.parametrize("name", SURROGATES)
def test_draws_depend_on_seed_and_number_alone(name):
    traces, kinds, threads = walks(16, 130), kinds_of(16), torch.get_num_threads()
    found = surrogate_counts(traces, kinds, name, draws=20, seed=1)
    assert torch.equal(surrogate_counts(traces, kinds, name, draws=5, seed=1), found[:5])
    assert torch.equal(
        surrogate_counts(traces[:, :3], kinds, name, draws=20, seed=1)[:, :2].round(decimals=9),
        found[:, :2].round(decimals=9),
    )
    assert not torch.equal(surrogate_counts(traces, kinds, name, draws=20), found)
    assert len(found.round(decimals=6).unique(dim=0)) == 20
    torch.set_num_threads(3)
    try:
        assert torch.equal(surrogate_counts(traces, kinds, name, draws=20, seed=1), found)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("kinds", "name"), [(["a"] * 4, HEADLINE), (["a"] * 6, HEADLINE), (["a"] * 5, "shuffle")])
def test_other_kinds_than_there_are_transitions_are_refused(kinds, name):
    traces = torch.randn(6, 3)
    for function in (surrogate_counts, surrogate_turning):
        with pytest.raises(ValueError, match=r"5 transitions|no surrogate 'shuffle'"):
            function(traces, kinds, name, 2)

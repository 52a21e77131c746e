"""Means, moments and resamples as samples go by: neither batches, order nor processes matter."""

import socket

import numpy as np
import pytest
import torch
from scipy import stats
from torch import multiprocessing

from rs_cae.dynamics import (
    Kinematics,
    TransitionMoments,
    correlation,
    half_samples,
    percentile_interval,
    poisson_weights,
    standard_error_interval,
    update_correlation,
)
from rs_cae.metrics import MeanKinematics, ResampledMean, TransitionStatistics, UnitBootstrap

SAMPLES, SUBLAYERS, UNITS, DRAWS = 400, 4, 3, 12
STATES = torch.randn(SAMPLES, SUBLAYERS, UNITS, generator=torch.Generator().manual_seed(0)).cumsum(1) + 5
TEXTS = torch.randint(SAMPLES // 3, (SAMPLES,), generator=torch.Generator().manual_seed(1)).sort().values * 7
KINEMATICS = Kinematics.of(STATES)

# Sums of some hundred terms of order one, in another order
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def of_rows(name, rows):
    """What a metric takes in."""
    if name == "MeanKinematics":
        return Kinematics(*(values[rows] for values in KINEMATICS)), TEXTS[rows]
    if name == "TransitionStatistics":
        return (STATES[rows],)
    return (STATES[rows] if name == "UnitBootstrap" else STATES[rows].flatten(1)), TEXTS[rows]


METRICS = {
    "MeanKinematics": lambda draws=DRAWS, **options: MeanKinematics(SUBLAYERS, draws, **options),
    "ResampledMean": lambda draws=DRAWS, **options: ResampledMean(SUBLAYERS * UNITS, draws, **options),
    "UnitBootstrap": lambda draws=DRAWS, **options: UnitBootstrap(SUBLAYERS, UNITS, draws, **options),
    "TransitionStatistics": lambda **options: TransitionStatistics(SUBLAYERS, UNITS, **options),
}
every_metric = pytest.mark.parametrize("name", METRICS)


def accumulate(name, rows=None, batch_size=SAMPLES, **options):
    metric = METRICS[name](**options)
    for batch in (torch.arange(SAMPLES) if rows is None else rows).split(batch_size):
        metric.update(*of_rows(name, batch))
    return metric


def gather_with(other):
    """What torchmetrics' gathering returns on the first of two processes, of which the second holds ``other``."""
    remaining = iter([getattr(other, name) for name in other._reductions])
    return {"dist_sync_fn": lambda state, group: [state, next(remaining)], "distributed_available_fn": lambda: True}


def flat(computed):
    if isinstance(computed, torch.Tensor):
        return [computed]
    return list(computed.values() if isinstance(computed, dict) else computed)


def assert_same(computed, expected):
    for found, whole in zip(flat(computed), flat(expected), strict=True):
        torch.testing.assert_close(found, whole, **EXACT)


@every_metric
@pytest.mark.parametrize("batch_size", [1, 64])
def test_neither_batches_nor_order_matter(name, batch_size):
    shuffled = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(1))
    whole = accumulate(name).compute()
    assert all(values.dtype == torch.float64 for values in flat(whole))
    assert_same(accumulate(name, batch_size=batch_size).compute(), whole)
    assert_same(accumulate(name, shuffled, batch_size).compute(), whole)


@every_metric
def test_two_processes_merge_exactly(name):
    rows, whole = torch.arange(SAMPLES), accumulate(name).compute()
    second = accumulate(name, rows[1::3], 50)
    kept = rows[rows % 3 != 1]
    first = accumulate(name, kept, 50, **gather_with(second))
    assert_same(first.compute(), whole)
    first.update(*of_rows(name, rows[:1]))  # its own state is back after the synchronization
    count = {"TransitionStatistics": "count", "UnitBootstrap": "weights"}.get(name, "known")
    assert getattr(first, count).flatten()[0] == len(kept) + 1
    assert_same(accumulate(name, rows, 50, **gather_with(METRICS[name]())).compute(), whole)


@every_metric
def test_memory_does_not_grow(name):
    metric, sizes = accumulate(name, torch.arange(10)), []
    for _ in range(2):
        sizes.append(
            [(state, getattr(metric, state).shape, getattr(metric, state).dtype) for state in metric._defaults]
        )
        for batch in torch.arange(1000).remainder(SAMPLES).split(250):
            metric.update(*of_rows(name, batch))
    assert sizes[0] == sizes[1]


@every_metric
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_forward_accumulates_and_reset_forgets(name):
    metric = METRICS[name]()
    metric.update(*of_rows(name, torch.arange(300, SAMPLES)))
    metric.reset()
    for batch in torch.arange(SAMPLES).split(150):
        metric(*of_rows(name, batch))
    assert_same(metric.compute(), accumulate(name).compute())


def test_rows_are_the_mean_and_the_weighted_means():
    weights = torch.cat([torch.ones(1, SAMPLES, dtype=torch.float64), poisson_weights(TEXTS, DRAWS)])

    def mean(values):
        return (weights @ values.double().flatten(1) / weights.sum(1, keepdim=True)).unflatten(1, values.shape[1:])

    assert_same(accumulate("ResampledMean").compute(), mean(STATES.flatten(1)))
    assert (accumulate("ResampledMean", seed=1).compute() != mean(STATES.flatten(1)))[1:].all()
    bootstrap = accumulate("UnitBootstrap").compute()
    assert_same(bootstrap.mean, mean(STATES))
    found = accumulate("MeanKinematics").curves()
    for curve, values in zip(found, KINEMATICS, strict=True):
        assert_same(curve, mean(values))
        assert_same(curve[0], values.mean(0))
    for draw in (0, 1, DRAWS):
        repeated = STATES.double().repeat_interleave(weights[draw].long(), dim=0)
        moments = TransitionMoments.of(repeated.clone())
        assert_same(bootstrap.correlation[draw], correlation(moments).mean(1))
        assert_same(bootstrap.update_correlation[draw], update_correlation(moments).mean(1))


def test_all_samples_come_first_and_agree_with_the_centred_moments():
    moments = accumulate("TransitionStatistics", batch_size=70).moments()
    assert_same(moments, TransitionMoments.of(STATES))
    found = accumulate("UnitBootstrap", batch_size=70).compute()
    assert_same(found.mean[0], moments.mean)
    assert_same(found.correlation[0], correlation(moments).mean(1))
    assert_same(found.update_correlation[0], update_correlation(moments).mean(1))


@pytest.mark.parametrize("name", [name for name in METRICS if name != "TransitionStatistics"])
def test_without_draws_there_is_the_mean_alone(name):
    for alone, whole in zip(flat(accumulate(name, draws=0).compute()), flat(accumulate(name).compute()), strict=True):
        assert_same(alone, whole[:1])


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e4 + 0.3, torch.nan])
def test_a_unit_without_r_does_not_count_in_any_draw(value):
    states = STATES.double()
    states[slice(9, 10) if value != value else slice(None), 1, 2] = value
    whole, others, alone = (UnitBootstrap(SUBLAYERS, units, draws=50) for units in (3, 2, 1))
    for metric, units in ((whole, slice(3)), (others, slice(2)), (alone, slice(2, 3))):
        metric.update(states[:, :, units], TEXTS)
    for found, expected, undefined in zip(whole.compute()[1:], others.compute()[1:], alone.compute()[1:], strict=True):
        assert_same(found[:, :2], expected[:, :2])
        assert undefined[0].isnan().tolist() == [True, True, False]


def test_weights_depend_on_seed_and_text_alone():
    texts = torch.tensor([3, 900_000, 5, 3, 0])
    weights = poisson_weights(texts, 50, seed=4)
    assert weights.shape == (50, 5)
    assert torch.equal(weights[:, 0], weights[:, 3])
    for column, text in enumerate(texts):
        assert torch.equal(poisson_weights(text[None], 50, seed=4)[:, 0], weights[:, column])
    assert torch.equal(poisson_weights(texts.flip(0), 50, seed=4), weights.flip(1))
    columns = torch.cat([poisson_weights(torch.arange(100), 50, seed) for seed in range(3)], dim=1)
    assert len(columns.T.unique(dim=0)) == 300


def test_weights_are_independent_and_poisson():
    weights = torch.cat([poisson_weights(torch.arange(500), 400, seed) for seed in (0, 1)])
    observed = np.bincount(weights.flatten().long(), minlength=6)
    expected = stats.poisson.pmf(np.arange(5), 1) * weights.numel()
    tail = np.append(expected, weights.numel() - expected.sum())
    assert stats.chisquare(np.append(observed[:5], observed[5:].sum()), tail).pvalue > 0.01
    # draws, and texts, are no more alike than chance: their correlations are 1 / sqrt(n) in size
    for rows in (weights, weights.T):
        apart = torch.corrcoef(rows).fill_diagonal_(0)
        assert abs(apart.square().mean() * rows.shape[1] - 1) < 0.05
        assert apart.abs().max() * rows.shape[1] ** 0.5 < 6


def test_percentiles_leave_out_what_is_unknown():
    draws = torch.stack([torch.arange(101.0), torch.arange(101.0) * 2]).T
    draws[51:, 1] = torch.nan
    low, high = percentile_interval(draws, 0.9)
    assert low.tolist() == [pytest.approx(5), pytest.approx(5)]
    assert high.tolist() == [pytest.approx(95), pytest.approx(95)]
    assert percentile_interval(draws[:, 0])[0] == pytest.approx(2.5)


def test_half_samples_hold_half_of_the_texts():
    for texts in (torch.tensor([4, 4, 9, 1, 1, 1, 30, 2]), torch.arange(10) // 2 * 3, torch.zeros(3).long()):
        seen = half_samples(texts, halves=30)
        distinct = len(texts.unique())
        for rows in seen:
            chosen = texts[rows].unique()
            assert len(chosen) == (distinct + 1) // 2
            assert torch.equal(rows, torch.isin(texts, chosen).nonzero().flatten())
        assert distinct == 1 or len({tuple(rows.tolist()) for rows in seen}) > 5
        assert all(map(torch.equal, half_samples(texts, 30), seen))
        assert distinct == 1 or not all(map(torch.equal, half_samples(texts, 30, seed=1), seen))
    assert len(half_samples(texts)) == 20


def test_half_samples_deviate_by_the_standard_error_of_the_whole():
    values = torch.randn(600, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = torch.stack([values[rows].mean(0) for rows in half_samples(torch.arange(600), halves=200)])
    assert abs((draws.std(dim=0) / (values.std(dim=0) / 600**0.5)).mean() - 1) < 0.03


def test_the_standard_error_interval_is_student_s_about_the_value():
    value, draws = torch.tensor([10.0, -1.0]), torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 0.0]])
    low, high = standard_error_interval(value, draws, 0.9)
    half = stats.t.ppf(0.95, 2) * np.std([1, 2, 6], ddof=1)
    assert low.tolist() == pytest.approx([10 - half, -1])
    assert high.tolist() == pytest.approx([10 + half, -1])


def _process(rank, port, folder):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    rows = torch.arange(SAMPLES)[: SAMPLES // 3] if rank else torch.arange(SAMPLES)[SAMPLES // 3 :]
    torch.save({name: flat(accumulate(name, rows, 64).compute()) for name in METRICS}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_real_processes_with_unequal_shares(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_process, (port, tmp_path), nprocs=2)
    for rank in range(2):
        for name, found in torch.load(tmp_path / f"{rank}.pt").items():
            assert_same(found, accumulate(name).compute())

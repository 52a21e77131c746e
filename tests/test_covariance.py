"""Covariances in parts and their principal axes: scikit-learn's, whatever the batches and the processes."""

import socket

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import multiprocessing

from rs_cae.dynamics.covariance import PrincipalAxes, Scatter, first_probe, next_probe, principal_axes
from rs_cae.modules import principal

ROWS, WIDTH, MAPS = 501, 12, 3
# Spectra below have no two variances closer than a twentieth of the largest: an axis is then lost to rounding by some
# 20 * 1e-16 * WIDTH, and float64 sums of 500 rows add a digit.
EXACT = {"rtol": 0, "atol": 1e-12}


def decaying(rows=ROWS, width=WIDTH, base=0.7, mean=0.0, seed=0):
    """Rows [MAPS, rows, width] whose standard deviations fall by this factor along axes that are the map's own."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(MAPS, width, width, generator=generator, dtype=torch.float64)).Q
    deviations = base ** torch.arange(width, dtype=torch.float64)
    drawn = torch.randn(MAPS, rows, width, generator=generator, dtype=torch.float64)
    return mean + (drawn * deviations) @ axes.mT


def scatter_of(rows, batch_size=100, probe=None):
    scatter = Scatter.zeros(len(rows), rows.shape[-1], probe=probe)
    for batch in rows.split(batch_size, dim=1):
        scatter.add(batch)
    return scatter


def oracle(rows, axes):
    """Scikit-learn's principal axes of each map, by their sign rule turned into ours."""
    fits = [PCA(axes, svd_solver="full").fit(each.numpy()) for each in rows]
    directions = np.stack([fit.components_ for fit in fits])
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=2, keepdims=True), axis=2)
    parts = ([fit.mean_ for fit in fits], directions * np.sign(largest), [fit.explained_variance_ for fit in fits])
    return PrincipalAxes(*(torch.as_tensor(np.stack(part)) for part in parts))


def assert_same(found, expected, rtol=0.0, atol=1e-12):
    for name, one, other in zip(PrincipalAxes._fields, found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("axes", [1, 5, WIDTH])
def test_axes_are_those_of_scikit_learn(axes):
    rows = decaying()
    assert_same(principal_axes(scatter_of(rows), axes), oracle(rows, axes), **EXACT)


def test_float32_rows_are_added_in_float64():
    rows = decaying().float()
    assert_same(principal_axes(scatter_of(rows), 5), oracle(rows.double(), 5), **EXACT)


@pytest.mark.parametrize("batch_size", [1, 7, ROWS])
def test_neither_batches_nor_their_order_matter(batch_size):
    rows = decaying()
    shuffled = rows[:, torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))]
    scatter = scatter_of(shuffled, batch_size)
    assert scatter.count == ROWS
    assert_same(principal_axes(scatter, 5), oracle(rows, 5), **EXACT)


def test_the_scatter_is_the_sum_of_squares_about_the_mean():
    rows = decaying()
    expected = torch.stack([torch.cov(each.T, correction=1) for each in rows]) * (ROWS - 1)
    torch.testing.assert_close(scatter_of(rows, 33).product, expected, rtol=0, atol=1e-10)


def test_parts_merge_and_empty_ones_change_nothing():
    rows = decaying()
    first, second = scatter_of(rows[:, :100]), scatter_of(rows[:, 100:], 13)
    merged = first.emptied(None)
    for part in (Scatter.zeros(MAPS, WIDTH), first, second, Scatter.zeros(MAPS, WIDTH)):
        merged.merge(part)
    merged.add(rows[:, :0])
    assert merged.count == ROWS
    assert_same(principal_axes(merged, 5), oracle(rows, 5), **EXACT)
    assert first.count == 100  # it is not what was added to


def test_a_large_mean_costs_no_digits():
    rows = decaying(mean=1e4)
    # what the rows themselves were rounded to is the oracle's too; its mean and ours differ by 1e4 * 2^-53 * 10
    assert_same(principal_axes(scatter_of(rows, 50), 5), oracle(rows, 5), rtol=0, atol=1e-10)


def test_second_moments_about_zero_would_lose_them():
    # negative control of the tolerance above
    rows = decaying(mean=1e4)
    mean = rows.mean(dim=1)
    naive = rows.mT @ rows - ROWS * mean[:, :, None] * mean[:, None]
    error = (naive - scatter_of(rows).product).abs().max() / ROWS
    assert error > 1e-9


def test_rows_of_lower_rank_have_no_variance_beyond_it():
    rows = decaying(width=4) @ first_probe(MAPS, WIDTH, 4).mT
    axes = principal_axes(scatter_of(rows), WIDTH)
    expected = oracle(rows, 4)
    torch.testing.assert_close(axes.directions[:, :4], expected.directions, **EXACT)
    assert (axes.variances[:, 4:] < 1e-15).all()
    assert (axes.variances >= 0).all()
    identity = torch.eye(WIDTH, dtype=torch.float64).expand(MAPS, -1, -1)
    torch.testing.assert_close(axes.directions @ axes.directions.mT, identity, **EXACT)


def test_fewer_rows_than_axes():
    rows = decaying(rows=4)
    axes, expected = principal_axes(scatter_of(rows, 3), 6), oracle(rows, 3)
    torch.testing.assert_close(axes.variances[:, :3], expected.variances, **EXACT)
    torch.testing.assert_close(axes.directions[:, :3], expected.directions, rtol=0, atol=1e-11)
    assert (axes.variances[:, 3:] < 1e-15).all()


@pytest.mark.parametrize(("rows", "axes"), [(0, 1), (1, 1), (5, WIDTH + 1)])
def test_too_few_rows_or_columns_are_refused(rows, axes):
    with pytest.raises(ValueError, match=f"{axes} axes need at least two rows and as many columns, there are {rows}"):
        principal_axes(scatter_of(decaying(rows=rows)), axes)


def test_the_largest_entry_of_a_direction_is_positive():
    directions = principal_axes(scatter_of(decaying()), WIDTH).directions
    largest = directions.gather(2, directions.abs().argmax(dim=2, keepdim=True))
    assert (largest > 0).all()
    assert (directions < 0).any()
    mirrored = principal_axes(scatter_of(-decaying()), WIDTH).directions
    torch.testing.assert_close(mirrored, directions, **EXACT)


def test_the_mean_does_not_follow_the_scatter():
    scatter = scatter_of(decaying())
    axes = principal_axes(scatter, 2)
    before = axes.mean.clone()
    scatter.add(decaying(mean=5.0))
    assert torch.equal(axes.mean, before)


def probed(rows, columns, passes, batch_size=100):
    """The axes after some passes of power iteration."""
    probe = first_probe(len(rows), rows.shape[-1], columns)
    for _ in range(passes - 1):
        probe = next_probe(scatter_of(rows, batch_size, probe))
    return principal_axes(scatter_of(rows, batch_size, probe), 3)


def test_power_iteration_finds_the_axes_of_a_decaying_spectrum():
    rows = decaying(rows=300, width=40, mean=10.0)
    exact = principal_axes(scatter_of(rows), 3)
    # columns beyond the seventh fall by (0.7^14)^passes relative to the first: 1e-10 after five, squared in variances
    assert_same(probed(rows, 10, 5), exact, rtol=0, atol=1e-8)
    errors = [(probed(rows, 10, passes).directions - exact.directions).abs().max() for passes in (1, 2, 3)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[0] > 1e-3  # negative control: one pass is not enough


def test_a_probe_of_all_columns_is_exact_at_once():
    rows = decaying(mean=3.0)
    probe = first_probe(MAPS, WIDTH, WIDTH)
    assert_same(principal_axes(scatter_of(rows, 17, probe), 5), oracle(rows, 5), **EXACT)


def test_parts_with_a_probe_merge():
    rows, probe = decaying(mean=3.0), first_probe(MAPS, WIDTH, 6)
    whole, merged = scatter_of(rows, ROWS, probe), Scatter.zeros(MAPS, WIDTH, probe=probe)
    merged.merge(scatter_of(rows[:, :77], 10, probe))
    merged.merge(scatter_of(rows[:, 77:], 20, probe))
    torch.testing.assert_close(merged.product, whole.product, rtol=0, atol=1e-10)
    torch.testing.assert_close(whole.product, scatter_of(rows).whole @ probe, rtol=0, atol=1e-10)
    torch.testing.assert_close(merged.mean, whole.mean, **EXACT)


def test_probes_are_orthonormal_and_depend_on_the_seed_alone():
    torch.manual_seed(5)
    probes = [first_probe(2, 9, 4, seed) for seed in (0, 0, 1)]
    assert torch.equal(probes[0], probes[1])
    assert not torch.allclose(probes[0], probes[2])
    assert not torch.allclose(*probes[0])  # each map's own
    torch.testing.assert_close(probes[0].mT @ probes[0], torch.eye(4, dtype=torch.float64).expand(2, 4, 4), **EXACT)


@pytest.mark.parametrize("limit", ["WIDEST", "MOST_ENTRIES"])
def test_a_search_takes_five_passes_where_a_covariance_is_too_large(monkeypatch, limit):
    rows = decaying(width=60)
    monkeypatch.setattr(principal, limit, {"WIDEST": 59, "MOST_ENTRIES": MAPS * 60**2 - 1}[limit])
    search = principal.AxesSearch(MAPS, 60, 5, torch.device("cpu"))
    assert search.scatter.product.shape == (MAPS, 60, 5 + principal.OVERSAMPLING)
    for number in range(5):
        search.add(rows)
        found = search.end_pass()
        assert (found is None) == (number < 4)
    assert_same(found, principal_axes(scatter_of(rows), 5), rtol=0, atol=1e-9)


def test_a_search_takes_one_pass_up_to_the_limits(monkeypatch):
    monkeypatch.setattr(principal, "WIDEST", WIDTH)
    monkeypatch.setattr(principal, "MOST_ENTRIES", MAPS * WIDTH**2)
    search = principal.AxesSearch(MAPS, WIDTH, 5, torch.device("cpu"))
    search.add(decaying())
    assert_same(search.end_pass(), oracle(decaying(), 5), **EXACT)


@pytest.mark.parametrize("columns", [None, 8])
def test_a_search_takes_in_what_every_process_has_seen(monkeypatch, columns):
    rows = decaying(mean=3.0)
    probe = None if columns is None else first_probe(MAPS, WIDTH, columns)
    first, second = scatter_of(rows[:, :100], probe=probe), scatter_of(rows[:, 100:], probe=probe)
    theirs = iter([torch.tensor(second.count), second.mean, *second.product.split(1)])
    monkeypatch.setattr(principal.processes, "world_size", lambda: 2)
    monkeypatch.setattr(principal.processes, "gather", lambda own: [own, next(theirs)])
    merged = principal._of_all_processes(first)
    assert (merged.count, merged.probe) == (ROWS, probe)
    torch.testing.assert_close(merged.product, scatter_of(rows, probe=probe).product, rtol=0, atol=1e-10)
    torch.testing.assert_close(merged.mean, rows.mean(dim=1), **EXACT)


def _process(rank, port, folder):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    principal.WIDEST = WIDTH
    for width in (WIDTH, 60):
        search, found = principal.AxesSearch(MAPS, width, 5, torch.device("cpu")), None
        share = slice(0, 130) if rank else slice(130, ROWS)
        while found is None:
            search.add(decaying(width=width)[:, share])
            found = search.end_pass()
        torch.save(tuple(found), folder / f"{width}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_unequal_shares_agree_to_the_bit(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_process, (port, tmp_path), nprocs=2)
    for width in (WIDTH, 60):
        found = [PrincipalAxes(*torch.load(tmp_path / f"{width}-{rank}.pt")) for rank in range(2)]
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other)
        assert_same(found[0], oracle(decaying(width=width), 5), rtol=0, atol=1e-9)

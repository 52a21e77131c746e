"""Accumulators: whatever the batches, their order and the processes, the numbers are those of the whole corpus."""

import socket

import pytest
import torch
from torch import multiprocessing

from rs_cae.dynamics import Moments
from rs_cae.metrics import PerSample, ReconstructionMoments

SAMPLES, SUBLAYERS, WIDTH, GROUPS = 983, 3, 4, 5

# Two-pass moments in float64 of numbers of size 1e3 with unit deviation; sums of squares about the mean lose no more
# than some 1e-13. Float32 sums would be off by 1e-4, raw second moments by 1e6 * 1e-16 = 1e-10.
EXACT = {"rtol": 1e-12, "atol": 0}


def corpus():
    """States, reconstructions and the text of each sample: one to five of a text, none of some texts."""
    generator = torch.Generator().manual_seed(0)
    states = 1e3 + torch.randn(SAMPLES, SUBLAYERS, WIDTH, generator=generator)
    texts = torch.randint(SAMPLES // 2, (SAMPLES,), generator=generator).sort().values
    return states, states + torch.randn(states.shape, generator=generator), texts


def accumulate(rows, batch_size, groups=GROUPS, **options):
    metric = ReconstructionMoments(SUBLAYERS, WIDTH, groups, **options)
    for batch in rows.split(batch_size):
        metric.update(*(field[batch] for field in corpus()))
    return metric


def gather_with(other):
    """What torchmetrics' gathering returns on the first of two processes, of which the second holds ``other``."""
    states = [getattr(other, name) for name in other._reductions]
    remaining = iter([torch.cat(state) if isinstance(state, list) else state for state in states])
    return {"dist_sync_fn": lambda state, group: [state, next(remaining)], "distributed_available_fn": lambda: True}


def assert_same(computed, expected):
    for moments, oracle in zip(computed, expected, strict=True):
        for field, whole in zip(moments, oracle, strict=True):
            torch.testing.assert_close(field, whole, **EXACT)


def whole(groups=GROUPS):
    states, reconstructions, texts = corpus()
    residuals = states.double() - reconstructions.double()
    return tuple(Moments.of(samples, texts % groups, groups) for samples in (states, residuals))


@pytest.mark.parametrize("batch_size", [1, 64, 983])
def test_batch_split_does_not_matter(batch_size):
    assert_same(accumulate(torch.arange(SAMPLES), batch_size).compute(), whole())


def test_order_does_not_matter():
    shuffled = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(1))
    assert_same(accumulate(shuffled, 50).compute(), whole())


def test_one_group_is_all_samples():
    targets, _ = accumulate(torch.arange(SAMPLES), 100, groups=1).compute()
    assert targets.count.sum() == SAMPLES
    expected = corpus()[0].double().var(dim=0, correction=0)
    torch.testing.assert_close(targets.variance[0], expected, **EXACT)


def test_one_sample_keeps_the_groups_axis():
    targets, _ = accumulate(torch.tensor([3]), 1).moments()
    assert targets.count.shape == (1,)
    assert targets.leave_one_out().count.tolist() == [0]


def test_samples_of_a_text_share_its_group():
    texts = corpus()[2]
    assert len(texts.unique()) < 0.6 * SAMPLES
    for text in texts[:50].unique().tolist():
        rows = (texts == text).nonzero().flatten()
        metric = accumulate(rows, 1)
        assert metric.targets_count.tolist() == [len(rows) if group == text % GROUPS else 0 for group in range(GROUPS)]


def test_empty_groups_are_left_out():
    rows = torch.arange(SAMPLES)
    targets, residuals = accumulate(rows[corpus()[2] % GROUPS != 2], 64).compute()
    expected = [Moments(*(field[[0, 1, 3, 4]] for field in moments)) for moments in whole()]
    assert_same((targets, residuals), expected)


def test_residuals_are_states_minus_reconstructions():
    metric = ReconstructionMoments(1, 1)
    metric.update(torch.tensor([[[5.0]], [[7.0]]]), torch.tensor([[[2.0]], [[3.0]]]), torch.arange(2))
    targets, residuals = metric.compute()
    assert (targets.mean.item(), residuals.mean.item(), residuals.squared_deviations.item()) == (6.0, 3.5, 0.5)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_reset_forgets():
    metric = accumulate(torch.arange(SAMPLES), 100)
    metric.reset()
    assert len(metric.compute()[0].count) == 0


def test_two_processes_merge_exactly():
    rows = torch.arange(SAMPLES)
    second = accumulate(rows[1::2], 64)
    first = accumulate(rows[::2], 64, **gather_with(second))
    assert_same(first.compute(), whole())
    assert first.targets_count.sum() == len(rows[::2])  # its own state is back after the synchronization
    first.update(*(field[:1] for field in corpus()))


def test_a_process_without_samples_changes_nothing():
    rows = torch.arange(SAMPLES)
    idle = ReconstructionMoments(SUBLAYERS, WIDTH, GROUPS)
    assert_same(accumulate(rows, 64, **gather_with(idle)).compute(), whole())


def per_sample(rows, batch_size, **options):
    metric = PerSample(**options)
    for batch in rows.split(batch_size):
        metric.update(corpus()[0][batch], batch)
    return metric


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1), (1, 3)])
def test_one_row_keeps_its_axes(shape):
    metric = PerSample()
    metric.update(torch.full(shape, 5.0), torch.tensor([0]))
    assert metric.rows().shape == shape


@pytest.mark.parametrize("batch_size", [1, 64, 983])
def test_rows_come_back_in_the_order_of_the_samples(batch_size):
    shuffled = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(2))
    assert torch.equal(per_sample(shuffled, batch_size).compute(), corpus()[0])


def test_duplicates_are_dropped():
    padded = torch.cat([torch.arange(SAMPLES), torch.tensor([0, 0, 982])])
    assert torch.equal(per_sample(padded, 64).compute(), corpus()[0])


def test_sample_numbers_need_not_be_contiguous():
    rows = torch.tensor([9, 4, 4, 700])
    metric = per_sample(rows, 2)
    assert torch.equal(metric.compute(), corpus()[0][[4, 9, 700]])
    assert torch.equal(torch.cat(metric.samples), rows)


def test_gradients_are_not_kept():
    metric = PerSample()
    metric.update(torch.ones(2, requires_grad=True) * 2, torch.arange(2))
    assert not metric.compute().requires_grad


def test_rows_of_two_processes_are_interleaved_and_the_sampler_s_padding_dropped():
    padded = torch.cat([torch.arange(SAMPLES), torch.tensor([0])])  # what a distributed sampler makes of an odd corpus
    second = per_sample(padded[1::2], 64)
    first = per_sample(padded[::2], 64, **gather_with(second))
    assert torch.equal(first.compute(), corpus()[0])


def _process(rank, port, folder):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    rows = torch.arange(SAMPLES)[rank::2]
    moments, kept = accumulate(rows, 64).compute(), per_sample(rows, 64).compute()
    torch.save({"moments": [tuple(part) for part in moments], "kept": kept}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_real_processes_with_unequal_shares(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_process, (port, tmp_path), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert_same(found["moments"], whole())
        assert torch.equal(found["kept"], corpus()[0])

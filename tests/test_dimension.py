"""Dimensions of shapes that are known, and of Gaussian states, which their nulls must not be told from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from rich.progress import Progress
from sklearn.neighbors import NearestNeighbors

from rs_cae import processes
from rs_cae.callbacks.dimension import IntrinsicDimension, dimension_findings
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.dynamics.dimension import covariance_dimension, intrinsic_dimensions, two_nn, two_nn_of_gaussians
from rs_cae.dynamics.resampling import half_samples, standard_error_interval
from rs_cae.errors import InputError
from rs_cae.figures import Control
from rs_cae.figures.dimension import draw_intrinsic_dimension
from rs_cae.results import depth_coordinates
from rs_cae.sublayers import SublayerLayout


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width):
    return torch.linalg.qr(normal(width, width, seed=9)).Q


def embedded(points, width=48):
    """Points [samples, few] in a random plane of a space of that width."""
    return points @ rotation(width)[: points.shape[1]]


def circle(samples, seed=0):
    angle = 2 * torch.pi * uniform(samples, seed=seed)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def roll(samples, seed=0):
    first, height = uniform(2, samples, seed=seed)
    angle = 1.5 * torch.pi * (1 + 2 * first)
    return torch.stack([angle * angle.cos(), 21 * height, angle * angle.sin()], dim=1)


def decaying(samples, width=64, seed=0):
    """Gaussian, of variances 1, 1/2, 1/3, ..."""
    return normal(samples, width, seed=seed) / torch.arange(1, width + 1).sqrt()


def findings(states, halves=20):
    return dimension_findings(states, half_samples(torch.arange(len(states)), halves), 0, Progress(disable=True))


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_gaussians_of_a_rank(rank):
    states = embedded(normal(600, rank))
    assert float(covariance_dimension(states)) == pytest.approx(rank, rel=0.02)
    assert float(two_nn(states)) == pytest.approx(rank, rel=0.1)
    assert float(two_nn_of_gaussians(states)) == pytest.approx(rank, rel=0.1)


@pytest.mark.parametrize(("shape", "neighbours", "covariance"), [(circle, 1, 2), (roll, 2, 2.95)])
def test_what_is_curved_has_fewer_dimensions_than_gaussians_of_its_covariance(shape, neighbours, covariance):
    states = embedded(shape(600))
    found = intrinsic_dimensions(states, half_samples(torch.arange(600)))
    assert float(found.two_nn[0]) == pytest.approx(neighbours, rel=0.1)
    assert float(found.covariance_dimension[0]) == pytest.approx(covariance, rel=0.03)
    assert standard_error_interval(found.two_nn[0], found.two_nn[1:])[1] < found.two_nn_null


@pytest.mark.parametrize("width", [30, 200])
def test_the_covariance_dimension_has_no_bias_where_samples_are_few(width):
    """The ratio of the sample covariance's own traces is at most the number of samples less one."""
    found = [float(covariance_dimension(normal(40, width, seed=seed))) for seed in range(40)]
    assert np.mean(found) == pytest.approx(width, rel=0.06)
    shares = 1 / torch.arange(1.0, width + 1)
    found = [float(covariance_dimension(decaying(60, width, seed))) for seed in range(60)]
    assert np.median(found) == pytest.approx(float(shares.sum() ** 2 / shares.square().sum()), rel=0.12)


def test_the_traces_by_all_foursomes():
    states = normal(7, 3)
    squares = torch.cdist(states, states).square().numpy()
    i, j, k, n = np.indices((7,) * 4).reshape(4, -1)
    foursomes = [place for place in zip(i, j, k, n, strict=True) if len(set(place)) == 4]
    of_trace = np.mean([squares[a, b] * squares[c, d] for a, b, c, d in foursomes]) / 4
    inner = [((states[a] - states[b]) @ (states[c] - states[d])).item() ** 2 for a, b, c, d in foursomes]
    assert float(covariance_dimension(states)) == pytest.approx(of_trace / (np.mean(inner) / 4), rel=1e-9)


def test_gaussians_are_told_from_their_null_no_more_often_than_chance_has_it():
    told, differences = [], []
    for seed in range(40):
        found = intrinsic_dimensions(decaying(100, 150, seed), half_samples(torch.arange(100), seed=seed), seed=seed)
        low, high = standard_error_interval(found.two_nn[0], found.two_nn[1:])
        told.append(not low <= found.two_nn_null <= high)
        differences.append(float(found.two_nn[0] / found.two_nn_null) - 1)
    assert sum(told) <= 6  # of 40, 7 or more at a rate of 0.05: 0.3 %
    assert abs(np.mean(differences)) < 0.04


@pytest.mark.parametrize("shape", [circle, decaying], ids=["circle", "decaying"])
def test_intervals_hold_the_expected_value(shape):
    runs = []
    for seed in range(40):
        found = intrinsic_dimensions(shape(80, seed=seed), half_samples(torch.arange(80), seed=seed), null_draws=1)
        runs.append(torch.stack([found.covariance_dimension, found.two_nn], dim=1))
    draws = torch.stack(runs, dim=1)
    low, high = standard_error_interval(draws[0], draws[1:])
    mean = draws[0].mean(dim=0)
    assert ((low <= mean) & (mean <= high)).double().mean(dim=0).min() >= 0.85
    assert ((high - low).mean(dim=0) / 4 < 2.5 * draws[0].std(dim=0)).all()


def test_nearest_neighbours_are_scikit_learn_s():
    near = 1e-6 * normal(150, 20, seed=5)  # so near that their products say nothing of it
    states = decaying(50, 20).repeat_interleave(3, dim=0) + near
    distances, _ = NearestNeighbors(n_neighbors=2, algorithm="kd_tree").fit(states.numpy()).kneighbors()
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))[:135]
    shares = -np.log(1 - np.arange(1, 136) / 150)
    assert float(two_nn(states)) == pytest.approx((ratios @ shares) / (ratios @ ratios), rel=1e-8)


def test_neither_rotation_nor_shift_nor_scale_matters():
    states = decaying(120, 30)
    moved = 0.03 * states @ rotation(30) + 50
    for dimension in (covariance_dimension, two_nn, two_nn_of_gaussians):
        torch.testing.assert_close(dimension(moved), dimension(states), rtol=1e-6, atol=0)


def test_samples_outnumbered_by_units_and_the_other_way_round_have_the_same_null():
    states = decaying(90, 40)
    wide = torch.cat([states, torch.zeros(90, 100)], dim=1)
    null, of_wide = (float(two_nn_of_gaussians(each, draws=30)) for each in (states, wide))
    assert of_wide == pytest.approx(null, rel=0.05)


def test_equal_states_count_once():
    states = decaying(60, 10)
    repeated = torch.cat([states, states[:20], states[:1].expand(200, -1)])
    found, once = intrinsic_dimensions(repeated), intrinsic_dimensions(states)
    assert (found.distinct, once.distinct) == (60, 60)
    torch.testing.assert_close(found.two_nn, once.two_nn)
    torch.testing.assert_close(found.two_nn_null, once.two_nn_null)
    assert found.covariance_dimension[0] != pytest.approx(float(once.covariance_dimension[0]), rel=1e-3)


def test_parts_are_as_if_they_stood_alone():
    states = torch.cat([decaying(60, 10), decaying(20, 10)[:10].expand(3, -1, -1).reshape(30, 10)])
    halves = half_samples(torch.arange(90), 3)
    found = intrinsic_dimensions(states, halves)
    for number, rows in enumerate(halves, start=1):
        torch.testing.assert_close(found.two_nn[number], two_nn(states[rows]))
        torch.testing.assert_close(found.covariance_dimension[number], covariance_dimension(states[rows]))


def test_too_few_states_say_nothing():
    assert two_nn(normal(19, 5)).isnan()
    assert not two_nn(normal(20, 5)).isnan()
    assert two_nn_of_gaussians(normal(19, 5)).isnan()
    assert not intrinsic_dimensions(normal(20, 5), half_samples(torch.arange(20), 2)).two_nn.isnan().any()
    for states in (normal(3, 5), torch.ones(50, 5)):
        assert covariance_dimension(states).isnan()
    found = intrinsic_dimensions(torch.ones(50, 5), half_samples(torch.arange(50), 2))
    assert found.distinct == 1
    assert found.two_nn.isnan().all()


def test_findings_by_depth():
    """A Gaussian, then circles; at the first sublayer there is one state."""
    depths = [torch.ones(80, 12), *(normal(80, 12, seed=seed) for seed in range(2))]
    depths += [embedded(circle(80, seed), 12) for seed in range(3)]
    found = findings(torch.stack(depths, dim=1).float())
    values = {name: variable[1] for name, variable in found.variables.items()}
    assert values["distinct_states"].tolist() == [1, 80, 80, 80, 80, 80]
    assert np.isnan(values["two_nn"][0])
    assert (values["covariance_dimension_null"] == 12).all()
    for name in ("two_nn", "covariance_dimension"):
        assert (values[f"{name}_low"][1:] < values[name][1:]).all()
        line = found.headlines[f"{name}_last_third"]
        assert line.value == pytest.approx(values[name][4:].mean())
        assert line.null == pytest.approx(values[f"{name}_null"][4:].mean())
        assert line.low < line.value < line.high
    assert found.headlines["two_nn_first_third"].sentence.endswith("not defined here.")
    assert "without the embedding" in found.headlines["two_nn_first_third_without_embedding"].sentence
    assert "not told apart" in found.headlines["two_nn_first_third_without_embedding"].sentence
    assert "curved, clustered" in found.headlines["two_nn_last_third"].sentence
    alone = findings(torch.stack(depths, dim=1), halves=0)
    assert alone.headlines["two_nn_last_third"].sentence.endswith("too few texts to tell.")


def test_the_figure_shows_both_with_their_nulls():
    layout = SublayerLayout(2, ("attn", "mlp"))
    depths = torch.stack([decaying(40, 12, seed=seed) for seed in range(4)], dim=1)
    dynamics = xr.Dataset(findings(depths, halves=3).variables, depth_coordinates(layout))
    figure = draw_intrinsic_dimension(dynamics, [Control("untrained", dynamics)])
    figure.draw_without_rendering()
    for axes, name in zip(figure.axes, ("covariance_dimension", "two_nn"), strict=True):
        for line, end in zip(axes.lines, ("", "_null", ""), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), dynamics[f"{name}{end}"])
    assert "estimate (band: 95 %)" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_processes_share_the_sublayers(monkeypatch):
    states = torch.stack([decaying(30, 12, seed=seed) for seed in range(3)], dim=1)
    whole, parts = findings(states, 3).variables, []
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(processes, "total", lambda tensor: tensor)
        parts.append(findings(states, 3).variables)
    for name in ("two_nn", "two_nn_null", "covariance_dimension", "distinct_states"):
        np.testing.assert_array_equal(parts[0][name][1] + parts[1][name][1], whole[name][1])


@pytest.mark.parametrize(("option", "value"), [("samples", 19), ("halves", 1), ("seed", -1), ("seed", 2**32)])
def test_bad_options(option, value):
    with pytest.raises(InputError, match=f"intrinsic_dimension.{option}"):
        IntrinsicDimension(**{option: value})


def test_batches_in_any_order_give_the_states_of_the_samples_that_were_drawn():
    states, numbers = decaying(90, 8).reshape(90, 1, 8) * torch.tensor([1.0, 2.0])[:, None], 100 + torch.arange(90)
    layout = SublayerLayout(1, ("attn", "mlp"))
    data = SimpleNamespace(samples=lambda split: numbers, layout=layout)
    record, callback = RunRecord(None, {}), IntrinsicDimension(samples=50, halves=4)
    record.on_test_start(None, None)
    trainer = SimpleNamespace(datamodule=data, callbacks=[record], progress_bar_callback=None)
    callback.on_test_start(trainer, SimpleNamespace(device=torch.device("cpu")))
    for rows in torch.randperm(90, generator=torch.Generator().manual_seed(1)).split(25):
        batch = SimpleNamespace(states=states[rows], samples=numbers[rows], texts=rows // 2)
        callback.on_test_batch_end(trainer, None, None, batch, 0)
    callback.on_test_epoch_end(trainer, None)
    drawn = (callback.numbers - 100).sort().values
    assert len(drawn.unique()) == 50
    dynamics = record.datasets["dynamics"]
    expected = intrinsic_dimensions(states[drawn, 1], half_samples(drawn // 2, 4), seed=1)
    assert float(dynamics["two_nn"][1]) == float(expected.two_nn[0])
    assert float(dynamics["two_nn_null"][1]) == float(expected.two_nn_null)
    _, high = standard_error_interval(expected.two_nn[0], expected.two_nn[1:])
    assert float(dynamics["two_nn_high"][1]) == float(high)
    assert record.notes["intrinsic_dimension"] == '{"samples": 50, "halves": 4}'
    assert len(record.headlines) == 8

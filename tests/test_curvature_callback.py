"""What a test finds of the curvature of paths: known answers, plain formulas, and alternation that is no order."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from paths import angles_by_hand, arcs, straightness_by_hand, walks

from rs_cae.callbacks import Curvature, RunRecord
from rs_cae.callbacks.curvature.findings import curvature_findings
from rs_cae.dynamics import jackknife_interval, rearranged_steps, resampled_mean
from rs_cae.errors import InputError
from rs_cae.figures import FIGURES, Control
from rs_cae.figures.style import ACCENT, MEAN_COLOUR
from rs_cae.metrics import GroupedMean, PathStatistics
from rs_cae.metrics.paths import GROUPS
from rs_cae.modules import AutoencoderModule
from rs_cae.sublayers import SublayerLayout

EXACT = {"rtol": 1e-11, "atol": 1e-11}


def paths_of(states, texts=None, draws=99, resamples=39, batch=1000, order=None):
    kinds = SublayerLayout(8).transition_kinds[: states.shape[1] - 1]
    statistics = PathStatistics(kinds, states.shape[2], draws, resamples, 0, torch.device("cpu"))
    texts = torch.arange(len(states)) if texts is None else texts
    for rows in (torch.arange(len(states)) if order is None else order).split(batch):
        statistics.update(states[rows], texts[rows], rows)
    return statistics.compute(), kinds


def found_of(states, texts=None, draws=99):
    paths, kinds = paths_of(states, texts, draws)
    return curvature_findings(paths, kinds, "", draws, seed=0)


def test_the_order_of_an_arcs_steps_is_no_chance():
    found = found_of(arcs(20.0), draws=199)
    for name in ("turning_angle", "turning_angle_without_embedding", "turning_angle_mean_trajectory"):
        line = found.headlines[name]
        assert line.p == 1 / 200, name
        assert line.value < line.null - 10
        assert "in the order that they have, they turn less sharply" in line.sentence
    assert "straighter than those" not in found_of(arcs(90.0)).headlines["tortuosity"].sentence  # a closed polygon


def test_a_straight_path():
    states = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None] ** 2 * walks(samples=30, sublayers=1)
    found = found_of(states, draws=199)
    line = found.headlines["turning_angle"]
    assert (line.value, line.low, line.high, line.null, line.p) == (0, 0, 0, 0, 1)
    assert found.headlines["tortuosity"].value == pytest.approx(1, abs=1e-12)
    assert found.headlines["tortuosity"].p <= 0.02  # hardly any signs are all alike
    assert "straighter than those" in found.headlines["tortuosity"].sentence


def test_in_many_dimensions_unrelated_steps_are_at_right_angles():
    headlines = found_of(walks(60, width=2000)).headlines
    assert headlines["turning_angle"].null == pytest.approx(90, abs=0.1)
    assert headlines["turning_angle"].value == pytest.approx(90, abs=0.3)


def test_neither_batches_nor_their_order_matter():
    states, texts = walks(samples=50), torch.arange(50) // 3
    whole, _ = paths_of(states, texts)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    parts, _ = paths_of(states, texts, batch=7, order=order)
    for name, one, other in zip(whole._fields, whole, parts, strict=True):
        torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other), **EXACT, msg=name)


def test_numbers_and_intervals_are_those_of_plain_formulas():
    states, texts = walks(samples=60, drift=0.5), torch.arange(60) // 2
    paths, kinds = paths_of(states, texts)
    angles = torch.from_numpy(angles_by_hand(states))
    torch.testing.assert_close(paths.turning, resampled_mean(angles, texts, 39), **EXACT)
    straight = torch.from_numpy(np.stack([straightness_by_hand(states), straightness_by_hand(states[:, 1:])], axis=1))
    torch.testing.assert_close(paths.straightness, resampled_mean(straight, texts, 39), **EXACT)
    signs = rearranged_steps("increment_sign_flip", kinds, 99).signs
    for part, steps in enumerate([states.diff(dim=1), states[:, 1:].diff(dim=1)]):
        flipped = [torch.nn.functional.pad((sign[part:, None] * steps).cumsum(dim=1), (0, 0, 1, 0)) for sign in signs]
        expected = [straightness_by_hand(path).mean() for path in flipped]
        np.testing.assert_allclose(paths.flipped_straightness[part], expected, rtol=1e-11)
    found = curvature_findings(paths, kinds, "", 99, seed=0)
    np.testing.assert_allclose(found.variables["tortuosity"][1], 1 / straight[:, 0])
    np.testing.assert_allclose(found.variables["turning_angle_mean"][1][1:-1], angles.mean(dim=0))
    without = found.headlines["tortuosity_without_embedding"]
    assert without.value == pytest.approx(1 / float(straight[:, 1].mean()))
    assert found.headlines["turning_angle_without_embedding"].value == pytest.approx(float(angles[:, 1:].mean()))
    means = np.stack([states[texts % GROUPS != group].mean(dim=0) for group in range(GROUPS)])
    whole, left_out = (torch.from_numpy(angles_by_hand(part)) for part in (states.mean(dim=0)[None], means))
    low, high = jackknife_interval(whole[0].mean(), left_out.mean(dim=1))
    line = found.headlines["turning_angle_mean_trajectory"]
    assert (line.value, line.low, line.high) == pytest.approx((float(whole.mean()), float(low), float(high)))
    shape = found.headlines["tortuosity_mean_trajectory"].value
    assert shape == pytest.approx(1 / straightness_by_hand(states.mean(dim=0)[None])[0])


def test_paths_without_their_first_step_are_paths():
    states = walks(samples=40, sublayers=9)
    whole, later = found_of(states, draws=199).headlines, found_of(states[:, 1:], draws=199).headlines
    for path in ("", "_mean_trajectory"):
        one, other = whole[f"turning_angle{path}_without_embedding"], later[f"turning_angle{path}"]
        assert (one.value, one.low, one.null, one.p) == pytest.approx((other.value, other.low, other.null, other.p))
        one, other = whole[f"tortuosity{path}_without_embedding"], later[f"tortuosity{path}"]
        assert (one.value, one.high) == pytest.approx((other.value, other.high))
        assert one.null == pytest.approx(other.null, rel=0.1)  # signs of their own


@pytest.mark.parametrize("sublayers", [3, 8])
def test_intervals_keep_to_what_is_possible(sublayers):
    found = found_of(walks(11, sublayers, width=2))
    for name, line in found.headlines.items():
        if sublayers == 3 and "without" in name:
            continue  # nothing turns
        low, high = (0, 180) if name.startswith("turning") else (1, np.inf)
        assert low <= line.low <= line.value <= line.high <= high, name
    ends = [found.variables[f"turning_angle_mean_trajectory_{end}"][1][1:-1] for end in ("low", "high")]
    assert ends[0].min() == 0  # they were cut off
    assert ends[1].max() == 180 or sublayers == 3


def test_means_by_group_merge():
    values, texts = walks(samples=40), torch.arange(40)
    parts = [GroupedMean(8, 6, groups=7) for _ in range(2)]
    for part, rows in zip(parts, torch.arange(40).split(25), strict=True):
        part.update(values[rows], texts[rows])
    remaining = iter([getattr(parts[1], name) for name in parts[1]._reductions])
    parts[0].dist_sync_fn = lambda state, group: [state, next(remaining)]
    parts[0].distributed_available_fn = lambda: True
    expected = [values.mean(dim=0), *(values[texts % 7 != group].mean(dim=0) for group in range(7))]
    torch.testing.assert_close(parts[0].compute(), torch.stack(expected), **EXACT)
    few = GroupedMean(8, 6, groups=7)
    few.update(values[:3], texts[:3])
    assert len(few.compute()) == 4  # groups without a text are left out


def test_alternation_is_not_taken_for_order():
    """Attention steps along one line and MLP steps along another turn by 90 degrees in any order of either."""
    steps = 0.3 * walks(40, 7, width=30).diff(dim=1, prepend=torch.zeros(40, 1, 30))
    steps[:, ::2, 0] += 10
    steps[:, 1::2, 1] += 10
    found = found_of(torch.nn.functional.pad(steps.cumsum(dim=1), (0, 0, 1, 0)), draws=199)
    line = found.headlines["turning_angle"]
    assert line.p < 0.06
    assert line.value > line.null + 20
    assert "not told apart from those" in line.sentence
    assert found.variables["turning_angle_p_within_kind"][1] > 0.1
    assert found.variables["turning_angle_mean_null_within_kind"][1][1:-1] == pytest.approx(90, abs=1)


def test_few_texts_have_neither_interval_nor_p():
    found = found_of(walks(27), torch.arange(27) // 3)
    assert len(found.headlines) == 8
    for name, line in found.headlines.items():
        assert np.isnan([line.low, line.high, line.p]).all(), name
        assert line.sentence.endswith("too few texts to tell.")


@pytest.mark.parametrize("sublayers", [2, 3])
def test_paths_of_one_or_two_steps(sublayers):
    found = found_of(walks(sublayers=sublayers))
    assert found.variables["turning_angle_mean"][1].shape == (sublayers,)
    assert np.isfinite(found.headlines["tortuosity"].value)
    assert np.isfinite(found.headlines["turning_angle"].value) == (sublayers == 3)
    assert "not defined here" in found.headlines["turning_angle_without_embedding"].sentence


def recorded(scope="shared", samples=20):
    """The record of a test of an untrained reducer on walks, with no model and no files."""
    layout, states = SublayerLayout(4), walks(samples, width=16)
    record, callback = RunRecord(SimpleNamespace(), {}), Curvature(draws=19, bootstrap=39)
    trainer = SimpleNamespace(callbacks=[record], datamodule=SimpleNamespace(layout=layout, width=16))
    module = AutoencoderModule(width=16, sublayers=8, bottleneck=2, scope=scope, standardize="none")
    rows = torch.arange(samples)
    callback.on_test_start(trainer, module)
    for part in rows.split(8):
        batch = SimpleNamespace(states=states[part], texts=part, samples=part)
        callback.on_test_batch_end(trainer, module, {"latents": states[part, :, :2] ** 3}, batch, 0)
    callback.on_test_epoch_end(trainer, module)
    return record, states


def test_both_spaces_are_recorded():
    record, states = recorded()
    for name, values in (("dynamics", states), ("latent", states[:, :, :2] ** 3)):
        dataset = record.datasets[name]
        np.testing.assert_allclose(dataset["turning_angle_mean"][1:-1], angles_by_hand(values).mean(axis=0))
        assert dataset["turning_angle_mean"][[0, -1]].isnull().all()
        np.testing.assert_allclose(dataset["tortuosity"], 1 / straightness_by_hand(values))
    names = [
        f"{quantity}{path}{end}"
        for quantity in ("turning_angle", "tortuosity")
        for path in ("", "_mean_trajectory")
        for end in ("", "_without_embedding")
    ]
    assert set(record.headlines) == {*names, *(f"latent_{name}" for name in names)}
    assert "the latent space" in record.headlines["latent_tortuosity"].sentence


def test_latents_of_unrelated_spaces_have_a_reason_instead():
    record, _ = recorded("per_sublayer")
    latent = record.datasets["latent"]
    assert all(variable.isnull().all() for variable in latent.data_vars.values())
    for name in ("turning_angle_mean", "turning_angle_mean_trajectory", "tortuosity"):
        assert "a latent space of its own" in latent[name].attrs["note"]
    assert not any(name.startswith("latent") for name in record.headlines)
    figure = FIGURES["latent_turning_angle"].draw(latent, [])
    assert "a latent space of its own" in figure.axes[0].texts[0].get_text().replace("\n", " ")


@pytest.mark.parametrize(("option", "value"), [("draws", 18), ("bootstrap", 38), ("seed", -1), ("seed", 2**32)])
def test_bad_options(option, value):
    with pytest.raises(InputError, match=f"--curvature.{option}"):
        Curvature(**{option: value})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["turning_angle", "latent_turning_angle"])
def test_figures(name):
    dataset = recorded()[0].datasets[FIGURES[name].dataset]
    needs = dataset[[*FIGURES[name].needs]]
    figure = FIGURES[name].draw(dataset, [Control("untrained", dataset), Control("bare", xr.Dataset())])
    figure.draw_without_rendering()
    axes, labels = figure.axes[0], [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-1] == "untrained"
    assert "shuffled, attention and MLP apart" in labels
    assert [line.get_color() for line in axes.lines if line.get_linestyle() == ":"] == [ACCENT, MEAN_COLOUR]
    curves = [line.get_ydata() for line in axes.lines]
    for variable in ("turning_angle_mean", "turning_angle_mean_null", "turning_angle_mean_trajectory"):
        assert any(np.array_equal(dataset[variable], curve, equal_nan=True) for curve in curves), variable
    FIGURES[name].draw(needs, []).draw_without_rendering()
    FIGURES[name].draw(needs * np.nan, []).draw_without_rendering()
    FIGURES[name].draw(xr.zeros_like(needs), []).draw_without_rendering()

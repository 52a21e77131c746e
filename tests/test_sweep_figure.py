"""The figure of a sweep: one line for each combination, over the axis of numbers, controls in grey."""

import json

import numpy as np
import pytest
import xarray as xr

from rs_cae.figures import Control, draw_sweep
from rs_cae.figures.style import GREY
from rs_cae.figures.sweep import MOST_LINES, horizontal_axis


def sweep(runs, **axes):
    """A sweep whose metric is 0.01, 0.02 and so on, in reverse order of its runs."""
    values = np.arange(1, runs + 1)[::-1] / 100
    columns = {"share": values, "share_low": values - 0.1, "share_high": values + 0.2}
    every = {name: ("run", np.asarray(column)) for name, column in {**axes, **columns}.items()}
    return xr.Dataset(every, attrs={"axes": json.dumps(list(axes)), "metric": "share"})


def by_config(**more):
    configs = np.array(["a/pca.yaml", "a/cae.yaml"], dtype=object).repeat(3)
    return sweep(6, config=configs, **{"model.bottleneck": [64, 1, 8, 64, 1, 8]}, **more)


def drawn(figure):
    """The lines that have a label: label, colour, places and values."""
    axes = figure.axes[0]
    found = {}
    for container in axes.containers:
        line = container.lines[0]
        found[container.get_label()] = (line.get_color(), line.get_xdata().tolist(), line.get_ydata().tolist())
    return found


def test_each_combination_is_a_line_over_the_numbers_in_order():
    figure = draw_sweep(by_config())
    lines = drawn(figure)
    assert list(lines) == ["pca", "cae"]
    assert lines["pca"][1:] == ([1, 8, 64], [0.05, 0.04, 0.06])
    assert lines["cae"][1:] == ([1, 8, 64], [0.02, 0.01, 0.03])
    axes = figure.axes[0]
    looks = [(line.get_marker(), line.get_linestyle()) for line in (held.lines[0] for held in axes.containers)]
    assert len(set(looks)) == len({dash for _, dash in looks}) == 2  # told apart where they agree
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "8", "64"]
    assert axes.get_xlabel() == "bottleneck"
    assert axes.get_ylabel() == "share"


def test_bars_are_the_intervals_where_they_are_known():
    data = by_config()
    data["share_high"].values[0] = np.nan
    bars = draw_sweep(data).axes[0].containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[-0.05, 0.25], [-0.06, 0.24], [-0.04, 0.06]], atol=1e-12)


def test_runs_that_failed_are_left_out():
    data = by_config()
    data["share"].values[1] = np.nan
    assert drawn(draw_sweep(data))["pca"][1] == [8, 64]
    data["share"].values[:] = np.nan
    assert draw_sweep(data).axes[0].texts[0].get_text() == "no run has finished"


def test_controls_are_grey_and_named():
    lines = drawn(draw_sweep(by_config(), [Control("untrained", by_config())]))
    assert {label: colour == GREY for label, (colour, *_) in lines.items()} == {
        "pca, untrained": True,
        "cae, untrained": True,
        "pca": False,
        "cae": False,
    }


def test_the_axis_of_numbers_with_most_values_is_horizontal():
    assert horizontal_axis(by_config()) == "model.bottleneck"
    numbers = sweep(4, **{"model.lr": [0.1, 0.1, 0.2, 0.2], "trainer.max_epochs": [1, 2, 3, 4]})
    assert horizontal_axis(numbers) == "trainer.max_epochs"
    lines = drawn(draw_sweep(numbers))
    assert list(lines) == ["lr 0.1", "lr 0.2"]
    assert draw_sweep(numbers).axes[0].get_xscale() == "linear"


def test_text_alone_is_horizontal_too():
    lines = drawn(draw_sweep(sweep(2, config=np.array(["b.yaml", "a.yaml"], dtype=object))))
    assert next(iter(lines.values()))[2] == [0.02, 0.01]


@pytest.mark.parametrize("others", [MOST_LINES, MOST_LINES + 1])
def test_more_lines_than_anybody_can_tell_apart_are_points(others):
    bottlenecks = np.tile(np.arange(others + 1), others)
    data = sweep(
        len(bottlenecks), **{"model.lr": np.arange(others).repeat(others + 1), "model.bottleneck": bottlenecks}
    )
    lines = [container.lines[0] for container in draw_sweep(data).axes[0].containers]
    assert len(lines) == (others if others <= MOST_LINES else 1)
    assert lines[0].get_linestyle() == ("-" if others <= MOST_LINES else "None")

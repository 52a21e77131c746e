"""Curves of recovery are the data, beside what they are held against, whatever the range."""

import numpy as np
import pytest
from made_up_perturbations import SIZES, labelled, perturbation_of, words
from matplotlib.colors import same_color
from test_figures import drawn, legend

from rs_cae.figures import Control
from rs_cae.figures.recovery import GRID, KEPT, RANDOM, set_recovery_scale
from rs_cae.figures.recovery_lines import MOST_LINES
from rs_cae.figures.style import ACCENT, GREY, MEAN_COLOUR, single_panel


def shifted(results, name, by):
    """The same with all of a variable's values moved."""
    return results.assign({f"{name}{end}": results[f"{name}{end}"] + by for end in ("", "_low", "_high")})


def test_recovery_is_the_data_with_what_it_is_held_against():
    results = perturbation_of(untrained=True)
    figure = drawn("recovery", results, [Control("shuffled tokens", perturbation_of(at=[1, 2]))])
    for axes, name in zip(figure.axes, ("recovery", "recovery_direction", "recovery_plane", "kl"), strict=True):
        for label, ending, colour in ((GRID, "", ACCENT), (RANDOM, "_random", "black")):
            (curve,) = labelled(axes, label)
            np.testing.assert_array_equal(curve.get_ydata(), results[f"{name}{ending}_mean"])
            np.testing.assert_array_equal(curve.get_xdata(), [0, 1, 2])
            assert same_color(curve.get_color(), colour)
        carried = [line.get_ydata() for line in axes.lines if same_color(line.get_color(), MEAN_COLOUR)]
        np.testing.assert_array_equal(carried, [[0, 0] if name == "recovery" else results[f"{name}_kept_mean"]])
        assert all(str(line.get_label()) == KEPT for line in axes.lines if same_color(line.get_color(), MEAN_COLOUR))
        assert labelled(axes, "shuffled tokens")[0].get_xdata().tolist() == [0.5, 1]
    untrained = [labelled(axes, "untrained model, same displacements") for axes in figure.axes]
    np.testing.assert_array_equal(untrained[0][0].get_ydata(), results["recovery_untrained_mean"])
    assert same_color(untrained[0][0].get_color(), GREY)
    assert untrained[1:] == [[], [], []]
    assert "bands: 95 %" in figure.get_suptitle()
    assert "bands" not in drawn("recovery", perturbation_of(prompts=1)).get_suptitle()


def test_bands_are_the_intervals_a_bar_where_there_is_one_value():
    results = perturbation_of()
    ends = [results[f"recovery_mean_{end}"].values for end in ("low", "high")]
    band = drawn("recovery", results).axes[0].collections[0].get_paths()[0].vertices
    assert set(np.concatenate(ends)) == set(band[:, 1])
    bar = drawn("recovery", results.isel(injection=[1])).axes[0].collections[0]
    np.testing.assert_array_equal(bar.get_segments(), [[[1, ends[0][1]], [1, ends[1][1]]]])


def test_injections_with_fewer_steps_are_hollow_where_steps_count():
    results = perturbation_of()
    figure = drawn("recovery", results)
    hollow = [labelled(axes, "fewer than 4 sublayers left") for axes in figure.axes]
    for (points,), name in zip(hollow[:3], ("recovery", "recovery_direction", "recovery_plane"), strict=True):
        np.testing.assert_array_equal(points.get_xydata(), np.column_stack([[1, 2], results[f"{name}_mean"][1:]]))
        assert points.get_markerfacecolor() == "white"
    assert hollow[3] == []
    assert not any("fewer" in label for label in legend(drawn("recovery", perturbation_of(layers=3, at=[0, 1]))))


def test_a_panel_of_which_nothing_is_known_says_why():
    results = perturbation_of()
    plane = results["recovery_plane_mean"] * np.nan
    plane.attrs["note"] = "latents share no space"
    figure = drawn("recovery", results.assign(recovery_plane_mean=plane))
    assert [text.get_text() for text in figure.axes[2].texts] == ["latents share no space"]
    last = drawn("recovery", perturbation_of(at=[5]))
    assert [len(axes.texts) for axes in last.axes] == [1, 1, 1, 0]


def test_recovery_far_below_minus_one_leaves_room_for_the_rest_and_is_seen():
    results = perturbation_of()
    assert drawn("recovery", results).axes[0].get_yscale() == "linear"
    figure = drawn("recovery", shifted(results, "recovery_mean", np.array([0, -3, -250])))
    axes = figure.axes[0]
    (curve,) = labelled(axes, GRID)
    heights = axes.transAxes.inverted().transform(axes.transData.transform(curve.get_xydata()))[:, 1]
    zero = axes.transAxes.inverted().transform(axes.transData.transform([0, 0]))[1]
    assert 0 < heights[2] < heights[1] < zero - 0.1 < zero + 0.1 < heights[0] < 1
    assert "log below -1" in axes.get_ylabel()
    assert figure.axes[1].get_yscale() == "linear"


@pytest.mark.parametrize("lowest", [-1.0, -1.01, -4.0, -30.0, -1e6])
def test_marks_of_recovery(lowest):
    _, axes = single_panel()
    set_recovery_scale(axes, np.array([lowest, np.nan, 0.9]))
    assert (axes.get_yscale() == "symlog") == (lowest < -1)
    low, high = axes.get_ylim()
    assert low < lowest < 0.9 < high
    if lowest < -1:
        marks = axes.get_yticks()
        assert {-1, 0, 1} <= set(marks)
        assert all(mark >= low for mark in marks)
        assert lowest > -2 or min(marks) <= lowest / 5


def test_recovery_by_step_has_a_line_and_a_null_in_the_colour_of_each_depth():
    results = perturbation_of(layers=4, at=[0, 3, 7])
    figure = drawn("recovery_by_step", results)
    axes, bar = figure.axes
    curves, nulls = labelled(axes, GRID), labelled(axes, RANDOM)
    assert len(curves) == len(nulls) == 2  # nothing is left after the last
    for number, (curve, null) in enumerate(zip(curves, nulls, strict=True)):
        np.testing.assert_array_equal(curve.get_ydata(), results["recovery_by_step"][number])
        np.testing.assert_array_equal(null.get_ydata(), results["recovery_random_by_step"][number])
        np.testing.assert_array_equal(curve.get_xdata(), range(5))
        assert same_color(curve.get_color(), null.get_color())
    assert not same_color(curves[0].get_color(), curves[1].get_color())
    assert [label.get_text() for label in bar.get_yticklabels()] == ["L00 attention", "L01 MLP"]
    np.testing.assert_allclose(bar.get_yticks(), [0.5, 1.5])
    assert "no sublayer is left" in words(drawn("recovery_by_step", results.isel(injection=[2])))
    assert "before L00 attention" in drawn("recovery_by_step", results.isel(injection=[0])).get_suptitle()


def test_few_steps_are_said_beside_the_colour():
    bar = drawn("recovery_by_step", perturbation_of()).axes[1]
    labels = [label.get_text() for label in bar.get_yticklabels()]
    assert labels == ["L00 attention", "L01 attention (3 left)", "L02 attention (1 left)"]


def test_dose_response_is_the_data_by_direction():
    results = perturbation_of()
    results["dose_kl"][0, 0, 0] = 0.0
    figure = drawn("dose_response", results)
    for row, name in enumerate(("dose_recovery", "dose_kl")):
        for column in (0, 1):
            axes = figure.axes[2 * row + column]
            curves = [line for line in axes.lines if len(line.get_xdata()) == len(SIZES)]
            np.testing.assert_array_equal([curve.get_ydata() for curve in curves], results[name][:, column])
            np.testing.assert_array_equal([curve.get_xdata() for curve in curves], [SIZES] * 3)
            assert axes.get_xscale() == "log"
            assert axes.get_yscale() == ("linear" if row == 0 else "log")
            assert len(axes.collections) == 3  # bands
    assert [axes.get_title() for axes in figure.axes[:2]] == ["random directions", "principal directions"]
    assert len(drawn("dose_response", perturbation_of(logits=False)).axes) == 3
    last = drawn("dose_response", perturbation_of(at=[5]))
    assert [len(axes.texts) for axes in last.axes] == [1, 1, 0, 0]


@pytest.mark.parametrize("name", ["recovery_by_step", "dose_response"])
def test_controls_are_grey_and_lines_too_many_to_be_told_apart_are_left_out(name):
    results = perturbation_of(layers=10, at=range(20))
    figure = drawn(name, results, [Control(label, perturbation_of()) for label in ("untrained", "shuffled tokens")])
    dashes = {str(line.get_linestyle()) for axes in figure.axes for line in labelled(axes, "untrained")}
    assert len(dashes) == 1
    assert all(same_color(line.get_color(), GREY) for line in labelled(figure.axes[0], "untrained"))
    assert len(labelled(figure.axes[0], "untrained")) == 3
    assert {"untrained", "shuffled tokens"} <= set(legend(figure))
    count = 19 if name == "recovery_by_step" else 20
    assert f"{MOST_LINES} of {count} injections" in figure.get_suptitle()

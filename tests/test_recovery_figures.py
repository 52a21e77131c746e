"""Curves of recovery are the data, beside what they are held against, whatever the range."""

import numpy as np
import pytest
from made_up_perturbations import SIZES, labelled, perturbation_of, words
from matplotlib.colors import same_color
from test_figures import drawn, legend

from rs_cae.figures import Control
from rs_cae.figures.injections import UNCORRECTED
from rs_cae.figures.recovery import GRID, MEANING, RANDOM, TURNED, set_recovery_scale
from rs_cae.figures.recovery_lines import DEPTHS, MOST_LINES
from rs_cae.figures.style import ACCENT, GREY, MEAN_COLOUR, single_panel


def of_injections(axes):
    """The lines whose entry in the legend is an injection."""
    return [line for line in axes.lines if str(line.get_label()).startswith("before ")]


def dashes(axes):
    """Lines of controls, with their entry in the legend."""
    return [line for line in axes.lines if line.get_linestyle() not in ("-", ":", "None")]


def shifted(results, name, by):
    """The same with all of a variable's values moved."""
    return results.assign({f"{name}{end}": results[f"{name}{end}"] + by for end in ("", "_low", "_high")})


def test_recovery_is_the_data_with_what_it_is_held_against():
    results = perturbation_of(untrained=True)
    figure = drawn("recovery", results, [Control("shuffled tokens", perturbation_of(at=[1, 2]))])
    for axes, name in zip(figure.axes, ("recovery", "recovery_direction", "recovery_plane", "kl"), strict=True):
        for label, ending, colour in ((GRID, "", ACCENT), (TURNED, "_random", "black")):
            (curve,) = labelled(axes, label)
            np.testing.assert_array_equal(curve.get_ydata(), results[f"{name}{ending}_mean"])
            np.testing.assert_array_equal(curve.get_xdata(), [0, 1, 2])
            assert same_color(curve.get_color(), colour)
        carried = [line.get_ydata() for line in axes.lines if same_color(line.get_color(), MEAN_COLOUR)]
        np.testing.assert_array_equal(carried, [[0, 0] if name == "recovery" else results[f"{name}_uncorrected_mean"]])
        assert all(
            str(line.get_label()) == UNCORRECTED for line in axes.lines if same_color(line.get_color(), MEAN_COLOUR)
        )
        assert labelled(axes, "shuffled tokens")[0].get_xdata().tolist() == [0.5, 1]
    untrained = [labelled(axes, "untrained model, same perturbations") for axes in figure.axes]
    np.testing.assert_array_equal(untrained[0][0].get_ydata(), results["recovery_untrained_mean"])
    assert same_color(untrained[0][0].get_color(), GREY)
    assert untrained[1:] == [[], [], []]
    assert "bands: 95 %" in figure.get_suptitle()
    assert MEANING in figure.get_suptitle()
    assert "bands" not in drawn("recovery", perturbation_of(prompts=1)).get_suptitle()


def test_an_untrained_control_has_no_divergence():
    figure = drawn("recovery", perturbation_of(), [Control("untrained, shuffled tokens", perturbation_of())])
    found = [len(labelled(axes, "untrained, shuffled tokens")) for axes in figure.axes]
    assert found == [1, 1, 1, 0]
    figure = drawn("dose_response", perturbation_of(), [Control("untrained", perturbation_of())])
    assert [len(dashes(axes)) for axes in figure.axes] == [4, 4, 0, 0]


def test_the_band_of_what_is_only_carried_along():
    axes = drawn("recovery", perturbation_of()).axes[1]
    assert sum(same_color(band.get_facecolor()[0][:3], MEAN_COLOUR) for band in axes.collections) == 1


@pytest.mark.parametrize(("at", "face"), [(0, ACCENT), (2, "white")])
def test_the_legend_of_a_single_injection_has_the_marker_that_is_drawn(at, face):
    axes = drawn("recovery", perturbation_of(at=[2 * at])).axes[0]
    (curve,) = labelled(axes, GRID)
    assert curve.get_marker() == "o"
    assert same_color(curve.get_markerfacecolor(), face)


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


def test_a_recovery_of_nearly_nothing_does_not_look_large():
    for values in ([0.005], [-0.003, 0.002]):
        _, axes = single_panel()
        set_recovery_scale(axes, np.array(values))
        low, high = axes.get_ylim()
        assert 0.2 <= high - low < 0.25
        assert low < min(values) <= max(values) < high
    _, axes = single_panel()
    set_recovery_scale(axes, np.array([0.9]))
    assert -0.1 < axes.get_ylim()[0] < 0


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


def test_recovery_by_step_has_a_line_and_a_null_in_the_colour_of_each_injection():
    results = perturbation_of(layers=4, at=[0, 3, 7])
    figure = drawn("recovery_by_step", results)
    (axes,) = figure.axes
    curves = of_injections(axes)
    assert [curve.get_label() for curve in curves] == ["before L00 attention", "before L01 MLP"]
    for number, curve in enumerate(curves):  # nothing is left after the last
        np.testing.assert_array_equal(curve.get_ydata(), results["recovery_by_step"][number])
        (null,) = [
            line
            for line in axes.lines
            if line.get_linestyle() == ":" and same_color(line.get_color(), curve.get_color())
        ]
        np.testing.assert_array_equal(null.get_ydata(), results["recovery_random_by_step"][number])
        np.testing.assert_array_equal(curve.get_xdata(), range(5))
    assert {GRID, RANDOM, UNCORRECTED} <= set(legend(figure))
    assert "no sublayer is left" in words(drawn("recovery_by_step", results.isel(injection=[2])))
    assert "before L00 attention" in legend(drawn("recovery_by_step", results.isel(injection=[0])))


@pytest.mark.parametrize("name", ["recovery_by_step", "dose_response"])
def test_injections_next_to_each_other_have_colours_far_apart(name):
    axes = drawn(name, perturbation_of(layers=32, at=[0, 2, 4, 8])).axes[0]
    colours = np.array([line.get_color() for line in of_injections(axes)])
    np.testing.assert_allclose(colours, DEPTHS(np.linspace(0, 1, 4)))
    assert np.linalg.norm(np.diff(colours, axis=0), axis=1).min() > 0.25


def test_few_steps_are_said_in_the_legend():
    labels = legend(drawn("recovery_by_step", perturbation_of()))
    assert labels[:3] == ["before L00 attention", "before L01 attention (3 left)", "before L02 attention (1 left)"]


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
    assert len(drawn("dose_response", perturbation_of(logits=False)).axes) == 2
    last = drawn("dose_response", perturbation_of(at=[5]))
    assert [len(axes.texts) for axes in last.axes] == [1, 1, 0, 0]


@pytest.mark.parametrize("name", ["recovery_by_step", "dose_response"])
def test_controls_are_dashed_in_the_colour_of_their_injection_grey_where_none_is_shared(name):
    results, other = perturbation_of(layers=4, at=[0, 2, 4]), perturbation_of(layers=4, at=[2, 4, 6])
    for variable in ("recovery_by_step", "dose_recovery"):
        other[variable] = other[variable] * 0.5
    figure = drawn(name, results, [Control("shuffled tokens", other), Control("alone", perturbation_of(at=[1]))])
    axes, variable = figure.axes[0], "dose_recovery" if name == "dose_response" else name
    entries = [labelled(axes, label)[0] for label in ("shuffled tokens", "alone")]
    assert all(same_color(entry.get_color(), GREY) for entry in entries)
    first, second, third = [line for line in dashes(axes) if line not in entries]
    for number, line, curve in zip((0, 1), (first, second), of_injections(axes)[1:], strict=True):
        assert same_color(line.get_color(), curve.get_color())
        values = other[variable].values[number]
        np.testing.assert_array_equal(line.get_ydata(), values[0] if name == "dose_response" else values)
    assert same_color(third.get_color(), GREY)
    assert first.get_linestyle() == second.get_linestyle() != third.get_linestyle()
    assert {"shuffled tokens", "alone"} <= set(legend(figure))


@pytest.mark.parametrize("name", ["recovery_by_step", "dose_response"])
def test_lines_too_many_to_be_told_apart_are_left_out(name):
    figure = drawn(name, perturbation_of(layers=10, at=range(20)))
    count = 19 if name == "recovery_by_step" else 20
    assert f"{MOST_LINES} of {count} injections" in figure.get_suptitle()
    assert sum(label.startswith("before ") for label in legend(figure)) == MOST_LINES

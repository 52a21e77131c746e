"""The figures of teleports show what the results hold, and say what they leave out."""

import numpy as np
import pytest
from made_up_perturbations import labelled, perturbation_of, words
from matplotlib.colors import same_color
from matplotlib.quiver import Quiver
from test_figures import drawn, legend, lines

from rs_cae.figures import FIGURES
from rs_cae.figures.injections import UNCORRECTED, FixedPoint, draw_fixed_points, evenly, injections, spoken
from rs_cae.figures.perturbation import DONE, SCALED, length_factor
from rs_cae.figures.style import WITHIN, single_panel

NAMES = [name for name, drawing in FIGURES.items() if drawing.dataset == "perturbation"]


def arrows(axes):
    return [found for found in axes.collections if isinstance(found, Quiver)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape",
    [
        {"at": [2]},
        {"at": [5]},
        {"at": [2], "latents": 1},
        {"layers": 32, "at": range(64), "steps": 12, "prompts": 1},
        {"layers": 9, "sites": ("layer",), "latents": 3, "logits": False},
        {"layers": 4, "at": range(8), "latents": 1, "prompts": 1},
    ],
    ids=str,
)
def test_every_shape_is_drawn(name, shape):
    drawn(name, perturbation_of(**shape))


def test_arrows_are_the_displacements_in_the_network_and_carried_along():
    results = perturbation_of(latents=3)
    figure = drawn("perturbation_field", results)
    panels = [axes for axes in figure.axes if arrows(axes)]
    assert [axes.get_title().rsplit("\n", 1)[0] for axes in panels[:3]] == [
        "before L00 attention\n4 sublayers later",
        "before L01 attention\n3 sublayers later (the last)",
        "before L02 attention\n1 sublayer later (the last)",
    ]
    for axes, variable, number in zip(
        panels, ["displacement"] * 3 + ["displacement_uncorrected"] * 3, [0, 1, 2] * 2, strict=True
    ):
        field = results[variable].values[number, :, :2]
        (quiver,) = arrows(axes)
        np.testing.assert_array_equal(np.column_stack([quiver.U, quiver.V]), field)
        np.testing.assert_array_equal(quiver.XY, results["trajectories"].values[number, :, 0, :2])
        np.testing.assert_allclose(quiver.get_array(), np.linalg.norm(field, axis=1))
        assert (quiver.angles, quiver.scale_units) == ("xy", "xy")
    assert len({arrows(axes)[0].get_clim() for axes in panels}) == 1
    labels = [axes.get_ylabel() for axes in figure.axes]
    rows = [label.replace("\n", " ") for label in labels if "\n" in label]
    assert rows == [f"{DONE} latent 1", f"{UNCORRECTED} latent 1"]


def test_the_control_its_part_that_was_followed_and_its_ends():
    results = perturbation_of(layers=8, at=[2, 9], steps=6)
    figure = drawn("perturbation_field", results)
    control = results["control"].values
    for axes, first, left in zip(figure.axes, [2, 9] * 2, [6, 6] * 2, strict=False):
        (way,) = labelled(axes, "control")
        np.testing.assert_array_equal(way.get_xydata(), control)
        ends = [labelled(axes, f"control at the {end}")[0] for end in ("injection", "last step")]
        np.testing.assert_array_equal([end.get_xydata()[0] for end in ends], control[[first, first + left]])
        followed = next(line for line in axes.lines if len(line.get_xydata()) == left + 1)
        np.testing.assert_array_equal(followed.get_xydata(), control[first : first + left + 1])


def test_arrows_too_long_or_too_short_are_drawn_alike_by_a_factor_that_is_said():
    results = perturbation_of(side=9)
    first, *_ = injections(results, 12)
    for length, wanted in ((10, 0.15), (4, 0.3), (1, 1), (0.3, 3), (0.001, 3)):
        field = np.zeros_like(first.displacement)
        field[:, 1] = length * np.ptp(first.starts[:, 1]) / 8
        assert length_factor(first._replace(displacement=field, uncorrected=None)) == wanted
    results["displacement"] = results["displacement"] * np.array([20, 0.5, 0.2])[:, None, None]
    figure = drawn("perturbation_field", results)
    assert SCALED in figure.get_suptitle()
    for axes, below in zip(figure.axes[:3], figure.axes[3:6], strict=True):
        factor = 1 / arrows(axes)[0].scale
        by = "at" if factor == 1 else f"{factor:g} times" if factor > 1 else f"at {factor:g} of"
        assert f"drawn {by} their length" == axes.get_title().split("\n")[-1]
        assert arrows(axes)[0].scale == arrows(below)[0].scale
    factors = [length_factor(injection) for injection in injections(results, 12)]
    assert len(set(factors)) == 3
    np.testing.assert_allclose([1 / arrows(axes)[0].scale for axes in figure.axes[:3]], factors)
    top = np.quantile(np.linalg.norm(results["displacement"].values, axis=-1), 0.98)
    np.testing.assert_allclose([arrows(axes)[0].get_clim() for axes in figure.axes[:6]], [(0, top)] * 6)
    as_they_are = drawn("perturbation_field", perturbation_of(layers=1))
    assert "arrows at their true length" in as_they_are.get_suptitle()
    assert arrows(as_they_are.axes[0])[0].scale == 1
    assert "drawn" not in as_they_are.axes[0].get_title()


def test_of_a_fine_grid_every_second_row_and_column_has_arrows():
    results = perturbation_of(side=15, at=[0])
    (quiver,) = arrows(drawn("perturbation_field", results).axes[0])
    starts = results["trajectories"].values[0, :, 0].reshape(15, 15, 2)
    np.testing.assert_array_equal(quiver.XY, starts[::2, ::2].reshape(-1, 2))


def test_only_fixed_points_that_persist_are_drawn_each_where_it_belongs():
    results = perturbation_of(at=[0])
    figure = drawn("perturbation_field", results)
    done, kept = ([line for line in axes.lines if same_color(line.get_color(), WITHIN)] for axes in figure.axes[:2])
    found = {tuple(line.get_xydata()[0]): (line.get_marker(), line.get_markerfacecolor()) for line in done}
    assert found == {(-1, 0): ("o", WITHIN), (1, 0): ("o", WITHIN), (0, 0): ("X", WITHIN)}
    assert [tuple(line.get_xydata()[0]) for line in kept] == [(0.2, 0)]
    assert {"fixed point: stable node", "fixed point: saddle"} <= set(legend(figure))
    results["fixed_point_kind"] = "fixed_point", ["unstable node"] * 5
    hollow = drawn("perturbation_field", results).axes[0].lines[-1]
    assert hollow.get_markerfacecolor() == "white"


def test_fixed_points_hide_nothing_and_are_smaller_where_they_are_crowded():
    results = perturbation_of(at=[0])
    axes = drawn("perturbation_field", results).axes[0]
    ends = [labelled(axes, f"control at the {end}")[0] for end in ("injection", "last step")]
    assert [end.get_markerfacecolor() for end in ends] == ["white", "white"]
    zeros = [line for line in axes.lines if same_color(line.get_color(), WITHIN)]
    assert min(zero.zorder for zero in zeros) > max(line.zorder for line in axes.lines if line not in zeros)
    _, axes = single_panel()
    starts = np.stack(np.meshgrid([0, 1, 2], [0, 10, 20], indexing="ij"), axis=-1).reshape(-1, 2)
    places = [(0, 0), (0, 9), (2, 9), (2, 20)]
    draw_fixed_points(axes, [FixedPoint(np.array(place), "stable node") for place in places], starts)
    sizes = [line.get_markersize() for line in axes.lines]
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3]


@pytest.mark.parametrize("at", [[2], [2, 4]], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_titles_are_no_wider_than_the_figure(name, at):
    figure = drawn(name, perturbation_of(at=at).assign_attrs(prompts=123456789), layout="constrained")
    box = figure._suptitle.get_window_extent()
    assert 0 < box.x0 < box.x1 < figure.bbox.width


def test_it_is_said_why_no_fixed_point_is_seen():
    results = perturbation_of()
    assert "fixed" not in drawn("perturbation_field", results).get_suptitle()
    assert "no zero of the field persists" in words(
        drawn("perturbation_field", results.assign(fixed_point_persistence=results["fixed_point_persistence"] * 0.9))
    )
    figure = drawn("perturbation_field", perturbation_of(prompts=49))
    assert "no fixed points: that takes 50 prompts" in words(figure)
    assert not lines(figure, WITHIN)
    unsaid = results.copy()
    del unsaid.attrs["persistent_share"]
    figure = drawn("perturbation_field", unsaid)
    assert not lines(figure, WITHIN)
    assert "it is not known which persist" in words(figure)
    stricter = drawn("perturbation_field", results.assign_attrs(persistent_share=0.98))
    assert len(lines(stricter, WITHIN)) == 6
    assert "that takes 70 prompts" in words(
        drawn("perturbation_field", perturbation_of(prompts=49).assign_attrs(least_prompts=70))
    )
    enough = drawn("perturbation_field", perturbation_of(prompts=49).assign_attrs(least_prompts=40))
    assert "no zero of the field persists" in words(enough)
    unsought = results.drop_vars([name for name in results if name.startswith("fixed_point")])
    assert "persist" not in words(drawn("perturbation_field", unsought))


def test_what_cannot_be_shown_is_said():
    assert "no sublayer is left" in words(drawn("perturbation_field", perturbation_of(at=[5])))
    results = perturbation_of(at=[0, 5])
    figure = drawn("perturbation_field", results)
    assert figure.axes[1].get_title() == "before L02 MLP\nno sublayer is left"
    assert [len(arrows(axes)) for axes in figure.axes[:4]] == [1, 0, 1, 0]
    assert not [line for line in figure.axes[1].lines if same_color(line.get_color(), WITHIN)]
    unrelated = results["displacement"] * np.nan
    unrelated.attrs["note"] = "latents share no space"
    assert (
        words(drawn("perturbation_field", results.assign(displacement=unrelated))).strip() == "latents share no space"
    )


def test_of_many_injections_an_even_selection_is_shown_and_counted():
    figure = drawn("perturbation_field", perturbation_of(layers=20, at=range(40), steps=2))
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes if axes.get_title()]
    assert len(titles) == 12
    assert (titles[0], titles[-1]) == ("before L00 attention", "before L19 MLP")
    assert "12 of 40 injections" in figure.get_suptitle()
    assert evenly(5, 12) == [0, 1, 2, 3, 4]
    assert evenly(9, 3) == [0, 4, 8]


def test_one_latent_is_a_curve_over_its_place():
    results = perturbation_of(latents=1)
    results["trajectories"] = results["trajectories"][:, ::-1]
    results["displacement"] = results["displacement"][:, ::-1]
    figure = drawn("perturbation_field", results)
    assert "band: 95 %" in figure.get_suptitle()
    assert "band" not in drawn("perturbation_field", perturbation_of(latents=1, prompts=1)).get_suptitle()
    axes = figure.axes[0]
    (curve,), (null,) = labelled(axes, DONE), labelled(axes, UNCORRECTED)
    places = results["trajectories"].values[0, ::-1, 0, 0]
    np.testing.assert_array_equal(curve.get_xdata(), places)
    np.testing.assert_array_equal(curve.get_ydata(), results["displacement"].values[0, ::-1, 0])
    np.testing.assert_array_equal(null.get_ydata(), results["displacement_uncorrected"].values[0, ::-1, 0])
    first, last = results["control"].values[[0, 4], 0]
    np.testing.assert_allclose(labelled(axes, "control at the injection")[0].get_xydata(), [[first, last - first]])
    (landing,) = labelled(axes, "lands where the control does")
    assert (landing.get_xy1(), landing.get_slope()) == ((last, 0), -1)
    zeros = [line.get_xydata()[0].tolist() for line in axes.lines if same_color(line.get_color(), WITHIN)]
    assert zeros == [[-1, 0], [1, 0], [0, 0]]


def test_labels_in_words():
    assert [spoken(label) for label in ("L07.attn", "L31.mlp", "L00.layer")] == ["L07 attention", "L31 MLP", "L00"]

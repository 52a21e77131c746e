"""Every figure of the catalogue is drawn from what it says, whatever the model's shape and whatever is missing."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from made_up_perturbations import perturbation_of
from made_up_results import BY_SAMPLES, both, dynamics_of, latent_of, unknown
from matplotlib.colors import same_color

from rs_cae.dynamics import portrait
from rs_cae.figures import FIGURES, Control, drawable
from rs_cae.figures.fisher import fisher_marks
from rs_cae.figures.style import ACCENT, ACROSS, GREY, WITHIN


def some_units_unknown():
    datasets = both()
    datasets["dynamics"]["mutual_information"][:, 2:5] = np.nan
    datasets["dynamics"]["rotations"][3] = np.nan
    for name in ("correlation", "rotations_surrogate_mean", "rotations_surrogate_std"):
        datasets["dynamics"][name][..., 3] = np.nan
    return datasets


SHAPES = {
    "usual": both,
    "parallel": lambda: both(sites=("layer",)),
    "one layer": lambda: both(layers=1),
    "one sample": lambda: (
        unknown({"dynamics": dynamics_of(), "latent": latent_of(samples=1)}, *BY_SAMPLES)
        | {"perturbation": perturbation_of(prompts=1)}
    ),
    "one unit": lambda: {
        "dynamics": dynamics_of(units=1),
        "latent": latent_of(bottleneck=1),
        "perturbation": perturbation_of(latents=1),
    },
    "some units unknown": some_units_unknown,
    "nothing known": lambda: unknown(both(), ""),
    "all of one value": lambda: {name: xr.zeros_like(held) for name, held in both().items()},
}


def drawn(name, dataset, controls=(), layout="none"):
    """The figure as it looks on paper; whatever matplotlib or numpy warns of is an error."""
    with warnings.catch_warnings(action="error"):
        figure = FIGURES[name].draw(dataset, controls)
        if layout == "none":  # it takes most of the time
            figure.set_layout_engine("none")
        figure.draw_without_rendering()
    return figure


def only(dataset, *names):
    return dataset.drop_vars(set(dataset.data_vars) - set(names))


def lines(figure, colour):
    return [line for axes in figure.axes for line in axes.lines if same_color(line.get_color(), colour)]


def legend(figure):
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def image(figure):
    return figure.axes[0].images[0].get_array()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_figure_is_drawn(shape):
    datasets = SHAPES[shape]()
    sites = tuple(dict.fromkeys(datasets["dynamics"]["site"].values.tolist()))
    same = {"layers": datasets["dynamics"].sizes["sublayer"] // len(sites), "sites": sites, "seed": 1}
    control = {"dynamics": dynamics_of(**same, units=5), "latent": latent_of(**same)}
    control["perturbation"] = perturbation_of(same["layers"], sites)
    bare = {name: only(held) for name, held in control.items()}
    others = {"untrained": control, "unknown": unknown(control, ""), "bare": bare}
    assert list(drawable(datasets)) == list(FIGURES)
    for name, drawing in FIGURES.items():
        controls = [Control(label, held[drawing.dataset]) for label, held in others.items()]
        drawn(name, datasets[drawing.dataset], controls, layout="as it is" if shape == "usual" else "none")


@pytest.mark.parametrize(("name", "drawing"), FIGURES.items(), ids=FIGURES)
def test_a_figure_needs_no_more_than_it_says(name, drawing):
    dataset = both()[drawing.dataset]
    drawn(name, only(dataset, *drawing.needs))
    for need in drawing.needs:
        assert name not in drawable({drawing.dataset: dataset.drop_vars(need)})


def test_the_catalogue_leaves_out_what_cannot_be_drawn():
    of_latent = {name for name, drawing in FIGURES.items() if drawing.dataset == "latent"}
    assert set(drawable({"latent": latent_of()})) == of_latent
    assert set(drawable({"latent": latent_of(components=0)})) == of_latent - {"cumulative_explained_variance"}
    assert "velocity" not in drawable({"dynamics": dynamics_of(layers=1, sites=("layer",))})  # nothing follows
    assert drawable({}) == {}


@pytest.mark.parametrize("name", ["correlation", "cosine_similarity", "mutual_information", "velocity"])
def test_curves_are_the_data_by_kind(name):
    dynamics = dynamics_of()
    figure, names = drawn(name, dynamics), FIGURES[name].needs
    for kind, colour in (("within", WITHIN), ("across", ACROSS)):
        curves = lines(figure, colour)
        assert len(curves) == len(names)
        for curve, variable in zip(curves, names, strict=True):
            np.testing.assert_array_equal(curve.get_ydata(), dynamics[variable][dynamics["kind"] == kind])
    nulls = [line.get_ydata() for line in lines(figure, "black")]
    if f"{names[0]}_null" in dynamics:
        assert sorted(np.concatenate(nulls)) == sorted(dynamics[f"{names[0]}_null"].values)
    else:
        assert nulls == []


@pytest.mark.parametrize("name", ["density", "cumulative_turning", "explained_variance"])
def test_curves_are_the_data(name):
    dataset, needs = both()[FIGURES[name].dataset], FIGURES[name].needs
    curves = [line.get_ydata() for line in lines(drawn(name, dataset), ACCENT)]
    for variable in needs if name == "density" else needs[:1]:
        assert any(np.array_equal(dataset[variable], curve, equal_nan=True) for curve in curves)


@pytest.mark.parametrize("name", ["correlation", "correlation_histograms", "rotations_by_unit", "explained_variance"])
def test_controls_are_grey_dashed_and_labelled(name):
    dataset = both()[FIGURES[name].dataset]
    controls = [Control(label, dataset) for label in ("untrained", "shuffled tokens")]
    figure = drawn(name, dataset, controls)
    dashes = {line.get_label(): line.get_linestyle() for line in lines(figure, GREY) if line.get_linewidth() == 1.1}
    assert len(dashes) == len(set(dashes.values())) == 2
    assert [label.split(", ")[-1] for label in legend(figure)[-2:]] == ["untrained", "shuffled tokens"]


def test_units_are_sorted_by_their_final_activation():
    dynamics = dynamics_of(units=40)
    figure = drawn("mean_activation", dynamics)
    rows = dynamics["mean_activation"].values.T
    np.testing.assert_array_equal(image(figure), rows[np.argsort(rows[:, -1])])
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high == pytest.approx(np.quantile(np.abs(rows), 0.99))


def test_maps_hold_every_unit_that_is_known():
    dynamics = some_units_unknown()["dynamics"]
    rows = dynamics["mutual_information"].dropna("unit").values.T
    np.testing.assert_array_equal(image(drawn("mutual_information_map", dynamics)), rows[np.argsort(rows.mean(axis=1))])
    np.testing.assert_allclose(image(drawn("correlation_histograms", dynamics)).sum(axis=0), 1)


def test_portraits_are_those_of_units_that_turn_little_middling_and_much():
    dynamics = dynamics_of(units=21)
    order = np.argsort(dynamics["rotations"].values)
    figure = drawn("portraits", dynamics)
    for axes, unit in zip(figure.axes, order[[0, 1, 9, 10, 19, 20]], strict=False):
        assert axes.get_title() == f"unit {unit}: R = {float(dynamics['rotations'][unit]):.2f}"
        segments = np.stack(axes.collections[0].get_segments())
        curve = torch.stack(portrait(torch.from_numpy(dynamics["mean_activation"].values[:, [unit]])), dim=-1)[:, 0]
        np.testing.assert_allclose(segments, np.stack([curve[:-1], curve[1:]], axis=1), rtol=1e-12)


def test_turns_beside_their_surrogates():
    dynamics = some_units_unknown()["dynamics"]
    counts = dynamics["rotations"].dropna("unit").values
    sorted_units = lines(drawn("rotations_by_unit", dynamics), ACCENT)[0]
    np.testing.assert_array_equal(sorted_units.get_ydata(), np.sort(counts))
    figure = drawn("rotation_distribution", dynamics)
    assert all(line.get_xdata()[0] == counts.mean() for line in lines(figure, ACCENT))
    words = [text.get_text() for text in figure.axes[1].texts]
    assert all(f"{p:.2g}" in words for p in dynamics["rotations_surrogate_unit_mean_p"].values)


def test_low_r2_is_shown_down_to_minus_one_and_counted_below():
    latent = latent_of()
    latent["r2"][:2] = [-0.8, -7.0]
    figure = drawn("explained_variance", latent)
    assert -1.1 < figure.axes[0].get_ylim()[0] < -0.8
    assert any("1 below -1" in label for label in legend(figure))


@pytest.mark.parametrize("gap", [0.0, 0.02, -0.1, 0.5])
def test_labels_of_a_trajectorys_ends_do_not_overlap(gap):
    latent = latent_of()
    latent["mean_trajectory"][-1] = latent["mean_trajectory"][0] + gap
    figure = drawn("mean_trajectory", latent, layout="as it is")
    first, last = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(last)


def test_marks_of_fishers_scale():
    assert fisher_marks(0.4, 0.995) == [0.5, 0.8, 0.9, 0.95, 0.99]
    assert fisher_marks(0.55, 0.85) == [0.6, 0.7, 0.8, 0.85]
    assert fisher_marks(0.981, 0.984) == []

"""Plots to be hovered over show what results hold, on any page, and nothing that a corpus could smuggle in."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from made_up_perturbations import perturbation_of
from made_up_results import both, dynamics_of, latent_of, unknown
from plotted import hovered, numbers, traces, words

import rs_cae
from rs_cae.dynamics import portrait
from rs_cae.figures import FIGURES
from rs_cae.figures.style import ACCENT, WITHIN
from rs_cae.figures.units import HEADLINE
from rs_cae.report.interactive import (
    CONFIG,
    INTERACTIVE,
    plot_perturbation_field,
    plot_portrait,
    plot_trajectories,
    plot_units,
    plottable,
)
from rs_cae.report.interactive.look import colour_scale, legible, rounded
from rs_cae.report.interactive.units import MOST_OF_A_NULL, MOST_UNITS, named_units

SHAPES = {
    "usual": both,
    "parallel": lambda: both(sites=("layer",)),
    "one layer": lambda: both(layers=1),
    "one sample": lambda: both() | {"latent": latent_of(samples=1), "perturbation": perturbation_of(prompts=1)},
    "one latent, one unit": lambda: {
        "dynamics": dynamics_of(units=1),
        "latent": latent_of(bottleneck=1),
        "perturbation": perturbation_of(latents=1),
    },
    "many latents": lambda: both() | {"latent": latent_of(bottleneck=5), "perturbation": perturbation_of(latents=3)},
    "one injection": lambda: {"perturbation": perturbation_of(at=[2])},
    "all of one value": lambda: {name: xr.zeros_like(held) for name, held in both().items()},
    "bare": lambda: {name: bare(held, name) for name, held in both().items()},
}


def bare(held, name):
    needed = {need for plot in INTERACTIVE.values() if plot.dataset == name for need in plot.needs}
    return held.drop_vars(set(held.data_vars) - needed)


def plots(datasets):
    return {name: plot.plot(datasets[plot.dataset]) for name, plot in plottable(datasets).items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_plotted_of_numbers_only_and_fits_any_page(shape):
    datasets = SHAPES[shape]()
    found = plots(datasets)
    assert len(found) == {"one injection": 1, "one layer": 2}.get(shape, 4)
    for figure in found.values():
        text = figure.to_json()
        assert not re.search(r"NaN|Infinity|bdata", text)
        assert figure.layout.width is None
        assert figure.layout.height <= 560
        for colour in (figure.layout.paper_bgcolor, figure.layout.plot_bgcolor):
            assert colour == "rgba(0, 0, 0, 0)"
        drawn = json.dumps([trace.to_plotly_json() for trace in figure.data], default=str)
        assert all(seen_on_both(colour) for colour in set(re.findall("#[0-9a-f]{6}", drawn)))


def luminance(colour):
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def seen_on_both(colour, least=2.95):
    light = luminance(colour) + 0.05
    return 1.05 / light >= least and light / (luminance("#121212") + 0.05) >= least


def test_colours_are_those_on_paper_as_far_as_they_are_seen():
    assert legible(WITHIN) == WITHIN
    assert legible("#000000") != "#000000"
    assert not seen_on_both(ACCENT, 3)
    red, green, blue = (int(legible(ACCENT)[place : place + 2], 16) for place in (1, 3, 5))
    assert blue > red > green
    lights = [luminance(colour) for _, colour in colour_scale("viridis")]
    assert lights == sorted(lights)
    assert rounded(np.array([1.23456, np.nan, -np.inf, 0.000123456])) == [1.235, None, None, 0.0001235]


def test_the_catalogue_is_that_of_the_figures_on_paper():
    for name, plot in INTERACTIVE.items():
        assert plot.dataset == FIGURES[name].dataset
        assert set(plot.needs) <= set(FIGURES[name].needs)
        held = both()
        assert name in plottable(held)
        for need in plot.needs:
            assert name not in plottable(held | {plot.dataset: held[plot.dataset].drop_vars(need)})
        assert name not in plottable({other: of for other, of in held.items() if other != plot.dataset})
    assert plottable(unknown(both(), "")) == {}
    assert "mean_trajectory" not in plottable({"latent": latent_of().isel(sample=slice(0))})


def test_nothing_that_has_no_number_is_shown_but_its_reason():
    unrelated = latent_of()
    unrelated["mean_trajectory"] = unrelated["mean_trajectory"] * np.nan
    unrelated["mean_trajectory"].attrs["note"] = "each sublayer has a <space> of its own"
    assert words(plot_trajectories(unrelated)) == "each sublayer has a &lt;space&gt; of its own"
    assert words(plot_perturbation_field(perturbation_of(at=[5]))) == "no sublayer is left after the injection"
    lost = perturbation_of()
    assert (
        words(plot_perturbation_field(lost.assign(displacement=lost["displacement"] * np.nan))) == "no field is known"
    )
    assert "no unit turns" in words(plot_units(dynamics_of(layers=1)))
    assert "two sublayers" in words(plot_portrait(dynamics_of(layers=1, sites=("layer",)).fillna(0)))


def test_each_unit_is_beside_its_own_null():
    dynamics = dynamics_of(units=40)
    dynamics["rotations_surrogate_p"] = ("surrogate", "unit"), np.arange(240.0).reshape(6, 40) / 1000
    dynamics["rotations"][7] = np.nan
    figure = plot_units(dynamics)
    (points,) = traces(figure, "units of this run")
    order = np.argsort(dynamics["rotations"].values)[:39]
    assert list(points.y) == numbers(dynamics["rotations"].values[order])
    assert [row[0] for row in points.customdata] == order.tolist()
    held = dynamics.sel(surrogate=HEADLINE).isel(unit=order[11])
    mean, deviation, p = (float(held[f"rotations_surrogate_{name}"]) for name in ("mean", "std", "p"))
    assert hovered(points, 11) == [
        f"unit {order[11]}: R = {points.y[11]}",
        f"increment sign flip: {mean:.3g} ± {deviation:.3g} (sd), p = {p:.3g}",
    ]
    (band,) = traces(figure, "increment sign flip: mean ± 2 sd")
    assert band.y[11] == numbers(mean + 2 * deviation)[0]
    assert band.y[-1 - 11] == numbers(mean - 2 * deviation)[0]
    (shuffled,) = traces(figure, "layer shuffle: mean")
    assert list(shuffled.y) == numbers(dynamics["rotations_surrogate_mean"].sel(surrogate="layer_shuffle")[order])
    (without,) = traces(plot_units(dynamics.drop_vars("rotations_surrogate_p")), "units of this run")
    assert hovered(without, 0)[1].endswith("(sd)")
    other = plot_units(dynamics.isel(surrogate=[4]))
    assert not traces(other, "increment sign flip: mean ± 2 sd")
    assert hovered(traces(other, "units of this run")[0], 0)[1] == ""


def test_portraits_are_those_of_units_that_are_worth_a_look():
    dynamics = dynamics_of(layers=6, units=30)
    order = np.argsort(dynamics["rotations"].values).tolist()
    dynamics["mean_activation"][:, order[7]] *= 100
    units = named_units(dynamics)
    assert list(units)[:6] == [order[-1], order[-2], order[14], order[15], order[0], order[1]]
    assert set(units.values()) == {"highest R", "median R", "lowest R", "varies most"}
    assert units[order[7]] == "varies most"
    figure = plot_portrait(dynamics)
    (menu,) = figure.layout.updatemenus
    for button, unit in zip(menu.buttons, units, strict=True):
        along, up = portrait(torch.tensor(dynamics["mean_activation"].values[:, [unit]]))
        change, layout, which = button.args
        assert list(which) == [0, 1]
        assert list(change["x"][0]) == numbers(along)
        assert list(change["y"][0]) == numbers(up)
        assert [change["x"][1][0], change["x"][1][1]] == [change["x"][0][0], change["x"][0][-1]]
        turns = float(dynamics["rotations"][unit])
        assert layout["annotations[0].text"].startswith(f"Portrait of unit {unit}: R = {turns:.2f}")
        assert button.label == f"unit {unit}: {units[unit]}"
    assert list(figure.data[0].x) == list(menu.buttons[0].args[0]["x"][0])
    assert hovered(figure.data[0], 3)[0] == "L01.mlp: layer 1, before the MLP"
    assert list(named_units(dynamics_of(units=1))) == [0]


def test_plots_are_light_at_the_size_of_the_demo_and_at_that_of_the_paper():
    noise = np.random.default_rng(0)
    dynamics = dynamics_of(layers=32, units=MOST_UNITS + 500)
    dynamics["rotations_surrogate_p"] = dynamics["rotations_surrogate_std"]
    field = perturbation_of(layers=32, at=[0, 14, 30, 46, 62], steps=12, side=10)
    for name in ("displacement", "displacement_uncorrected", "trajectories"):
        field[name] = field[name] + 0.01 * noise.standard_normal(field[name].shape)
    for name in ("recovery", "recovery_random", "recovery_direction", "recovery_direction_random"):
        for end in ("", "_low", "_high"):
            field[f"{name}{end}"] = ("injection", "grid"), noise.standard_normal((5, 100))
    found = plots({"dynamics": dynamics, "latent": latent_of(layers=32, samples=1000), "perturbation": field})
    assert len(found) == 4
    assert max(len(figure.to_json()) for figure in found.values()) < 400_000
    figure = found["rotations_by_unit"]
    (points,) = traces(figure, "units of this run")
    assert len(points.x) == MOST_UNITS
    assert (points.x[0], points.x[-1]) == (0, MOST_UNITS + 499)
    assert f"({MOST_UNITS} of {MOST_UNITS + 500})" in words(figure)
    assert len(traces(figure, "point shuffle: mean")[0].x) == MOST_OF_A_NULL


def test_no_button_uploads_and_plotly_is_imported_where_it_is_needed_only():
    assert CONFIG["showSendToCloud"] is False
    assert CONFIG["plotlyServerURL"] == ""
    assert "sendChartToCloud" not in CONFIG["modeBarButtons"][0]
    package = Path(rs_cae.__file__).parent
    sources = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    loading = [name for name, source in sources.items() if re.search("^(import|from) plotly", source, re.M)]
    assert "report/interactive/look.py" in loading
    assert all(name.startswith("report/") for name in loading)
    assert not re.search("^(import|from) rs_cae", sources["__init__.py"], re.M)

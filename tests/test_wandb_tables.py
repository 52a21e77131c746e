"""Curves by depth and headline numbers as rows, from datasets that no run has made."""

import numpy as np
import pytest
import xarray as xr
from made_up_results import both

from rs_cae.callbacks.wandb_tables import curve_rows, curves_of, headline_numbers, headline_rows


@pytest.fixture(scope="module")
def datasets():
    return both()


@pytest.fixture(scope="module")
def curves(datasets):
    return {(curve.dataset, curve.name): curve for curve in curves_of(datasets)}


def test_every_variable_by_depth_is_in_one_line_of_one_curve(datasets, curves):
    depths = ("sublayer", "transition", "injection")
    expected = {
        (name, str(variable))
        for name, dataset in datasets.items()
        for variable, values in dataset.data_vars.items()
        if len(values.dims) == 1 and values.dims[0] in depths
    }
    lines = [
        (dataset, name if line == "value" else f"{name}_{line}")
        for (dataset, name), curve in curves.items()
        for line in curve.lines
    ]
    assert len(lines) == len(set(lines))
    assert set(lines) == expected
    assert {("dynamics", "velocity_mean"), ("latent", "layer_distance"), ("perturbation", "recovery_mean")} < expected


def test_intervals_and_nulls_stand_beside_their_own_curve(curves):
    assert list(curves["dynamics", "correlation_mean"].lines) == ["value", "low", "high", "null"]
    assert list(curves["dynamics", "cumulative_turning_mean"].lines) == ["value", "null", "null_low", "null_high"]
    assert list(curves["latent", "turning_angle_mean"].lines) == ["value", "low", "high", "null"]
    assert list(curves["latent", "turning_angle_mean_trajectory"].lines) == ["value", "low", "high", "null"]
    assert curves["perturbation", "recovery_mean"].depth == "injection"


def test_what_looks_like_an_end_or_lies_along_something_else_is_a_curve_of_its_own():
    dataset = xr.Dataset(
        {
            "under_null": ("sublayer", [1.0, 2.0]),
            "share": ("transition", [1.0]),
            "share_low": ("sublayer", [1.0, 2.0]),
            "by_unit": ("unit", [1.0, 2.0, 3.0]),
            "words": ("sublayer", ["a", "b"]),
        }
    )
    assert [(curve.name, list(curve.lines)) for curve in curves_of({"x": dataset})] == [
        ("under_null", ["value"]),
        ("share", ["value"]),
        ("share_low", ["value"]),
    ]


def test_rows_hold_every_number_at_its_place(datasets, curves):
    columns, rows = curve_rows([curve for curve in curves.values() if curve.depth == "sublayer"])
    assert columns[:7] == ["dataset", "metric", "unit", "place", "sublayer", "layer", "site"]
    assert columns[7:11] == ["value", "low", "high", "null"]
    for row in rows:
        held = dict(zip(columns, row, strict=True))
        dataset = datasets[held["dataset"]]
        at = dataset.isel(sublayer=held["place"])
        assert (str(at["sublayer"].values), int(at["layer"])) == (held["sublayer"], held["layer"])
        for line in columns[7:]:
            name = held["metric"] if line == "value" else f"{held['metric']}_{line}"
            expected = float(at[name]) if name in dataset else np.nan
            np.testing.assert_equal(np.nan if held[line] is None else held[line], expected)
    counts = [len(curve.places["sublayer"]) for curve in curves.values() if curve.depth == "sublayer"]
    assert len(rows) == sum(counts)


def test_points_that_are_not_known_are_left_out(curves):
    curve = curves["latent", "turning_angle_mean"]
    assert curve.lines["value"][0] is None
    places, numbers = curve.known()["value"]
    assert places == list(range(1, len(curve.places["sublayer"]) - 1))
    assert [curve.lines["value"][place] for place in places] == numbers


def test_a_title_names_the_unit_if_there_is_one():
    units = {"long_name": "speed", "units": "activation"}
    dataset = xr.Dataset({"a": ("sublayer", [1.0], units), "b": ("sublayer", [1.0], {"units": "1"})})
    assert [curve.title for curve in curves_of({"x": dataset})] == ["speed [activation]", "b"]


def test_headlines_as_rows_and_as_numbers():
    line = {"value": 0.5, "unit": "1", "low": 0.4, "high": None, "null": 0.0, "p": 0.01, "sentence": "Half."}
    columns, rows = headline_rows({"half": line})
    assert dict(zip(columns, rows[0], strict=True)) == {"name": "half", **line}
    assert headline_numbers({"half": line}) == {"half": 0.5, "half_low": 0.4, "half_null": 0.0, "half_p": 0.01}

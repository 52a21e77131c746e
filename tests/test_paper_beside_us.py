"""The paper beside a run: every finding, with numbers that are computed, or with what would make it testable."""

import json

import numpy as np
import pytest
import xarray as xr
from made_up_findings import drawn, found, made_up, said, with_ends

from rs_cae.report.paper import Verdict, beside_the_paper
from rs_cae.report.paper.numbers import Results
from rs_cae.results import open_dataset

HOLDS, FAILS, NOT_TESTABLE = Verdict
OF_PCA = ("PCA space", "principal components")
OF_AUTOENCODER = ("autoencoder", "Distances")


@pytest.mark.parametrize("pca", [False, True])
def test_where_everything_is_as_the_paper_says_everything_that_can_be_tested_holds(pca):
    lines = beside_the_paper(*made_up(pca))
    other = OF_AUTOENCODER if pca else OF_PCA
    for line in lines:
        elsewhere = any(words in line.statement for words in other) or line.panel == "3C"
        assert line.verdict == (NOT_TESTABLE if elsewhere else HOLDS), line
        assert (line.ours == "-") == (elsewhere and line.panel != "3C") or pca
        assert line.reason
        assert not line.reason.endswith(".")
    assert {line.panel for line in lines} >= {"1B", "1C", "1D", "1E", "1F", "1G, H", "2A, B", "2C", "3B", "3C", "4A"}
    assert {"3A, D", "4B", "4C", "4D"} <= {line.panel for line in lines}
    statements = [line.statement for line in lines]
    assert len(set(statements)) == len(statements)


def test_numbers_are_those_that_were_measured():
    world = made_up()
    for change in (
        said("rotations_mean", value=7.125, null=3.875),
        drawn("dynamics", "rotations_surrogate_unit_mean", 2.625, surrogate="increment_shuffle"),
    ):
        change(*world)
    line = found(world, "unstable periodic")
    assert line.ours.startswith("7.12 [7.12, 7.13] turns")
    assert "random signs 3.88 (p = 0.002)" in line.null
    assert "in another order 2.62" in line.null
    assert line.paper.startswith("10.74 turns; no walk was tried, of 64 sublayers a Gaussian one has 10.9")
    assert "0.173 a sublayer; control about 0" in found(world, "with their points shuffled").paper


@pytest.mark.parametrize("pca", [False, True])
def test_all_numbers_change_where_all_results_change(pca):
    datasets, headlines = made_up(pca)
    before = beside_the_paper(datasets, headlines)
    halved = {
        name: held.map(lambda values: values * 0.5 if values.dtype.kind == "f" else values)
        for name, held in datasets.items()
    }
    half = {
        name: {key: held and held * 0.5 for key, held in line.items() if key in ("value", "low", "high", "null", "p")}
        for name, line in headlines.items()
    }
    for line, other in zip(before, beside_the_paper(halved, half), strict=True):
        assert line[:3] == other[:3]
        if line.ours != "-":
            assert line.ours != other.ours
            assert line.null != other.null or line.null == "-"


def test_without_results_nothing_is_testable_and_reasons_say_what_would_make_it_so():
    lines = beside_the_paper({}, {})
    assert {line.verdict for line in lines} == {NOT_TESTABLE}
    assert {(line.ours, line.null) for line in lines} == {("-", "-")}
    for line in lines:
        analysis = {"1": "dynamics", "2": "dynamics"}.get(line.panel[0], "perturbation" if line.panel == "4D" else "")
        assert f"needs the analys{'is ' if analysis else ''}{analysis}" in line.reason or line.panel == "4C"


@pytest.mark.parametrize("pca", [False, True])
def test_what_is_not_finite_is_not_testable(pca):
    datasets, headlines = made_up(pca)
    for line in headlines.values():
        line |= dict.fromkeys(("value", "low", "high", "null", "p"))  # as metrics.json has it
    unknown = {
        name: held.map(lambda values: values * np.nan if values.dtype.kind == "f" else values)
        for name, held in datasets.items()
    }
    for known in (datasets, unknown):
        for line in beside_the_paper(known, headlines):
            by_curves = known is datasets and line.panel in ("1B", "1E", "1H", "2C", "3C", "4B", "4C")
            assert (line.verdict == NOT_TESTABLE) or by_curves, line
            assert " nan" not in f" {line.ours} {line.null} {line.reason}"


def test_one_missing_end_is_enough():
    for part in ("value", "low", "high", "null"):
        world = made_up()
        world[1]["recovery_plane_first_injection"][part] = None
        line = found(world, "reduced plane")
        assert line.verdict == NOT_TESTABLE
        assert "too few texts" in line.reason


def test_without_a_p_the_interval_decides():
    for null, verdict in ((0.3, HOLDS), (0.495, FAILS), (0.7, FAILS)):
        world = made_up()
        said("recovery_plane_first_injection", value=0.5, null=null, p=None)(*world)
        assert found(world, "reduced plane").verdict == verdict


def test_what_another_run_would_need():
    datasets, headlines = made_up()
    datasets["latent"] = datasets["latent"].isel(latent=[0])
    assert "--model.bottleneck 2" in found((datasets, headlines), "two latents").reason
    datasets, headlines = made_up(pca=True)
    datasets["latent"]["explained_variance_100_null"][:] = 1.0
    assert "more than 100 units" in found((datasets, headlines), "100 principal").reason
    del datasets["latent"]["explained_variance_100"]
    assert "--model.components 100" in found((datasets, headlines), "100 principal").reason
    datasets, headlines = made_up()
    datasets["dynamics"]["kind"] = ("transition", ["across"] * 11)
    assert "they run in parallel" in found((datasets, headlines), "attention steps grow").reason
    assert "they run in parallel" in found((datasets, headlines), "after attention").reason
    assert found((datasets, headlines), "MLP steps grow").ours.startswith("last step over the first 5 ")
    del headlines["recovery_plane_early_minus_late"]
    assert "name two layers" in found((datasets, headlines), "lower layers").reason
    note = {"note": "each sublayer has a latent space of its own"}
    datasets["latent"]["turning_angle_mean_trajectory"] = ("sublayer", np.full(12, np.nan), note)
    assert found((datasets, headlines), "autoencoder's space").reason == note["note"]


def test_too_few_steps_for_any_order_to_be_rare():
    for kept, words in ((5, "autoencoder's space"), (6, "unstable periodic")):
        datasets, headlines = made_up()
        along = {"transition": slice(kept), "sublayer": slice(kept + 1)}
        cut = {name: held.isel(along, missing_dims="ignore") for name, held in datasets.items()}
        line = found((cut, headlines), words)
        assert line.verdict == NOT_TESTABLE
        assert f"at least {kept + 1} steps between sublayers: here there are {kept}" in line.reason


def test_a_run_is_asked_as_it_is(tested):
    folder = tested[1]
    headlines = json.loads((folder / "metrics.json").read_text())
    names = [file.stem for file in (folder / "results").glob("*.nc")]
    lines = beside_the_paper({name: open_dataset(folder, name) for name in names}, headlines)
    teleports = [line for line in lines if line.panel == "4D"]
    plane, lower, *others, points = teleports
    assert all(line.verdict in (HOLDS, FAILS) for line in (plane, *others))
    assert "name two layers" in lower.reason  # after the second one fewer sublayers are left
    assert "too few texts" in points.reason
    held = headlines["recovery_plane_first_injection"]
    assert plane.ours.startswith(f"{held['value']:.3g} [{held['low']:.3g}, {held['high']:.3g}] at L00.attn")
    assert f"{held['null']:.3g} (p = {held['p']:.2g})" in plane.null
    for line in lines:
        if line.panel[0] in "12":
            assert "needs the analysis dynamics" in line.reason


def test_curves_need_not_have_nulls():
    held = xr.Dataset(with_ends("curve", "sublayer", np.arange(3.0)))
    values, low, _, null = Results({"latent": held}, {}).curve("latent", "curve")
    assert (values > low).all()
    assert np.isnan(null).all()

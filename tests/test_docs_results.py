"""The results contract: what is written is what docs/results.md says is written, and the other way round."""

import json

import pytest
import torch
import xarray as xr
from documents import DOCS, names, section, tables
from made_up_perturbations import perturbation_of
from workplace import quietly

from rs_cae.callbacks.components import component_findings
from rs_cae.callbacks.perturbation.headlines import QUESTIONS
from rs_cae.cli import main
from rs_cae.dynamics.moments import Moments
from rs_cae.figures.catalogue import FIGURES
from rs_cae.record import WITHOUT
from rs_cae.results import open_dataset
from rs_cae.run_folder import RunFolder

PAGE = (DOCS / "results.md").read_text()
DATASETS = ("dynamics", "latent", "perturbation")
TITLES = {name: f"results/{name}.nc" for name in DATASETS} | {"predictions": "predictions/NAME.nc"}
ENDS = ("_low", "_high")


def described(title):
    """Rows of all tables of variables under a heading, by the variable."""
    rows = [row for table in tables(section(PAGE, title)) for row in table if "variable" in row]
    return {name: row for row in rows for name in names(row["variable"])}


def written(dataset):
    """What a table should say of each variable: dimensions, unit, and what stands beside it."""
    held = {str(name) for name in dataset.data_vars}
    nulls = {name for name in held if name.endswith("_null") and f"{name}_low" not in held}
    beside = held - {name for name in held if f"{name}_low" in held}  # a null with an interval stands by itself

    def row(name):
        along = [what for what, end in {"interval": "_low", "null": "_null"}.items() if f"{name}{end}" in beside]
        units = dataset[name].attrs.get("units", "-")
        return {
            "along": ", ".join(map(str, dataset[name].dims)) or "-",
            "unit": units,
            "beside": ", ".join(along) or "-",
        }

    return {name: row(name) for name in held - nulls if not name.endswith(ENDS)}


@pytest.fixture(scope="module")
def whole(asked_everything, tmp_path_factory):
    """Datasets and headlines of all questions, and the latents of other texts."""
    place, run = asked_everything
    datasets = {name: open_dataset(run, name) for name in DATASETS}
    latents = tmp_path_factory.mktemp("latents") / "latents.nc"
    words = [f"--run_dir={run}", f"--texts={place.folder / 'test.txt'}", f"--out={latents}"]
    assert quietly(lambda: main(["predict", *words, "--trainer.enable_progress_bar=false"]))[0] == 0
    datasets["predictions"] = xr.load_dataset(latents, engine="h5netcdf")
    return datasets, json.loads((run / "metrics.json").read_text())


def of_components():
    """What a PCA's latents have besides, of random states in a stream wider than 100."""
    states = torch.randn(40, 4, 101, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = component_findings(Moments.of(states), Moments.of(states[..., :100]), torch.ones(4), shared=True)
    return set(found.variables), set(found.headlines)


@pytest.mark.parametrize("name", TITLES)
def test_every_variable_is_described_as_it_is(name, whole):
    rows, held = described(TITLES[name]), written(whole[0][name])
    assert {name: {key: rows[name][key] for key in said} for name, said in held.items()} == held
    assert all(rows[name]["what"] for name in held)


def test_nothing_is_described_that_is_not_written(whole):
    rows = {name: set(described(TITLES[name])) for name in TITLES}
    left = {name: rows[name] - set(written(whole[0][name])) for name in TITLES}
    untrained = {"recovery_untrained_mean"}
    assert set(perturbation_of(untrained=True)) - set(perturbation_of()) >= untrained
    of_pca = {name for name in of_components()[0] if not name.endswith((*ENDS, "_null"))}
    latent = of_pca | {"outlier"}  # where they are looked for
    assert left == {"dynamics": set(), "latent": latent, "perturbation": untrained, "predictions": set()}


def test_components_are_described():
    rows = described("results/latent.nc")
    for name in of_components()[0]:
        assert name.removesuffix("_low").removesuffix("_high").removesuffix("_null") in rows
        assert not name.endswith("_null") or "null" in rows[name.removesuffix("_null")]["beside"]
        assert not name.endswith("_low") or "interval" in rows[name.removesuffix("_low")]["beside"]


def test_coordinates_and_attributes_are_described(whole):
    coordinates = {name: row["along"] for row in tables(PAGE)[1] for name in names(row["coordinate"])}
    attributes = {
        name for table in tables(section(PAGE, "Attributes")) for row in table for name in names(row["attribute"])
    }
    for name in TITLES:
        dataset = whole[0][name]
        for coordinate, values in dataset.coords.items():
            assert coordinates[str(coordinate)] == values.dims[0]
        assert dataset.attrs.keys() <= attributes
        named = {dimension for dimension in map(str, dataset.dims) if dimension not in dataset.coords}
        assert all(f"`{dimension}`" in PAGE for dimension in named)


def test_every_headline_is_described_with_its_unit_and_its_null(whole):
    (table,) = tables(section(PAGE, "metrics.json"))
    headlines, held = {name: row for row in table for name in names(row["headline"])}, whole[1]
    for name, line in held.items():
        row = headlines[name.removesuffix(WITHOUT)]
        assert row["unit"] == line["unit"], name
        assert line["null"] is None or row["null"] != "-", name
    deep = {f"{question.name}_early_minus_late" for question in QUESTIONS}  # of models of more layers
    assert headlines.keys() - {name.removesuffix(WITHOUT) for name in held} == of_components()[1] | deep
    assert all(f"`{key}`" in section(PAGE, "metrics.json") for key in next(iter(held.values())))


def test_every_figure_and_every_file_is_named():
    (table,) = tables(section(PAGE, "Figures and the report"))
    assert sorted(name for row in table for name in names(row["figures"])) == sorted(FIGURES)
    tree = PAGE.split("```")[1]
    assert all(path == DOCS or path.name in tree for path in vars(RunFolder(DOCS)).values())

"""``rs_cae.open_results``: all that a run has found, and nothing held open."""

import json
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

import rs_cae
from rs_cae.results import open_dataset


def test_results_as_a_tree(tested, tmp_path):
    copy = shutil.copytree(tested[1], tmp_path / "run")
    tree = rs_cae.open_results(copy)
    assert set(tree.children) == {"latent", "perturbation", "metrics"}
    for name in ("latent", "perturbation"):
        xr.testing.assert_identical(tree[name].to_dataset(), open_dataset(copy, name))
    assert tree.attrs["language_model"] == str(tested[0].model)
    headlines = json.loads((copy / "metrics.json").read_text())
    metrics = tree["metrics"].to_dataset()
    assert metrics["headline"].values.tolist() == list(headlines)
    for name, line in headlines.items():
        row = metrics.sel(headline=name)
        for key, value in line.items():
            found = row[key].item()
            assert found == value or (value is None and (found == "" or np.isnan(found))), (name, key)
    assert {"value", "null", "sentence"} <= set(metrics.to_dataframe())


def test_no_file_stays_open_and_the_tree_stays_as_it_is(tested, tmp_path):
    copy = shutil.copytree(tested[1], tmp_path / "run")
    tree = rs_cae.open_results(str(copy))
    before = tree["latent/latents"].values.copy()
    held = {str(path) for path in (tmp_path / "run").rglob("*.nc")}
    assert not h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE), held
    shutil.rmtree(copy)
    np.testing.assert_array_equal(tree["latent/latents"].values, before)


def test_predictions_are_a_branch_of_the_tree(tested, tmp_path):
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    shutil.copy(tested[1] / "results" / "latent.nc", predictions / "new.nc")
    tree = rs_cae.open_results(tmp_path)
    assert set(tree.children) == {"predictions"}
    xr.testing.assert_identical(tree["predictions/new"].to_dataset(), open_dataset(tested[1], "latent"))
    assert tree.attrs["language_model"] == str(tested[0].model)


def test_a_folder_that_perturb_wrote(tested, tmp_path):
    shutil.copy(tested[1] / "results" / "perturbation.nc", tmp_path / "perturbation.nc")
    unknown = dict.fromkeys(("value", "low", "high", "null", "p", "unit", "sentence"))
    (tmp_path / "metrics.json").write_text(json.dumps({"recovery": unknown | {"value": 0.5}}))
    tree = rs_cae.open_results(tmp_path)
    assert set(tree.children) == {"perturbation", "metrics"}
    row = tree["metrics"].to_dataset().sel(headline="recovery")
    assert (row["value"].item(), row["unit"].item(), row["sentence"].item()) == (0.5, "", "")
    assert all(np.isnan(row[name].item()) for name in ("low", "high", "null", "p"))
    assert tree["perturbation/recovery"].dims == open_dataset(tested[1], "perturbation")["recovery"].dims


def test_what_is_not_there_names_the_command_that_makes_it(tested, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; `python -m rs_cae fit --run_dir .*nowhere"):
        rs_cae.open_results(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no run and no results"):
        rs_cae.open_results(tmp_path)
    shutil.copy(tested[1] / "run.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no results yet; `python -m rs_cae test --run_dir"):
        rs_cae.open_results(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "latent.nc").write_text("damaged")
    with pytest.raises(ValueError, match=r"latent\.nc: cannot be read: ") as refused:
        rs_cae.open_results(tmp_path)
    assert "\n" not in str(refused.value)

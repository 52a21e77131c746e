"""What a command finds, written into folders and printed, with no trainer."""

import json

import pytest
import torch
import xarray as xr

from rs_cae import record as record_module
from rs_cae.callbacks import RunRecord
from rs_cae.record import Record
from rs_cae.results import Findings, Headline
from rs_cae.run_folder import RunFolder


def found(value):
    findings = Findings(headlines={"mean_speed": Headline(value, "nat", 1.0, float("nan"), 0.5, 0.04)})
    findings.add("speed", "step", torch.tensor([value, 2.0]), "how fast")
    return findings


def filled(record, value=1.25):
    record.add_findings("motion", found(value), {"step": [0, 1]})
    record.add_variables("motion", xr.Dataset({"norm": ("step", [3.0, 4.0])}))
    record.add_findings("other", Findings(), {})
    record.add_attribute("prompts", 7)
    return record


@pytest.fixture
def drawn(monkeypatch):
    """Folders into which figures were to be drawn, and of what."""
    calls = []
    monkeypatch.setattr(record_module, "write_figures", lambda folder, datasets: calls.append((folder, datasets)))
    return calls


def test_datasets_headlines_and_attributes_are_written(tmp_path, drawn):
    filled(Record({"seed": 3, "reducer": "PCA"})).write(tmp_path, tmp_path / "figures", tmp_path / "numbers.json")
    assert {path.name for path in tmp_path.iterdir()} == {"motion.nc", "other.nc", "numbers.json"}
    motion = xr.load_dataset(tmp_path / "motion.nc", engine="h5netcdf")
    assert motion.attrs == {"seed": 3, "reducer": "PCA", "prompts": 7}
    assert (motion["speed"].values.tolist(), motion["norm"].values.tolist()) == ([1.25, 2.0], [3.0, 4.0])
    written = json.loads((tmp_path / "numbers.json").read_text())["mean_speed"]
    assert (written["value"], written["low"], written["high"], written["null"]) == (1.25, 1.0, None, 0.5)
    ((folder, datasets),) = drawn
    assert (folder, datasets.keys()) == (tmp_path / "figures", {"motion", "other"})
    assert datasets["motion"].attrs == motion.attrs


def test_figures_are_drawn_only_if_asked_for(tmp_path, drawn):
    filled(Record({}, draw=False)).write(tmp_path, tmp_path, tmp_path / "metrics.json")
    assert drawn == []


def test_folders_must_be_there(tmp_path, drawn):
    with pytest.raises(OSError, match="nowhere"):
        filled(Record({})).write(tmp_path / "nowhere", tmp_path, tmp_path / "metrics.json")


def test_the_table(capsys):
    record = filled(Record({}))
    record.add_headline("share", Headline(0.123456, "1", 0.1, 0.2))
    record.print_table("Perturbations")
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["Perturbations"]
    assert ["mean", "speed", "1.25", "nats", "0.5", "0.04"] in lines
    assert ["share", "0.1235", "0.1", "to", "0.2"] in lines


def test_what_was_found_can_be_forgotten(tmp_path, drawn):
    record = filled(Record({"seed": 3}))
    record.clear()
    record.write(tmp_path, tmp_path, tmp_path / "metrics.json")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == "{}\n"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Trainer:
    """As much of a trainer as a record asks for."""

    is_global_zero, loggers = True, ()


def test_a_test_replaces_an_earlier_one_s_results_or_leaves_all_of_them(tmp_path, drawn, monkeypatch):
    record = filled(RunRecord(RunFolder(tmp_path), {}))
    record.on_test_end(Trainer(), None)
    first = contents(tmp_path)
    assert first.keys() == {"results/motion.nc", "results/other.nc", "metrics.json"}
    assert (tmp_path / "figures").is_dir()
    record.on_test_start(Trainer(), None)
    record.add_findings("motion", found(9.0), {})

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(record_module, "write_figures", fail)
        with pytest.raises(ValueError, match="results cannot be written: disk full"):
            record.on_test_end(Trainer(), None)
    assert {name: held for name, held in contents(tmp_path).items() if not name.startswith(".")} == first
    record.on_test_end(Trainer(), None)
    assert contents(tmp_path).keys() == {"results/motion.nc", "metrics.json"}
    assert json.loads((tmp_path / "metrics.json").read_text())["mean_speed"]["value"] == 9.0

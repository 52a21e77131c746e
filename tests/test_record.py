"""What a command finds, written into folders and printed, with no trainer."""

import json

import pytest
import torch
import xarray as xr

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


def test_datasets_headlines_and_attributes_are_written(tmp_path):
    filled(Record({"seed": 3, "reducer": "PCA"})).write(tmp_path, tmp_path / "numbers.json")
    assert {path.name for path in tmp_path.iterdir()} == {"motion.nc", "other.nc", "numbers.json"}
    motion = xr.load_dataset(tmp_path / "motion.nc", engine="h5netcdf")
    assert motion.attrs == {"seed": 3, "reducer": "PCA", "prompts": 7}
    assert (motion["speed"].values.tolist(), motion["norm"].values.tolist()) == ([1.25, 2.0], [3.0, 4.0])
    written = json.loads((tmp_path / "numbers.json").read_text())["mean_speed"]
    assert (written["value"], written["low"], written["high"], written["null"]) == (1.25, 1.0, None, 0.5)


def test_folders_must_be_there(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        filled(Record({})).write(tmp_path / "nowhere", tmp_path / "metrics.json")


def test_the_table(capsys):
    record = filled(Record({}))
    record.add_headline("share", Headline(0.123456, "1", 0.1, 0.2))
    record.add_headline("share_without_embedding", Headline(0.5, "1"))
    record.add_headline("angle", Headline(float("nan"), "degree"))
    record.print_table("Perturbations")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0] == ["Perturbations"]
    assert ["mean", "speed", "1.25", "nats", "0.5", "0.04"] in lines
    assert ["share", "0.123", "[0.1,", "0.2]"] in lines
    assert ["angle", "not", "known"] in lines
    assert lines[-1] == ["and", "1", "without", "the", "embedding's", "transition,", "in", "metrics.json"]


def test_what_was_found_can_be_forgotten(tmp_path):
    record = filled(Record({"seed": 3}))
    record.clear()
    record.write(tmp_path, tmp_path / "metrics.json")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == "{}\n"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Trainer:
    """As much of a trainer as a record asks for."""

    is_global_zero, loggers = True, ()


def test_a_test_replaces_an_earlier_one_s_results_or_leaves_all_of_them(tmp_path, monkeypatch):
    record = filled(RunRecord(RunFolder(tmp_path), {}))
    record.on_test_end(Trainer(), None)
    first = contents(tmp_path)
    assert first.keys() == {"results/motion.nc", "results/other.nc", "metrics.json"}
    record.on_test_start(Trainer(), None)
    record.add_findings("motion", found(9.0), {})

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("rs_cae.record.write_json", fail)
        with pytest.raises(ValueError, match="results cannot be written: disk full"):
            record.on_test_end(Trainer(), None)
    assert {name: held for name, held in contents(tmp_path).items() if not name.startswith(".")} == first
    record.on_test_end(Trainer(), None)
    assert contents(tmp_path).keys() == {"results/motion.nc", "metrics.json"}
    assert json.loads((tmp_path / "metrics.json").read_text())["mean_speed"]["value"] == 9.0


def test_what_was_found_is_shown_once_it_is_written_and_an_earlier_show_is_gone(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").write_bytes(b"old")
    (tmp_path / "report.html").write_text("old")
    shown = []

    def present(folder, datasets, headlines):
        written = xr.load_dataset(folder / "results" / "motion.nc", engine="h5netcdf")
        shown.append((written.attrs == datasets["motion"].attrs, headlines["mean_speed"]["value"], contents(folder)))

    filled(RunRecord(RunFolder(tmp_path), {"seed": 3}, present)).on_test_end(Trainer(), None)
    ((same, value, there),) = shown
    assert (same, value) == (True, 1.25)
    assert there.keys() == {"results/motion.nc", "results/other.nc", "metrics.json"}

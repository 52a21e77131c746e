"""A sweep of real runs: the language model serves the cache alone, and the file means the same to W&B's agent."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from rs_cae.cli import RunCLI, main
from rs_cae.commands.sweeping import workers
from rs_cae.commands.sweeping.checks import check_fit
from rs_cae.commands.sweeping.runs import expand
from rs_cae.commands.sweeping.sweep_file import read_sweep_file
from rs_cae.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "configs" / "sweeps" / "bottleneck.yaml"
QUICK = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--data.batch_size=16", "--report=false"]
REDUCER_ONLY = f"--config={ROOT / 'configs' / 'callbacks' / 'reducer_only.yaml'}"
VALUES = [1, 2]


@pytest.fixture
def tiny(place, tmp_path, monkeypatch):
    """Sweeps two bottlenecks of the tiny model; returns the command's words."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(FILE.read_text())
    content["parameters"] = {"model.bottleneck": {"values": VALUES}}
    content["command"] = ["python", "-m", "rs_cae", "fit", "--test_after", "true", "${args}"]
    Path("tiny.yaml").write_text(yaml.safe_dump(content))
    return ["sweep", "tiny.yaml", *place.options(*QUICK, REDUCER_ONLY)]


def in_this_process(monkeypatch, prepare=lambda words: None):
    """Instead of a process of its own, each run is a call; returns what was run."""
    ran = []

    def call(tasks, jobs, lock_descriptor, before=lambda task: None, environment=None):
        for task in tasks:
            before(task)
            prepare(task.arguments)
            ran.append(task.arguments)
            task.log.write_text("")
            code = main(list(task.arguments))
            yield workers.Finished(task, None if code == 0 else f"exit status {code}", 0.0)

    monkeypatch.setattr("rs_cae.commands.sweep.run_side_by_side", call)
    return ran


def test_only_the_cache_loads_the_language_model(tiny, monkeypatch, request):
    def prepare(words):
        if words[0] == "fit":
            request.getfixturevalue("no_model")

    ran = in_this_process(monkeypatch, prepare)
    assert main(tiny) == 0
    assert [words[0] for words in ran] == ["cache", "fit", "fit"]
    out = Path("runs/sweeps/tiny")
    sweep = xr.load_dataset(out / "sweep.nc", engine="h5netcdf")
    for number, bottleneck in enumerate(VALUES):
        folder = out / f"model.bottleneck-{bottleneck}"
        held = yaml.safe_load((folder / "config.yaml").read_text())
        assert held["model"]["init_args"]["bottleneck"] == bottleneck
        assert held["data"]["cache_dir"] == str(out / "cache")
        line = json.loads((folder / "metrics.json").read_text())["explained_variance_pooled"]
        for name, key in {"": "value", "_low": "low", "_high": "high"}.items():
            assert float(sweep[f"explained_variance_pooled{name}"][number]) == line[key]
    assert sweep.attrs["random_init"] == 0
    assert sweep.attrs["test_corpus"].endswith("test.txt")
    assert json.loads(sweep.attrs["settings"])["options"][-1] == REDUCER_ONLY
    assert main(tiny) == 0
    assert len(ran) == 3


def test_a_run_of_a_sweep_is_the_run_that_fit_makes(tiny, monkeypatch, place):
    in_this_process(monkeypatch)
    assert main([*tiny, "--count", "1"]) == 0
    words = place.options(*QUICK, REDUCER_ONLY, "--model.bottleneck=1", "--test_after=true", "--run_dir=alone")
    assert main(["fit", *words]) == 0
    alone = json.loads(Path("alone/metrics.json").read_text())
    swept = json.loads(Path("runs/sweeps/tiny/model.bottleneck-1/metrics.json").read_text())
    for name, line in alone.items():
        assert swept[name]["value"] == pytest.approx(line["value"], abs=1e-4), name
    few = ["--analyses=[explained_variance]", "--report=false"]
    assert main(["test", "--run_dir=runs/sweeps/tiny/model.bottleneck-1", *few]) == 0


def test_a_control_is_drawn_beside(tiny, monkeypatch, capsys):
    in_this_process(monkeypatch)
    assert main([*tiny, "--out=untrained", "--data.random_init=true"]) == 0
    assert main([*tiny, "--out=trained"]) == 0
    alone = Path("trained/explained_variance_pooled.png").read_bytes()
    assert main([*tiny, "--out=trained", "--control=untrained"]) == 0
    assert Path("trained/explained_variance_pooled.png").read_bytes() != alone
    assert main([*tiny, "--control=nowhere"]) == 2
    assert (
        capsys.readouterr().err
        == "error: --control nowhere: holds no sweep.nc; give the folder of a sweep that was run\n"
    )
    other = xr.load_dataset("untrained/sweep.nc", engine="h5netcdf").assign_attrs(axes=json.dumps(["model.lr"]))
    Path("other").mkdir()
    other.to_netcdf("other/sweep.nc", engine="h5netcdf")
    assert main([*tiny, "--control=other"]) == 2
    assert "varies model.lr, not model.bottleneck" in capsys.readouterr().err


def test_what_is_no_run_of_the_sweep_is_not_removed(tiny, monkeypatch, capsys):
    in_this_process(monkeypatch)
    kept = Path("out/model.bottleneck-1/kept")
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert main([*tiny, "--out=out"]) == 2
    assert "is there, and no run of this sweep" in capsys.readouterr().err
    assert main([*tiny, "--out=other"]) == 0
    assert main([*tiny, "--out=other", "--trainer.max_epochs=2"]) == 2
    assert "is there with other options or configurations" in capsys.readouterr().err
    assert kept.read_text() == "mine"


def test_runs_that_cannot_start_do_not_stop_the_others(tiny, monkeypatch, capsys):
    ran = in_this_process(monkeypatch)
    content = yaml.safe_load(Path("tiny.yaml").read_text())
    content["parameters"] = {"config": {"values": ["nope.yaml", REDUCER_ONLY.partition("=")[2]]}}
    Path("tiny.yaml").write_text(yaml.safe_dump(content))
    assert main(tiny) == 1
    assert [words[0] for words in ran] == ["cache", "fit"]
    assert "failed: config-nope: --config nope.yaml: no such file" in capsys.readouterr().out


@pytest.fixture
def printed(capsys, monkeypatch):
    """The configuration that a fit with these words has."""
    monkeypatch.chdir(ROOT)

    def print_config(words):
        with pytest.raises(SystemExit):
            main(["fit", *words, "--print_config"])
        return yaml.safe_load(capsys.readouterr().out)

    return print_config


def test_the_file_gives_the_same_runs_whichever_parameter_comes_first(printed):
    sweep = read_sweep_file(FILE)
    combinations = sweep.combinations(None, 0)
    assert len(combinations) == 21
    assert [axis.name for axis in sweep.axes] == ["config", "model.bottleneck"]
    for values in combinations[4::7]:
        words = expand(sweep.arguments, values)
        config = printed(words)
        assert config["model"]["init_args"]["bottleneck"] == values["model.bottleneck"] == 16
        fragment = yaml.safe_load((ROOT / values["config"]).read_text())["model"]
        assert config["model"]["class_path"].rpartition(".")[2] == fragment["class_path"].rpartition(".")[2]
        assert fragment["init_args"].items() <= config["model"]["init_args"].items()
        backwards = dict(reversed(values.items()))
        given = {key: value for key, value in config["model"]["init_args"].items() if value is not None}
        assert given.items() <= printed(expand(sweep.arguments, backwards))["model"]["init_args"].items()


def test_what_is_no_fit_is_told(monkeypatch):
    monkeypatch.chdir(ROOT)
    check_fit(["--config", "configs/demo.yaml", "--model.bottleneck=3"], RunCLI)
    with pytest.raises(InputError, match="expected int"):
        check_fit(["--model.bottleneck=x"], RunCLI)


def test_under_wandbs_agent_a_run_is_logged_to_the_agents_run(place, tmp_path, monkeypatch):
    import wandb

    wandb.teardown()  # what an earlier run in this process has read of the environment
    logged = {}
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "run1")
    monkeypatch.setattr("rs_cae.cli.finish", lambda _: logged.update(id=wandb.run.id, summary=dict(wandb.run.summary)))
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *place.options(*QUICK, REDUCER_ONLY), "--test_after=true"]) == 0
    wandb.finish()
    wandb.teardown()
    assert logged["id"] == "run1"
    (folder,) = Path("runs").glob("*-autoencoder-run1")
    value = json.loads((folder / "metrics.json").read_text())["explained_variance_pooled"]["value"]
    assert logged["summary"]["test/explained_variance_pooled"] == pytest.approx(value, rel=1e-6)


@pytest.mark.slow
def test_processes_of_their_own_end_to_end(tiny, monkeypatch):
    assert main([*tiny, "--jobs=2"]) == 0
    sweep = xr.load_dataset("runs/sweeps/tiny/sweep.nc", engine="h5netcdf")
    assert np.isfinite(sweep["explained_variance_pooled"]).all()
    command = [sys.executable, "-m", "rs_cae", *tiny]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 of 2 runs are finished and left as they are" in again.stdout

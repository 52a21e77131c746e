"""Weights & Biases, offline: a test's run is read back from its file and compared with what the test has written."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
import yaml
from offline_run import read_offline_run
from PIL import Image
from workplace import quietly, wait_for

from rs_cae.callbacks.wandb_results import SUMMARIES
from rs_cae.cli import main
from rs_cae.results import open_dataset

ROOT = Path(__file__).resolve().parent.parent
KEY = "0123456789abcdef" * 2 + "01234567"
ASKED = "--analyses=[explained_variance,latent_trajectory]"


@pytest.fixture(scope="module")
def tested_offline(tested, tmp_path_factory):
    """The folder of a test that logged, and everything it handed over."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    best = tested[1] / "checkpoints" / "best.ckpt"
    words = ["test", f"--ckpt_path={best}", f"--run_dir={folder}", ASKED, "--trainer.enable_progress_bar=false"]
    wandb.teardown()  # what an earlier run in this process has read of the environment
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setattr("rs_cae.commands.trainer.write_report", lambda path, *_: drawn(path))
        code, printed = quietly(lambda: main([*words, "--wandb=true", "--wandb_artifact=true"]))
    wandb.teardown()
    assert code == 0, printed
    return folder, read_offline_run(folder)


def drawn(folder):
    """A figure and a page, as a report leaves them."""
    figures = folder / "figures"
    figures.mkdir()
    Image.new("RGB", (4, 3)).save(figures / "curve.png")
    (folder / "report.html").write_text("<html></html>")


def test_the_configuration_is_the_runs_own_and_says_where_it_comes_from(tested_offline):
    folder, run = tested_offline
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert {name: run.config[name] for name in config} == config
    assert config["wandb"]  # so that whoever joins the run logs too
    assert "wandb_artifact" not in config
    assert run.config["model"]["init_args"]["bottleneck"] == 2
    attributes = open_dataset(folder, "latent").attrs
    assert run.config["provenance"]["seed"] == attributes["seed"]
    assert run.config["provenance"]["versions"] == json.loads(attributes["versions"])
    assert run.config["provenance"].keys() == attributes.keys() - {"settings"}


def test_metrics_are_defined_and_what_sweeps_compare_is_a_plain_number(tested_offline):
    run = tested_offline[1]
    for name, summary in SUMMARIES.items():
        assert run.metrics[name].step_metric == "trainer/global_step"
        assert (run.metrics[name].summary.min, run.metrics[name].summary.max) == (summary == "min", summary == "max")
    assert run.metrics["val/loss"].summary.min
    assert run.metrics["val/explained_variance"].summary.max
    assert not run.metrics["test/explained_variance"].HasField("summary")
    compared = run.summary["test/explained_variance"]
    assert type(compared) is float
    assert compared == run.summary["test/explained_variance_pooled"]
    assert [row["test/explained_variance"] for row in run.history if "test/explained_variance" in row] == [compared]
    for sweep in (ROOT / "configs" / "sweeps").glob("*.yaml"):
        assert type(run.summary[yaml.safe_load(sweep.read_text())["metric"]["name"]]) is float


def test_headline_numbers_with_their_ends_and_nulls_are_in_the_summary(tested_offline):
    folder, run = tested_offline
    headlines = json.loads((folder / "metrics.json").read_text())
    for name, line in headlines.items():
        for kind in ("value", "low", "high", "null", "p"):
            key = f"test/{name}" if kind == "value" else f"test/{name}_{kind}"
            held = run.summary.get(key)
            assert held == line[kind] or (line[kind] is None and kind == "value" and math.isnan(held)), key
    rows = run.table("tables/headlines")
    assert {row.pop("name"): row for row in rows} == headlines


@pytest.mark.parametrize(("depth", "least"), [("sublayer", 3), ("transition", 1)])
def test_tables_hold_what_the_datasets_hold(tested_offline, depth, least):
    folder, run = tested_offline
    rows = run.table(f"tables/by_{depth}")
    latent = open_dataset(folder, "latent")
    assert len({row["metric"] for row in rows}) >= least
    for row in rows:
        for line in ("value", "low", "high"):
            name = row["metric"] if line == "value" else f"{row['metric']}_{line}"
            number = float(latent[name][row["place"]])
            assert row[line] == number or (row[line] is None and math.isnan(number))
        assert row[depth] == latent[depth].values[row["place"]]


def test_curves_are_charts_whose_lines_are_the_curve_and_its_interval(tested_offline):
    folder, run = tested_offline
    latent = open_dataset(folder, "latent")
    charts = run.config["_wandb"]["visualize"]
    assert {"curves/latent/explained_variance", "curves/latent/layer_distance"} < charts.keys()
    for key, chart in charts.items():
        name = key.rpartition("/")[2]
        fields = chart["panel_config"]["userQuery"]["queryFields"][0]["fields"]
        (table,) = [field["args"][0]["value"] for field in fields if field["name"] == "summaryTable"]
        drawn_lines = {}
        for row in run.table(table):
            drawn_lines.setdefault(row["lineKey"], []).append((row["step"], row["lineVal"]))
        for line, points in drawn_lines.items():
            values = latent[name if line == "value" else f"{name}_{line}"].values
            assert points == [(place, value) for place, value in enumerate(values.tolist()) if math.isfinite(value)]
        assert {"value", "low", "high"} <= drawn_lines.keys()


def test_figures_and_the_artifact_lie_in_the_runs_folder(tested_offline):
    folder, run = tested_offline
    image = run.summary["figures/curve"]["path"]
    assert (run.folder / "files" / image).read_bytes() == (folder / "figures" / "curve.png").read_bytes()
    assert image in run.files
    (artifact,) = [artifact for artifact in run.artifacts if artifact.type != "run_table"]
    held = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    written = ["config.yaml", "run.json", "metrics.json", "report.html", "results/latent.nc", "figures/curve.png"]
    assert sorted(held) == sorted(written)
    for name, copy in held.items():
        assert copy.read_bytes() == (folder / name).read_bytes()
        assert copy.is_relative_to(run.folder.resolve())


def test_nothing_secret_is_in_it(tested_offline):
    folder, run = tested_offline
    assert run.exit_code == 0
    files = [path for path in (folder / "wandb").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_no_artifact_unless_it_is_asked_for(test_again, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()
    folder, _ = test_again("--wandb=true", "--analyses=[explained_variance]")
    wandb.teardown()
    run = read_offline_run(folder)
    assert {artifact.type for artifact in run.artifacts} == {"run_table"}
    assert run.summary["test/explained_variance"] == pytest.approx(run.summary["test/explained_variance_pooled"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fit --wandb_artifact true --test_after true", "--wandb_artifact True: goes with --wandb true"),
        ("fit --wandb_artifact true --wandb true", "--wandb_artifact True: goes with --test_after true"),
        ("fit --wandb_artifact x", "--wandb_artifact x: expected bool"),
        ("fit --wandb x", "--wandb x: expected bool"),
    ],
)
def test_an_artifact_that_nobody_would_get_is_refused(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {expected}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up there")
def test_after_ctrl_c_the_run_has_ended_and_nothing_is_left(place, tmp_path):
    words = ["fit", *place.options(f"--run_dir={tmp_path / 'run'}"), "--wandb=true", "--trainer.max_epochs=100000"]
    command = [sys.executable, "-m", "rs_cae", *words, "--trainer.enable_progress_bar=false"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for((tmp_path / "run" / "checkpoints" / "best.ckpt").is_file, seconds=120)
    started = children_of(process.pid)
    assert len(started) == 1  # W&B's, in a session of its own
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == "interrupted"
    assert read_offline_run(tmp_path / "run").exit_code == 1
    wait_for(lambda: not any(Path(f"/proc/{number}").exists() for number in started), seconds=10)


def children_of(process):
    """The numbers of the processes that a process has started."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended since
            if int(file.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(file.parent.name))
    return found

"""``sweep`` runs what a file says side by side, and again only what is not finished; a stub stands in for rs_cae."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from stubbed_sweep import NAMES, Stubbed, running
from workplace import contents, start, wait_for

from rs_cae.commands.sweeping import written


@pytest.fixture
def stubbed(tmp_path, monkeypatch):
    made = Stubbed(tmp_path)
    monkeypatch.setattr(sys, "executable", str(made.program))
    monkeypatch.setattr(written, "draw_sweep", lambda *_: Figure(figsize=(1, 1)))  # tests/test_sweep_figure.py draws
    monkeypatch.setattr("rs_cae.commands.sweep.refuse_if_none_can_start", lambda *_: None)  # a stub's runs could not
    return made


def test_all_runs_read_one_cache_and_each_has_its_folder(stubbed, capsys):
    config = str(stubbed.file.with_name("few.yaml"))
    Path(config).write_text("data: {n_test: 10}")
    trainer = ["--trainer.devices", "1", "--trainer.max_epochs=3"]
    assert stubbed.sweep("--jobs", "3", "--data.n_train", "20", *trainer, "--config", config) == 0
    (command, words, *_), *fits = stubbed.started()
    cache = f"--data.cache_dir={stubbed.out / 'cache'}"
    assert (command, words) == ("cache", ["--config", config, "--data.n_train", "20", *trainer[:2], cache])
    assert [command for command, *_ in fits] == ["fit"] * 3
    for name, (_, words, threads) in zip(NAMES, sorted(fits, key=lambda fit: fit[1][4]), strict=True):
        option = f"--{name.replace('-', '=')}"
        shared = [
            "--test_after",
            "true",
            "--config",
            config,
            option,
            "--data.n_train",
            "20",
            *trainer,
            "--data.source=cached",
            cache,
        ]
        assert words == [*shared, f"--run_dir={stubbed.out / name}"]
        assert threads == str(max(1, len(os.sched_getaffinity(0)) // 3))
        assert (stubbed.out / f"{name}.log").is_file()
    printed = capsys.readouterr().out
    assert "0.02 (-0.08 to 0.12)" in printed
    assert "3/3" in printed


def test_what_came_out_is_kept_as_a_dataset_and_as_a_csv(stubbed):
    assert stubbed.sweep() == 0
    sweep = xr.load_dataset(stubbed.out / "sweep.nc", engine="h5netcdf")
    assert sweep["run"].values.tolist() == NAMES
    np.testing.assert_array_equal(sweep["model.bottleneck"], [1, 2, 4])
    np.testing.assert_allclose(sweep["explained_variance_pooled"], [0.01, 0.02, 0.04])
    np.testing.assert_allclose(sweep["explained_variance_pooled_low"], [-0.09, -0.08, -0.06])
    np.testing.assert_allclose(sweep["explained_variance_pooled_high"], [0.11, 0.12, np.nan])
    assert json.loads(sweep.attrs["axes"]) == ["model.bottleneck"]
    assert sweep.attrs["metric"] == "explained_variance_pooled"
    assert json.loads(sweep.attrs["settings"])["sweep"] == stubbed.file.read_text()
    with (stubbed.out / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == NAMES
    assert [row["model.bottleneck"] for row in rows] == ["1", "2", "4"]
    assert rows[2]["explained_variance_pooled_high"] == ""
    assert {row["state"] for row in rows} == {"finished"}
    assert (stubbed.out / "explained_variance_pooled.png").is_file()


def test_axes_are_kept_as_numbers_if_all_values_are(stubbed):
    kinds = {"model.lr": ["1e-3", 1], "model.noise": [0, True], "model.weight_decay": [0, 1]}
    axes = {name: {"values": values} for name, values in kinds.items()}
    stubbed.write(parameters={"model.bottleneck": {"value": 1}, **axes})
    assert stubbed.sweep("--jobs", "4", "--data.source=cached", "--data.cache_dir=x") == 0
    sweep = xr.load_dataset(stubbed.out / "sweep.nc", engine="h5netcdf")
    found = {name: [np.unique(sweep[name].values).tolist(), sweep[name].dtype.kind] for name in kinds}
    assert found == {
        "model.lr": [[0.001, 1], "f"],
        "model.noise": [["0", "True"], "U"],
        "model.weight_decay": [[0, 1], "i"],
    }


def test_finished_runs_are_left_alone_and_new_values_are_added(stubbed, capsys):
    assert stubbed.sweep() == 0
    before = {name: contents(stubbed.out / name) for name in NAMES}
    stubbed.started()
    assert stubbed.sweep() == 0
    assert stubbed.started() == []
    stubbed.write(parameters={"model.bottleneck": {"values": [8, 1, 2, 4]}})
    assert stubbed.sweep() == 0
    assert stubbed.bottlenecks() == ["8"]
    assert "3 of 4 runs are finished" in capsys.readouterr().out
    assert {name: contents(stubbed.out / name) for name in NAMES} == before


def test_failed_runs_stop_no_others_are_told_of_and_run_anew(stubbed, capsys):
    stubbed.behave(_1="fail", _2="kill")
    assert stubbed.sweep() == 1
    assert stubbed.bottlenecks() == ["1", "2", "4"]
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == f"failed: {NAMES[0]}: --x y: a reason ({stubbed.out / NAMES[0]}.log)"
    assert second == f"failed: {NAMES[1]}: killed by SIGKILL ({stubbed.out / NAMES[1]}.log)"
    sweep = xr.load_dataset(stubbed.out / "sweep.nc", engine="h5netcdf")
    assert sweep["state"].values.tolist() == ["failed", "failed", "finished"]
    np.testing.assert_array_equal(np.isnan(sweep["explained_variance_pooled"]), [True, True, False])
    stubbed.behave()
    assert stubbed.sweep() == 0
    assert stubbed.bottlenecks() == ["1", "2"]


def test_a_run_whose_process_failed_is_not_finished_whatever_it_wrote(stubbed):
    assert stubbed.sweep() == 0
    record = stubbed.out / f"{NAMES[1]}.json"
    record.write_text(record.read_text().replace('"ended_well": true', '"ended_well": false'))
    stubbed.started()
    assert stubbed.sweep() == 0
    assert stubbed.bottlenecks() == ["2"]


def test_without_a_cache_its_runs_fail_and_none_is_started(stubbed, capsys):
    stubbed.behave(cache="fail")
    assert stubbed.sweep() == 1
    assert [command for command, *_ in stubbed.started()] == ["cache"]
    assert f"failed: {NAMES[2]}: cache: no such model" in capsys.readouterr().out


def test_runs_of_other_data_read_another_cache(stubbed):
    both = {"data.random_init": {"values": [False, True]}, "data.batch_size": {"values": [8, 16]}}
    seeds = {"data.seed": {"values": [0, 1]}}
    stubbed.write(parameters={**both, **seeds, "model.bottleneck": {"value": 1}})
    assert stubbed.sweep() == 0
    caches = {}
    for command, words, *_ in stubbed.started():
        given = dict(word.partition("=")[::2] for word in words if "=" in word)
        if command == "fit":
            key = given["--data.random_init"], given["--data.seed"]
            caches.setdefault(given["--data.cache_dir"], set()).add(key)
    untrained = [{("True", "0")}, {("True", "1")}]  # untrained weights depend on the seed
    assert sorted(caches.values(), key=len) == [*untrained, {("False", "0"), ("False", "1")}]


def test_runs_that_read_a_cache_already_are_left_alone(stubbed):
    assert stubbed.sweep("--data.source=cached", "--data.cache_dir=elsewhere") == 0
    started = stubbed.started()
    assert [command for command, *_ in started] == ["fit"] * 3
    assert all(words[-2:-1] == ["--data.cache_dir=elsewhere"] for _, words, *_ in started)


@pytest.mark.parametrize(("jobs", "todo"), [(1, "0.05"), (2, "meet")])
def test_so_many_run_at_a_time(stubbed, jobs, todo):
    stubbed.behave(**{f"_{value}": todo for value in (1, 2, 4)})
    assert stubbed.sweep("--jobs", str(jobs), "--data.source=cached", "--data.cache_dir=x") == 0
    spans = stubbed.spans()
    assert len(spans) == 3
    assert max(sum(began <= start < end for began, end in spans) for start, _ in spans) == jobs


def test_count_and_seed(stubbed):
    axis = {"min": 1, "max": 100}
    stubbed.write(method="random", parameters={"model.bottleneck": axis})
    assert stubbed.sweep("--count", "2", "--seed", "5") == 0
    first = stubbed.bottlenecks()
    assert len(first) == 2
    assert stubbed.sweep("--count", "3", "--seed", "5") == 0
    assert len(set(stubbed.bottlenecks()) - set(first)) == 1


def test_a_metric_that_no_run_has(stubbed, capsys):
    stubbed.write(metric={"name": "test/explained"})
    assert stubbed.sweep() == 1
    assert f"failed: {NAMES[0]}: has no explained, but explained_variance_pooled" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whatever_interrupts_it_leaves_nothing_running(stubbed, number):
    stubbed.behave(_2="wait", _4="wait")
    printed = stubbed.out.with_name("printed")

    def interruptible():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
        return stubbed.sweep("--jobs", "2")

    sweep = start(interruptible, printed)
    wait_for(lambda: (stubbed.out / NAMES[2] / "run.json").exists())
    assert sweep.pid is not None
    os.kill(sweep.pid, number)
    sweep.join(timeout=30)
    assert sweep.exitcode == 130
    assert "1 of 3 runs are finished, and the same command goes on from there" in printed.read_text()
    assert running(stubbed.program) == []
    stubbed.started()
    stubbed.behave()
    assert stubbed.sweep() == 0
    assert stubbed.bottlenecks() == ["2", "4"]


def test_runs_that_outlive_the_sweep_keep_another_one_out(stubbed, capsys):
    stubbed.behave(_2="wait")
    sweep = start(lambda: stubbed.sweep(), stubbed.out.with_name("printed"))
    wait_for(lambda: (stubbed.out / NAMES[1] / "run.json").exists())
    sweep.kill()
    sweep.join()
    left = running(stubbed.program)
    assert len(left) == 1
    assert stubbed.sweep() == 2
    assert "another sweep is running there, or runs that one has left behind" in capsys.readouterr().err
    os.killpg(left[0], signal.SIGKILL)
    wait_for(lambda: not running(stubbed.program))
    stubbed.behave()
    stubbed.started()
    assert stubbed.sweep() == 0
    assert stubbed.bottlenecks() == ["2", "4"]

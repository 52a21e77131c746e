"""What a sweep leaves behind: a dataset and a CSV of its runs, and a figure; another sweep's, read back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from rs_cae.atomic_files import write_whole
from rs_cae.commands.provenance import git_commit
from rs_cae.commands.sweeping.outcome import Outcome
from rs_cae.commands.sweeping.sweep_file import SweepFile
from rs_cae.errors import InputError
from rs_cae.figures.style import Control
from rs_cae.figures.sweep import draw_sweep
from rs_cae.report.drawing import control_label, write_figure
from rs_cae.results import Findings, write_dataset

CSV, DATASET = "sweep.csv", "sweep.nc"
TRACED = ("seeds", "git_commit", "versions")
"""Attributes of the runs' results that are kept run by run, as NAME_by_run, where the runs differ."""


def as_dataset(
    sweep: SweepFile, outcomes: Sequence[Outcome], folder: Path, extra: Sequence[str], seed: int
) -> xr.Dataset:
    """One entry for each run: its axes, the metric with its interval, and its state.

    Args:
        sweep: What the file says.
        outcomes: Of all runs.
        folder: Holds the runs' folders.
        extra: The options that were appended.
        seed: Of random combinations.

    Returns:
        Along the dimension ``run``; the attributes are those that all finished runs' results share.
    """
    numbers = torch.tensor([[out.value, out.low, out.high] for out in outcomes], dtype=torch.float64)
    values, low, high = numbers.unbind(1)
    unit = next((out.unit for out in outcomes if out.unit), "1")
    findings = Findings()
    findings.add_with_interval(sweep.metric, "run", values, (low, high), sweep.metric.replace("_", " "), unit)
    names = [axis.name for axis in sweep.axes]
    axes = {name: ("run", _column([out.run.parameters[name] for out in outcomes])) for name in names}
    states = {"state": ("run", [out.state for out in outcomes])}
    shared = _shared_attributes([folder / out.run.name for out in outcomes if not out.error])
    about = {"axes": json.dumps(names), "metric": sweep.metric}
    settings = {"settings": json.dumps({"sweep": sweep.text, "options": list(extra), "seed": seed})}
    runs = {"run": [out.run.name for out in outcomes]}
    attributes = {"git_commit": git_commit(), **shared, **about, **settings}
    return xr.Dataset({**axes, **findings.variables, **states}, runs, attributes)


def _column(values: Sequence[Any]) -> np.ndarray:
    """Numbers if all of them are, text otherwise; YAML takes 1e-3 for text."""
    try:
        numbers = [value if type(value) is int else float(str(value)) for value in values]
    except ValueError:
        return np.array([str(value) for value in values], dtype=object)
    return np.array(numbers)


def _shared_attributes(folders: Sequence[Path]) -> dict[str, Any]:
    """What the results of all these runs say alike of where they come from, and TRACED where they do not."""
    held = {}
    for folder in folders:
        for file in sorted((folder / "results").glob("*.nc"))[:1]:
            with xr.open_dataset(file, engine="h5netcdf") as results:
                held[folder.name] = results.attrs
    first = next(iter(held.values()), {})
    shared = {name: value for name, value in first.items() if all(its.get(name) == value for its in held.values())}
    differing = [name for name in TRACED if held and name not in shared]
    by_run = {name: json.dumps({run: its.get(name) for run, its in held.items()}) for name in differing}
    return shared | {f"{name}_by_run": value for name, value in by_run.items()}


def write_outcome(folder: Path, dataset: xr.Dataset, controls: Sequence[Control]) -> Path:
    """Write the CSV, the dataset and the figure.

    Args:
        folder: Of the sweep.
        dataset: What ``as_dataset`` gives.
        controls: Other sweeps, drawn in grey.

    Returns:
        The figure's path.
    """
    write_whole(folder / CSV, dataset.to_dataframe().to_csv().encode())
    write_dataset(folder / DATASET, dataset)
    name = str(dataset.attrs["metric"])
    write_figure(folder / name, draw_sweep(dataset, controls), dataset)
    return folder / f"{name}.png"


def read_control(path: Path, sweep: SweepFile) -> Control:
    """Another sweep, to be drawn in grey.

    Raises:
        InputError: If there is none, or it compares something else.
    """
    if not (path / DATASET).is_file():
        raise InputError("--control", path, f"holds no {DATASET}; give the folder of a sweep that was run")
    try:
        dataset = xr.load_dataset(path / DATASET, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise InputError("--control", path, f"its {DATASET} cannot be read: {error}") from error
    if (held := dataset.attrs.get("metric")) != sweep.metric:
        raise InputError("--control", path, f"compares {held}, not {sweep.metric}")
    names = {axis.name for axis in sweep.axes}
    if (varied := set(json.loads(dataset.attrs["axes"]))) != names:
        raise InputError("--control", path, f"varies {', '.join(sorted(varied))}, not {', '.join(sorted(names))}")
    return Control(control_label(dataset.attrs) or path.name, dataset)

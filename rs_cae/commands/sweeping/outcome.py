"""What came out of a sweep: a dataset and a CSV of its runs, a table, and a figure."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.markup import escape
from rich.table import Table

from rs_cae.atomic_files import write_whole
from rs_cae.commands.sweeping.sweep_file import SweepFile
from rs_cae.commands.sweeping.words import Run, short_value
from rs_cae.errors import InputError
from rs_cae.figures.style import Control
from rs_cae.figures.sweep import draw_sweep
from rs_cae.results import control_label, write_dataset
from rs_cae.run_folder import RunFolder

CSV, DATASET = "sweep.csv", "sweep.nc"
FINISHED, FAILED = "finished", "failed"
ENDS = ("low", "high")


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Attributes:
        run: The run.
        state: ``finished``, or ``failed``.
        value: Of the metric; NaN if it is not known.
        low: Lower end of its 95 % interval; NaN if it has none.
        high: Upper end.
        unit: Of the metric.
        error: What went wrong, if it failed.
    """

    run: Run
    state: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    error: str = ""

    @staticmethod
    def of_finished(run: Run, folder: RunFolder, metric: str) -> "Outcome":
        """Read a finished run's metric; a run that lacks it counts as failed."""
        try:
            headlines = json.loads(folder.metrics.read_text())
            line = headlines[metric]
        except (OSError, ValueError) as error:
            return Outcome(run, FAILED, error=f"{folder.metrics} cannot be read: {error}")
        except KeyError:
            return Outcome(run, FAILED, error=f"has no {metric}, but {', '.join(headlines)}")
        value, low, high = (math.nan if line[key] is None else float(line[key]) for key in ("value", *ENDS))
        return Outcome(run, FINISHED, value, low, high, line["unit"])

    @staticmethod
    def of_failed(run: Run, error: str) -> "Outcome":
        """What is known of a run that failed."""
        return Outcome(run, FAILED, error=error)


def as_dataset(sweep: SweepFile, outcomes: Sequence[Outcome], folder: Path, extra: Sequence[str]) -> xr.Dataset:
    """One entry for each run: its axes, the metric with its interval, and its state.

    Args:
        sweep: What the file says.
        outcomes: Of all runs.
        folder: Holds the runs' folders.
        extra: The options that were appended.

    Returns:
        Along the dimension ``run``; the attributes are those that all finished runs' results share.
    """
    columns: dict[str, Any] = {
        axis.name: _column([out.run.parameters[axis.name] for out in outcomes]) for axis in sweep.axes
    }
    columns["state"] = [out.state for out in outcomes]
    for name, key in {sweep.metric: "value", **{f"{sweep.metric}_{end}": end for end in ENDS}}.items():
        columns[name] = np.array([getattr(out, key) for out in outcomes])
    dataset = xr.Dataset(
        {name: ("run", values) for name, values in columns.items()}, {"run": [out.run.name for out in outcomes]}
    )
    unit = next((out.unit for out in outcomes if out.unit), "1")
    meaning = sweep.metric.replace("_", " ")
    for name, words in {"": "", **{f"_{end}": f": {end} end of the 95 % interval" for end in ENDS}}.items():
        dataset[sweep.metric + name].attrs = {"long_name": meaning + words, "units": unit}
    shared = _shared_attributes([folder / out.run.name for out in outcomes if out.state == FINISHED])
    about = {"axes": json.dumps([axis.name for axis in sweep.axes]), "metric": sweep.metric}
    settings = {"settings": json.dumps({"sweep": sweep.text, "options": list(extra)})}
    return dataset.assign_attrs({**shared, **about, **settings})


def _column(values: Sequence[Any]) -> np.ndarray:
    """Numbers if all of them are, text otherwise; YAML takes 1e-3 for text."""
    if not any(isinstance(value, bool) for value in values):
        try:
            numbers = np.array([float(value) for value in values])
        except (TypeError, ValueError):
            return np.array([str(value) for value in values], dtype=object)
        return numbers.astype(int) if all(isinstance(value, int) for value in values) else numbers
    return np.array([str(value) for value in values], dtype=object)


def _shared_attributes(folders: Sequence[Path]) -> dict[str, Any]:
    """What the results of all these runs say alike of where they come from."""
    shared: dict[str, Any] | None = None
    for folder in folders:
        file = next(iter(sorted((folder / "results").glob("*.nc"))), None)
        if file is not None:
            with xr.open_dataset(file, engine="h5netcdf") as results:
                held = {
                    name: value for name, value in results.attrs.items() if isinstance(value, str | int | np.number)
                }
            shared = held if shared is None else {k: v for k, v in shared.items() if k in held and held[k] == v}
    return shared or {}


def write_outcome(folder: Path, dataset: xr.Dataset, controls: Sequence[Control]) -> Path:
    """Write the CSV, the dataset and the figure.

    Args:
        folder: Of the sweep.
        dataset: What ``as_dataset`` gives.
        controls: Other sweeps, drawn in grey.

    Returns:
        The figure's path.
    """
    text = io.StringIO()
    names = [*json.loads(dataset.attrs["axes"]), *(name for name in dataset.data_vars if name != "state"), "state"]
    names = list(dict.fromkeys(str(name) for name in names))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *names])
    for number in range(dataset.sizes["run"]):
        cells = [dataset[name].values[number] for name in names]
        known = ["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]
        writer.writerow([dataset["run"].values[number], *known])
    write_whole(folder / CSV, text.getvalue().encode())
    write_dataset(folder / DATASET, dataset)
    figure = draw_sweep(dataset, controls)
    attributes = dataset.attrs
    where = [str(attributes.get(key, "")) for key in ("language_model", "test_corpus")]
    parts = [where[0], control_label(attributes), where[1], f"{dataset.sizes['run']} runs"]
    line = " · ".join(part for part in parts if part)
    figure.supxlabel(line, fontsize=6, color="0.4", x=0.99, ha="right")
    path = folder / f"{attributes['metric']}.png"
    temporary = folder / f".{path.name}"
    figure.savefig(temporary)
    temporary.replace(path)
    return path


def read_control(path: Path, sweep: SweepFile) -> Control:
    """Another sweep, to be drawn in grey.

    Raises:
        InputError: If there is none, or it compares something else.
    """
    try:
        dataset = xr.load_dataset(path / DATASET, engine="h5netcdf")
    except FileNotFoundError:
        raise InputError("--control", path, f"holds no {DATASET}; give the folder of a sweep that was run") from None
    except (OSError, ValueError) as error:
        raise InputError("--control", path, f"its {DATASET} cannot be read: {error}") from error
    if (held := dataset.attrs.get("metric")) != sweep.metric:
        raise InputError("--control", path, f"compares {held}, not {sweep.metric}")
    names = {axis.name for axis in sweep.axes}
    if (varied := set(json.loads(dataset.attrs["axes"]))) != names:
        raise InputError("--control", path, f"varies {', '.join(sorted(varied))}, not {', '.join(sorted(names))}")
    return Control(control_label(dataset.attrs) or path.name, dataset)


def as_table(sweep: SweepFile, outcomes: Sequence[Outcome]) -> Table:
    """One row for each run; the best value is printed in bold."""
    known = [out.value for out in outcomes if math.isfinite(out.value)]
    best = (max if sweep.maximize else min)(known, default=math.nan)
    names = [axis.name for axis in sweep.axes]
    table = Table(
        "run", *names, f"{sweep.metric} (95 %)", "state", title=escape(f"Sweep {sweep.path}"), title_justify="left"
    )
    for out in outcomes:
        values = [escape(short_value(out.run.parameters[name])) for name in names]
        style = "bold" if out.value == best else None
        table.add_row(escape(out.run.name), *values, _with_interval(out), out.state, style=style)
    return table


def _with_interval(out: Outcome) -> str:
    if not math.isfinite(out.value):
        return ""
    interval = f" ({out.low:.4g} to {out.high:.4g})" if math.isfinite(out.low + out.high) else ""
    return f"{out.value:.4g}{interval}"

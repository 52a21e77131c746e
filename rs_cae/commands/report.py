"""``rs_cae report``: the figures of a run, with those of other runs in grey behind them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.table import Table

from rs_cae.commands.parser import CommandParser
from rs_cae.errors import InputError
from rs_cae.figures.catalogue import FIGURES
from rs_cae.results import ControlRun, control_label, open_dataset, write_figures
from rs_cae.run_folder import RunFolder, refuse_unwritable


def run(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        0.
    """
    parser = CommandParser("report", "Draw the figures of a run again, with those of other runs in grey behind them.")
    parser.add_argument("run_dir", type=Path, help="A run that was tested.")
    parser.add_controls("A tested run of the same depth, such as that of the untrained model")
    options = parser.parse_args(arguments)
    folder = RunFolder(options.run_dir)
    datasets = _results("report", options.run_dir)
    controls = [_control(path, datasets) for path in options.control]
    refuse_unwritable("report", folder.figures)
    folder.figures.mkdir(exist_ok=True)
    names = write_figures(folder.figures, datasets, controls)
    _print_beside(options.run_dir, dict(zip(options.control, (label for label, _ in controls), strict=True)))
    print(f"{len(names)} figures: {folder.figures}")
    left_out = [name for name in FIGURES if name not in names]
    if left_out:
        print(f"not drawn, for want of their variables: {', '.join(left_out)}")
    return 0


def _print_beside(run_dir: Path, controls: dict[Path, str]) -> None:
    """Every headline of the run and of its controls, each with its own null in brackets."""
    runs = {run_dir: "this run", **controls}
    headlines = {path: _headlines(path) for path in runs}
    table = Table("", *runs.values(), title="Headlines, in brackets their nulls", title_justify="left")
    for name in headlines[run_dir]:
        table.add_row(name.replace("_", " "), *(_cell(headlines[path].get(name)) for path in runs))
    Console().print(table)


def _headlines(path: Path) -> dict[str, Any]:
    file = RunFolder(path).metrics
    return json.loads(file.read_text()) if file.is_file() else {}


def _cell(line: Mapping[str, Any] | None) -> str:
    if line is None or line["value"] is None:
        return ""
    return f"{line['value']:.4g}" + ("" if line["null"] is None else f" ({line['null']:.4g})")


def _results(option: str, path: Path) -> dict[str, xr.Dataset]:
    """Every dataset of a run, by name."""
    folder = RunFolder(path)
    if not folder.identity_file.is_file():
        raise InputError(option, path, "holds no run; give a run's folder")
    names = sorted(file.stem for file in folder.results.glob("*.nc"))
    if not names:
        raise InputError(option, path, f"holds no results; `python -m rs_cae test --run_dir {path}` makes them")
    try:
        return {name: open_dataset(path, name) for name in names}
    except (OSError, ValueError) as error:
        raise InputError(option, path, f"its results cannot be read: {error}") from error


def _control(path: Path, shown: dict[str, xr.Dataset]) -> ControlRun:
    datasets = _results("--control", path)
    for name in datasets.keys() & shown.keys():
        held, wanted = datasets[name].sizes.get("sublayer"), shown[name].sizes.get("sublayer")
        if held and wanted and held != wanted:  # what is not along depth has none
            raise InputError("--control", path, f"has {held} sublayers, the run that is shown {wanted}")
    return ControlRun(control_label(next(iter(datasets.values())).attrs) or path.name, datasets)

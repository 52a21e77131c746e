"""``rs_cae report``: figures and a page of a run, with other runs beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from rs_cae.commands.parser import CommandParser
from rs_cae.errors import InputError
from rs_cae.figures.catalogue import FIGURES
from rs_cae.report import ShownRun, write_report
from rs_cae.report.drawing import control_label
from rs_cae.results import open_dataset
from rs_cae.run_folder import RunFolder, refuse_unwritable

OF_THE_TEXTS = ("test_corpus", "n_test", "min_chars", "max_chars", "token_position", "max_positions")
"""Data options by which tests read different texts or tokens; what they find can be compared with care alone."""


def run(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        0.
    """
    about = "Draw the figures of a run and write its report.html again, with other runs beside it."
    parser = CommandParser("report", about)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="A run that was tested.")
    parser.add_controls("A tested run of the same depth, such as that of the untrained model")
    options = parser.parse_args(arguments)
    folder = RunFolder(options.run_dir)
    shown = _read("report", options.run_dir)
    controls = [_control(path, shown.datasets) for path in options.control]
    for path, control in zip(options.control, controls, strict=True):
        if others := _differing(control, shown):
            print(f"--control {path}: read other texts than the run that is shown: other {', '.join(others)}")
    refuse_unwritable("report", folder.figures)
    try:
        names = write_report(folder.path, shown.datasets, shown.headlines, controls)
    except OSError as error:
        raise InputError("report", folder.path, f"cannot be written to: {error}") from error
    left_out = [name for name in FIGURES if name not in names]
    print(f"{len(names)} figures: {folder.figures}")
    if left_out:
        print(f"not drawn, for want of their variables: {', '.join(left_out)}")
    print(f"report: {folder.report}")
    return 0


def _read(option: str, path: Path) -> ShownRun:
    """A run's results, called after its folder."""
    folder = RunFolder(path)
    if not folder.identity_file.is_file():
        raise InputError(option, path, "holds no run; give a run's folder")
    names = sorted(file.stem for file in folder.results.glob("*.nc"))
    if not names:
        raise InputError(option, path, f"holds no results; `python -m rs_cae test --run_dir {path}` makes them")
    try:
        datasets = {name: open_dataset(path, name) for name in names}
        headlines: Mapping[str, Any] = json.loads(folder.metrics.read_text())
    except (OSError, ValueError) as error:
        raise InputError(option, path, f"its results cannot be read: {error}") from error
    if not isinstance(headlines, dict):
        raise InputError(option, path, f"its results cannot be read: {folder.metrics.name} is damaged")
    return ShownRun(path.resolve().name, datasets, headlines)


def _control(path: Path, shown: Mapping[str, xr.Dataset]) -> ShownRun:
    control = _read("--control", path)
    for name in control.datasets.keys() & shown.keys():
        held, wanted = control.datasets[name].sizes.get("sublayer"), shown[name].sizes.get("sublayer")
        if held and wanted and held != wanted:  # what is not along depth has none
            raise InputError("--control", path, f"has {held} sublayers, the run that is shown {wanted}")
        other, own = _estimator(control.datasets[name]), _estimator(shown[name])
        if other and own and other != own:
            problem = f"was tested with --dynamics.mi_estimator {other}, the run that is shown with {own}"
            raise InputError("--control", path, problem)
    label = control_label(next(iter(control.datasets.values())).attrs)
    return control._replace(label=label or control.label)


def _estimator(dataset: xr.Dataset) -> str | None:
    """By which mutual information was estimated, if it was: estimators of different bias share no axis."""
    return _settings(dataset).get("dynamics", {}).get("mi_estimator") if "mutual_information" in dataset else None


def _differing(control: ShownRun, shown: ShownRun) -> list[str]:
    """The data options in which a control's test differs from that of the run that is shown."""
    held, wanted = (_settings(next(iter(one.datasets.values()))).get("data", {}) for one in (control, shown))
    return [name for name in OF_THE_TEXTS if held.get(name) != wanted.get(name)]


def _settings(dataset: xr.Dataset) -> dict[str, Any]:
    return json.loads(dataset.attrs.get("settings", "{}"))

"""All that a run has found, as one tree of xarray datasets."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from rs_cae.run_folder import RunFolder

NUMBERS = ("value", "low", "high", "null", "p")
"""Of a headline; NaN where one is not known."""

WORDS = ("unit", "sentence")
"""Of a headline; empty where there is none."""


def open_results(run_dir: Path | str) -> xr.DataTree:
    """Read the results of a run, or of a folder that ``rs_cae perturb`` has written.

    Everything is read into memory, and no file stays open: a later test can replace them, and the tree stays as it is.

    Args:
        run_dir: The run's folder, or that of ``perturb``.

    Returns:
        A tree with a dataset for each file, such as ``dynamics``, ``latent`` and ``perturbation``, ``predictions/NAME``
        for what ``predict`` has written, and ``metrics``: along ``headline``, each number's ``value``, the ends ``low``
        and ``high`` of its 95 % interval, its ``null`` and ``p``, its ``unit``, and what it says in a ``sentence``. The
        tree's own attributes are those that all of them share: model, corpora, versions, settings.

    Raises:
        FileNotFoundError: If there is no such folder, or nothing in it yet; it says which command makes it.
        ValueError: If a file cannot be read.

    Example:
        ``open_results("runs/latest")["metrics"].to_dataset().to_dataframe()`` is a table of the headline numbers.
    """
    folder = RunFolder(Path(run_dir))
    datasets = {name: _read(file) for name, file in _files(folder).items()}
    shared = [name for name, dataset in datasets.items() if not name.startswith("predictions/")] or list(datasets)
    first, *others = (datasets[name].attrs for name in shared)
    attributes = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    if folder.metrics.is_file():
        datasets["metrics"] = _headlines(_metrics(folder.metrics))
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), **datasets})


def _files(folder: RunFolder) -> dict[str, Path]:
    """The files of results, by their place in the tree.

    Raises:
        FileNotFoundError: If there is none.
    """
    if not folder.path.is_dir():
        problem = f"no such folder; `python -m rs_cae fit --run_dir {folder.path} --test_after true` makes a run there"
        raise FileNotFoundError(f"{folder.path}: {problem}")
    found = sorted(folder.results.glob("*.nc")) or sorted(folder.path.glob("*.nc"))
    predictions = sorted(folder.predictions.glob("*.nc"))
    if not found and not predictions:
        what = "no results yet" if folder.identity_file.is_file() else "no run and no results"
        raise FileNotFoundError(f"{folder.path}: holds {what}; `python -m rs_cae test --run_dir DIR` makes a run's")
    return {file.stem: file for file in found} | {f"predictions/{file.stem}": file for file in predictions}


def _read(file: Path) -> xr.Dataset:
    try:
        return xr.load_dataset(file, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error


def _metrics(file: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file}: cannot be read: {error}") from error


def _headlines(found: Mapping[str, Mapping[str, Any]]) -> xr.Dataset:
    """Headline numbers, as ``metrics.json`` has them, along ``headline``."""

    def along(key: str, missing: object) -> tuple[str, list[Any]]:
        return "headline", [missing if line.get(key) is None else line[key] for line in found.values()]

    variables = {key: along(key, math.nan) for key in NUMBERS} | {key: along(key, "") for key in WORDS}
    return xr.Dataset(variables, {"headline": list(found)})

"""Two runs' results beside each other: every variable of every dataset, every headline number, every weight."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

Held = Callable[[Path], dict[str, np.ndarray]]
NUMBERS = ("value", "low", "high", "null", "p")


@functools.cache
def results_of(run_dir: Path) -> dict[str, np.ndarray]:
    """Variables as ``DATASET/NAME``, numbers of ``metrics.json`` as ``metrics/NAME/END``."""
    found = {}
    for file in sorted((run_dir / "results").glob("*.nc")):
        with h5py.File(file) as dataset:  # ten times as fast as through xarray
            found |= {f"{file.stem}/{name}": np.array(variable[()]) for name, variable in dataset.items()}
    for name, line in json.loads((run_dir / "metrics.json").read_text()).items():
        ends = {end: np.nan if line[end] is None else line[end] for end in NUMBERS}
        found |= {f"metrics/{name}/{end}": np.array(value, dtype=float) for end, value in ends.items()}
    return found


@functools.cache
def weights_of(run_dir: Path) -> dict[str, np.ndarray]:
    """What the checkpoints hold, as ``best/NAME`` and ``last/NAME``."""
    return {
        f"{file.stem}/{name}": tensor.numpy()
        for file in sorted((run_dir / "checkpoints").glob("*.ckpt"))
        for name, tensor in torch.load(file, weights_only=True)["state_dict"].items()
    }


def attributes_of(run_dir: Path) -> dict[str, dict[str, object]]:
    """Of every dataset, by its name."""
    found = {}
    for file in sorted((run_dir / "results").glob("*.nc")):
        with h5py.File(file) as dataset:
            found[file.stem] = dict(dataset.attrs)
    return found


def files_of(run_dir: Path) -> list[str]:
    """Every file of a run, but for logs of ``predict``, which other tests call."""
    names = [path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()]
    return sorted(name for name in names if not name.startswith("logs/predict/"))


def differences(one: Path, other: Path, of: Held = results_of) -> dict[str, float]:
    """Of all that two runs hold, the largest difference over the largest value of either; 0 if the bits agree.

    It is infinite where text differs, or what is not a number is one in the other run.
    """
    runs = of(one), of(other)
    assert list(runs[0]) == list(runs[1])
    return {name: _difference(values, runs[1][name]) for name, values in runs[0].items()}


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape or one.dtype != other.dtype:
        return np.inf
    if one.dtype.kind not in "fiub":
        return 0.0 if one.tolist() == other.tolist() else np.inf
    if one.tobytes() == other.tobytes():
        return 0.0
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return np.inf
    finite = np.isfinite(one)
    pair = one[finite].astype(float), other[finite].astype(float)
    largest = max(np.abs(values).max(initial=np.finfo(float).tiny) for values in pair)
    return float(np.abs(pair[0] - pair[1]).max(initial=0.0) / largest)

"""Reducers read back from a run."""

import pickle
from pathlib import Path

import torch

from rs_cae.modules.autoencoder import AutoencoderModule
from rs_cae.modules.base import ReducerModule
from rs_cae.modules.pca import PCAModule
from rs_cae.reducers.base import Reducer

MODULES: dict[str, type[ReducerModule]] = {kind.__name__: kind for kind in (AutoencoderModule, PCAModule)}
"""By the name that a checkpoint gives."""


def load_reducer(path: Path | str) -> Reducer:
    """The reducer of a checkpoint, on the CPU, for ``encode`` and ``decode``.

    Args:
        path: A checkpoint, or a run's folder, whose ``checkpoints/best.ckpt`` is meant.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no checkpoint of a reducer of this package.

    Example:
        ``load_reducer("runs/latest").encode(trajectories)``
    """
    file = Path(path) / "checkpoints" / "best.ckpt" if Path(path).is_dir() else Path(path)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{file} is no checkpoint of rs_cae, or is damaged") from error
    name = content.get("module", "") if isinstance(content, dict) else ""
    if name not in MODULES:
        raise ValueError(f"{file} holds {name or 'no module'}, not one of {', '.join(MODULES)}")
    module = MODULES[name].load_from_checkpoint(file, map_location="cpu", weights_only=True)
    return module.reducer.eval().requires_grad_(False)

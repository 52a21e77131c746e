"""Reducers read back from a run."""

import json
import pickle
from pathlib import Path

import torch
from huggingface_hub.constants import CONFIG_NAME

from rs_cae.modules.autoencoder import AutoencoderModule
from rs_cae.modules.base import ReducerModule
from rs_cae.modules.pca import PCAModule
from rs_cae.reducers import CompressingAutoencoder, PrincipalComponents, Reducer

REDUCERS: dict[str, type[Reducer]] = {kind.__name__: kind for kind in (CompressingAutoencoder, PrincipalComponents)}
"""By the name that a saved reducer's configuration gives."""

MODULES: dict[str, type[ReducerModule]] = {kind.__name__: kind for kind in (AutoencoderModule, PCAModule)}
"""By the name that a checkpoint gives."""


def load_reducer(path: Path | str) -> Reducer:
    """The reducer of a checkpoint, on the CPU, for ``encode`` and ``decode``.

    Args:
        path: A checkpoint; or a run's folder, whose ``checkpoints/best.ckpt`` is meant; or one that ``save_pretrained``
            has written.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no checkpoint of a reducer of this package.

    Example:
        ``load_reducer("runs/latest").encode(trajectories)``
    """
    if (Path(path) / CONFIG_NAME).is_file():
        return _saved_reducer(Path(path))
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


def _saved_reducer(folder: Path) -> Reducer:
    name = json.loads((folder / CONFIG_NAME).read_text()).get("reducer", "")
    if name not in REDUCERS:
        raise ValueError(f"{folder} holds {name or 'no reducer'}, not one of {', '.join(REDUCERS)}")
    return REDUCERS[name].from_pretrained(folder).eval().requires_grad_(False)

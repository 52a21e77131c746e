"""What a checkpoint says of itself, before anything is begun with it."""

import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from rs_cae.errors import InputError
from rs_cae.modules import ReducerModule
from rs_cae.modules.checkpoints import MODULES

DAMAGED = "is not a checkpoint of rs_cae, or is damaged"
NOT_LOADED = (RuntimeError, LookupError, TypeError, ValueError, AttributeError, EOFError, pickle.UnpicklingError)
"""What loading says of a file that is no checkpoint, or whose content is another one."""


def read_checkpoint(path: Path) -> tuple[str, dict[str, Any]]:
    """The module that wrote a checkpoint, and its arguments.

    Args:
        path: Of the checkpoint.

    Raises:
        InputError: If there is none, it is of something else, or its weights are not those of such a module.
    """
    if not path.is_file():
        raise InputError("--ckpt_path", path, "no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        held = dict(content["hyper_parameters"])
        class_path = str(held.pop("_class_path"))
        shapes = {name: tuple(weights.shape) for name, weights in content["state_dict"].items()}
    except OSError as error:
        raise InputError("--ckpt_path", path, f"cannot be read: {error.strerror}") from error
    except NOT_LOADED as error:
        raise InputError("--ckpt_path", path, DAMAGED) from error
    held.pop("_instantiator", None)
    kind = _module_of(class_path)
    if kind is None:
        raise InputError("--ckpt_path", path, f"holds {class_path}, which fits no reducer")
    if kind in MODULES.values() and shapes != _shapes_of(kind, held):
        raise InputError("--ckpt_path", path, f"{DAMAGED}: its weights are not those of the reducer that it describes")
    return class_path, held


def _module_of(class_path: str) -> type[ReducerModule] | None:
    """The class by its import path; None if there is none, or it fits no reducer."""
    module, _, name = class_path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return kind if isinstance(kind, type) and issubclass(kind, ReducerModule) else None


def _shapes_of(kind: type[ReducerModule], arguments: dict[str, Any]) -> dict[str, tuple[int, ...]] | None:
    """The shapes of a module's weights by their names, found without weights; None if it cannot be made."""
    try:
        with torch.device("meta"):
            return {name: tuple(weights.shape) for name, weights in kind(**arguments).state_dict().items()}
    except (TypeError, ValueError):
        return None

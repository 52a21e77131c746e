"""Where the tensors of a large capture lie, and giving their memory back."""

import ctypes
import errno
import shutil
import sys
import tempfile
from math import prod
from pathlib import Path

import torch
from torch import Tensor


class Room:
    """Room for tensors: in memory up to a budget, beyond it in scratch files.

    Args:
        budget_bytes: The most that all of its tensors may take in memory.
    """

    def __init__(self, budget_bytes: float) -> None:
        self._left = budget_bytes

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor whose values are not set.

        Raises:
            OSError: If it belongs into a scratch file and the disk has no room for that.
        """
        size = prod(shape) * dtype.itemsize
        if size <= self._left:
            self._left -= size
            return torch.empty(shape, dtype=dtype)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if size > free:  # asked beforehand, since a write into a map of a full disk kills the process
            raise OSError(
                errno.ENOSPC,
                f"the states of these texts need {size / 1e9:.1f} GB beyond the memory budget, and "
                f"{tempfile.gettempdir()} has {free / 1e9:.1f} GB left: name a larger folder in TMPDIR",
            )
        with tempfile.TemporaryDirectory(prefix="rs_cae-") as folder:
            # the file loses its name at once and its space with the tensor, so nothing is left even by a killed process
            name = str(Path(folder) / "states")
            return torch.from_file(name, shared=True, size=prod(shape), dtype=dtype).view(shape)


def return_freed_memory() -> None:
    """Give freed memory back to the system, where its allocator can be told to.

    That of Linux keeps the holes that a layer's aligned tensors leave, and does not fit the next layer's into them: the
    process would grow by a good part of every layer.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)

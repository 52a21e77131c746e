"""One writer at a time."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rs_cae.errors import InputError

LOCK = ".lock"
"""The file that is locked."""


@contextmanager
def writing_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The system gives it up when the process ends, however it ends.

    Raises:
        InputError: If another process holds it; the message says which, and on which host.
    """
    path = folder / LOCK
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = path.read_text().strip() or "another process"
            raise InputError("--data.cache_dir", folder, f"is being written by {holder}") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)

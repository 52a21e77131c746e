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
def writing_lock(folder: Path, first: bool) -> Iterator[None]:
    """Hold the folder's lock. The system gives it up when the process ends, however it ends.

    The first process of a capture makes sure that nobody holds it, then all of them share it: should one of them die,
    another capture waits for the others.

    Args:
        folder: Of the cache.
        first: Whether this is the first process; the others come after it.

    Raises:
        InputError: If another capture holds it; the message says which process of it, and on which host.
    """
    path = folder / LOCK
    try:
        file = path.open("a+")
    except OSError as error:
        raise InputError("--data.cache_dir", folder, f"cannot be written to: {error.strerror}") from error
    with file:
        try:
            if first:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}")
                file.flush()
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text().strip() or "another process"
            raise InputError("--data.cache_dir", folder, f"is being written by {holder}") from error
        except OSError as error:
            raise InputError("--data.cache_dir", folder, f"cannot be locked: {error.strerror}") from error
        try:
            yield
        finally:
            if first:
                file.truncate(0)

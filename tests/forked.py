"""Processes that train together as torchrun starts them, but forked: nothing is imported or compiled again."""

import os
import socket
from pathlib import Path

from workplace import start

from rs_cae.cli import main


def side_by_side(words: list[str], folder: Path, count: int = 2) -> list[str]:
    """Run one command line in several processes, and give back what each has printed.

    Args:
        words: What follows ``python -m rs_cae``.
        folder: In which they run, and which takes their output.
        count: How many.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    printed = [folder / f"printed-{rank}" for rank in range(count)]
    processes = [
        start(lambda rank=rank: _one(rank, count, port, words, folder), file) for rank, file in enumerate(printed)
    ]
    for process in processes:
        process.join(120)
        process.kill()
    texts = [file.read_text() for file in printed]
    assert [process.exitcode for process in processes] == [0] * count, "\n".join(texts)
    return texts


def _one(rank: int, count: int, port: int, words: list[str], folder: Path) -> int:
    places = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": False}
    os.environ |= {name: str(value) for name, value in {**places, **meeting, "TORCHELASTIC_RUN_ID": "forked"}.items()}
    os.chdir(folder)
    return main(words)

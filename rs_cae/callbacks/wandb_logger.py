"""Weights & Biases, online where there is a key and a network, and offline where there is none."""

import netrc
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers import WandbLogger

from rs_cae import processes

SERVER = "https://api.wandb.ai"
PATIENCE_SECONDS = 5.0
"""How long the server may take to answer at all."""


def has_key() -> bool:
    """Whether a key of the server is set in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlparse(_server()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def is_reachable() -> bool:
    """Whether the server answers anything; W&B itself would wait a minute and a half, then end the run."""
    try:
        with urllib.request.urlopen(_server(), timeout=PATIENCE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def run_of_agent() -> str | None:
    """The id that W&B's agent has given to this process's run of a sweep; None if no agent has started it."""
    return os.environ.get("WANDB_RUN_ID", "") if os.environ.get("WANDB_SWEEP_ID") else None


def wandb_logger(run_dir: Path, command: str | None = None) -> WandbLogger:
    """A logger that writes into the run's folder, by whose name the run is called.

    ``WANDB_MODE``, ``WANDB_PROJECT`` and ``WANDB_NAME`` come first.

    Args:
        run_dir: The run's folder.
        command: What is logged: ``fit``, ``validate`` or ``test``.
    """
    mode = None if os.environ.get("WANDB_MODE") else _mode()
    name = os.environ.get("WANDB_NAME", run_dir.resolve().name)
    project = os.environ.get("WANDB_PROJECT", "rs_cae")
    logger = WandbLogger(name, str(run_dir), project=project, log_model=False, mode=mode, job_type=command)
    logger._wandb_init.pop("anonymous", None)  # of which W&B would say at each start that it has no effect
    return logger


def finish(code: int = 0) -> None:
    """End the process's Weights & Biases run, if there is one, so that another may follow.

    Args:
        code: The command's exit code: 0 if it has done what it was asked.
    """
    if "wandb" not in sys.modules:
        return
    import wandb

    if wandb.run is not None:
        wandb.finish(code)


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", SERVER)


def _mode() -> Literal["online", "offline"]:
    if processes.launched_rank() or not has_key():  # the first process alone logs
        return "offline"
    if is_reachable():
        return "online"
    print(f"{_server()} does not answer: Weights & Biases is kept offline", file=sys.stderr)
    return "offline"

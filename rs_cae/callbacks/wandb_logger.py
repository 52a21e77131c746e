"""Weights & Biases, online where there is a key and offline where there is none."""

import netrc
import os
import sys
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


def has_key() -> bool:
    """Whether a Weights & Biases key is set in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def run_of_agent() -> str | None:
    """The id that W&B's agent has given to this process's run of a sweep; None if no agent has started it."""
    return os.environ.get("WANDB_RUN_ID", "") if os.environ.get("WANDB_SWEEP_ID") else None


def wandb_logger(run_dir: Path) -> WandbLogger:
    """A logger that writes into the run's folder; ``WANDB_MODE`` overrides whether it is online."""
    offline = os.environ.get("WANDB_MODE", "online" if has_key() else "offline") != "online"
    return WandbLogger(project="rs_cae", save_dir=str(run_dir), offline=offline, log_model=False)


def finish() -> None:
    """End the process's Weights & Biases run, if there is one, so that another may follow."""
    if "wandb" in sys.modules:
        import wandb

        if wandb.run is not None:
            wandb.finish()

"""Notices of the libraries that a user can do nothing about."""

import logging
import warnings


def silence() -> None:
    """Let them pass unseen."""
    for module in ("lightning", "jsonargparse", "torch", "multiprocess"):
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=module)
        warnings.filterwarnings("ignore", category=FutureWarning, module=module)
    for text in (
        ".*does not have many workers.*",
        ".*LightningCLI's args parameter.*",
        ".*isinstance.treespec.*",
        "The dirpath has changed from .*",
        "Checkpoint directory .* exists and is not empty.*",
        ".*callbacks used to create the.*",
        ".*It is recommended to use .self.log.*sync_dist=True.*",
        ".*custom batch sampler .GlobalBatches. for prediction.*",
        "The number of training batches .* is smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message=text)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

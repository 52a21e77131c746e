"""What a command cannot do without, found out before it writes anything."""

import math

from lightning import LightningModule, Trainer

from rs_cae.callbacks import PerturbationField
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.modules import AutoencoderModule, PCAModule, principal
from rs_cae.sublayers import SublayerLayout

READ = {
    "fit": {"limit_train_batches": "train", "limit_val_batches": "validation"},
    "validate": {"limit_val_batches": "validation"},
    "test": {"limit_test_batches": "test"},
    "predict": {"limit_predict_batches": "test"},
}
"""The splits that a command reads, by the trainer's options that cut them."""


def refuse_unfit_seed(seed: bool | int) -> None:
    """Raise an InputError of a seed that generators do not take; a random one is True, none False."""
    if not isinstance(seed, bool) and not 0 <= seed < 2**32:
        raise InputError("--seed_everything", seed, "must be at least 0 and below 2^32")


def refuse_unfit_trainer(trainer: Trainer, module: LightningModule) -> None:
    """Raise an InputError if a fit would climb, or end before anything is validated: its weights are chosen by that.

    Args:
        trainer: Of the fit.
        module: What is fitted; a PCA may want several epochs.
    """
    epochs, needed = trainer.max_epochs, trainer.check_val_every_n_epoch or 1
    for name in ("check_val_every_n_epoch", "accumulate_grad_batches"):
        value = getattr(trainer, name)
        if value is not None and value < 1:
            raise InputError(f"--trainer.{name}", value, "must be at least 1")
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        problem = "keeps no checkpoint; --trainer.max_epochs 1 and a small --data.n_train try everything out"
        raise InputError("--trainer.fast_dev_run", trainer.fast_dev_run, problem)  # type: ignore[attr-defined]
    if epochs is not None and 0 <= epochs < needed:
        raise InputError("--trainer.max_epochs", epochs, f"must be at least {needed}: weights are chosen by validation")
    if epochs is not None and 0 <= epochs < (passes := _passes(module)):
        raise InputError("--trainer.max_epochs", epochs, f"must be at least {passes} for covariances of this size")
    if trainer.max_steps == 0:
        raise InputError("--trainer.max_steps", 0, "must not be 0: weights are chosen by validation")
    if trainer.min_epochs is not None and epochs is not None and 0 <= epochs < trainer.min_epochs:
        raise InputError("--trainer.min_epochs", trainer.min_epochs, f"is above --trainer.max_epochs {epochs}")
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
        raise InputError("--trainer.gradient_clip_val", trainer.gradient_clip_val, "must be at least 0")
    if not trainer.limit_val_batches:
        problem = "must not be 0: weights are chosen by validation"
        raise InputError("--trainer.limit_val_batches", trainer.limit_val_batches, problem)


def refuse_unfit_data(module: LightningModule, trainer: Trainer, data: TrajectoryDataModule, stages: list[str]) -> None:
    """Raise an InputError if there is nothing to be read, or too little to begin a fit with.

    Args:
        module: What is fitted or tested.
        trainer: Of the command.
        data: Whose corpora have been opened.
        stages: What is done, of ``fit``, ``validate``, ``test`` and ``predict``.
    """
    for name, split in (item for stage in stages for item in READ[stage].items()):
        limit, batches = getattr(trainer, name), math.ceil(len(data.splits[split]) / data.batch_size)
        if not limit or (isinstance(limit, float) and limit * batches < 1):
            raise InputError(f"--trainer.{name}", limit, f"leaves none of {batches} {split} batches")
    fitted = module if "fit" in stages else None
    if isinstance(fitted, PCAModule) or (isinstance(fitted, AutoencoderModule) and fitted.init == "pca"):
        states = len(data.splits["train"]) * data.sublayers // fitted.reducer.maps
        if states < 2:
            problem = "leaves one state of each sublayer to train on, and principal axes want two"
            raise InputError("--data.train_corpus", data.origin.corpora["train"].name, problem)


def refuse_unfit_analyses(trainer: Trainer, layout: SublayerLayout) -> None:
    """Raise an InputError if a question is of layers or sites that the language model has not."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, PerturbationField):
            callback.injections(layout)


def _passes(module: LightningModule) -> int:
    """How often a module must see the train set."""
    if not isinstance(module, PCAModule):
        return 1
    width, maps = module.reducer.width, module.reducer.maps
    whole = width <= principal.WIDEST and maps * width**2 <= principal.MOST_ENTRIES
    return 1 if whole else principal.POWER_PASSES

"""What a fit cannot do without, and what analyses ask of a language model that has it not."""

from lightning import Trainer

from rs_cae.callbacks import PerturbationField
from rs_cae.errors import InputError
from rs_cae.sublayers import SublayerLayout


def refuse_unfit_trainer(trainer: Trainer) -> None:
    """Raise an InputError if a fit would climb, or end before anything is validated: its weights are chosen by that."""
    epochs, batches, needed = trainer.max_epochs, trainer.limit_val_batches, trainer.check_val_every_n_epoch or 1
    if epochs is not None and 0 <= epochs < needed:
        raise InputError("--trainer.max_epochs", epochs, f"must be at least {needed}: weights are chosen by validation")
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
        raise InputError("--trainer.gradient_clip_val", trainer.gradient_clip_val, "must be at least 0")
    if not batches:
        raise InputError("--trainer.limit_val_batches", batches, "must not be 0: weights are chosen by validation")


def refuse_unfit_analyses(trainer: Trainer, layout: SublayerLayout) -> None:
    """Raise an InputError if a question is of layers or sites that the language model has not."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, PerturbationField):
            callback.injections(layout)

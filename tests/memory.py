"""Trajectories in memory, given to modules by a real trainer or with none at all."""

from types import SimpleNamespace
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from rs_cae.dynamics import Moments
from rs_cae.modules import ReducerModule
from rs_cae.stream.trajectories import TrajectoryBatch


def batches(states: Tensor, size: int) -> list[TrajectoryBatch]:
    """States [samples, sublayers, width] in order, each sample a text of its own."""
    numbers = torch.arange(len(states)).split(size)
    return [TrajectoryBatch(states[rows], *[rows] * 4) for rows in numbers]


class StatesInMemory(LightningDataModule):
    """What ``TrajectoryDataModule`` offers to modules, of given states, whose batches are the same in every epoch."""

    def __init__(self, train: Tensor, validation: Tensor | None = None, batch_size: int = 20) -> None:
        super().__init__()
        self.train, self.batch_size = train, batch_size
        self.validation = train if validation is None else validation

    def batches(self, split, device):
        return batches({"train": self.train, "validation": self.validation}[split], self.batch_size)

    def train_moments(self, device):
        return Moments.of(self.train)

    def train_dataloader(self):
        return DataLoader(batches(self.train, self.batch_size), batch_size=None)

    def val_dataloader(self):
        return DataLoader(batches(self.validation, self.batch_size), batch_size=None)


def prepare(module: ReducerModule, states: Tensor) -> ReducerModule:
    """What a fit does to a module before the first step, without a trainer."""
    module.trainer = trainer = SimpleNamespace(datamodule=StatesInMemory(states))
    module.prepare(Moments.of(states))
    module.kept_alive = trainer
    return module


def make_trainer(epochs: int, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    given = {"enable_checkpointing": False, "num_sanity_val_steps": 0, **options}
    return Trainer(max_epochs=epochs, **quiet, **given)


def fit(module: LightningModule, data: StatesInMemory, epochs: int, **options: Any) -> Trainer:
    trainer = make_trainer(epochs, **options)
    trainer.fit(module, data)
    return trainer

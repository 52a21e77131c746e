"""The callback: displaces the streams of some test texts, and hands what follows to the record."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from rich.progress import Progress
from torch import Tensor

from rs_cae import processes
from rs_cae.callbacks.perturbation.findings import record_study
from rs_cae.callbacks.perturbation.variables import PromptBootstrap
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError, refuse_below, refuse_other_seeds
from rs_cae.metrics.samples import PerSample
from rs_cae.modules import reducer_of
from rs_cae.stream.origins import LanguageModel
from rs_cae.stream.trajectories import TrajectoryBatch
from rs_cae.sublayers import SublayerLayout
from rs_cae.teleportation import (
    FieldSpec,
    Offplane,
    Study,
    Teleports,
    grid_points,
    injection_sublayers,
    principal_directions,
    widened_range,
)

REFERENCE = 256
"""Test samples, at most, whose states say in which directions states vary."""


class PerturbationField(Callback):
    """Sets streams of test texts to states of the reduced plane and sees where the network takes them (Figure 4D).

    Each text's stream is displaced at the token that is read, at a few sublayers, and followed from there on; see
    ``teleport.field_at``. Where the language model cannot be had whole, the question is left out, and a line says why.

    Args:
        texts: Test texts, drawn evenly; whether fixed points persist is known from 50 on.
        layers: Before or within which streams are displaced; by default the paper's five, scaled to the model's depth.
        site: ``attn`` or ``mlp`` of these layers, or ``layer`` where both read the same state; by default the first.
        grid: Points along each of the first two latents, at least 2.
        steps: Sublayers that are read after each displacement, at least 1.
        offplane: ``mean`` puts the stream at what a point of the plane decodes to, as in the paper; ``keep`` adds what
            the stream has off the plane.
        logits: Whether the rest of the model is run too, for the distribution of the next token.
        bootstrap: Resamples of the texts behind intervals, at least 39.
        seed: Of everything that is drawn, from 0 to 2^32 - 1.

    Raises:
        InputError: If a number is too small.
    """

    def __init__(
        self,
        texts: int = 50,
        layers: list[int] | None = None,
        site: str | None = None,
        grid: int = 10,
        steps: int = 12,
        offplane: Offplane = "mean",
        logits: bool = True,
        bootstrap: int = 1000,
        seed: int = 0,
    ) -> None:
        given = {"texts": texts, "grid": grid, "steps": steps, "bootstrap": bootstrap}
        refuse_below("perturbation", {"texts": 1, "grid": 2, "steps": 1, "bootstrap": 39}, given)
        refuse_other_seeds("perturbation", seed)
        self.texts, self.layers, self.site = texts, layers, site
        self.grid, self.steps, self.offplane, self.logits = grid, steps, offplane, logits
        self.bootstrap, self.seed = bootstrap, seed

    def injections(self, layout: SublayerLayout) -> list[int]:
        """The sublayers at which streams are displaced.

        Raises:
            InputError: If the model has no such layer or site.
        """
        return injection_sublayers(layout, self.layers, self.site, "perturbation.")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose places and texts, and begin anew."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.sublayers = self.injections(data.layout)
        numbers = data.samples("test")
        self.order = in_drawn_order(numbers, self.seed)
        self.states, self.ranges = PerSample().to(pl_module.device), PerSample().to(pl_module.device)
        self.language_model = _language_model_of(data)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: TrajectoryBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in a batch."""
        if self.language_model is None:
            return
        chosen = torch.isin(batch.samples, self.order[:REFERENCE].to(batch.samples.device))
        self.states.update(batch.states[chosen][:, self.sublayers], batch.samples[chosen])
        latents = outputs["latents"]
        self.ranges.update(torch.stack([latents.amin(dim=1), latents.amax(dim=1)], dim=1), batch.samples)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the texts, and hand the record variables and headlines."""
        if self.language_model is None:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        model, points, _, tokenized = self.language_model
        numbers = _one_of_each(self.order, tokenized.text_of)[: self.texts].sort().values
        plane = grid_points(widened_range(self.ranges.rows().double()), self.grid)
        spec = FieldSpec(plane, self.steps, self.offplane, self.logits)
        principal = principal_directions(self.states.rows())
        study = Study(reducer_of(pl_module), self.sublayers, spec, principal, self.seed)
        teleports = Teleports(model, points)
        if teleports.reason and processes.rank() == 0:
            print(f"every prompt is run whole, which is slow: {teleports.reason}")
        show = trainer.progress_bar_callback is not None and processes.rank() == 0
        with Progress(disable=not show) as bar:
            for number in bar.track(_own(numbers).tolist(), description="perturbed streams"):
                study.add(teleports.of(tokenized.prompt(number)), number)
        prompts = PromptBootstrap(tokenized.text_of[numbers], self.bootstrap, self.seed)
        record_study(RunRecord.of(trainer), study, prompts, data.layout, teleports)


def in_drawn_order(numbers: Tensor, seed: int) -> Tensor:
    """Sample numbers in random order, of which the first ones are drawn evenly."""
    return numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))]


def _language_model_of(data: TrajectoryDataModule) -> LanguageModel | None:
    """The whole language model; None, and a line that says why, where one of the processes cannot have it."""
    try:
        found = data.language_model()
    except (InputError, FloatingPointError, MemoryError, torch.OutOfMemoryError) as error:
        found = None
        print(f"streams are not perturbed: {error}")
    everywhere = processes.total(torch.tensor(int(found is not None))) == processes.world_size()
    return found if everywhere else None


def _one_of_each(numbers: Tensor, text_of: Tensor) -> Tensor:
    """Of sample numbers, the first of each text."""
    texts, order = text_of[numbers].sort(stable=True)
    first = torch.cat([torch.ones(1, dtype=torch.bool), texts.diff() != 0])
    return numbers[order[first].sort().values]


def _own(numbers: Tensor) -> Tensor:
    """This process's share of the prompts; all of them where there is not one for each process."""
    enough = len(numbers) >= processes.world_size()
    return numbers[processes.rank() :: processes.world_size()] if enough else numbers

"""The callback: takes batches in, and hands what follows from them to the record."""

from typing import Any, NamedTuple

from lightning import Callback, LightningModule, Trainer

from rs_cae.callbacks.curvature.findings import curvature_findings, unrelated_findings
from rs_cae.callbacks.run_record import RunRecord
from rs_cae.errors import refuse_below, refuse_other_seeds
from rs_cae.metrics.paths import PathStatistics
from rs_cae.modules import reducer_of
from rs_cae.results import depth_coordinates
from rs_cae.stream.trajectories import TrajectoryBatch


class Space(NamedTuple):
    """Where paths lie.

    Attributes:
        dataset: Which holds what is found.
        prefix: Begins the names of headlines.
        words: End what sentences call the paths.
    """

    dataset: str
    prefix: str
    words: str


SPACES = (Space("dynamics", prefix="", words=""), Space("latent", prefix="latent_", words=" in the latent space"))


class Curvature(Callback):
    """Turning angle and tortuosity of the test trajectories, in full width and in the latent space.

    Args:
        draws: Rearrangements of the steps behind each null, at least 19: fewer cannot show p = 0.05.
        bootstrap: Resamples of the texts behind intervals, at least 39.
        seed: Of both, from 0 to 2^32 - 1.

    Raises:
        InputError: If a number is too small.
    """

    def __init__(self, draws: int = 1000, bootstrap: int = 1000, seed: int = 0) -> None:
        refuse_below("curvature", {"draws": 19, "bootstrap": 39}, {"draws": draws, "bootstrap": bootstrap})
        refuse_other_seeds("curvature", seed)
        self.draws, self.bootstrap, self.seed = draws, bootstrap, seed

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        reducer, kinds = reducer_of(pl_module), data.layout.transition_kinds
        widths = {"dynamics": data.width} | ({"latent": reducer.bottleneck} if reducer.shares_latent_space else {})
        again = self.draws, self.bootstrap, self.seed, pl_module.device
        self.paths = {dataset: PathStatistics(kinds, width, *again) for dataset, width in widths.items()}

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
        states = {"dynamics": batch.states, "latent": outputs["latents"]}
        for dataset, paths in self.paths.items():
            paths.update(states[dataset], batch.texts, batch.samples)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute, and hand the record variables and headlines."""
        layout = trainer.datamodule.layout  # type: ignore[attr-defined]
        record, kinds = RunRecord.of(trainer), layout.transition_kinds
        paths = {dataset: statistics.compute() for dataset, statistics in self.paths.items()}
        for space in SPACES:
            if space.dataset in paths:
                found = curvature_findings(paths[space.dataset], kinds, space.words, self.draws, self.seed)
            else:
                found = unrelated_findings(len(layout), len(paths["dynamics"].per_sample))
            found.headlines = {f"{space.prefix}{name}": headline for name, headline in found.headlines.items()}
            record.add_findings(space.dataset, found, depth_coordinates(layout))

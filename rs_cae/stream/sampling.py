"""Which samples make up a step, and which of them are this process's."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rs_cae import processes
from rs_cae.errors import InputError


class GlobalBatches(Sampler[list[int]]):
    """Batches that are the same however many processes share them, each sample once.

    The samples are cut into as few batches as the batch size allows, all of nearly the same size, so that none is left
    over at the end; of each, every process takes its part. A shuffle depends on the seed and the epoch alone, so that a
    resumed run goes on as it would have.

    Args:
        samples: [samples], their numbers.
        batch_size: The most samples of a batch, of all processes together.
        seed: Seed of the shuffles; None for the samples' own order.

    Raises:
        InputError: If the batches are too small for every process to have a part.
    """

    def __init__(self, samples: Tensor, batch_size: int, seed: int | None = None) -> None:
        self.samples = samples
        self.count = -(-len(samples) // batch_size)
        self.seed = seed
        self.epoch = 0
        if len(samples) // self.count < processes.world_size():
            problem = f"leaves some of the {processes.world_size()} processes without a part of each batch"
            raise InputError("--data.batch_size", batch_size, problem)

    @property
    def sampler(self) -> "GlobalBatches":
        """Itself: it is here that the trainer looks for what to tell the epoch to."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        samples = self.samples
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            samples = samples[torch.randperm(len(samples), generator=generator)]
        for batch in samples.tensor_split(self.count):
            yield batch[processes.rank() :: processes.world_size()].tolist()

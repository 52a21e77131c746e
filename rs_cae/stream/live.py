"""Trajectories of a corpus straight from the language model, kept in memory where they fit."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from rs_cae import processes
from rs_cae.stream.batching import chunks_of_whole_texts
from rs_cae.stream.tokens import TokenBatches, TokenizedTexts
from rs_cae.stream.trajectories import Capturer, TrajectoryBatch


class Trajectories(Dataset[TokenBatches | TrajectoryBatch], ABC):
    """The trajectories of a corpus, by sample number.

    A batch is asked for as a whole. It comes as trajectories or, where the language model has yet to run, as tokens
    that a ``Capturer`` turns into them.

    Attributes:
        text_of: [samples], ascending: the text of each sample.
    """

    text_of: Tensor

    def __len__(self) -> int:
        return len(self.text_of)

    def __getitem__(self, sample: int) -> TokenBatches | TrajectoryBatch:
        return self.__getitems__([sample])

    @abstractmethod
    def __getitems__(self, samples: Sequence[int]) -> TokenBatches | TrajectoryBatch:
        """A batch of these samples, in this order."""


class LiveTrajectories(Trajectories):
    """A corpus of texts whose trajectories the language model makes on demand.

    Until it is remembered a batch is of tokens, padded by the loader's workers. From then on it is of trajectories, and
    the language model rests.

    Args:
        tokenized: The corpus.
        tokens_per_batch: Tokens that run together, padding among them.
        chunk_size: Samples that are captured together when the corpus is remembered.
    """

    def __init__(self, tokenized: TokenizedTexts, tokens_per_batch: int, chunk_size: int) -> None:
        self.tokenized = tokenized
        self.text_of = tokenized.text_of
        self.tokens_per_batch = tokens_per_batch
        self.chunks = chunks_of_whole_texts(self.text_of, chunk_size)
        self.remembered: TrajectoryBatch | None = None

    def __getitems__(self, samples: Sequence[int]) -> TokenBatches | TrajectoryBatch:
        if self.remembered is None:
            return self.tokenized.batches(samples, self.tokens_per_batch)
        return self.remembered.take(torch.as_tensor(samples))

    def requests(self, chunks: Sequence[range]) -> list[TokenBatches]:
        """What a capturer is asked for, chunk by chunk."""
        return [self.tokenized.batches(chunk, self.tokens_per_batch) for chunk in chunks]

    def remember(self, capturer: Capturer, title: str) -> None:
        """Run all texts now and keep their trajectories in main memory, each process a part of them for all."""
        if self.remembered is not None:
            return
        own = self.chunks[processes.rank() :: processes.world_size()]
        shown = f"{title}: {len(self.tokenized.hashes)} texts"
        captured = track(capturer.trajectories(self.requests(own)), shown, len(own), disable=processes.rank() > 0)
        states = torch.empty((len(self), *capturer.shape), dtype=capturer.dtype)
        for chunk, batch in zip(own, captured, strict=True):
            states[chunk.start : chunk.stop] = batch.states.cpu()
        for number, chunk in enumerate(self.chunks):
            processes.hand_round(states[chunk.start : chunk.stop], owner=number % processes.world_size())
        corpus = self.tokenized
        self.remembered = TrajectoryBatch(
            states, corpus.tokens, corpus.position_of, torch.arange(len(self)), corpus.text_of
        )

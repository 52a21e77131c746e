"""Trajectories that the language model makes on demand, and trajectories in memory."""

from collections.abc import Sequence

import torch

from rs_cae.stream.tokens import CaptureRequest, TokenizedTexts
from rs_cae.stream.trajectories import Trajectories, TrajectoryBatch


class LiveTrajectories(Trajectories):
    """A corpus of texts; a batch is of tokens, padded by the loader's workers.

    Args:
        tokenized: The corpus.
        tokens_per_batch: Tokens that run together, padding among them.
    """

    def __init__(self, tokenized: TokenizedTexts, tokens_per_batch: int) -> None:
        self.tokenized = tokenized
        self.tokens_per_batch = tokens_per_batch
        self.text_of = tokenized.text_of

    def __getitems__(self, samples: Sequence[int]) -> CaptureRequest:
        return self.tokenized.request(samples, self.tokens_per_batch)


class TrajectoriesInMemory(Trajectories):
    """A corpus whose trajectories have been captured.

    Args:
        trajectories: All of them, in the order of their numbers.
    """

    def __init__(self, trajectories: TrajectoryBatch) -> None:
        self.trajectories = trajectories
        self.text_of = trajectories.texts

    def __getitems__(self, samples: Sequence[int]) -> TrajectoryBatch:
        return self.trajectories.take(torch.as_tensor(samples))

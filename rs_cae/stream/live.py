"""Trajectories of a corpus straight from the language model, kept in memory where they fit."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from rs_cae.stream.capture import capture
from rs_cae.stream.tokens import TokenBatch, Tokenization


class TrajectoryBatch(NamedTuple):
    """What reducers are trained and tested on.

    Attributes:
        states: [batch, sublayers, width], in the language model's precision.
        read_tokens: [batch], ids of the tokens whose states they are.
        index: [batch], which text of the corpus each one is.
    """

    states: Tensor
    read_tokens: Tensor
    index: Tensor  # type: ignore[assignment]  # in place of the tuple's method, which nobody calls


def read_trajectories(model: PreTrainedModel, batch: TokenBatch) -> TrajectoryBatch:
    """Run the language model on tokens that already lie on its device."""
    return TrajectoryBatch(capture(model, batch), batch.read_tokens, batch.index)


class LiveTrajectories(Dataset[TokenBatch | TrajectoryBatch]):
    """A corpus of texts as a dataset of batches.

    Until it is remembered a batch is of tokens, which the loader's workers make and ``read_trajectories`` turns into
    trajectories on the model's device. From then on a batch is of trajectories, and the language model rests.

    Args:
        texts: The corpus.
        tokenization: How texts become tokens.
    """

    def __init__(self, texts: list[str], tokenization: Tokenization) -> None:
        self.texts = texts
        self.tokenization = tokenization
        self.remembered: TrajectoryBatch | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> TokenBatch | TrajectoryBatch:
        return self.__getitems__([index])

    def __getitems__(self, index: list[int]) -> TokenBatch | TrajectoryBatch:
        if self.remembered is None:
            return self.tokenization.batch([self.texts[number] for number in index], index)
        return TrajectoryBatch(*(field[torch.tensor(index)] for field in self.remembered))

    def stream(self, model: PreTrainedModel, batch_size: int, title: str) -> Iterator[TrajectoryBatch]:
        """All trajectories once, in batches of like lengths, with a progress bar."""
        if self.remembered is not None:
            yield TrajectoryBatch(*(field.to(model.device) for field in self.remembered))
            return
        order = sorted(range(len(self)), key=lambda number: len(self.texts[number]))
        starts = range(0, len(order), batch_size)
        for start in track(starts, description=f"{title}: {len(self)} texts"):
            chosen = order[start : start + batch_size]
            tokens = self.tokenization.batch([self.texts[number] for number in chosen], chosen)
            yield read_trajectories(model, TokenBatch(*(field.to(model.device) for field in tokens)))

    def remember(self, model: PreTrainedModel, batch_size: int, title: str) -> None:
        """Run all texts now and keep their trajectories in main memory."""
        if self.remembered is None:
            parts = [[field.cpu() for field in batch] for batch in self.stream(model, batch_size, title)]
            states, read_tokens, index = (torch.cat(fields) for fields in zip(*parts, strict=True))
            order = torch.argsort(index)
            self.remembered = TrajectoryBatch(states[order], read_tokens[order], index[order])

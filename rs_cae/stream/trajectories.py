"""Batches of trajectories, and what every way of capturing them offers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rs_cae.stream.tokens import CaptureRequest, TokenBatch
from rs_cae.sublayers import SublayerLayout


class TrajectoryBatch(NamedTuple):
    """What reducers are trained and tested on.

    Attributes:
        states: [samples, sublayers, width], in the language model's precision.
        tokens: [samples], ids of the tokens whose states they are.
        positions: [samples], their places in their texts.
        samples: [samples], each one's number in its corpus.
        texts: [samples], the number of its text; samples of one text are not independent of each other.
    """

    states: Tensor
    tokens: Tensor
    positions: Tensor
    samples: Tensor
    texts: Tensor

    @classmethod
    def of(cls, batch: TokenBatch, states: Tensor) -> "TrajectoryBatch":
        """The states [samples, sublayers, width] that were read of a batch of tokens."""
        return cls(states, batch.tokens, batch.positions, batch.samples, batch.texts)

    def take(self, rows: Tensor) -> "TrajectoryBatch":
        """The samples in these rows."""
        return TrajectoryBatch(*(field[rows.to(field.device)] for field in self))

    def to(self, device: torch.device | str) -> "TrajectoryBatch":
        """The same on another device."""
        return TrajectoryBatch(*(field.to(device) for field in self))

    @staticmethod
    def join(batches: Iterable["TrajectoryBatch"]) -> "TrajectoryBatch":
        """One after the other."""
        return TrajectoryBatch(*(torch.cat(fields) for fields in zip(*batches, strict=True)))


class Trajectories(Dataset[CaptureRequest | TrajectoryBatch], ABC):
    """The trajectories of a corpus, by sample number.

    A batch is asked for as a whole. It comes as trajectories or, where the language model has yet to run, as tokens
    that a ``Capturer`` turns into them.

    Attributes:
        text_of: [samples], ascending: the text of each sample.
    """

    text_of: Tensor

    def __len__(self) -> int:
        return len(self.text_of)

    def __getitem__(self, sample: int) -> CaptureRequest | TrajectoryBatch:
        return self.__getitems__([sample])

    @abstractmethod
    def __getitems__(self, samples: Sequence[int]) -> CaptureRequest | TrajectoryBatch:
        """A batch of these samples, in this order."""


class Capturer(Protocol):
    """Runs a language model on tokens and reads its residual stream.

    Attributes:
        dtype: Precision of the states.
        shape: Sublayers and width of a trajectory.
    """

    dtype: torch.dtype
    shape: tuple[int, int]

    def trajectories(self, requests: Sequence[CaptureRequest]) -> Iterator[TrajectoryBatch]:
        """The trajectories of each request in turn, their samples in the order in which they were asked for.

        Raises:
            FloatingPointError: If a state is not finite.
        """
        ...

    def seconds(self, requests: Sequence[CaptureRequest]) -> float | None:
        """About how long these requests would take, by a trial; None where a trial would itself take long."""
        ...


def refuse_not_finite(states: Tensor, batch: TokenBatch, layout: SublayerLayout, kind: str = "text") -> None:
    """Raise a FloatingPointError that says where the lowest state that is not finite lies.

    Args:
        states: [samples, sublayers, width].
        batch: Where they were read.
        layout: Of these sublayers.
        kind: What the texts are called.
    """
    finite = states.isfinite().all(dim=-1)
    if finite.all():
        return
    sublayer, row = torch.nonzero(~finite.T)[0].tolist()  # where it began: attention spreads it to other samples
    text, position, place = int(batch.texts[row]), int(batch.positions[row]), layout.labels[sublayer]
    raise FloatingPointError(f"the state of {kind} {text} at position {position}, sublayer {place}, is not finite")

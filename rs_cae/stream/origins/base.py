"""What the data module knows of where its trajectories come from, and what it asks for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rs_cae.stream.capture import TOKENS_PER_BATCH
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.live import Trajectories
from rs_cae.stream.tokens import TokenBatches, TokenPosition
from rs_cae.stream.trajectories import TrajectoryBatch
from rs_cae.sublayers import SublayerLayout

Schedule = Literal["batchwise", "layerwise"]


@dataclass(frozen=True)
class CaptureSpec:
    """What is read of each text, and how the language model runs.

    Attributes:
        position: Which tokens are read; see ``Tokenization``.
        max_positions: With ``all``, at most this many tokens of a text.
        seed: Seed of tokens that are drawn.
        tokens_per_batch: Tokens that run together, padding among them.
        chunk_size: Samples that are captured together and share a shard; None for what suits their size.
        schedule: ``batchwise`` runs a batch through all layers; ``layerwise`` all batches through one layer after the
            other, with one layer's weights in memory at a time.
        memory_budget_bytes: Up to this size trajectories, and the hidden states of ``layerwise``, stay in memory.
    """

    position: TokenPosition = "last"
    max_positions: int | None = None
    seed: int = 0
    tokens_per_batch: int = TOKENS_PER_BATCH
    chunk_size: int | None = None
    schedule: Schedule = "batchwise"
    memory_budget_bytes: float = 4e9

    def samples_per_chunk(self, sublayers: int, width: int) -> int:
        """The chunk size, by default that of 256 MB in float32, at most 1024."""
        return self.chunk_size or max(1, min(1024, int(256e6 / (4 * sublayers * width))))


class Origin(ABC):
    """What a data module knows of where its trajectories come from.

    Attributes:
        layout: Their sublayers.
        width: Units of a state.
    """

    layout: SublayerLayout
    width: int

    def __init__(self, model: LanguageModelSpec, corpora: Mapping[str, CorpusSpec], capture: CaptureSpec) -> None:
        self.model = model
        self.corpora = corpora
        self.capture = capture
        self._loaded: PreTrainedModel | None = None

    def language_model(self, device: torch.device) -> PreTrainedModel:
        """The language model, loaded when it is first asked for; it is no part of any checkpoint."""
        if self._loaded is None:
            self._loaded = self.model.load(device)
        return self._loaded

    @abstractmethod
    def open(self, role: str) -> Trajectories:
        """The trajectories of the ``train`` or ``test`` corpus."""

    @abstractmethod
    def get_ready(self, device: torch.device) -> None:
        """Find out now whatever could be wrong with where trajectories come from."""

    @abstractmethod
    def prepare(self, role: str, device: torch.device) -> None:
        """Whatever is to be done once before a corpus is first read."""

    @abstractmethod
    def run(self, batch: TokenBatches | TrajectoryBatch, device: torch.device) -> TrajectoryBatch:
        """The trajectories of a batch of ``Trajectories``."""

    @abstractmethod
    def token_texts(self, role: str, tokens: Tensor) -> list[str]:
        """The text of each of a corpus's tokens [n]."""

    @abstractmethod
    def provenance(self, role: str) -> dict[str, Any]:
        """Worth knowing of a corpus's capture: the model's commit, truncated texts, checks of the hook points."""

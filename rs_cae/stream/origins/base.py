"""What the data module knows of where its trajectories come from, and what it asks for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rs_cae.stream.capture import TOKENS_PER_BATCH
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.hookpoints import HookPoints
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.tokens import CaptureRequest, TokenizedTexts, TokenPosition
from rs_cae.stream.trajectories import Trajectories, TrajectoryBatch
from rs_cae.sublayers import SublayerLayout


@dataclass(frozen=True)
class CaptureSpec:
    """What is read of each text, and how the language model runs.

    Attributes:
        position: Which tokens are read; see ``Tokenization``.
        max_positions: With ``all``, at most this many tokens of a text.
        seed: Seed of tokens that are drawn.
        tokens_per_batch: Tokens that run together, padding among them.
        chunk_size: Samples that are captured together and share a shard; None for what suits their size.
        memory_budget_bytes: Up to this size trajectories stay in memory.
        shuffle_tokens: Whether a text's tokens are put into random order; see ``Tokenization``.
    """

    position: TokenPosition = "last"
    max_positions: int | None = None
    seed: int = 0
    tokens_per_batch: int = TOKENS_PER_BATCH
    chunk_size: int | None = None
    memory_budget_bytes: float = 4e9
    shuffle_tokens: bool = False

    def samples_per_chunk(self, sublayers: int, width: int) -> int:
        """The chunk size, by default that of 256 MB in float32, at most 1024."""
        return self.chunk_size or max(1, min(1024, int(256e6 / (4 * sublayers * width))))


class LanguageModel(NamedTuple):
    """A language model in memory, and a corpus as it reads it.

    Attributes:
        model: On the origin's device, or spread by its device map.
        points: Where its residual stream is, verified.
        tokenizer: Its tokenizer.
        tokenized: The corpus, by the sample numbers of its trajectories.
    """

    model: PreTrainedModel
    points: HookPoints
    tokenizer: PreTrainedTokenizerBase
    tokenized: TokenizedTexts


class Origin(ABC):
    """Where a run's trajectories come from.

    Attributes:
        model: The language model that they are of.
        corpora: The corpora, ``train`` and ``test``.
        capture: What is read of them.
        layout: Their sublayers.
        width: Units of a state.
        device: Where a language model runs; the CPU until ``data.TrajectoryDataModule`` knows better.
    """

    layout: SublayerLayout
    width: int

    def __init__(self, model: LanguageModelSpec, corpora: Mapping[str, CorpusSpec], capture: CaptureSpec) -> None:
        self.model = model
        self.corpora = corpora
        self.capture = capture
        self.device = torch.device("cpu")

    @abstractmethod
    def open(self, role: str) -> Trajectories:
        """The trajectories of the ``train`` or ``test`` corpus.

        Raises:
            InputError: If they cannot be read, or there are too few.
        """

    @abstractmethod
    def verify(self) -> None:
        """Find out now whatever could be wrong with where trajectories come from.

        Raises:
            InputError: If something is.
        """

    @abstractmethod
    def prepare(self, role: str) -> None:
        """Do what is to be done once before a corpus is read; ``open`` may give another dataset afterwards.

        Raises:
            InputError: If it cannot be done.
        """

    def run(self, batch: CaptureRequest | TrajectoryBatch) -> TrajectoryBatch:
        """The trajectories of a batch of ``Trajectories``.

        Raises:
            TypeError: If it is of tokens, and there is no language model to run.
        """
        if not isinstance(batch, TrajectoryBatch):
            raise TypeError("a batch of tokens, but no language model to run")
        return batch

    @abstractmethod
    def language_model(self, role: str) -> LanguageModel:
        """The language model itself, for what is not in its trajectories, and the corpus that they are of.

        Raises:
            InputError: If it cannot be loaded whole, its hook points do not hold, or it is not what it was.
            FloatingPointError: If a state is not finite.
        """

    @abstractmethod
    def reading(self, corpus: CorpusSpec) -> "Origin":
        """Trajectories of the same language model, which runs now, with another corpus in the place of one of these.

        Raises:
            InputError: If it is not the model that it was, or the corpus cannot be read.
        """

    @abstractmethod
    def token_texts(self, role: str, tokens: Tensor) -> list[str]:
        """The text of each of a corpus's tokens [n]."""

    @abstractmethod
    def notes(self, role: str) -> dict[str, Any]:
        """What is worth knowing of a corpus's capture.

        ``model_commit``, of a hub model, or None; ``truncated_texts``, how many were longer than the context;
        ``hook_point_checks``, what was found when they were verified: empty before that, and for ``layerwise``.
        """

    def options(self, role: str) -> dict[str, Any]:
        """The options by which the captures of a corpus differ, by name."""
        corpus, spec = self.corpora[role], self.capture
        drawn = self.model.random_init or spec.position != "last" or spec.shuffle_tokens
        return {
            "data.model": self.model.name,
            "data.revision": self.model.revision,
            "data.random_init": self.model.random_init,
            "data.dtype": self.model.dtype,
            "data.hook_points": self.model.hook_points and dict(self.model.hook_points),
            f"data.{role}_corpus": corpus.name,
            "data.min_chars": corpus.min_chars,
            "data.max_chars": corpus.max_chars,
            "data.token_position": spec.position,
            "data.max_positions": spec.max_positions,
            "data.shuffle_tokens": spec.shuffle_tokens or None,  # older caches do not say
            "data.seed": spec.seed if drawn else None,
        }

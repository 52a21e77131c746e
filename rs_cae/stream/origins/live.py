"""The origins in which a language model runs now: the whole of it, or a layer at a time."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rs_cae.errors import InputError
from rs_cae.stream.capture import Batchwise
from rs_cae.stream.checks import Check
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.datasets import LiveTrajectories, TrajectoriesInMemory
from rs_cae.stream.hookpoints import layout_of
from rs_cae.stream.language_model import (
    LanguageModelSpec,
    config_identity,
    context_of,
    refuse_foreign_tokens,
    tokenizer_identity,
)
from rs_cae.stream.origins.base import CaptureSpec, LanguageModel, Origin
from rs_cae.stream.origins.capturing import open_batchwise, open_layerwise
from rs_cae.stream.plan import CapturePlan, capture_into_memory
from rs_cae.stream.tokens import CaptureRequest, Tokenization, TokenizedTexts
from rs_cae.stream.trajectories import Capturer, Trajectories, TrajectoryBatch


class LiveOrigin(Origin):
    """The language model runs in this process, each batch through all of its layers.

    Args:
        model: Which.
        corpora: What it reads, by role.
        capture: What is read of it.

    Raises:
        InputError: If there is no such model, or it is none whose residual stream can be read.
    """

    schedule = "batchwise"

    def __init__(self, model: LanguageModelSpec, corpora: Mapping[str, CorpusSpec], capture: CaptureSpec) -> None:
        super().__init__(model, corpora, capture)
        self.config = model.config()
        self.layout = layout_of(self.config, model.hook_points)
        self.width = self.config.get_text_config().hidden_size
        self.plans: dict[str, CapturePlan] = {}
        self.opened: dict[str, Trajectories] = {}
        self.checks: tuple[Check, ...] = ()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The language model's."""
        return self.model.tokenizer()

    @cached_property
    def capturer(self) -> Capturer:
        """The language model with its hook points, verified when it is first asked for."""
        capturer, self.checks = open_batchwise(self.model, self.device)
        return capturer

    @cached_property
    def weights_identity(self) -> str:
        """See ``LanguageModelSpec``; read once for both corpora."""
        return self.model.weights_identity()

    @property
    def bytes_per_sample(self) -> int:
        """Size of one trajectory."""
        dtype: torch.dtype = getattr(torch, self.model.precision(self.device))
        return len(self.layout) * self.width * dtype.itemsize

    def plan(self, role: str) -> CapturePlan:
        """Read and tokenize a corpus, and cut it into chunks.

        Raises:
            InputError: If it cannot be read, or too few of its texts qualify.
        """
        if role not in self.plans:
            spec, context = self.capture, context_of(self.config)
            tokenization = Tokenization(
                self.tokenizer, context, spec.position, spec.max_positions, spec.seed, spec.shuffle_tokens
            )
            chunk_size = spec.samples_per_chunk(len(self.layout), self.width)
            tokenized = self._tokenized(role, tokenization)
            self.plans[role] = CapturePlan(tokenized, spec.tokens_per_batch, chunk_size)
        return self.plans[role]

    def _tokenized(self, role: str, tokenization: Tokenization) -> TokenizedTexts:
        corpus = self.corpora[role]
        try:
            tokenized = tokenization(corpus.load())
        except InputError:
            raise
        except ValueError as error:
            raise InputError(corpus.option, corpus.name, str(error)) from error
        try:
            refuse_foreign_tokens(self.config, tokenized.ids)
        except ValueError as error:
            raise InputError("--data.model", self.model.name, str(error)) from error
        return tokenized

    def open(self, role: str) -> Trajectories:
        """A corpus as tokens or, once it is prepared and if it fits, as trajectories in memory."""
        if role not in self.opened:
            self.opened[role] = LiveTrajectories(self.plan(role).tokenized, self.capture.tokens_per_batch)
        return self.opened[role]

    def verify(self) -> None:
        """Load the language model and verify its hook points."""
        _ = self.capturer

    def prepare(self, role: str) -> None:
        """Capture the corpus now and keep it, if the memory budget allows."""
        if isinstance(self.open(role), TrajectoriesInMemory):
            return
        held = sum(len(corpus) for corpus in self.opened.values() if isinstance(corpus, TrajectoriesInMemory))
        size = len(self.opened[role]) * self.bytes_per_sample
        if size + held * self.bytes_per_sample <= self.capture.memory_budget_bytes:
            captured = capture_into_memory(self.plan(role), self.capturer, f"capture {role}")
            self.opened[role] = TrajectoriesInMemory(captured)
        else:
            self.refuse_over_budget(role, size)

    def refuse_over_budget(self, role: str, size: int) -> None:
        """Batch by batch, a corpus of any size can be run again in every epoch."""

    def run(self, batch: CaptureRequest | TrajectoryBatch) -> TrajectoryBatch:
        """Run the language model on a batch of tokens; hand a batch of trajectories on."""
        if isinstance(batch, TrajectoryBatch):
            return batch
        return next(iter(self.capturer.trajectories([batch])))

    def language_model(self, role: str) -> LanguageModel:
        """The one that captures."""
        capturer = self.capturer
        assert isinstance(capturer, Batchwise)
        return LanguageModel(capturer.model, capturer.points, self.tokenizer, self.plan(role).tokenized)

    def reading(self, corpus: CorpusSpec) -> "LiveOrigin":
        """See ``Origin``."""
        return type(self)(self.model, {**self.corpora, corpus.role: corpus}, self.capture)

    def token_texts(self, role: str, tokens: Tensor) -> list[str]:
        """The text of each of the tokens [n], byte for byte where the tokenizer works on bytes."""
        return [str(self.tokenizer.decode([token])) for token in tokens.tolist()]

    def notes(self, role: str) -> dict[str, Any]:
        """See ``Origin``."""
        return {
            "model_commit": getattr(self.config, "_commit_hash", None),
            "truncated_texts": self.plan(role).tokenized.truncated,
            "hook_point_checks": [check.as_dict() for check in self.checks],
        }

    def identity(self, role: str) -> dict[str, Any]:
        """What makes two captures of a corpus the same, by option name where there is an option."""
        tokenized = self.plan(role).tokenized
        read = (tokenized.ids, tokenized.offsets, tokenized.text_of, tokenized.position_of)
        return {
            **self.options(role),
            "data.dtype": self.model.precision(self.device),
            f"data.n_{role}": len(tokenized.hashes),
            "data.tokens_per_batch": self.capture.tokens_per_batch,
            "data.shard_size": self.capture.samples_per_chunk(len(self.layout), self.width),
            "data.schedule": self.schedule,
            "config": config_identity(self.config),
            "weights": self.weights_identity,
            "tokenizer": tokenizer_identity(self.tokenizer),
            "corpus_revision": self.corpora[role].revision,
            "texts": hashlib.sha256(tokenized.hashes.numpy().tobytes()).hexdigest(),
            "tokens": hashlib.sha256(b"".join(part.numpy().tobytes() for part in read)).hexdigest(),
            **{name: version(name) for name in ("torch", "transformers")},
            "device": self.device.type,
            "layers": self.layout.layers,
            "sites": list(self.layout.sites),
            "width": self.width,
        }


class LayerwiseOrigin(LiveOrigin):
    """The language model stays on the disk, and all batches run through one of its layers after the other.

    Raises:
        InputError: If the weights are untrained ones: there is no file to read them from.
    """

    schedule = "layerwise"

    def __init__(self, model: LanguageModelSpec, corpora: Mapping[str, CorpusSpec], capture: CaptureSpec) -> None:
        super().__init__(model, corpora, capture)
        if model.random_init:
            problem = "reads weights from files, and --data.random_init has none"
            raise InputError("--data.schedule", self.schedule, problem)
        for option in ("device_map", "trust_remote_code"):
            if getattr(model, option):
                raise InputError("--data.schedule", self.schedule, f"cannot be combined with --data.{option}")

    @cached_property
    def capturer(self) -> Capturer:
        """The language model with its hook points, which cannot be verified without the whole of it."""
        return open_layerwise(self.model, self.device, self.capture.memory_budget_bytes)

    def language_model(self, role: str) -> LanguageModel:
        """Raise an InputError: there is never more than a layer of it."""
        problem = "holds one layer at a time, and what is asked for runs the whole model: use batchwise"
        raise InputError("--data.schedule", self.schedule, problem)

    def refuse_over_budget(self, role: str, size: int) -> None:
        """Raise an InputError: every batch would read all weights."""
        problem = f"reads all weights for every batch unless the {size / 1e9:.3g} GB of {role} trajectories fit"
        raise InputError("--data.schedule", self.schedule, f"{problem} --data.memory_budget_gb; or make a cache")

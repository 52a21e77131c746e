"""The origin in which a language model runs now."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rs_cae.errors import InputError
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.hookpoints import context_of, layout_of
from rs_cae.stream.language_model import LanguageModelSpec, config_identity, tokenizer_identity
from rs_cae.stream.live import LiveTrajectories
from rs_cae.stream.origins.base import CaptureSpec, Origin
from rs_cae.stream.origins.capturing import layerwise, verified
from rs_cae.stream.tokens import TokenBatches, Tokenization
from rs_cae.stream.trajectories import Capturer, TrajectoryBatch


class LiveOrigin(Origin):
    """The language model runs in this process.

    Args:
        model: Which.
        corpora: What it reads, by role.
        capture: What is read of it.
    """

    def __init__(self, model: LanguageModelSpec, corpora: Mapping[str, CorpusSpec], capture: CaptureSpec) -> None:
        super().__init__(model, corpora, capture)
        if capture.schedule == "layerwise" and model.random_init:
            raise InputError(
                "--data.schedule", "layerwise", "reads weights from files, and --data.random_init has none"
            )
        self.config = model.config()
        self.layout = layout_of(self.config, model.hook_points)
        self.width = self.config.get_text_config().hidden_size
        self.opened: dict[str, LiveTrajectories] = {}
        self._capturer: Capturer | None = None

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The language model's."""
        return self.model.tokenizer()

    @cached_property
    def weights_identity(self) -> str:
        """See ``LanguageModelSpec``; read once for both corpora."""
        return self.model.weights_identity()

    def open(self, role: str) -> LiveTrajectories:
        """Read and tokenize a corpus."""
        if role not in self.opened:
            spec = self.capture
            tokenization = Tokenization(
                self.tokenizer, context_of(self.config), spec.position, spec.max_positions, spec.seed
            )
            tokenized = tokenization(self.corpora[role].load())
            chunk_size = spec.samples_per_chunk(len(self.layout), self.width)
            self.opened[role] = LiveTrajectories(tokenized, spec.tokens_per_batch, chunk_size)
        return self.opened[role]

    def get_ready(self, device: torch.device) -> None:
        """Load the language model and verify its hook points."""
        self.capturer(device)

    def prepare(self, role: str, device: torch.device) -> None:
        """Capture the corpus now and keep it, if the memory budget allows."""
        live, capturer = self.open(role), self.capturer(device)
        size = len(live) * self.bytes_per_sample(device)
        if size <= self.capture.memory_budget_bytes:
            live.remember(capturer, f"capture {role}")
        elif self.capture.schedule == "layerwise":
            problem = f"reads all weights for every batch unless the {size / 1e9:.3g} GB of {role} trajectories fit"
            raise InputError("--data.schedule", "layerwise", f"{problem} --data.memory_budget_gb; or make a cache")

    def run(self, batch: TokenBatches | TrajectoryBatch, device: torch.device) -> TrajectoryBatch:
        """Run the language model on a batch of tokens; hand a batch of trajectories on."""
        if isinstance(batch, TrajectoryBatch):
            return batch
        return next(iter(self.capturer(device).trajectories([batch])))

    def capturer(self, device: torch.device) -> Capturer:
        """The language model with its hook points, verified when it is first asked for."""
        if self._capturer is None:
            schedules = {
                "batchwise": lambda: verified(self.language_model(device), self.model),
                "layerwise": lambda: layerwise(self.model, device, self.capture.memory_budget_bytes),
            }
            self._capturer = schedules[self.capture.schedule]()
        return self._capturer

    def token_texts(self, role: str, tokens: Tensor) -> list[str]:
        """The text of each of the tokens [n], byte for byte where the tokenizer works on bytes."""
        return [str(self.tokenizer.decode([token])) for token in tokens.tolist()]

    def provenance(self, role: str) -> dict[str, Any]:
        """See ``Origin``."""
        checks = [] if self._capturer is None else [check.as_dict() for check in self._capturer.checks]
        return {
            "model_commit": getattr(self.config, "_commit_hash", None),
            "truncated_texts": self.open(role).tokenized.truncated,
            "hook_point_checks": checks,
        }

    def bytes_per_sample(self, device: torch.device) -> int:
        """Size of one trajectory."""
        dtype: torch.dtype = getattr(torch, self.model.precision(device))
        return len(self.layout) * self.width * dtype.itemsize

    def identity(self, role: str, device: torch.device) -> dict[str, Any]:
        """What makes two captures of a corpus the same, by option name where there is an option."""
        live, spec, corpus = self.open(role), self.capture, self.corpora[role]
        drawn = self.model.random_init or spec.position != "last"
        texts = live.tokenized.hashes.numpy().tobytes()
        return {
            "data.model": self.model.name,
            "data.revision": self.model.revision,
            "config": config_identity(self.config),
            "weights": self.weights_identity,
            "data.random_init": self.model.random_init,
            "data.dtype": self.model.precision(device),
            "data.hook_points": self.model.hook_points and dict(self.model.hook_points),
            "tokenizer": tokenizer_identity(self.tokenizer),
            f"data.{role}_corpus": corpus.name,
            "corpus_revision": corpus.revision,
            "data.min_chars": corpus.min_chars,
            "data.max_chars": corpus.max_chars,
            f"data.n_{role}": len(live.tokenized.hashes),
            "texts": hashlib.sha256(texts).hexdigest(),
            "data.token_position": spec.position,
            "data.max_positions": spec.max_positions,
            "data.seed": spec.seed if drawn else None,
            "data.tokens_per_batch": spec.tokens_per_batch,
            "data.shard_size": spec.samples_per_chunk(len(self.layout), self.width),
            "data.schedule": spec.schedule,
            "layers": self.layout.layers,
            "sites": list(self.layout.sites),
            "width": self.width,
        }

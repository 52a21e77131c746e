"""From a model's name to what captures its trajectories, its hook points verified first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import snapshot_download
from transformers import PreTrainedModel

from rs_cae.errors import InputError
from rs_cae.stream.capture import TOKENS_PER_BATCH, Batchwise
from rs_cae.stream.checks import Check
from rs_cae.stream.hookpoints import HookPoints, context_of, find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.layerwise import Layerwise
from rs_cae.stream.tokens import Tokenization, TokenPosition
from rs_cae.stream.trajectories import Capturer
from rs_cae.stream.verify import verify_hook_points

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


def verified(model: PreTrainedModel, spec: LanguageModelSpec) -> Batchwise:
    """What captures from a loaded model, after a check of its hook points on two texts.

    Raises:
        InputError: If a hook point is not what it claims to be.
        FloatingPointError: If a state is not finite.
    """
    points, checks = check_hook_points(model, spec, every_layer=False)
    failed = next((check for check in checks if not check.passed), None)
    if failed is not None:
        option, value = ("hook_points", spec.hook_points) if spec.hook_points else ("model", spec.name)
        size = f"{failed.error:.1e} of the norm, where {failed.tolerance:.1e} is allowed"
        problem = f"its hook points do not hold: {failed.claim}: off by {size}, at {failed.where}"
        raise InputError(f"--data.{option}", value, problem)
    return Batchwise(model, points, checks)


def check_hook_points(
    model: PreTrainedModel, spec: LanguageModelSpec, every_layer: bool
) -> tuple[HookPoints, tuple[Check, ...]]:
    """A loaded model's hook points, and what is found when they are verified.

    Raises:
        InputError: If they name modules that do not exist or do not read the stream.
        FloatingPointError: If a state is not finite.
    """
    try:
        points = find_hook_points(model, spec.hook_points)
        tokenization = Tokenization(spec.tokenizer(), context_of(model.config))
        return points, tuple(verify_hook_points(model, tokenization, points, every_layer))
    except InputError:
        raise
    except ValueError as error:
        raise InputError("--data.hook_points", spec.hook_points, str(error)) from error


def layerwise(spec: LanguageModelSpec, device: torch.device, memory_budget_bytes: float) -> Capturer:
    """What captures from a model that stays on the disk.

    Raises:
        InputError: If its weights cannot be read layer by layer.
    """
    folder = Path(spec.path)
    try:
        if not folder.is_dir():
            patterns = ["*.safetensors", "*.json"]
            folder = Path(snapshot_download(spec.name, revision=spec.revision, allow_patterns=patterns))
        dtype = getattr(torch, spec.precision(device))
        return Layerwise(folder, spec.config(), dtype, device, spec.hook_points, memory_budget_bytes)
    except (OSError, ValueError) as error:
        raise InputError("--data.model", spec.name, f"cannot be read layer by layer: {error}") from error

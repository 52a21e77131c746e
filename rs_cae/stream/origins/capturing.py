"""From a model's name to what captures its trajectories, its hook points verified first."""

from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import PreTrainedModel

from rs_cae.errors import InputError
from rs_cae.stream.capture import Batchwise
from rs_cae.stream.checks import Check
from rs_cae.stream.hookpoints import HookPoints, find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec, context_of
from rs_cae.stream.layerwise import Layerwise
from rs_cae.stream.tokens import Tokenization
from rs_cae.stream.verify import refuse_failed, verify_hook_points


def open_batchwise(spec: LanguageModelSpec, device: torch.device) -> tuple[Batchwise, tuple[Check, ...]]:
    """Load a model, and check its hook points on two texts.

    Returns:
        What captures from it, and what was found.

    Raises:
        InputError: If it cannot be loaded, or a hook point is not what it claims to be.
        FloatingPointError: If a state is not finite.
    """
    model = spec.load(device)
    points, checks = find_and_verify(model, spec, every_layer=False)
    try:
        refuse_failed(checks)
    except ValueError as error:
        raise spec.refusal(str(error)) from error
    return Batchwise(model, points), checks


def find_and_verify(
    model: PreTrainedModel, spec: LanguageModelSpec, every_layer: bool
) -> tuple[HookPoints, tuple[Check, ...]]:
    """A loaded model's hook points, and what is found when they are verified.

    Raises:
        InputError: If they name modules that do not exist or do not read the stream.
        FloatingPointError: If a state is not finite.
    """
    tokenization = Tokenization(spec.tokenizer(), context_of(model.config))
    try:
        points = find_hook_points(model, spec.hook_points)
        return points, tuple(verify_hook_points(model, tokenization, points, every_layer))
    except ValueError as error:
        raise spec.refusal(str(error)) from error


def open_layerwise(spec: LanguageModelSpec, device: torch.device, memory_budget_bytes: float) -> Layerwise:
    """Find a model's weights on the disk, where they stay.

    Raises:
        InputError: If they cannot be read layer by layer.
    """
    folder = Path(spec.path)
    try:
        if not folder.is_dir():
            patterns = ["*.safetensors", "*.json"]
            commit = getattr(spec.config(), "_commit_hash", None) or spec.revision
            folder = Path(snapshot_download(spec.name, revision=commit, allow_patterns=patterns))
        dtype = getattr(torch, spec.precision(device))
        return Layerwise(folder, spec.config(), dtype, device, spec.hook_points, memory_budget_bytes)
    except InputError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError("--data.model", spec.name, f"cannot be read layer by layer: {error}") from error

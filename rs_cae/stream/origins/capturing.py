"""From a model's name to what captures its trajectories, its hook points verified first."""

from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import PreTrainedModel

from rs_cae.errors import InputError
from rs_cae.stream.capture import Batchwise
from rs_cae.stream.checks import Check
from rs_cae.stream.hookpoints import HookPoints, context_of, find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.layerwise import Layerwise
from rs_cae.stream.tokens import Tokenization
from rs_cae.stream.trajectories import Capturer
from rs_cae.stream.verify import verify_hook_points


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

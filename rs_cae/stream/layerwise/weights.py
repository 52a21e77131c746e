"""A language model whose weights stay in their files, and are in memory a layer at a time."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from threading import Lock
from types import EllipsisType
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig
from transformers.utils import logging as transformers_logging

from rs_cae.stream.hookpoints import HookNames, find_hook_points
from rs_cae.stream.layerwise.scratch import return_freed_memory


class LayerWeights:
    """A model on the meta device, of which parts get their weights for as long as a block is open.

    Args:
        folder: Holds ``model.safetensors``, or shards with ``model.safetensors.index.json``.
        config: The model's configuration.
        dtype: Precision in which it runs, whatever that of its files.
        device: Where weights are put.
        names: Where its residual stream is, if its family is not known.

    Attributes:
        model: The causal language model. Its head never gets weights.
        points: Its residual stream.
        bytes_read: Bytes of all tensors read from the files so far, in the files' precision.

    Raises:
        ValueError: If the model's family is not known and no names were given, the folder has no safetensors, the
            weights are quantized, or the precision is none to run in.
    """

    def __init__(
        self, folder: Path, config: PretrainedConfig, dtype: torch.dtype, device: torch.device, names: HookNames = None
    ) -> None:
        if dtype not in (torch.float32, torch.bfloat16):
            reason = ", in which residual streams overflow" if dtype == torch.float16 else ""
            raise ValueError(f"the model is to run in {dtype}{reason}: use bfloat16 or float32")
        if getattr(config, "quantization_config", None) is not None:
            raise ValueError("the weights are quantized and cannot be read a layer at a time")
        self.bytes_read = 0
        self._lock = Lock()
        self._device = device
        self._tensors = {key: _StoredTensor(self, path, key) for key, path in _files_of_tensors(folder).items()}
        with torch.device("meta"):  # the copy, because the precision is written into the configuration
            self.model: PreTrainedModel = AutoModelForCausalLM.from_config(deepcopy(config), dtype=dtype)
        self.model.eval().requires_grad_(False)
        self.points = find_hook_points(self.model, names)
        self._base = cast(PreTrainedModel, self.model.base_model)
        path = next(name for name, module in self._base.named_modules() if module is self.points.layers)
        # what comes before the list's own name may differ between the files and the model, or be missing
        number = re.compile(rf"(?:^|\.){path.rpartition('.')[-1]}\.(\d+)\.")
        found = {key: number.search(key) for key in self._tensors}
        self._layer_of = {key: int(match[1]) if match else None for key, match in found.items()}

    def count(self, tensor: Tensor) -> None:
        """Add a tensor to the bytes read; tensors are read by several threads."""
        with self._lock:
            self.bytes_read += tensor.nbytes

    @contextmanager
    def around_the_layers(self) -> Iterator[None]:
        """While it is open, everything but the layers and the head has its weights: embeddings, rotary tables, norms.

        Raises:
            ValueError: If a weight is missing or has another shape.
        """
        inside = set(self.points.layers.modules())
        tensors = self._of_layer(None)
        for head, embeddings in self.model.all_tied_weights_keys.items():
            short = embeddings.removeprefix(f"{self.model.base_model_prefix}.")
            if head in tensors and not {embeddings, short} & tensors.keys():
                tensors[embeddings] = tensors[head]  # of two tied weights, some writers keep the head's
        try:
            self._fill(tensors, [module for module in self._base.modules() if module not in inside])
            yield
        finally:
            self._base.to_empty(device="meta")
            return_freed_memory()

    @contextmanager
    def layer(self, number: int) -> Iterator[nn.Module]:
        """While it is open, a layer has its weights.

        Raises:
            ValueError: If a weight is missing or has another shape.
        """
        layer = self.points.layers[number]
        try:
            self._fill(self._of_layer(number), list(layer.modules()))
            yield layer
        finally:
            layer.to_empty(device="meta")
            return_freed_memory()

    def _of_layer(self, number: int | None) -> dict[str, "_StoredTensor"]:
        return {key: tensor for key, tensor in self._tensors.items() if self._layer_of[key] == number}

    def _fill(self, tensors: Mapping[str, "_StoredTensor"], modules: list[nn.Module]) -> None:
        """Give some modules their weights, and their buffers that are computed instead of stored."""
        problems = _load(self._base, tensors, self._device)
        names, stored = {module: name for name, module in self._base.named_modules()}, self._base.state_dict().keys()
        for module in modules:
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                whole = f"{names[module]}.{name}".removeprefix(".")
                if tensor.is_meta and whole in stored:
                    raise ValueError(problems.get(whole, f"the weight {whole} is missing in the files"))
                if tensor.is_meta:
                    setattr(module, name, torch.empty_like(tensor, device=self._device))
        _compute_buffers(self._base, modules)


class _StoredTensor:
    """A tensor in a file, read when it is indexed: what Transformers takes for a slice of an open safetensors file.

    The file is opened for this tensor alone and the tensor copied out of it, so that no pages of it stay mapped.
    """

    def __init__(self, weights: LayerWeights, path: Path, key: str) -> None:
        self.weights, self.path, self.key = weights, path, key

    def __getitem__(self, everything: EllipsisType) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            tensor = file.get_tensor(self.key)[everything].clone()
        self.weights.count(tensor)
        return tensor


def _files_of_tensors(folder: Path) -> dict[str, Path]:
    """The file of each tensor of a checkpoint.

    Raises:
        ValueError: If the folder has no safetensors.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        with safe_open(single, framework="pt") as file:
            return dict.fromkeys(file.keys(), single)
    if index.is_file():
        return {key: folder / name for key, name in json.loads(index.read_text())["weight_map"].items()}
    raise ValueError(
        f"{folder} has neither {single.name} nor {index.name}: reading a layer at a time needs safetensors, which "
        f"save_pretrained writes"
    )


def _load(base: PreTrainedModel, tensors: Mapping[str, _StoredTensor], device: torch.device) -> dict[str, str]:
    """Read tensors into a model on the meta device; those that it has no place for are not read.

    The files' names and layouts may differ from the model's. Transformers knows how, but offers it only through
    ``from_pretrained``, which fills a whole model at once. What it does inside is not public and may change with its
    version, so it is used here and in ``_compute_buffers`` alone.

    Returns:
        What is wrong with a weight that was read but does not fit, by its name in the model.
    """
    mapping: Any = get_model_conversion_mapping(base)
    plan = LoadStateDictConfig(
        dtype=base.dtype,
        device_map={"": device},
        dtype_plan=base._get_dtype_plan(base.dtype),
        weight_mapping=mapping,
    )
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        found, _ = convert_and_load_state_dict_in_model(base, dict(tensors), plan)
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
    problems = {
        name: f"the weight {name} has the shape {list(stored)} in the files, and {list(wanted)} in the model"
        for name, stored, wanted in found.mismatched_keys
    }
    return problems | {
        name: f"the weight {name} cannot be read: {text}" for name, text in found.conversion_errors.items()
    }


def _compute_buffers(base: PreTrainedModel, modules: Iterable[nn.Module]) -> None:
    """Set the buffers that are not in files, such as rotary frequencies; weights just loaded are marked and stay."""
    for module in modules:
        base._init_weights(module)

"""Finding and loading language models: the demo's, a local folder's, or the Hugging Face hub's."""

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from rs_cae.errors import InputError
from rs_cae.stream.hookpoints import HookNames, family_of

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class LanguageModelSpec:
    """Which language model, and how it is loaded. Access to gated models comes from the Hugging Face login alone.

    Attributes:
        name: ``demo``, a Hugging Face id, or a local folder.
        random_init: The same architecture with untrained weights: the control.
        dtype: Precision in which the model runs; by default float32 on CPU and bfloat16 on GPU.
        seed: Seed of the untrained weights.
        revision: Branch, tag or commit of a hub model.
        hook_points: Names of the modules around the residual stream, for a family that is not in the table.
        device_map: Passed to Transformers, which spreads a model's layers over several devices by it.
        trust_remote_code: Whether code that comes with a model may run.
        allow_pickle_weights: Whether weights may be read from files other than safetensors.
    """

    name: str = "demo"
    random_init: bool = False
    dtype: Precision | None = None
    seed: int = 0
    revision: str | None = None
    hook_points: HookNames = None
    device_map: str | None = None
    trust_remote_code: bool = False
    allow_pickle_weights: bool = False

    @property
    def path(self) -> str:
        """What ``from_pretrained`` takes."""
        return str(files("rs_cae.demo") / "model") if self.name == "demo" else self.name

    @property
    def _source(self) -> dict[str, Any]:
        revision = {} if self.revision is None else {"revision": self.revision}
        return {"trust_remote_code": self.trust_remote_code, **revision}

    def precision(self, device: torch.device) -> Precision:
        """The precision in which the model runs on a device."""
        return self.dtype or ("bfloat16" if device.type == "cuda" else "float32")

    def config(self) -> PretrainedConfig:
        """The model's configuration, checked: a decoder whose residual stream can be read.

        Raises:
            InputError: If there is no such model, or it is none whose residual stream can be read.
        """
        if Path(self.path).is_dir() and not (Path(self.path) / "config.json").is_file():
            raise InputError("--data.model", self.name, "the folder has no config.json")
        try:
            config = AutoConfig.from_pretrained(self.path, **self._source)
        except (OSError, ValueError) as error:
            if "trust_remote_code" in str(error):
                hint = "comes with code of its own; `--data.trust_remote_code true` lets it run, if you trust it"
                raise InputError("--data.model", self.name, hint) from error
            if Path(self.path).is_dir():
                raise InputError("--data.model", self.name, f"its config.json cannot be used: {error}") from error
            hint = "neither a local folder with config.json nor a model of the Hugging Face hub that can be reached"
            raise InputError("--data.model", self.name, f"{hint}; `--data.model demo` needs no download") from error
        if config.is_encoder_decoder:
            raise InputError("--data.model", self.name, f"{config.model_type} is an encoder-decoder, not a decoder")
        try:
            family_of(config, self.hook_points)
        except ValueError as error:
            raise self.refusal(str(error)) from error
        return config

    def refusal(self, problem: str) -> InputError:
        """The error that names what led to these hook points: the names given by hand, otherwise the model."""
        if self.hook_points:
            return InputError("--data.hook_points", self.hook_points, problem)
        return InputError("--data.model", self.name, problem)

    def load(self, device: torch.device) -> PreTrainedModel:
        """The model in evaluation mode, its weights frozen, on the device or spread by its device map.

        Raises:
            InputError: If its weights cannot be loaded.
        """
        transformers_logging.disable_progress_bar()
        dtype = getattr(torch, self.precision(device))
        config = self.config()
        if self.random_init:
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=self.trust_remote_code)
        else:
            model = self._load_weights(dtype, getattr(config, "_commit_hash", None))
        model = model if self.device_map else model.to(device)
        return model.eval().requires_grad_(False)

    def _load_weights(self, dtype: torch.dtype, commit: str | None) -> PreTrainedModel:
        safetensors = None if self.allow_pickle_weights else True
        options = {**self._source, "use_safetensors": safetensors, "device_map": self.device_map}
        if commit is not None:
            options["revision"] = commit  # that of the configuration, however the branch moves on
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                self.path, dtype=dtype, output_loading_info=True, **options
            )
        except (OSError, SafetensorError) as error:
            hint = "" if self.allow_pickle_weights else " (`--data.allow_pickle_weights true` also takes .bin files)"
            raise InputError("--data.model", self.name, f"no weights can be loaded: {error}{hint}") from error
        except (ImportError, ValueError) as error:
            if self.device_map is None:
                raise
            raise InputError("--data.device_map", self.device_map, f"cannot be used: {error}") from error
        model, found = loaded
        missing = sorted(found["missing_keys"])
        if missing:  # Transformers would draw them at random
            raise InputError("--data.model", self.name, f"{len(missing)} weights are missing, {missing[0]} among them")
        return model

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer.

        Raises:
            InputError: If it has none that can be loaded.
        """
        try:
            return AutoTokenizer.from_pretrained(self.path, **self._source)
        except (OSError, ValueError) as error:
            raise InputError("--data.model", self.name, f"no tokenizer can be loaded: {error}") from error

    def weights_identity(self) -> str:
        """What the weights are, whatever the model is called: a hub commit, a seed, or a SHA-256 of the files.

        Hashing a local folder reads all of it, at about a gigabyte a second.

        Raises:
            InputError: If a file cannot be read.
        """
        if self.random_init:
            return f"untrained, seed {self.seed}"
        folder = Path(self.path)
        if not folder.is_dir():
            return f"commit {self.config()._commit_hash}"
        digest = hashlib.sha256()
        suffixes = ["*.safetensors"]
        suffixes += ["*.bin"] if self.allow_pickle_weights else []
        suffixes += ["*.py"] if self.trust_remote_code else []  # what runs is the model as much as its weights are
        try:
            for file in sorted(file for suffix in suffixes for file in folder.glob(suffix)):
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as error:
            raise InputError("--data.model", self.name, f"no weights can be loaded: {error}") from error
        return f"sha256 {digest.hexdigest()}"


def context_of(config: PretrainedConfig) -> int | None:
    """The most tokens that a model takes; None where its positions know no bound."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def refuse_foreign_tokens(config: PretrainedConfig, ids: Tensor) -> None:
    """Raise a ValueError if a model does not have some of a tokenizer's tokens."""
    largest, known = int(ids.max()), config.get_text_config().vocab_size
    if largest >= known:
        raise ValueError(f"its tokenizer gives the token {largest}, and it has {known}: they do not belong together")


def input_device(model: PreTrainedModel) -> torch.device:
    """Where a model, which may lie on several devices, takes its tokens."""
    return next(model.get_input_embeddings().parameters()).device


def config_identity(config: PretrainedConfig) -> str:
    """SHA-256 of a model's settings, whatever it is called and whichever version wrote them."""
    named = ("_name_or_path", "transformers_version")
    settings = {name: value for name, value in config.to_dict().items() if name not in named}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all that decides how a tokenizer splits a text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    return hashlib.sha256(f"{rules}{special}".encode()).hexdigest()

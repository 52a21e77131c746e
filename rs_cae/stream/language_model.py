"""Finding and loading language models: the demo's, a local folder's, or the Hugging Face hub's."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
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
from rs_cae.stream.hookpoints import family_of

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class LanguageModelSpec:
    """Which language model, and how it is run.

    Attributes:
        name: ``demo``, a Hugging Face id, or a local folder.
        random_init: The same architecture with untrained weights: the control.
        dtype: Precision in which the model runs; by default float32 on CPU and bfloat16 on GPU.
        seed: Seed of the untrained weights.
    """

    name: str = "demo"
    random_init: bool = False
    dtype: Precision | None = None
    seed: int = 0

    @property
    def path(self) -> str:
        """What ``from_pretrained`` takes."""
        return str(files("rs_cae.demo") / "model") if self.name == "demo" else self.name

    def config(self) -> PretrainedConfig:
        """The model's configuration, checked: a decoder of a known family.

        Raises:
            InputError: If there is no such model, or it is none whose residual stream can be read.
        """
        if Path(self.path).is_dir() and not (Path(self.path) / "config.json").is_file():
            raise InputError("--data.model", self.name, "the folder has no config.json")
        try:
            config = AutoConfig.from_pretrained(self.path)
        except (OSError, ValueError) as error:
            hint = "neither a local folder with config.json nor a model of the Hugging Face hub that can be reached"
            raise InputError("--data.model", self.name, f"{hint}; `--data.model demo` needs no download") from error
        if config.is_encoder_decoder:
            raise InputError("--data.model", self.name, f"{config.model_type} is an encoder-decoder, not a decoder")
        try:
            family_of(config)
        except KeyError as error:
            raise InputError("--data.model", self.name, str(error.args[0])) from error
        return config

    def load(self, device: torch.device) -> PreTrainedModel:
        """The model in evaluation mode, its weights frozen, on the device."""
        transformers_logging.disable_progress_bar()
        dtype = getattr(torch, self.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
        config = self.config()
        if self.random_init:
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        else:
            try:
                model = AutoModelForCausalLM.from_pretrained(self.path, dtype=dtype, use_safetensors=True)
            except OSError as error:
                raise InputError("--data.model", self.name, f"no weights can be loaded: {error}") from error
        return model.to(device).eval().requires_grad_(False)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        try:
            return AutoTokenizer.from_pretrained(self.path)
        except (OSError, ValueError) as error:
            raise InputError("--data.model", self.name, f"no tokenizer can be loaded: {error}") from error

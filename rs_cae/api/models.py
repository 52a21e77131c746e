"""Language models for notebooks: loaded, or taken as they are and checked before their stream is read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast, get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rs_cae.errors import InputError
from rs_cae.stream.capture import refuse_unreadable
from rs_cae.stream.hookpoints import HookNames, HookPoints, find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec, Precision, context_of, refuse_foreign_tokens
from rs_cae.stream.tokens import Tokenization, TokenizedTexts
from rs_cae.stream.verify import refuse_failed, verify_hook_points


def load_model(
    name: str = "demo",
    *,
    random_init: bool = False,
    seed: int = 0,
    dtype: Precision | torch.dtype | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
    hook_points: HookNames = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a language model whose residual stream can be read, and its tokenizer.

    Both are plain ones of Transformers; a model that was loaded in another way serves as well.

    Args:
        name: ``demo``, which needs no download; a name on the Hugging Face hub; or a local folder.
        random_init: The same architecture with untrained weights, as a control.
        seed: Of the untrained weights.
        dtype: ``float32`` or ``bfloat16``; by default float32 on a CPU and bfloat16 on a GPU.
        device: Where it runs; by default a GPU if there is one.
        revision: Branch, tag or commit of a model on the hub.
        hook_points: Names of the modules around the residual stream, where its family is not known.
        trust_remote_code: Whether code that comes with a model may run.

    Returns:
        The model in evaluation mode, its weights without gradients, and the tokenizer.

    Raises:
        ValueError: If it cannot be loaded, or is none whose residual stream can be read.

    Example:
        >>> model, tokenizer = load_model("demo", device="cpu")
        >>> model.config.num_hidden_layers, model.config.hidden_size
        (12, 128)
    """
    precision = cast(Precision | None, dtype and str(dtype).removeprefix("torch."))
    if precision not in (None, *get_args(Precision)):
        raise ValueError(f"dtype {precision}: expected one of {', '.join(get_args(Precision))}")
    where = _device(device)
    with arguments_for_options():
        spec = LanguageModelSpec(
            name, random_init, precision, seed, revision, hook_points, trust_remote_code=trust_remote_code
        )
        return spec.load(where), spec.tokenizer()


def readable_points(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, hook_points: HookNames, verify: bool
) -> HookPoints:
    """Where the residual stream of a model is, checked against the model itself on two texts.

    Args:
        model: Of a family that is known, or whose names are given.
        tokenizer: Its tokenizer.
        hook_points: The names; None for a known family.
        verify: Whether to check.

    Raises:
        ValueError: If the stream cannot be read, or is not where it is said to be.
        FloatingPointError: If a state is not finite.
    """
    if not isinstance(model, PreTrainedModel) and not hasattr(model, "_orig_mod"):
        raise ValueError(f"model is a {type(model).__name__}: expected one of Transformers, such as load_model gives")
    refuse_unreadable(model)
    if model.training:
        raise ValueError("the model is in training mode, in which dropout changes its states: call model.eval() first")
    if model.get_output_embeddings() is None:
        raise ValueError("the model has no head: load it with AutoModelForCausalLM")
    with arguments_for_options(*_blamed(model, hook_points)):
        points = find_hook_points(model, hook_points)
        if verify:
            tokenization = Tokenization(tokenizer, context_of(model.config))
            refuse_failed(verify_hook_points(model, tokenization, points, every_layer=False))
    return points


def tokenize(model: PreTrainedModel, tokenization: Tokenization, texts: Sequence[str]) -> TokenizedTexts:
    """Texts as tokens that a model has.

    Raises:
        ValueError: If a text has no token, or the tokenizer is that of another model.
    """
    tokenized = tokenization(texts)
    with arguments_for_options(*_blamed(model, None)):
        refuse_foreign_tokens(model.config, tokenized.ids)
    return tokenized


@contextmanager
def arguments_for_options(argument: str = "", value: object = None) -> Iterator[None]:
    """Put what is wrong in words of Python: arguments where the command line has options.

    Args:
        argument: Which one is to blame, where an error does not say it.
        value: Its value.
    """
    try:
        yield
    except ValueError as error:
        said = error if isinstance(error, InputError) or not argument else InputError(argument, value, str(error))
        raise ValueError(str(said).replace("--data.", "")) from error


def _blamed(model: PreTrainedModel, hook_points: HookNames) -> tuple[str, Any]:
    if hook_points:
        return "hook_points", hook_points
    return "model", model.config.name_or_path or model.config.model_type


def _device(asked: str | torch.device | None) -> torch.device:
    gpu = torch.cuda.is_available()
    try:
        device = torch.device(asked or ("cuda" if gpu else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"device {asked}: expected one of PyTorch's, such as cpu, cuda or cuda:1") from error
    if device.type == "cuda" and not gpu:
        raise ValueError(f"device {asked}: there is no GPU that PyTorch can use")
    return device

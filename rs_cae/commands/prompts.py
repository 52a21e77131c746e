"""Prompts that a command line gives: one by itself, or a file with one a line."""

from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rs_cae.errors import InputError
from rs_cae.stream.tokens import Tokenization

SHOWN = 60
"""Characters of a prompt that messages show."""


def read_prompts(prompt: str | None, file: Path | None, default: str) -> list[tuple[str, str]]:
    """Prompts, each with the option that gave it.

    Args:
        prompt: Of ``--prompt``.
        file: Of ``--prompts_file``; its lines, blank ones left out.
        default: If there is neither.

    Raises:
        InputError: If there are both, the file cannot be read, or nothing is in it or in the prompt.
    """
    if file is None:
        prompt = default if prompt is None else prompt
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise InputError("--prompt", repr(prompt), "is not UTF-8")
        if not prompt.strip():
            raise InputError("--prompt", repr(prompt), "is empty: there is no token whose stream could be displaced")
        return [("--prompt", prompt)]
    if prompt is not None:
        raise InputError("--prompt", shown(prompt), "cannot be combined with --prompts_file")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("--prompts_file", file, f"cannot be read: {error}") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise InputError("--prompts_file", file, "holds no prompt; one a line is expected")
    return [("--prompts_file", prompt) for prompt in prompts]


def tokenize_prompts(
    prompts: list[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, context: int | None
) -> list[Tensor]:
    """The tokens of each prompt, with the special tokens that the tokenizer adds itself.

    Args:
        prompts: Of ``read_prompts``.
        tokenizer: The language model's.
        context: The most tokens that it takes; None for no limit.

    Raises:
        InputError: If a prompt has no token, or more than the context.
    """
    try:
        tokenized = Tokenization(tokenizer)([prompt for _, prompt in prompts])
    except ValueError as error:
        option, prompt = prompts[0]
        raise InputError(option, shown(prompt), str(error)) from error
    rows = [tokenized.prompt(number) for number in range(len(prompts))]
    for (option, prompt), ids in zip(prompts, rows, strict=True):
        if context is not None and len(ids) > context:
            raise InputError(option, shown(prompt), f"has {len(ids)} tokens, and the model takes {context}")
    return rows


def shown(prompt: str) -> str:
    """A prompt for messages, quoted, and cut if it is long."""
    return repr(prompt if len(prompt) <= SHOWN else f"{prompt[:SHOWN]}...")

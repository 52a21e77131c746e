"""How well a language model predicts a text, in bits per byte, beside what general compressors need."""

import gzip
import lzma
import math

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def scored_text(paragraphs: list[str], min_chars: int = 100, max_chars: int = 500) -> str:
    """The paragraphs within the length bounds, joined by newlines."""
    return "\n".join(paragraph for paragraph in paragraphs if min_chars <= len(paragraph) <= max_chars)


def compressor_bits_per_byte(text: str) -> dict[str, float]:
    """Bits per byte of UTF-8 that ``gzip -9`` and ``xz -9e`` need for the text."""
    data = text.encode()
    xz = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    return {"gzip": 8 * len(gzip.compress(data, 9)) / len(data), "xz": 8 * len(xz) / len(data)}


@torch.inference_mode()
def model_bits_per_byte(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, batch_size: int = 32
) -> float:
    """Cross-entropy of the whole text under the model, in bits per byte of UTF-8.

    The text is cut into windows of the model's context, each after a BOS token and half overlapping the one before;
    every token is scored exactly once, with at least half a window of context except at the start.

    Args:
        model: A causal language model with ``config.max_position_embeddings``.
        tokenizer: Its tokenizer, which must have a BOS token and lose no byte of the text.
        text: What is scored.
        batch_size: Windows a forward pass.

    Returns:
        Bits per byte, at least 0; 8 for a model that knows nothing of bytes.
    """
    tokens = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    length = model.config.max_position_embeddings - 1
    stride = length // 2
    total = 0.0
    starts = [0, *range(stride, max(len(tokens) - length, 0) + stride, stride)] if len(tokens) > length else [0]
    windows = [tokens[start : start + length] for start in starts]
    first_new = [0] + [length - stride] * (len(windows) - 1)
    for batch in range(0, len(windows), batch_size):
        total += _nats(model, tokenizer.bos_token_id, windows[batch : batch + batch_size], first_new[batch:])
    return total / math.log(2) / len(text.encode())


def _nats(model: PreTrainedModel, bos: int, windows: list[Tensor], first_new: list[int]) -> float:
    """Summed cross-entropy of the windows' tokens from ``first_new`` on."""
    targets = torch.nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=-100)
    for row, start in enumerate(first_new[: len(windows)]):
        targets[row, :start] = -100
    inputs = torch.nn.utils.rnn.pad_sequence(windows, batch_first=True)[:, :-1]
    inputs = torch.cat([torch.full((len(windows), 1), bos), inputs], dim=1).to(model.device)
    logits = model(inputs, use_cache=False).logits.float()
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten().to(model.device), reduction="sum"
    )
    return float(losses)

"""Trajectories of any texts, for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rs_cae.api.models import readable_points, tokenize
from rs_cae.stream.capture import TOKENS_PER_BATCH, Batchwise
from rs_cae.stream.hookpoints import HookNames
from rs_cae.stream.language_model import context_of
from rs_cae.stream.origins import CaptureSpec
from rs_cae.stream.plan import CapturePlan
from rs_cae.stream.tokens import Tokenization, TokenPosition
from rs_cae.sublayers import SublayerLayout


@dataclass(frozen=True, eq=False)
class Captured:
    """The residual stream of some texts, before every attention and every MLP; a sample is a token that is read.

    Attributes:
        states: [samples, sublayers, width], in main memory and in the model's precision; unit: that of the activations.
        layout: Layer and site of each sublayer.
        tokens: [samples], the ids of the tokens that are read.
        positions: [samples], their places in their texts, counted from 0 with the special tokens.
        texts: [samples], the number of each sample's text, from 0; ascending.
        truncated: How many texts were longer than the model's context and lost tokens from their left.
    """

    states: Tensor
    layout: SublayerLayout
    tokens: Tensor
    positions: Tensor
    texts: Tensor
    truncated: int

    @property
    def labels(self) -> list[str]:
        """Of the sublayers, such as ``L07.attn``."""
        return self.layout.labels

    @property
    def transition_kinds(self) -> list[str]:
        """Of the steps from one sublayer to the next: ``within`` a layer or ``across`` to the next one."""
        return self.layout.transition_kinds

    def __repr__(self) -> str:
        samples, sublayers, width = self.states.shape
        precision = str(self.states.dtype).removeprefix("torch.")
        return f"Captured(samples={samples}, sublayers={sublayers}, width={width}, {precision})"


def capture(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    token_position: TokenPosition = "last",
    max_positions: int | None = None,
    seed: int = 0,
    hook_points: HookNames = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    verify: bool = True,
) -> Captured:
    """Capture trajectories of any texts from any decoder of Transformers of a known family.

    The model runs unchanged, on the device on which it is, without its head. Texts of like lengths run together; what
    comes back is in the texts' order, and equal to what ``rs_cae fit`` and ``test`` capture of the same texts.

    Args:
        model: In evaluation mode.
        tokenizer: Its tokenizer, which adds what special tokens it adds by itself.
        texts: One or more.
        token_position: Which token of each text is read: the ``last``, a ``random`` one, or ``all``.
        max_positions: With ``all``, at most this many tokens of a text, drawn evenly.
        seed: Of what is drawn.
        hook_points: For a family that is not known, the names of its modules: ``layers``, ``attn`` and ``mlp``.
        tokens_per_batch: Tokens that run together, padding among them.
        verify: Check first, on two short texts, that the stream is where it is said to be: about 15 forward passes.

    Raises:
        ValueError: If the texts, the model or an argument cannot be used.
        FloatingPointError: If a state is not finite.

    Example:
        >>> from rs_cae import load_model
        >>> captured = capture(*load_model("demo", device="cpu"), ["A list is a sequence.", "So is a tuple."])
        >>> captured
        Captured(samples=2, sublayers=24, width=128, float32)
        >>> captured.labels[:3]
        ['L00.attn', 'L00.mlp', 'L01.attn']
    """
    texts = _refuse_no_texts(texts)
    if token_position not in get_args(TokenPosition):
        raise ValueError(f"token_position {token_position}: expected one of {', '.join(get_args(TokenPosition))}")
    for name, number in (("max_positions", max_positions), ("tokens_per_batch", tokens_per_batch)):
        if number is not None and number < 1:
            raise ValueError(f"{name} {number}: must be at least 1")
    if max_positions is not None and token_position != "all":
        raise ValueError(f"max_positions {max_positions}: goes with token_position 'all'")
    points = readable_points(model, tokenizer, hook_points, verify)
    tokenization = Tokenization(tokenizer, context_of(model.config), token_position, max_positions, seed)
    tokenized, capturer = tokenize(model, tokenization, texts), Batchwise(model, points)
    plan = CapturePlan(tokenized, tokens_per_batch, CaptureSpec().samples_per_chunk(*capturer.shape))
    states = torch.empty((len(tokenized), *capturer.shape), dtype=capturer.dtype)
    requests = plan.requests(range(len(plan.chunks)))
    for chunk, batch in zip(plan.chunks, capturer.trajectories(requests), strict=True):
        states[chunk.start : chunk.stop] = batch.states.cpu()
    where = tokenized.position_of, tokenized.text_of
    return Captured(states, points.layout, tokenized.tokens, *where, tokenized.truncated)


def _refuse_no_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list.

    Raises:
        ValueError: If they are no texts, or there is none.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string: put it into a list, [text]")
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty: there is nothing to capture")
    others = {type(text).__name__ for text in texts if not isinstance(text, str)}
    if others:
        raise ValueError(f"texts holds {', '.join(sorted(others))}, not strings alone")
    return texts

"""Token batches to trajectories: the residual stream before every sublayer, from the unmodified model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rs_cae.stream.hookpoints import find_hook_points
from rs_cae.stream.tokens import TokenBatch, Tokenization, TokenPosition


class _AllStatesRead(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass once the last sublayer's state is known."""


@contextmanager
def reading(modules: Sequence[nn.Module], positions: Tensor) -> Iterator[list[Tensor]]:
    """While it is open, each module's input at one position per text is appended to the list it yields.

    Once the last module has been read the forward pass ends, and so does the block: nothing above is run. The hooks are
    gone afterwards, whatever happened.

    Args:
        modules: In the order in which they run; the first input of each is [batch, tokens, width].
        positions: [batch], the token that is read in each text.
    """
    states: list[Tensor] = []
    rows = torch.arange(len(positions), device=positions.device)

    def read(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        stream = arguments[0] if arguments else next(iter(keywords.values()))
        states.append(stream[rows.to(stream.device), positions.to(stream.device)].clone())
        if len(states) == len(modules):
            raise _AllStatesRead

    handles = [module.register_forward_pre_hook(read, with_kwargs=True) for module in modules]
    try:
        yield states
    except _AllStatesRead:
        pass
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def capture(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Trajectories of a batch: the residual stream before each attention and each MLP, at one token a text.

    At every pre-attention sublayer it equals ``output_hidden_states`` to the bit. Neither the last MLP nor the language
    model's head is run.

    Args:
        model: A Hugging Face causal language model of a known family, on the batch's device.
        batch: What to run.

    Returns:
        [batch, sublayers, width], in the model's precision and on the batch's device.

    Raises:
        KeyError: If the model's family is not known.
        ValueError: If the model is compiled: hooks added later would be dropped silently.
        FloatingPointError: If a state is not finite.
    """
    if hasattr(model, "_orig_mod"):
        raise ValueError("the model is compiled and would ignore hooks: capture from the model before torch.compile")
    points = find_hook_points(model)
    with reading(points.readers, batch.positions) as states:
        model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    trajectories = torch.stack([state.to(batch.input_ids.device) for state in states], dim=1)
    finite = trajectories.isfinite().all(dim=-1)
    if not finite.all():
        row, sublayer = torch.nonzero(~finite)[0].tolist()
        place = points.layout.labels[sublayer]
        raise FloatingPointError(f"the state of text {int(batch.index[row])} at sublayer {place} is not finite")
    return trajectories


def capture_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    position: TokenPosition = "last",
    batch_size: int = 32,
) -> Tensor:
    """Trajectories of any texts, batched by like lengths and given back in the texts' order.

    Args:
        model: A Hugging Face causal language model of a known family.
        tokenizer: Its tokenizer.
        texts: Each gives one trajectory.
        position: Which token is read; see ``Tokenization``.
        batch_size: Texts a forward pass.

    Returns:
        [texts, sublayers, width], on the model's device.
    """
    tokenization = Tokenization(tokenizer, model.config.max_position_embeddings, position)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    parts = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = tokenization.batch([texts[number] for number in chosen], chosen)
        parts.append(capture(model, TokenBatch(*(field.to(model.device) for field in batch))))
    return torch.cat(parts)[torch.tensor(order).argsort().to(model.device)]

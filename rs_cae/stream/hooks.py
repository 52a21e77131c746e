"""Hooks on the residual stream, open as long as their block is."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from rs_cae.stream.tokens import TokenBatch


class _AllStatesRead(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass once the last sublayer's state is known."""


def _stream_in(arguments: tuple[Any, ...], keywords: dict[str, Any], texts: int) -> Tensor:
    """The residual stream [texts, tokens, width] among the inputs of a module, as a view that can be written to.

    Some families lay the texts end to end before their MLP; the view takes them apart again.

    Raises:
        ValueError: If there is none.
    """
    stream = arguments[0] if arguments else keywords.get("hidden_states")
    if not isinstance(stream, Tensor) or stream.ndim not in (2, 3):
        raise ValueError("a module that is to carry the residual stream has no hidden states")
    return stream if stream.ndim == 3 else stream.view(texts, -1, stream.shape[-1])


def _samples_in(stream: Tensor, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Where the batch's samples lie in a stream: rows and positions, on its device."""
    return batch.rows.to(stream.device), batch.positions.to(stream.device)


@contextmanager
def reading(modules: Sequence[nn.Module], batch: TokenBatch, stop: bool = True) -> Iterator[list[Tensor]]:
    """While it is open, the stream that enters each module, at the batch's samples, is appended to the list it yields.

    The hooks are gone afterwards, whatever happened.

    Args:
        modules: In the order in which they run.
        batch: What runs, and where it is read.
        stop: End the forward pass, and with it the block, once the last module has been read: nothing above is run.
    """
    states: list[Tensor] = []

    def read(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        stream = _stream_in(arguments, keywords, len(batch.input_ids))
        states.append(stream[_samples_in(stream, batch)].clone())
        if stop and len(states) == len(modules):
            raise _AllStatesRead

    handles = [module.register_forward_pre_hook(read, with_kwargs=True) for module in modules]
    try:
        yield states
    except _AllStatesRead:
        pass
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def writing(module: nn.Module, batch: TokenBatch, states: Tensor) -> Iterator[None]:
    """While it is open, the stream that enters the module is set to other states at the batch's samples.

    It is written in place: the tensor that a layer hands to its norm is the one to which it adds afterwards, so both
    the branch and the stream itself carry the new states on.

    Args:
        module: One of ``HookPoints.readers``.
        batch: What runs; its samples are where the stream is set.
        states: [samples, width].
    """

    def write(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        stream = _stream_in(arguments, keywords, len(batch.input_ids))
        stream[_samples_in(stream, batch)] = states.to(stream)

    handle = module.register_forward_pre_hook(write, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def reading_outputs(modules: Iterable[nn.Module], batch: TokenBatch) -> Iterator[dict[nn.Module, Tensor]]:
    """While it is open, each module's output at the batch's samples is put into the dictionary it yields."""
    outputs: dict[nn.Module, Tensor] = {}

    def read(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        stream = _stream_in(output if isinstance(output, tuple) else (output,), {}, len(batch.input_ids))
        outputs[module] = stream[_samples_in(stream, batch)].clone()

    handles = [module.register_forward_hook(read) for module in set(modules)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()

"""Hooks on the residual stream, open as long as their block is."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from rs_cae.stream.tokens import TokenBatch


class _AllRead(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass once all that was wanted of it is known."""


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
            raise _AllRead

    handles = [module.register_forward_pre_hook(read, with_kwargs=True) for module in modules]
    try:
        yield states
    except _AllRead:
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


@contextmanager
def results_of(module: nn.Module, stop: bool = False) -> Iterator[list[Any]]:
    """While it is open, whatever the module returns is appended to the list it yields.

    Args:
        module: Of the model that runs.
        stop: End the forward pass, and with it the block, once the module has returned.
    """
    results: list[Any] = []

    def read(module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        results.append(result)
        if stop:
            raise _AllRead

    handle = module.register_forward_hook(read)
    try:
        yield results
    except _AllRead:
        pass
    finally:
        handle.remove()


@contextmanager
def handing_on(layers: Iterable[nn.Module], result: Any) -> Iterator[None]:
    """While it is open, these layers do not run: each returns the result instead.

    They stay in their places, so that the model finds on them what it reads from a layer, such as its kind of
    attention. Afterwards they run as before, by a ``forward`` of their own if someone had given them one.

    Args:
        layers: Of the model that runs.
        result: What they return, in the form in which they return it; see ``form_of`` and ``in_form``.
    """

    def hand_on(*arguments: Any, **keywords: Any) -> Any:
        return result

    replaced: list[tuple[nn.Module, Any]] = []
    try:
        for layer in layers:
            replaced.append((layer, vars(layer).get("forward")))
            layer.forward = hand_on
        yield
    finally:
        for layer, own in reversed(replaced):
            if own is None:
                del layer.forward
            else:
                layer.forward = own


def stream_of(result: Any) -> Tensor:
    """The residual stream in what a layer returned."""
    return result[0] if isinstance(result, tuple) else result


def form_of(result: Any) -> int:
    """How many things a layer returned as a tuple, the stream first; 0 where it returned the stream alone."""
    return len(result) if isinstance(result, tuple) else 0


def in_form(stream: Tensor, form: int) -> Any:
    """A residual stream as a layer of this form returns it."""
    return (stream, *[None] * (form - 1)) if form else stream

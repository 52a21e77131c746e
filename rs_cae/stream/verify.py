"""Are a model's hook points what they claim to be? Checked against the model itself."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rs_cae.stream.checks import Check
from rs_cae.stream.hookpoints import HookPoints
from rs_cae.stream.hooks import reading, reading_outputs, writing
from rs_cae.stream.language_model import input_device
from rs_cae.stream.tokens import TokenBatch, Tokenization
from rs_cae.stream.trajectories import refuse_not_finite

TEXTS = (
    "The residual stream of a transformer is read before every attention and every MLP, at the last token of a text.",
    "A shorter text, so that one of the two is padded.",
)
"""What is run: two texts of different lengths."""

BATCH_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8 * torch.finfo(torch.bfloat16).eps}
"""Of a state's norm. A padded batch sums its products in another order, so its last digits differ, layer upon layer."""


OPPOSITE_AND_LARGE = -1e6
"""By which a state is multiplied to see whether the stream carries it on: what a sublayer adds is small beside it."""


class ForwardPass:
    """One forward pass of the whole model, with everything that the checks compare, in float64.

    Attributes:
        states: [samples, sublayers + 1, width]; the last is what leaves the last layer.
        added: [samples, sublayers, width], what each sublayer adds to the stream; None where nobody named its modules.
        hidden: [samples, layers, width], the model's own hidden states.
        logits: [samples, vocabulary].

    Raises:
        ValueError: If a module that is to read the stream is not run, or gets something else.
        FloatingPointError: If a state is not finite.
    """

    def __init__(self, model: PreTrainedModel, batch: TokenBatch, points: HookPoints) -> None:
        last, adders = points.layers[-1], [module for modules in points.adders for module in modules]
        with reading(points.readers, batch, stop=False) as states, reading_outputs([last, *adders], batch) as outputs:
            result: Any = model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                use_cache=False,
                output_hidden_states=True,
            )
        device, read = batch.input_ids.device, (batch.rows, batch.positions)
        hidden = [state.to(device)[read] for state in result.hidden_states[: points.layout.layers]]
        _refuse_other_shapes(states, points, width=hidden[0].shape[-1])
        self.states = torch.stack([state.to(device) for state in [*states, outputs[last]]], dim=1).double()
        refuse_not_finite(self.states[:, :-1], batch, points.layout, "verification text")
        self.hidden = torch.stack(hidden, dim=1).double()
        self.logits = result.logits.to(device)[read].double()
        self.added: Tensor | None = None
        if all(points.adders):
            sums = [sum(outputs[module].to(device).double() for module in modules) for modules in points.adders]
            self.added = points.multiplier * torch.stack(cast(list[Tensor], sums), dim=1)


@torch.inference_mode()
def verify_hook_points(
    model: PreTrainedModel, tokenization: Tokenization, points: HookPoints, every_layer: bool = True
) -> list[Check]:
    """Check a model's hook points on two texts, each claim to rounding error.

    (a) Pre-attention states equal the model's own ``hidden_states``. (b) Each state equals the one before plus what the
    sublayer between them adds; where nobody named the modules that add, it differs from the one before. (c) Writing a
    state's own value back leaves the logits as they are; another value, large and of the other sign, changes them, and
    the stream carries it to the next state. (d) A right-padded batch equals its texts alone.

    Args:
        model: In evaluation mode.
        tokenization: Its tokenizer; the last token of each text is read.
        points: What is claimed.
        every_layer: Write at every layer; otherwise at the first, the middle and the last.

    Returns:
        The checks, in this order.

    Raises:
        ValueError: If a module that is to read the stream is not run, or gets something else.
        FloatingPointError: If a state is not finite.
    """
    batch = _batch(model, tokenization, TEXTS)
    run = ForwardPass(model, batch, points)
    alone = [ForwardPass(model, _batch(model, tokenization, [TEXTS[int(text)]]), points).states for text in batch.texts]
    eps, labels, sites = torch.finfo(model.dtype).eps, points.layout.labels, len(points.layout.sites)
    layers = range(points.layout.layers)
    chosen = layers if every_layer else sorted({0, len(layers) // 2, len(layers) - 1})
    written = [sites * layer + site for layer in chosen for site in range(sites)]
    hidden_errors = _relative(run.states[:, :-1:sites], run.hidden)
    batch_errors = _relative(run.states, torch.cat(alone))
    return [
        _check("(a) equal to the model's hidden states", hidden_errors, eps, labels[::sites]),
        _check(*_sums(run, eps), labels),
        *_writing_checks(model, batch, points, run, written),
        _check(
            "(d) a padded batch equals its texts alone",
            batch_errors,
            BATCH_TOLERANCE.get(model.dtype, 1e-5),
            [*labels, "the last layer's output"],
        ),
    ]


def refuse_failed(checks: Iterable[Check]) -> None:
    """Raise a ValueError if a check did not pass, which says how far the first such is from its claim."""
    failed = next((check for check in checks if not check.passed), None)
    if failed is not None:
        size = f"{failed.error:.1e} of the norm, where {failed.tolerance:.1e} is allowed"
        raise ValueError(f"its hook points do not hold: {failed.claim}: off by {size}, at {failed.where}")


def _batch(model: PreTrainedModel, tokenization: Tokenization, texts: Sequence[str]) -> TokenBatch:
    tokenized = Tokenization(tokenization.tokenizer, tokenization.context)(texts)
    (batch,) = tokenized.request(range(len(tokenized)), tokens_per_batch=10**9).batches
    return batch.to(input_device(model))


def _refuse_other_shapes(states: Sequence[Tensor], points: HookPoints, width: int) -> None:
    if len(states) != len(points.readers):
        raise ValueError(f"of the {len(points.readers)} modules that are to read the stream, {len(states)} are run")
    for label, state in zip(points.layout.labels, states, strict=True):
        if state.shape[-1] != width:
            raise ValueError(f"the module of {label} gets width {state.shape[-1]}, and the stream's is {width}")


def _writing_checks(
    model: PreTrainedModel, batch: TokenBatch, points: HookPoints, run: ForwardPass, written: Sequence[int]
) -> list[Check]:
    """Write at each of these sublayers: the state itself, then a large one of the other sign."""
    eps, labels = torch.finfo(model.dtype).eps, [points.layout.labels[sublayer] for sublayer in written]
    kept, carried = [], []
    for sublayer in written:
        own = run.states[:, sublayer]
        with writing(points.readers[sublayer], batch, own):
            kept.append(_relative(ForwardPass(model, batch, points).logits, run.logits))
        with writing(points.readers[sublayer], batch, OPPOSITE_AND_LARGE * own):
            other = ForwardPass(model, batch, points)
        ignored = _relative(other.logits, run.logits) <= 4 * eps
        errors = _relative(other.states[:, sublayer + 1], OPPOSITE_AND_LARGE * own)
        carried.append(errors.masked_fill(ignored, torch.inf))
    return [
        _check("(c) its own value written back: the same logits", torch.stack(kept, dim=1), eps, labels),
        _check("(c) a large value written: carried on, other logits", torch.stack(carried, dim=1), 0.1, labels),
    ]


def _relative(actual: Tensor, expected: Tensor) -> Tensor:
    """Norm of the difference over the norm of what is expected, along the last axis."""
    return (actual - expected).norm(dim=-1) / expected.norm(dim=-1)


def _sums(run: ForwardPass, eps: float) -> tuple[str, Tensor, float]:
    """Claim, errors [samples, sublayers] and tolerance of what is said of successive states."""
    before, after = run.states[:, :-1], run.states[:, 1:]
    if run.added is None:
        stuck = (after == before).all(dim=-1)
        return "(b) something is added to the state before", torch.where(stuck, torch.inf, 0.0), 0.0
    larger = torch.maximum(before.norm(dim=-1), after.norm(dim=-1))
    return "(b) the state before plus what is added", (after - before - run.added).norm(dim=-1) / larger, 4 * eps


def _check(claim: str, errors: Tensor, tolerance: float, labels: Sequence[str]) -> Check:
    """The largest of errors [samples, places], with its place's label."""
    worst = errors.nan_to_num(nan=torch.inf, posinf=torch.inf).amax(dim=0)
    place = int(worst.argmax())
    return Check(claim, float(worst[place]), tolerance, labels[place])

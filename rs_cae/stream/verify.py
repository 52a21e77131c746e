"""Are a model's hook points what they claim to be? Checked against the model itself."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rs_cae.stream.checks import Check
from rs_cae.stream.hookpoints import HookPoints, input_device
from rs_cae.stream.hooks import reading, reading_outputs, writing
from rs_cae.stream.tokens import TokenBatch, Tokenization
from rs_cae.stream.trajectories import refuse_not_finite

TEXTS = (
    "The residual stream of a transformer is read before every attention and every MLP, at the last token of a text.",
    "A shorter text, so that one of the two is padded.",
)
"""What is run: two texts of different lengths."""

BATCH_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8 * torch.finfo(torch.bfloat16).eps}
"""Of a state's norm. A padded batch sums its products in another order, so its last digits differ, layer upon layer."""


class Run:
    """One forward pass of the whole model, with everything that the checks compare, in float64.

    Attributes:
        states: [samples, sublayers, width].
        added: [samples, sublayers, width], what each sublayer adds to the stream; None where nobody named its modules.
        hidden: [samples, layers, width], the model's own hidden states.
        logits: [samples, vocabulary].
    """

    def __init__(self, model: PreTrainedModel, batch: TokenBatch, points: HookPoints) -> None:
        adders = [module for modules in points.adders for module in modules]
        with reading(points.readers, batch, stop=False) as states, reading_outputs(adders, batch) as outputs:
            result: Any = model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                use_cache=False,
                output_hidden_states=True,
            )
        device, read = batch.input_ids.device, (batch.rows, batch.positions)
        hidden = [state.to(device)[read] for state in result.hidden_states[: points.layout.layers]]
        self.states = torch.stack([state.to(device) for state in states], dim=1).double()
        refuse_not_finite(self.states, batch, points.layout, "verification text")
        self.hidden = torch.stack(hidden, dim=1).double()
        self.logits = result.logits.to(device)[read].double()
        self.added: Tensor | None = None
        if all(points.adders):
            each = torch.stack([output.to(device) for output in outputs], dim=1).double()
            self.added = points.multiplier * each.unflatten(1, (len(points.readers), -1)).sum(dim=2)


@torch.inference_mode()
def verify_hook_points(
    model: PreTrainedModel, tokenization: Tokenization, points: HookPoints, every_layer: bool = True
) -> list[Check]:
    """Check a model's hook points on two texts, each claim to rounding error.

    (a) Pre-attention states equal the model's own ``hidden_states``. (b) Each state equals the one before plus what the
    sublayer between them adds. (c) Writing a state's own value back leaves the logits as they are; its negative changes
    them, and the stream carries it to the next state. (d) A right-padded batch equals its texts alone.

    Args:
        model: In evaluation mode.
        tokenization: Its tokenizer; the last token of each text is read.
        points: What is claimed.
        every_layer: Write at every layer; otherwise at the first, the middle and the last.

    Returns:
        The checks, in this order.
    """
    batch = _batch(model, tokenization, TEXTS)
    run = Run(model, batch, points)
    alone = [Run(model, _batch(model, tokenization, [TEXTS[int(text)]]), points).states for text in batch.texts]
    eps, labels, sites = torch.finfo(model.dtype).eps, points.layout.labels, len(points.layout.sites)
    layers = range(points.layout.layers)
    chosen = layers if every_layer else sorted({0, len(layers) // 2, len(layers) - 1})
    written = [sites * layer + site for layer in chosen for site in range(sites)]
    return [
        _check(
            "(a) equal to the model's hidden states",
            _relative(run.states[:, ::sites], run.hidden),
            eps,
            labels[::sites],
        ),
        _check("(b) the state before plus what is added", _sum_errors(run), 4 * eps, labels[1:]),
        *_writing_checks(model, batch, points, run, written),
        _check(
            "(d) a padded batch equals its texts alone",
            _relative(run.states, torch.cat(alone)),
            BATCH_TOLERANCE[model.dtype],
            labels,
        ),
    ]


def _batch(model: PreTrainedModel, tokenization: Tokenization, texts: Sequence[str]) -> TokenBatch:
    tokenized = Tokenization(tokenization.tokenizer, tokenization.context)(texts)
    (part,) = tokenized.batches(range(len(tokenized)), tokens_per_batch=10**9).parts
    return TokenBatch(*(field.to(input_device(model)) for field in part))


def _writing_checks(
    model: PreTrainedModel, batch: TokenBatch, points: HookPoints, run: Run, written: Sequence[int]
) -> list[Check]:
    """Write at each of these sublayers: the state itself, then its negative."""
    eps, labels = torch.finfo(model.dtype).eps, [points.layout.labels[sublayer] for sublayer in written]
    kept, carried = [], []
    for sublayer in written:
        own = run.states[:, sublayer]
        with writing(points.readers[sublayer], batch, own):
            kept.append(_relative(Run(model, batch, points).logits, run.logits))
        with writing(points.readers[sublayer], batch, -own):
            other = Run(model, batch, points)
        ignored = _relative(other.logits, run.logits) <= 4 * eps
        sums = _sum_errors(other)
        if sums is not None:
            onwards = torch.nn.functional.pad(sums[:, sublayer:], (1, 0))  # after the last sublayer there is no sum
            carried.append(onwards.amax(dim=1).masked_fill(ignored, torch.inf))
    return [
        _check("(c) its own value written back: the same logits", torch.stack(kept, dim=1), eps, labels),
        _check(
            "(c) its negative written: carried on, other logits",
            torch.stack(carried, dim=1) if carried else None,
            4 * eps,
            labels,
        ),
    ]


def _relative(actual: Tensor, expected: Tensor) -> Tensor:
    """Norm of the difference over the norm of what is expected, along the last axis."""
    return (actual - expected).norm(dim=-1) / expected.norm(dim=-1)


def _sum_errors(run: Run) -> Tensor | None:
    """[samples, sublayers - 1]: how far each state is from the one before plus what was added, over the larger norm."""
    if run.added is None:
        return None
    before, after = run.states[:, :-1], run.states[:, 1:]
    larger = torch.maximum(before.norm(dim=-1), after.norm(dim=-1))
    return (after - before - run.added[:, :-1]).norm(dim=-1) / larger


def _check(claim: str, errors: Tensor | None, tolerance: float, labels: Sequence[str]) -> Check:
    """The largest of errors [samples, places], with its place's label."""
    if errors is None:
        return Check(claim, None, tolerance, "not checked: no module that adds was named")
    worst = errors.nan_to_num(nan=torch.inf).amax(dim=0)
    place = int(worst.argmax())
    return Check(claim, float(worst[place]), tolerance, labels[place])

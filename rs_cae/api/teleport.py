"""One prompt's stream set to other states, for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rs_cae.api.models import readable_points, tokenize
from rs_cae.stream.hookpoints import HookNames
from rs_cae.stream.language_model import context_of
from rs_cae.stream.tokens import Tokenization
from rs_cae.sublayers import SublayerLayout
from rs_cae.teleportation import Teleports


@dataclass(frozen=True, eq=False)
class TeleportedPrompt:
    """Where a model takes the stream of a prompt's last token from the states it was set to; units: the activations'.

    Attributes:
        states: [points, steps + 1, width]; the first of each is the state as the model holds it once it is set.
        control: [steps + 1, width], the stream left alone, at the same sublayers.
        labels: Of these sublayers, steps + 1 of them, the injection's first.
        logits: [points, vocabulary], of the next token; None unless they were asked for.
        control_logits: [vocabulary], of the stream left alone.
        way: ``prefix kept``, or ``whole prompt`` where a model's cache cannot be used.
    """

    states: Tensor
    control: Tensor
    labels: list[str]
    logits: Tensor | None
    control_logits: Tensor
    way: str

    def __repr__(self) -> str:
        points, states, width = self.states.shape
        return f"TeleportedPrompt(points={points}, steps={states - 1}, width={width}, at {self.labels[0]}, {self.way})"


def teleport(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    sublayer: int | str,
    target_states: Tensor,
    *,
    steps: int = 12,
    logits: bool = False,
    hook_points: HookNames = None,
    verify: bool = True,
) -> TeleportedPrompt:
    """Set the stream of a prompt's last token to other states at one sublayer, and let the model run on.

    For many injections, ``rs_cae.teleportation.Teleports`` runs a prompt once and knows nothing of texts.

    Args:
        model: In evaluation mode, of a known family.
        tokenizer: Its tokenizer.
        prompt: A text that fits into the model's context.
        sublayer: Before which the stream is set: its number, or its label, such as ``L07.attn``.
        target_states: [points, width], or [width] for a single one.
        steps: Sublayers that are read afterwards, or as many as there are.
        logits: Run the rest of the model too.
        hook_points: For a family that is not known, the names of its modules.
        verify: Check first, on two short texts, that the stream is where it is said to be.

    Raises:
        ValueError: If the prompt, the states, the model or an argument cannot be used.
        FloatingPointError: If a state that the model makes is not finite.

    Example:
        >>> from rs_cae import load_model
        >>> model, tokenizer = load_model("demo", device="cpu")
        >>> teleport(model, tokenizer, "A tuple is", "L03.attn", torch.zeros(5, 128), steps=4)
        TeleportedPrompt(points=5, steps=4, width=128, at L03.attn, prefix kept)
    """
    points = readable_points(model, tokenizer, hook_points, verify)
    number = _number_of(sublayer, points.layout)
    targets = _targets(target_states, model.config.get_text_config().hidden_size)
    if steps < 0:
        raise ValueError(f"steps {steps}: must be at least 0")
    teleports = Teleports(model, points)
    teleporter = teleports.of(_prompt_ids(model, tokenizer, prompt))
    run = teleporter.teleport(number, targets, steps, logits)
    reads = slice(number, number + run.states.shape[1])
    return TeleportedPrompt(
        run.states.clone(),  # clones can be changed and differentiated: they were made outside inference mode
        teleporter.control[reads].clone(),
        points.layout.labels[reads],
        None if run.logits is None else run.logits.clone(),
        teleporter.logits.clone(),
        teleports.way,
    )


def _number_of(sublayer: int | str, layout: SublayerLayout) -> int:
    """The number of a sublayer.

    Raises:
        ValueError: If there is no such sublayer.
    """
    labels: Sequence[str] = layout.labels
    if isinstance(sublayer, str):
        if sublayer not in labels:
            raise ValueError(f"sublayer {sublayer}: expected one of {labels[0]} to {labels[-1]}")
        return labels.index(sublayer)
    if not 0 <= sublayer < len(labels):
        raise ValueError(f"sublayer {sublayer}: must be from 0 to {len(labels) - 1}, or a label such as {labels[-1]}")
    return int(sublayer)


def _targets(target_states: Tensor, width: int) -> Tensor:
    """The states as [points, width].

    Raises:
        ValueError: If they have another shape, there is none, or one is not finite.
    """
    targets = torch.atleast_2d(torch.as_tensor(target_states))
    if targets.ndim != 2 or targets.shape[1] != width or not len(targets):
        raise ValueError(f"target_states of shape {tuple(targets.shape)}: expected [points, {width}]")
    if not targets.isfinite().all():
        raise ValueError("target_states: one of them is not finite")
    return targets


def _prompt_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str) -> Tensor:
    """The tokens of the prompt.

    Raises:
        ValueError: If it is no text, has no token, or more than the model's context.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"prompt {prompt!r}: expected a text")
    ids, context = tokenize(model, Tokenization(tokenizer), [prompt]).prompt(0), context_of(model.config)
    if context is not None and len(ids) > context:
        raise ValueError(f"prompt: has {len(ids)} tokens, and the model takes {context}")
    return ids

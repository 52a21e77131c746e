"""Teleports in one model: whether its prefixes can be kept is found out, not assumed."""

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rs_cae.stream.capture import refuse_unreadable
from rs_cae.stream.hookpoints import HookPoints
from rs_cae.stream.language_model import context_of
from rs_cae.stream.verify import BATCH_TOLERANCE
from rs_cae.teleportation.prefix import KeptPrefix
from rs_cae.teleportation.teleporter import Teleported, Teleporter
from rs_cae.teleportation.whole import WholePrompt

__all__ = ["KeptPrefix", "Teleported", "Teleporter", "Teleports", "WholePrompt"]

PROBE_TOKENS = 10


class Teleports:
    """Makes teleporters of prompts, of the kind that is right for a model.

    On a prompt of ten tokens both kinds are run, with two states at each site of the first, the middle and the last
    layer. Where they agree, prefixes are kept; where they do not, or the model knows no cache, whole prompts are run.

    Args:
        model: A Hugging Face causal language model in evaluation mode.
        points: Where its residual stream is.

    Attributes:
        reason: Why prefixes cannot be kept; empty if they can.

    Raises:
        ValueError: If the model is compiled or runs in float16; see ``capture``.
        FloatingPointError: If a state is not finite.
    """

    def __init__(self, model: PreTrainedModel, points: HookPoints) -> None:
        refuse_unreadable(model)
        self.model = model
        self.points = points
        self.reason = _why_no_prefix(model, points)

    @property
    def way(self) -> str:
        """``prefix kept`` or ``whole prompt``."""
        return "whole prompt" if self.reason else "prefix kept"

    def of(self, input_ids: Tensor) -> Teleporter:
        """For a prompt [tokens], whose last token is the one that is teleported.

        Raises:
            ValueError: If it has no tokens.
            FloatingPointError: If a state is not finite.
        """
        kind = WholePrompt if self.reason else KeptPrefix
        return kind(self.model, self.points, input_ids)


@torch.inference_mode()
def _why_no_prefix(model: PreTrainedModel, points: HookPoints) -> str:
    tokens = min(PROBE_TOKENS, context_of(model.config) or PROBE_TOKENS)
    known: int = model.config.get_text_config().vocab_size
    ids = torch.linspace(0.1 * known, 0.9 * known, tokens).long()
    whole = WholePrompt(model, points, ids)
    tolerance = BATCH_TOLERANCE.get(model.dtype, 1e-5)
    try:
        for what, kept, expected in _both(KeptPrefix(model, points, ids), whole):
            difference, size = (kept - expected).float().norm(dim=-1), expected.float().norm(dim=-1)
            if not (difference <= tolerance * size).all():
                return f"{what} differ by {float((difference / size).max()):.1e} from those of the whole prompt"
    except Exception as error:  # whatever a model's code makes of a cache
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _both(kept: Teleporter, whole: Teleporter) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What is compared: its name, with the prefix kept, and of the whole prompt."""
    sites, layers = len(kept.points.layout.sites), kept.points.layout.layers
    yield "states", kept.control, whole.control
    yield "logits", kept.read_out(whole.output[None]), whole.logits[None]
    for layer in sorted({0, layers // 2, layers - 1}):
        for sublayer in range(sites * layer, sites * (layer + 1)):
            own = whole.control[sublayer]
            targets = torch.stack([own.roll(1), -own])
            ours, theirs = (way.teleport(sublayer, targets, sites * layers, logits=True) for way in (kept, whole))
            yield f"states after a teleport at {kept.points.layout.labels[sublayer]}", ours.states, theirs.states
            if ours.logits is not None and theirs.logits is not None:
                yield "logits after it", ours.logits, theirs.logits

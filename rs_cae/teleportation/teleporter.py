"""One prompt, whose last token's residual stream is set to other states, and what the model makes of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rs_cae.stream.hookpoints import HookPoints
from rs_cae.stream.hooks import form_of, handing_on, in_form, reading, results_of, stream_of, writing
from rs_cae.stream.language_model import input_device
from rs_cae.stream.tokens import TokenBatch
from rs_cae.stream.trajectories import refuse_not_finite


class Teleported(NamedTuple):
    """Where the model took the states that it was given.

    Attributes:
        states: [points, steps + 1, width], before the sublayers from the injection on; the first is the state as the
            model holds it right after it was written.
        logits: [points, vocabulary], of the next token; None unless they were asked for.
    """

    states: Tensor
    logits: Tensor | None


class Teleporter(ABC):
    """Sets the last token's residual stream of one prompt to given states at any sublayer, and reads what follows.

    Every run is the model's own forward pass, which makes masks and positions itself. All tensors are on the device on
    which the model takes its tokens, in the precision in which it runs.

    Args:
        model: A Hugging Face causal language model in evaluation mode.
        points: Where its residual stream is.
        input_ids: [tokens], the prompt.

    Attributes:
        control: [sublayers, width], the last token's stream if nothing is written to it.
        output: [width], its state after the last layer.
        logits: [vocabulary], of the next token.

    Raises:
        ValueError: If the prompt has no tokens.
        FloatingPointError: If a state is not finite.
    """

    tokens_at_once: int
    """Points that run together, times the prompt's tokens, are at most this many."""

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, points: HookPoints, input_ids: Tensor) -> None:
        if input_ids.ndim != 1 or not len(input_ids):
            raise ValueError(f"a prompt is one row of tokens, at least one, not of shape {tuple(input_ids.shape)}")
        self.model = model
        self.points = points
        self.input_ids = input_ids.to(input_device(model))
        batch = self._batch(1)
        with reading(points.readers, batch, stop=False) as states, results_of(points.layers[-1]) as results:
            logits = self._logits(batch)
        device = self.input_ids.device
        self.control = torch.cat([state.to(device) for state in states])
        self.output = stream_of(results[-1])[0, -1].to(device, copy=True)
        self.logits = logits[0]
        self._form = form_of(results[-1])
        self._refuse_not_finite()

    @torch.inference_mode()
    def teleport(self, sublayer: int, target_states: Tensor, steps: int, logits: bool = False) -> Teleported:
        """Set the stream before one sublayer to each of these states, and let the model run on.

        Args:
            sublayer: Number of the injection's.
            target_states: [points, width].
            steps: Sublayers that are read after it, if there are as many; what lies above them is not run.
            logits: Run the rest of the model, too.

        Raises:
            ValueError: If there is no such sublayer, nothing to set, or a negative number of steps.
        """
        if not 0 <= sublayer < len(self.points.readers) or steps < 0 or not len(target_states):
            asked = f"{len(target_states)} states, {steps} steps"
            raise ValueError(f"sublayer {sublayer} of {len(self.points.readers)}, {asked}: there is nothing to run")
        readers = self.points.readers[sublayer : sublayer + steps + 1]
        parts = [self._part(sublayer, part, readers, logits) for part in self._parts(target_states)]
        ends = [part.logits for part in parts if part.logits is not None]
        return Teleported(torch.cat([part.states for part in parts]), torch.cat(ends) if logits else None)

    @torch.inference_mode()
    def read_out(self, states: Tensor) -> Tensor:
        """What the final norm and the head make of states after the last layer.

        Args:
            states: [points, width].

        Returns:
            Logits [points, vocabulary] of the next token.
        """
        layers, logits = self.points.layers, []
        for part in self._parts(states):
            batch = self._batch(len(part))
            everywhere = part.to(self.control)[:, None].expand(-1, batch.input_ids.shape[1], -1)
            with handing_on([*self._left_out(len(layers) - 1), layers[-1]], in_form(everywhere, self._form)):
                logits.append(self._logits(batch))
        return torch.cat(logits)

    @abstractmethod
    def _batch(self, rows: int) -> TokenBatch:
        """What runs so many points together; its samples are the prompt's last token in each row."""

    @abstractmethod
    def _left_out(self, layer: int) -> Sequence[nn.Module]:
        """The layers below this one that are not run."""

    def _cache(self) -> dict[str, Any]:
        """How the model is told of keys and values that are there already."""
        return {"use_cache": False}

    def _parts(self, states: Tensor) -> Sequence[Tensor]:
        return states.split(max(1, self.tokens_at_once // len(self.input_ids)))

    def _part(self, sublayer: int, targets: Tensor, readers: Sequence[nn.Module], logits: bool) -> Teleported:
        """As many states as run together."""
        batch, sites = self._batch(len(targets)), len(self.points.layout.sites)
        layer, device = sublayer // sites, self.input_ids.device
        before = self.control[layer * sites].repeat(len(targets), 1, 1)  # no view: it is written to
        ends: Tensor | None = None
        with (
            handing_on(self._left_out(layer), in_form(before, self._form)),
            writing(self.points.readers[sublayer], batch, targets),
            reading(readers, batch, stop=not logits) as states,
        ):
            if logits:
                ends = self._logits(batch)
            else:
                self.model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **self._cache())
        return Teleported(torch.stack([state.to(device) for state in states], dim=1), ends)

    def _logits(self, batch: TokenBatch) -> Tensor:
        """Logits [rows, vocabulary] of a run of the whole model."""
        kept = {"logits_to_keep": 1} if "logits_to_keep" in signature(self.model.forward).parameters else {}
        result = self.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **self._cache(), **kept)
        return result.logits[:, -1].to(self.input_ids.device)

    def _refuse_not_finite(self) -> None:
        here = torch.zeros(1, dtype=torch.long)
        prompt = TokenBatch(
            self.input_ids[None], self.input_ids[None], here, here + len(self.input_ids) - 1, here, here
        )
        refuse_not_finite(self.control[None], prompt, self.points.layout, "prompt")
        if not (self.output.isfinite().all() and self.logits.isfinite().all()):
            raise FloatingPointError("the prompt's state after the last layer, or a logit, is not finite")

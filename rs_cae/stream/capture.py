"""Token batches to trajectories: the residual stream before every sublayer, from the unmodified model."""

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rs_cae.stream.hookpoints import HookPoints, find_hook_points
from rs_cae.stream.hooks import reading
from rs_cae.stream.language_model import input_device
from rs_cae.stream.tokens import CaptureRequest, TokenBatch
from rs_cae.stream.trajectories import TrajectoryBatch, refuse_not_finite

TOKENS_PER_BATCH = 4096
"""Tokens that run together unless another budget is given, padding among them."""


@torch.inference_mode()
def capture(model: PreTrainedModel, batch: TokenBatch, points: HookPoints | None = None) -> Tensor:
    """Trajectories of a batch: the residual stream before each attention and each MLP, at the batch's samples.

    At every pre-attention sublayer it equals ``output_hidden_states`` to the bit. Neither the last MLP nor the language
    model's head is run. Where layers lie on several devices, each state is gathered from its own.

    Args:
        model: A Hugging Face causal language model, on the batch's device.
        batch: What to run.
        points: Where its residual stream is; found by its family when left out.

    Returns:
        [samples, sublayers, width], in the model's precision and on the batch's device.

    Raises:
        ValueError: If the model's family is not known; if it is compiled, as hooks added later would be dropped
            silently; or if it runs in float16, in which residual streams overflow.
        FloatingPointError: If a state is not finite.
    """
    refuse_unreadable(model)
    points = points or find_hook_points(model)
    with reading(points.readers, batch) as states:
        model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    trajectories = torch.stack([state.to(batch.input_ids.device) for state in states], dim=1)
    refuse_not_finite(trajectories, batch, points.layout)
    return trajectories


def refuse_unreadable(model: PreTrainedModel) -> None:
    """Raise a ValueError if hooks would be ignored, or streams overflow; see ``capture``."""
    if hasattr(model, "_orig_mod"):
        raise ValueError("the model is compiled and would ignore hooks: capture from the model before torch.compile")
    if model.dtype == torch.float16:
        raise ValueError("the model runs in float16, in which residual streams overflow: use bfloat16 or float32")


class Batchwise:
    """Captures by running each batch through all layers, with the whole model in memory.

    Args:
        model: A Hugging Face causal language model.
        points: Where its residual stream is.
    """

    def __init__(self, model: PreTrainedModel, points: HookPoints) -> None:
        self.model = model
        self.points = points
        self.dtype = model.dtype
        self.shape = len(points.layout), model.config.get_text_config().hidden_size

    def trajectories(self, requests: Sequence[CaptureRequest]) -> Iterator[TrajectoryBatch]:
        """The trajectories of each request in turn; see ``Capturer``."""
        for request in requests:
            yield TrajectoryBatch.join(self._run(batch) for batch in request.batches).take(request.order)

    def seconds(self, requests: Sequence[CaptureRequest]) -> float:
        """About how long these requests would take, from a small, a middling and a large batch of them."""
        batches = [batch for request in requests for batch in request.batches]
        batches.sort(key=_size)
        trial = [batches[len(batches) * sixth // 6] for sixth in (1, 3, 5)]
        self._run(trial[0])  # pays for what is set up once
        began = time.perf_counter()
        for batch in trial:
            self._run(batch).states.sum().item()
        return (time.perf_counter() - began) * sum(map(_size, batches)) / sum(map(_size, trial))

    def _run(self, batch: TokenBatch) -> TrajectoryBatch:
        there = batch.to(input_device(self.model))
        return TrajectoryBatch.of(there, capture(self.model, there, self.points))


def _size(batch: TokenBatch) -> int:
    """Tokens, padding among them."""
    return batch.input_ids.numel()

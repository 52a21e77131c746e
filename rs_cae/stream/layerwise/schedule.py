"""Capture from models larger than memory: all batches through one layer, then all through the next."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PretrainedConfig

from rs_cae.errors import InputError
from rs_cae.stream.hookpoints import HookNames
from rs_cae.stream.hooks import form_of, handing_on, in_form, reading, results_of, stream_of
from rs_cae.stream.layerwise.scratch import Room
from rs_cae.stream.layerwise.weights import LayerWeights
from rs_cae.stream.tokens import CaptureRequest, TokenBatch
from rs_cae.stream.trajectories import TrajectoryBatch, refuse_not_finite


class Layerwise:
    """Captures layer by layer, with one layer's weights in memory at a time and each weight read from its file once.

    The states are those of ``Batchwise`` on the same batches. Nothing of the model's arithmetic is repeated here: each
    layer runs within the model's own forward pass, in which the layers before it hand on what they returned earlier
    and which ends with it. Embeddings, masks and position embeddings are so computed anew for every layer; against a
    layer that is little, and nothing but the stream needs to be kept.

    Args:
        folder: Holds the weights as safetensors.
        config: The model's configuration.
        dtype: Precision in which the model runs, ``float32`` or ``bfloat16``.
        device: Where it runs, and where trajectories are handed out.
        names: Where its residual stream is, if its family is not known; see ``Family.by_hand``.
        memory_budget_bytes: The most that all batches' streams and all trajectories may take in memory. What goes
            beyond it lies in a scratch file in the folder for temporary files (``TMPDIR``), gone afterwards.

    Raises:
        ValueError: If the model's family is not known and no names were given, the folder has no safetensors, the
            weights are quantized, or the precision is none to run in.
    """

    def __init__(
        self,
        folder: Path,
        config: PretrainedConfig,
        dtype: torch.dtype,
        device: torch.device,
        names: HookNames = None,
        memory_budget_bytes: float = 4e9,
    ) -> None:
        self.weights = LayerWeights(folder, config, dtype, device, names)
        self.points = self.weights.points
        self.dtype = dtype
        self.device = device
        self.memory_budget_bytes = memory_budget_bytes
        width: int = config.get_text_config().hidden_size
        self.shape = len(self.points.layout), width
        self._form = 0  # in which a layer returns the stream; known once the first has run

    @property
    def bytes_read(self) -> int:
        """Bytes of all tensors read from the files so far."""
        return self.weights.bytes_read

    def trajectories(self, requests: Sequence[CaptureRequest]) -> Iterator[TrajectoryBatch]:
        """The trajectories of each request in turn; see ``Capturer``. All are captured before the first is handed out.

        Raises:
            FloatingPointError: If a state is not finite.
            InputError: If a weight is missing in the files or has another shape, or a scratch file has no room.
        """
        batches = [batch for request in requests for batch in request.batches]
        try:
            collected = self._collect(batches)
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError("--data.schedule", "layerwise", str(error)) from error
        states = iter(collected.split([len(batch.samples) for batch in batches]))
        for request in requests:
            joined = TrajectoryBatch.join(TrajectoryBatch.of(batch, next(states)) for batch in request.batches)
            yield joined.take(request.order).to(self.device)

    def seconds(self, requests: Sequence[CaptureRequest]) -> None:
        """Not known without reading all weights."""

    @torch.inference_mode()
    def _collect(self, batches: Sequence[TokenBatch]) -> Tensor:
        """The trajectories [samples, sublayers, width] of all batches, one batch after the other."""
        tokens, samples = [batch.input_ids.numel() for batch in batches], [len(batch.rows) for batch in batches]
        room = Room(self.memory_budget_bytes)
        # the streams come first: they are rewritten by every layer, a trajectory's states are written once
        streams = room.empty((sum(tokens), self.shape[1]), self.dtype).split(tokens)
        collected = room.empty((sum(samples), *self.shape), self.dtype)
        with self.weights.around_the_layers():
            for number in range(len(self.points.layers)):
                with self.weights.layer(number):
                    for batch, stream, states in zip(batches, streams, collected.split(samples), strict=True):
                        self._run(number, batch, stream.view(*batch.input_ids.shape, -1), states)
        return collected

    def _run(self, number: int, batch: TokenBatch, stream: Tensor, states: Tensor) -> None:
        """Run a batch through a layer.

        Args:
            number: The layer's.
            batch: The batch.
            stream: [texts, tokens, width], the stream that the layer before returned; becomes what this one returns.
            states: [samples, sublayers, width]; those of this layer are set.
        """
        sites, last = len(self.points.layout.sites), number + 1 == len(self.points.layers)
        places = range(number * sites, (number + 1) * sites)
        there = batch.to(self.device)
        before = stream.to(self.device)
        with (
            handing_on(self.points.layers[:number], in_form(before, self._form)),
            results_of(self.points.layers[number], stop=True) as returned,
            reading([self.points.readers[place] for place in places], there, stop=last) as read,
        ):
            self.weights.model.base_model(
                input_ids=there.input_ids, attention_mask=there.attention_mask, use_cache=False
            )
        for place, state in zip(places, read, strict=True):
            states[:, place] = state
        if not all(state.isfinite().all() for state in read):
            refuse_not_finite(states[:, : places.stop], batch, self.points.layout)
        for result in returned:  # none of the last layer, which is left at its last reader
            self._form = form_of(result)
            stream.copy_(stream_of(result))

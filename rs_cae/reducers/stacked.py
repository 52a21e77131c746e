"""Autoencoders side by side: as many as there are maps, computed as one."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["gelu", "relu", "silu", "tanh", "identity"]

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "identity": lambda values: values,
}
_GAIN = {"tanh": 1.0, "identity": 1.0}
"""Gains of initial weights that keep a signal's variance; the square root of two for the others."""


def stacked_linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Linear maps, each of its own rows.

    Args:
        rows: [maps, rows, inputs].
        weight: [maps, inputs, outputs], the layout in which its gradient comes.
        bias: [maps, 1, outputs].

    Returns:
        [maps, rows, outputs].
    """
    if len(weight) == 1:
        return torch.addmm(bias[0], rows[0], weight[0]).unsqueeze(0)
    return torch.baddbmm(bias, rows, weight)


class StackedLayers(nn.Module):
    """Linear layers with an activation between them, linear at the end; every parameter's first axis is the maps'.

    Args:
        maps: How many stand side by side, independent of each other.
        widths: Units before the first layer, after it, ..., after the last.
        activation: Between the layers.
        layer_norm: Whether units are normalized before each activation.
        generator: Of the initial weights.
        tied: Layers whose weights, transposed and from the last to the first, take the place of its own.
    """

    def __init__(
        self,
        maps: int,
        widths: list[int],
        activation: Activation = "gelu",
        layer_norm: bool = False,
        generator: torch.Generator | None = None,
        tied: bool = False,
    ) -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise ValueError(f"activation {activation!r} is none of {', '.join(get_args(Activation))}")
        self.activation, gains = _FUNCTIONS[activation], [_GAIN.get(activation, 2**0.5)] * (len(widths) - 2) + [1.0]
        shapes = list(zip(pairwise(widths), gains, strict=True))
        weights = [] if tied else [_orthogonal(maps, shape, gain, generator) for shape, gain in shapes]
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(torch.zeros(maps, 1, size) for size in widths[1:])
        normalized = widths[1:-1] if layer_norm else []
        self.norm_gains = nn.ParameterList(torch.ones(maps, 1, size) for size in normalized)
        self.norm_shifts = nn.ParameterList(torch.zeros(maps, 1, size) for size in normalized)

    def forward(self, rows: Tensor, mirrored: "StackedLayers | None" = None) -> Tensor:
        """Rows [maps, rows, first width] to [maps, rows, last width].

        Args:
            rows: What each map sees.
            mirrored: The layers to which these are tied.
        """
        weights = list(self.weights) if mirrored is None else [weight.mT for weight in reversed(mirrored.weights)]
        for index, (weight, bias) in enumerate(zip(weights, self.biases, strict=True)):
            if index:
                rows = self.activation(self._normalized(rows, index - 1))
            rows = stacked_linear(rows, weight, bias)
        return rows

    def _normalized(self, rows: Tensor, index: int) -> Tensor:
        if not len(self.norm_gains):
            return rows
        return functional.layer_norm(rows, rows.shape[-1:]) * self.norm_gains[index] + self.norm_shifts[index]


class StackedAutoencoder(nn.Module):
    """Encoders and decoders, one of each a map.

    Args:
        maps: How many.
        widths: Of the encoder, from the stream's width to the bottleneck; the decoder's are the same in reverse.
        activation: Between the layers.
        layer_norm: Whether units are normalized before each activation.
        tied: Whether the decoder's weights are the encoder's, transposed; with a linear path, layers then have a gate.
        linear_path: Whether a linear map leads around the encoder and another around the decoder; see
            ``begin_as_principal_components``.
        generator: Of the initial weights.
    """

    def __init__(
        self,
        maps: int,
        widths: list[int],
        activation: Activation = "gelu",
        layer_norm: bool = False,
        tied: bool = False,
        linear_path: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.tied = tied
        self.encoder = StackedLayers(maps, widths, activation, layer_norm, generator)
        self.decoder = StackedLayers(maps, widths[::-1], activation, layer_norm, generator, tied)
        ends = [widths[0], widths[-1]]
        gated = linear_path and tied
        self.gates = nn.ParameterList(torch.ones(maps, 1, 1) for _ in range(2)) if gated else None
        self.around_encoder = StackedLayers(maps, ends, generator=generator) if linear_path else None
        self.around_decoder = StackedLayers(maps, ends[::-1], generator=generator) if linear_path else None

    def encode(self, rows: Tensor) -> Tensor:
        """Rows [maps, rows, width] to latents [maps, rows, bottleneck]."""
        latents: Tensor = self.encoder(rows)
        latents = latents if self.gates is None else latents * self.gates[0]
        return latents if self.around_encoder is None else latents + self.around_encoder(rows)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [maps, rows, bottleneck] to rows [maps, rows, width]."""
        rows: Tensor = self.decoder(latents, self.encoder if self.tied else None)
        rows = rows if self.gates is None else rows * self.gates[1]
        return rows if self.around_decoder is None else rows + self.around_decoder(latents)

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstructions of rows [maps, rows, width]."""
        return self.decode(self.encode(rows))

    @torch.no_grad()
    def begin_as_principal_components(self, mean: Tensor, directions: Tensor, size: Tensor) -> None:
        """Let the linear path be a PCA and the layers add nothing, so that training begins where PCA ends.

        Args:
            mean: [maps, width].
            directions: [maps, bottleneck, width], orthonormal.
            size: [maps], by which latents are divided.

        Raises:
            ValueError: If there is no linear path.
        """
        if self.around_encoder is None or self.around_decoder is None:
            raise ValueError("only a linear path can begin as principal components")
        size = size[:, None, None]
        self.around_encoder.weights[0].copy_(directions.mT / size)
        self.around_encoder.biases[0].copy_(-(mean[:, None] @ directions.mT) / size)
        self.around_decoder.weights[0].copy_(directions * size)
        self.around_decoder.biases[0].copy_(mean[:, None])
        # Tied layers are gated instead: weights of 0 on the way to the latents would be those of the decoder's first
        # layer too, which would then be linear in them, and a linear step away from a PCA is no gain.
        for parameter in self.gates or (
            *(layers.biases[-1] for layers in (self.encoder, self.decoder)),
            *(layers.weights[-1] for layers in (self.encoder, self.decoder)),
        ):
            parameter.zero_()


def _orthogonal(maps: int, shape: tuple[int, int], gain: float, generator: torch.Generator | None) -> Tensor:
    """Weights [maps, inputs, outputs] that keep a signal's variance: PyTorch's default shrinks it."""
    inputs, outputs = shape
    weight = torch.empty(maps, outputs, inputs)
    for each in weight:
        nn.init.orthogonal_(each, gain, generator)
    return weight.mT.contiguous()

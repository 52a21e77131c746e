"""The compressing autoencoder (CAE): one for all sublayers, or one for each."""

from typing import Literal, get_args

import torch
from torch import Tensor

from rs_cae.reducers.base import Reducer, Scope
from rs_cae.reducers.stacked import Activation, StackedAutoencoder
from rs_cae.reducers.standardizer import Standardization

Widths = Literal["geometric", "halving"]
Initialization = Literal["pca", "random"]


def geometric_widths(width: int, bottleneck: int, steps: int) -> list[int]:
    """Layer widths that fall by a constant factor from the stream's width to the bottleneck.

    Example:
        >>> geometric_widths(128, 2, 3)
        [128, 32, 8, 2]
    """
    return [round(width ** (1 - step / steps) * bottleneck ** (step / steps)) for step in range(steps + 1)]


def halving_widths(width: int, bottleneck: int, steps: int) -> list[int]:
    """Layer widths that halve at each step but the last, which goes to the bottleneck; never below it.

    Example:
        >>> halving_widths(128, 2, 4)
        [128, 64, 32, 16, 2]
    """
    return [max(bottleneck, width >> step) for step in range(steps)] + [bottleneck]


class CompressingAutoencoder(Reducer):
    """Linear layers with activations between, linear at the bottleneck and at the output.

    Source: arXiv 2502.12131, Figure 3A, for the 10 layers and the bottleneck of 2; all else is our choice. Its many
    arguments are what its configuration on the hub holds.

    Args:
        width: Units of the residual stream.
        sublayers: Places at which it is read.
        bottleneck: Latents of a state.
        scope: See ``Reducer``. Autoencoders of single sublayers are computed as one.
        n_layers: Linear layers in all, half of them down and half of them up: even, at least 2.
        widths: ``geometric`` or ``halving`` from the stream's width to the bottleneck, or the widths between the two.
        activation: Between the layers; with ``identity`` the autoencoder is linear.
        layer_norm: Whether units are normalized before each activation.
        tied: Whether the decoder's weights are the encoder's, transposed.
        init: ``pca`` adds a linear path around the encoder and one around the decoder, which can begin as a PCA;
            ``random`` has layers alone, as in the paper.
        standardize: See ``Standardizer``.
        seed: Of the initial weights; PyTorch's own if null.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        width: int,
        sublayers: int,
        bottleneck: int = 2,
        scope: Scope = "shared",
        n_layers: int = 10,
        widths: Widths | list[int] = "geometric",
        activation: Activation = "gelu",
        layer_norm: bool = False,
        tied: bool = False,
        init: Initialization = "pca",
        standardize: Standardization = "per_sublayer",
        seed: int | None = None,
    ) -> None:
        super().__init__(width, sublayers, bottleneck, scope, standardize)
        down = _widths(width, bottleneck, n_layers, widths)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        if init not in get_args(Initialization):
            raise ValueError(f"init {init!r} is none of {', '.join(get_args(Initialization))}")
        linear_path = init == "pca"
        self.network = StackedAutoencoder(self.maps, down, activation, layer_norm, tied, linear_path, generator)

    def compress(self, standardized: Tensor) -> Tensor:
        """Standardized trajectories [..., sublayers, width] to latents [..., sublayers, bottleneck]."""
        return self.map_rows(self.network.encode, standardized)

    def expand(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to standardized reconstructions [..., sublayers, width]."""
        return self.map_rows(self.network.decode, latents)


def _widths(width: int, bottleneck: int, n_layers: int, widths: Widths | list[int]) -> list[int]:
    """From the stream's width to the bottleneck, both among them."""
    if isinstance(widths, list):
        if any(size < 1 for size in widths):
            raise ValueError(f"widths {str(widths).replace(' ', '')} must be at least 1 each")
        return [width, *widths, bottleneck]
    if widths not in get_args(Widths):
        raise ValueError(f"widths {widths!r} is neither a list nor one of {', '.join(get_args(Widths))}")
    if n_layers < 2 or n_layers % 2:
        raise ValueError(f"n_layers {n_layers} must be even and at least 2: half of them down, half of them up")
    fall = {"geometric": geometric_widths, "halving": halving_widths}[widths]
    return fall(width, bottleneck, n_layers // 2)

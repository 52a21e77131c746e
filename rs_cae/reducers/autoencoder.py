"""The compressing autoencoder (CAE) shared by all sublayers."""

from itertools import pairwise

from torch import Tensor, nn

from rs_cae.reducers.base import Reducer
from rs_cae.reducers.standardizer import Standardization


def geometric_widths(width: int, bottleneck: int, steps: int) -> list[int]:
    """Layer widths that fall by a constant factor from the stream's width to the bottleneck.

    Example:
        >>> geometric_widths(128, 2, 3)
        [128, 32, 8, 2]
    """
    return [round(width ** (1 - step / steps) * bottleneck ** (step / steps)) for step in range(steps + 1)]


class CompressingAutoencoder(Reducer):
    """One autoencoder for the states of all sublayers, so that all of them lie in one latent space.

    Linear layers with GELU between them; linear at the bottleneck and at the output. Source: arXiv 2502.12131, Figure
    3A, for the 10 layers and the bottleneck of 2; widths, activation and initialization are our choices.

    Args:
        width: Units of the residual stream.
        sublayers: Places at which it is read.
        bottleneck: Latents of a state.
        n_layers: Linear layers in all, half of them down and half of them up: even, at least 2.
        standardize: See ``Standardizer``.

    Raises:
        ValueError: If ``n_layers`` is odd or below 2, or the bottleneck is out of range.
    """

    def __init__(
        self,
        width: int,
        sublayers: int,
        bottleneck: int = 2,
        n_layers: int = 10,
        standardize: Standardization = "per_sublayer",
    ) -> None:
        super().__init__(width, sublayers, bottleneck, "shared", standardize)
        if n_layers < 2 or n_layers % 2:
            raise ValueError(f"n_layers {n_layers} must be even and at least 2: half of them down, half of them up")
        widths = geometric_widths(width, bottleneck, n_layers // 2)
        self.encoder = _perceptron(widths)
        self.decoder = _perceptron(widths[::-1])

    def compress(self, standardized: Tensor) -> Tensor:
        """Standardized trajectories [..., sublayers, width] to latents [..., sublayers, bottleneck]."""
        latents: Tensor = self.encoder(standardized)
        return latents

    def expand(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to standardized reconstructions [..., sublayers, width]."""
        reconstructions: Tensor = self.decoder(latents)
        return reconstructions


def _perceptron(widths: list[int]) -> nn.Sequential:
    """Linear layers with GELU between, initialized to keep the signal's variance: PyTorch's default shrinks it."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(linear.weight, gain=2**0.5 if len(layers) < 2 * len(widths) - 4 else 1.0)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.GELU()]
    return nn.Sequential(*layers[:-1])

"""What every reducer offers, and all that callbacks and commands know of it."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from rs_cae.reducers.standardizer import Standardization, Standardizer


class Reducer(nn.Module, ABC):
    """Encodes trajectories into latents and decodes them back, in the units of the activations.

    A subclass works on standardized trajectories; the base class converts.

    Args:
        width: Units of the residual stream, D.
        sublayers: Places at which it is read, S.
        bottleneck: Latents of a state, at least 1 and fewer than the width.
        standardize: How states are scaled before the reducer sees them; see ``Standardizer``.

    Raises:
        ValueError: If the bottleneck is out of range.
    """

    def __init__(self, width: int, sublayers: int, bottleneck: int, standardize: Standardization) -> None:
        super().__init__()
        if not 1 <= bottleneck < width:
            raise ValueError(f"bottleneck {bottleneck} must be at least 1 and below the width {width}")
        self.width = width
        self.sublayers = sublayers
        self.bottleneck = bottleneck
        self.standardizer = Standardizer(width, sublayers, standardize)

    @abstractmethod
    def compress(self, standardized: Tensor) -> Tensor:
        """Standardized trajectories [..., sublayers, width] to latents [..., sublayers, bottleneck]."""

    @abstractmethod
    def expand(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to standardized reconstructions [..., sublayers, width]."""

    def encode(self, trajectories: Tensor) -> Tensor:
        """Trajectories [..., sublayers, width] in units of the activations to latents [..., sublayers, bottleneck]."""
        return self.compress(self.standardizer(trajectories))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to trajectories [..., sublayers, width] in units of the activations."""
        return self.standardizer.inverse(self.expand(latents))

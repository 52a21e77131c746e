"""Where a state lies in the model: sublayer s <-> (layer, site), and how successive sublayers are joined."""

from dataclasses import dataclass
from itertools import pairwise

ATTENTION_AND_MLP = ("attn", "mlp")
"""Sites of a layer that runs its attention, then its MLP: the stream before each of the two."""


@dataclass(frozen=True)
class SublayerLayout:
    """The places at which a model's residual stream is read, in the order in which it passes them.

    Attributes:
        layers: Number of layers, L.
        sites: The sites of one layer; two of them (S = 2L) unless attention and MLP run in parallel.

    Example:
        >>> layout = SublayerLayout(layers=2)
        >>> layout.labels
        ['L00.attn', 'L00.mlp', 'L01.attn', 'L01.mlp']
        >>> layout.transition_kinds
        ['within', 'across', 'within']
    """

    layers: int
    sites: tuple[str, ...] = ATTENTION_AND_MLP

    def __len__(self) -> int:
        return self.layers * len(self.sites)

    @property
    def layer_of(self) -> list[int]:
        """The layer of every sublayer, S entries."""
        return [layer for layer in range(self.layers) for _ in self.sites]

    @property
    def site_of(self) -> list[str]:
        """The site of every sublayer, S entries."""
        return list(self.sites) * self.layers

    @property
    def labels(self) -> list[str]:
        """Such as ``L07.attn``, S entries."""
        return [f"L{layer:02d}.{site}" for layer, site in zip(self.layer_of, self.site_of, strict=True)]

    @property
    def transition_labels(self) -> list[str]:
        """Such as ``L07.attn>L07.mlp``, S - 1 entries."""
        return [f"{start}>{end}" for start, end in pairwise(self.labels)]

    @property
    def transition_kinds(self) -> list[str]:
        """``within`` a layer or ``across`` to the next, S - 1 entries."""
        layer_of = self.layer_of
        return ["within" if a == b else "across" for a, b in pairwise(layer_of)]

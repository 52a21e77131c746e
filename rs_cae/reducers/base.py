"""What every reducer offers, and all that callbacks and commands know of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Literal, Self, get_args

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from rs_cae.reducers.standardizer import Standardization, Standardizer

Scope = Literal["shared", "per_sublayer"]


class Reducer(nn.Module, PyTorchModelHubMixin, ABC):
    """Encodes trajectories into latents and decodes them back, in the units of the activations.

    A subclass works on standardized trajectories; the base class converts. The first axis of every parameter and buffer
    that a subclass adds is the maps'. ``save_pretrained``, ``push_to_hub`` and ``from_pretrained`` are those of
    ``huggingface_hub``: weights as safetensors, the constructor's arguments as JSON.

    Args:
        width: Units of the residual stream, D.
        sublayers: Places at which it is read, S.
        bottleneck: Latents of a state, at least 1 and fewer than the width.
        scope: ``shared``: one map for all sublayers, whose latents live in one space; ``per_sublayer``: a map of its
            own for each, whose latents have nothing to do with each other.
        standardize: How states are scaled before the reducer sees them; see ``Standardizer``.

    Raises:
        ValueError: If the bottleneck is out of range.
    """

    def __init__(self, width: int, sublayers: int, bottleneck: int, scope: Scope, standardize: Standardization) -> None:
        super().__init__()
        if not 1 <= bottleneck < width:
            raise ValueError(f"bottleneck {bottleneck} must be at least 1 and below the width {width}")
        if scope not in get_args(Scope):
            raise ValueError(f"scope {scope!r} is none of {', '.join(get_args(Scope))}")
        self.width = width
        self.sublayers = sublayers
        self.bottleneck = bottleneck
        self.scope = scope
        self.standardizer = Standardizer(width, sublayers, standardize)
        if isinstance(self._hub_mixin_config, dict):
            self._hub_mixin_config["reducer"] = type(self).__name__  # for ``load_reducer``

    @property
    def maps(self) -> int:
        """How many maps there are: one for all sublayers, or one for each."""
        return 1 if self.shares_latent_space else self.sublayers

    @property
    def shares_latent_space(self) -> bool:
        """Whether latents of different sublayers can be compared."""
        return self.scope == "shared"

    @property
    def latent_names(self) -> list[str]:
        """What axes of figures call the latents."""
        return [f"latent {index}" for index in range(self.bottleneck)]

    @property
    def components(self) -> int:
        """How many orthonormal coordinates there are: see ``coefficients``."""
        return 0

    @abstractmethod
    def compress(self, standardized: Tensor) -> Tensor:
        """Standardized trajectories [..., sublayers, width] to latents [..., sublayers, bottleneck]."""

    @abstractmethod
    def expand(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to standardized reconstructions [..., sublayers, width]."""

    def encode(self, trajectories: Tensor) -> Tensor:
        """Trajectories [..., sublayers, width] in units of the activations to latents [..., sublayers, bottleneck].

        Raises:
            ValueError: If the shape is another one.
        """
        self._refuse_other_shapes(trajectories, self.width)
        return self.compress(self.standardizer(trajectories))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to trajectories [..., sublayers, width] in units of the activations.

        Raises:
            ValueError: If the shape is another one.
        """
        self._refuse_other_shapes(latents, self.bottleneck)
        return self.standardizer.inverse(self.expand(latents))

    def forward(self, trajectories: Tensor) -> Tensor:
        """Reconstructions of trajectories [..., sublayers, width], in units of the activations."""
        return self.decode(self.encode(trajectories))

    def at(self, sublayers: Sequence[int]) -> Self:
        """The same reducer for states of some sublayers alone: ``encode`` takes [..., len(sublayers), width].

        Args:
            sublayers: Indices in any order, also repeated.

        Returns:
            For evaluation, without gradients. Whatever all sublayers share stays in the memory of this reducer.

        Raises:
            ValueError: If there are none, or one is out of range.
        """
        chosen = list(sublayers)
        if not chosen or not all(0 <= index < self.sublayers for index in chosen):
            raise ValueError(f"sublayers {chosen} must be some of 0 to {self.sublayers - 1}")
        held: dict[int, Any] = {}  # what the copy takes in place of each tensor
        for name, tensor in [*self.named_parameters(), *self.named_buffers()]:
            by_map = not (self.shares_latent_space or name.startswith("standardizer."))
            kept = tensor.detach()[chosen] if by_map or tensor is self.standardizer.scale else tensor.detach()
            held[id(tensor)] = nn.Parameter(kept, requires_grad=False) if isinstance(tensor, nn.Parameter) else kept
        restricted = deepcopy(self, held)
        restricted.sublayers = len(chosen)
        return restricted.eval()

    def _refuse_other_shapes(self, vectors: Tensor, size: int) -> None:
        if vectors.shape[-2:] != (self.sublayers, size):
            raise ValueError(f"expected [..., {self.sublayers}, {size}], got {list(vectors.shape)}")

    @classmethod
    def _from_pretrained(cls, **arguments: Any) -> Any:
        return super()._from_pretrained(**arguments | {"strict": True})  # else another class would go unnoticed

    def coefficients(self, standardized: Tensor) -> Tensor:
        """Coordinates of standardized trajectories [..., sublayers, width] along orthonormal directions, if it has any.

        Returns:
            [..., sublayers, components], by falling train variance, the first of them the latents; no components where
            latents are no such coordinates.
        """
        return standardized[..., :0]

    def by_map(self, vectors: Tensor) -> Tensor:
        """Vectors [..., sublayers, size] as [maps, samples, size]: the rows that each map sees."""
        flat = vectors.reshape(-1, self.sublayers, vectors.shape[-1])
        return flat.transpose(0, 1) if self.maps > 1 else flat.reshape(1, -1, flat.shape[-1])

    def map_rows(self, function: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
        """Apply a function of rows [maps, samples, size] to vectors [..., sublayers, size], which may change the size.

        Args:
            function: Of the rows of all maps at once, each of them by itself.
            vectors: Of all sublayers.
        """
        rows = function(self.by_map(vectors))
        rows = rows.transpose(0, 1) if self.maps > 1 else rows
        return rows.reshape(*vectors.shape[:-1], rows.shape[-1])

"""Principal component analysis (PCA): the linear reducer to which an autoencoder is to be compared."""

import torch
from torch import Tensor, nn

from rs_cae.dynamics.covariance import PrincipalAxes
from rs_cae.reducers.base import Reducer, Scope
from rs_cae.reducers.standardizer import Standardization


class PrincipalComponents(Reducer):
    """Projection onto the directions in which standardized states vary most, over samples and sublayers together.

    Source: arXiv 2502.12131, Figure 4, for its use and the 100 components; standardization and sign are our choices.

    Args:
        width: Units of the residual stream.
        sublayers: Places at which it is read.
        bottleneck: Components that are the latents.
        scope: ``shared``: one PCA of the states of all sublayers; ``per_sublayer``: one of each.
        components: Components that are kept, the latents among them: raised to the bottleneck, cut at the width.
        standardize: See ``Standardizer``.

    Raises:
        ValueError: If an argument is out of range.

    Attributes:
        mean: [maps, width], of the standardized train states.
        directions: [maps, components, width], orthonormal, by falling variance; the entry of largest magnitude of each
            is positive.
        variances: [maps, components], of the standardized train states along them.
    """

    variances: Tensor

    def __init__(
        self,
        width: int,
        sublayers: int,
        bottleneck: int = 2,
        scope: Scope = "shared",
        components: int = 100,
        standardize: Standardization = "per_sublayer",
    ) -> None:
        super().__init__(width, sublayers, bottleneck, scope, standardize)
        if components < 1:
            raise ValueError(f"components {components} must be at least 1")
        kept = min(width, max(components, bottleneck))
        self.mean = nn.Parameter(torch.zeros(self.maps, width))
        self.directions = nn.Parameter(torch.eye(width)[:kept].repeat(self.maps, 1, 1))
        self.register_buffer("variances", torch.zeros(self.maps, kept))

    @property
    def components(self) -> int:
        """How many are kept."""
        return self.directions.shape[1]

    @property
    def latent_names(self) -> list[str]:
        """Components count from 1."""
        return [f"PC {index + 1}" for index in range(self.bottleneck)]

    @torch.no_grad()
    def set_axes(self, axes: PrincipalAxes) -> None:
        """Take the principal axes of the standardized train states over."""
        self.mean.copy_(axes.mean)
        self.directions.copy_(axes.directions)
        self.variances.copy_(axes.variances)

    def compress(self, standardized: Tensor) -> Tensor:
        """Standardized trajectories [..., sublayers, width] to latents [..., sublayers, bottleneck]."""
        return self._project(standardized, self.bottleneck)

    def expand(self, latents: Tensor) -> Tensor:
        """Latents [..., sublayers, bottleneck] to standardized reconstructions [..., sublayers, width]."""
        directions = self.directions[:, : self.bottleneck]
        return self.map_rows(lambda rows: torch.baddbmm(self.mean[:, None], rows, directions), latents)

    def coefficients(self, standardized: Tensor) -> Tensor:
        """Coordinates [..., sublayers, components] along all directions that are kept."""
        return self._project(standardized, self.components)

    def _project(self, standardized: Tensor, components: int) -> Tensor:
        directions = self.directions[:, :components].mT
        return self.map_rows(lambda rows: (rows - self.mean[:, None]) @ directions, standardized)

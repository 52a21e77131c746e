"""PCA, fitted by passes over the train set: no gradient, no optimizer."""

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from rs_cae.errors import InputError
from rs_cae.modules.base import ReducerModule
from rs_cae.modules.principal import AxesSearch
from rs_cae.reducers.base import Scope
from rs_cae.reducers.pca import PrincipalComponents
from rs_cae.reducers.standardizer import Standardization
from rs_cae.stream.trajectories import TrajectoryBatch


class PCAModule(ReducerModule):
    """Fits principal components in one epoch, whatever ``--trainer.max_epochs`` allows.

    Where covariances would be too large, in five: see ``rs_cae.modules.principal``.

    Args:
        width: Units of the residual stream; set from the data.
        sublayers: Places at which it is read; set from the data.
        bottleneck: Components that are the latents.
        scope: ``shared``: one PCA of the states of all sublayers; ``per_sublayer``: one of each.
        components: Components that are kept: raised to the bottleneck, cut at the width.
        standardize: ``per_sublayer`` divides each sublayer by its train RMS; ``global`` centres and divides all alike;
            ``none`` leaves raw states, of which the late sublayers then have most of the variance.

    Raises:
        ValueError: If an argument is out of range.
    """

    reducer: PrincipalComponents

    def __init__(
        self,
        width: int,
        sublayers: int,
        bottleneck: int = 2,
        scope: Scope = "shared",
        components: int = 100,
        standardize: Standardization = "per_sublayer",
    ) -> None:
        reducer = PrincipalComponents(width, sublayers, bottleneck, scope, components, standardize)
        super().__init__(reducer)
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.found = True  # unless a fit says otherwise

    def on_train_start(self) -> None:
        """Begin the first pass."""
        self.found = False
        self.search = AxesSearch(self.reducer.maps, self.reducer.width, self.reducer.components, self.device)
        allowed, needed = self.trainer.max_epochs, self.trainer.current_epoch + self.search.passes
        if allowed is not None and 0 <= allowed < needed:
            raise InputError("--trainer.max_epochs", allowed, f"must be at least {needed} for covariances of this size")

    def training_step(self, batch: TrajectoryBatch, batch_index: int) -> None:
        """Take in a batch; with the last one of the last pass, set the components and stop."""
        self.search.add(self.reducer.by_map(self.reducer.standardizer(batch.states)))
        if self.trainer.is_last_batch:
            self.optimizers().step()  # type: ignore[union-attr]
            axes = self.search.end_pass()
            if axes is not None:
                self.reducer.set_axes(axes)
                self.found = True
                self.trainer.should_stop = True
                del self.search  # and with it the covariances

    def keep_best(self, losses: Tensor) -> Tensor:
        """Nothing is the best before the last pass."""
        return losses if self.found else torch.full_like(losses, torch.inf)

    def configure_optimizers(self) -> Optimizer:
        """One that changes nothing, whose steps count passes: Lightning saves no checkpoint before a step."""
        return SGD(self.parameters(), lr=0.0)

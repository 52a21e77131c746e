"""Moments of states and of a reconstruction's residuals, from which every kind of explained variance follows."""

from torch import Tensor

from rs_cae.dynamics.moments import Moments
from rs_cae.metrics.grouped import GroupedMoments


class ReconstructionMoments(GroupedMoments):
    """Moments of states h and of residuals h - reconstruction; see ``GroupedMoments``."""

    names = ("targets", "residuals")

    def update(self, trajectories: Tensor, reconstructions: Tensor, texts: Tensor) -> None:  # type: ignore[override]
        """Take in a batch.

        Args:
            trajectories: [batch, sublayers, width].
            reconstructions: The same shape and units.
            texts: [batch], the number of each sample's text: the samples of a text share a group.
        """
        group = texts.to(trajectories.device) % self.groups
        states = trajectories.double()
        self._add("targets", Moments.of(states, group, self.groups))
        self._add("residuals", Moments.of(states - reconstructions.double(), group, self.groups))

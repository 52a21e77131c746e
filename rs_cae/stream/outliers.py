"""Samples whose norm is out of all proportion, and what becomes of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rs_cae import processes
from rs_cae.dynamics.kinematics import norm_outliers
from rs_cae.errors import InputError
from rs_cae.stream.trajectories import TrajectoryBatch


@dataclass(frozen=True)
class OutlierRule:
    """Which samples are outliers.

    Attributes:
        factor: A sample is one if at any sublayer its norm exceeds this many medians; None if none is.
        action: ``report`` them, or ``drop`` them.

    Raises:
        InputError: If they are to be dropped, but it is not said what one is.
    """

    factor: float | None
    action: Literal["report", "drop"]

    def __post_init__(self) -> None:
        if self.action == "drop" and self.factor is None:
            raise InputError("--data.outliers", "drop", "wants --data.outlier_norm_factor, which says what one is")

    def find(self, split: str, samples: Tensor, batches: Iterable[TrajectoryBatch]) -> Tensor:
        """The outliers among the samples of a split, whose trajectories come in batches; the first process says so."""
        assert self.factor is not None
        norms = torch.cat([batch.states.float().norm(dim=-1).cpu() for batch in batches])
        outliers = samples[norm_outliers(norms, self.factor)]
        if processes.rank() == 0:
            done = "dropped" if self.action == "drop" else "kept"
            print(f"{split}: {len(outliers)} of {len(samples)} samples are outliers, {done}")
        return outliers

    def keep(self, split: str, samples: Tensor, outliers: Tensor) -> Tensor:
        """The samples that stay.

        Raises:
            InputError: If none does.
        """
        kept = samples[~torch.isin(samples, outliers)] if self.action == "drop" else samples
        if len(kept) == 0:
            raise InputError("--data.outlier_norm_factor", self.factor, f"drops every {split} sample")
        return kept

"""Means over samples, and their bootstrap over texts, both as the samples go by.

Memory does not grow with the number of samples; neither the batches nor their order matter, and processes merge. Every
metric with the same seed draws the same texts, so that what is computed from several of them varies together.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from rs_cae.dynamics.correlation import pearson, pearson_with_update
from rs_cae.dynamics.kinematics import Kinematics
from rs_cae.dynamics.resampling import poisson_weights

DRAWS_AT_ONCE = 100
"""So that what is computed from sums takes less memory than they do."""


class _Resampled(Metric):
    """Weighted sums of what samples have: a row in which each counts once, then one for each resample.

    Args:
        sizes: Values per sample, by the name of their sums.
        draws: Resamples of the texts; 0 for the mean alone.
        seed: Of the resamples.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, sizes: dict[str, int], draws: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.draws, self.seed = draws, seed
        for name, size in sizes.items():
            self.add_state(name, torch.zeros(draws + 1, size, dtype=torch.float64), dist_reduce_fx="sum")

    def _weights(self, texts: Tensor) -> Tensor:
        """[1 + draws, batch], how often each sample counts."""
        once = torch.ones(1, len(texts), dtype=torch.float64, device=texts.device)
        return torch.cat([once, poisson_weights(texts, self.draws, self.seed)]) if self.draws else once


class ResampledMean(_Resampled):
    """The mean of one row of values per sample; NaN values do not count.

    Args:
        size: Values per sample.
        draws: Resamples of the texts; 0 for the mean alone.
        seed: Of the resamples.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    sums: Tensor
    known: Tensor

    def __init__(self, size: int, draws: int = 1000, seed: int = 0, **kwargs: Any) -> None:
        super().__init__({"sums": size, "known": size}, draws, seed, **kwargs)

    def update(self, values: Tensor, texts: Tensor) -> None:
        """Take in a batch: values [batch, size] of samples of these texts [batch]."""
        weights = self._weights(texts)
        self.sums.addmm_(weights, values.double().nan_to_num())
        self.known.addmm_(weights, (~values.isnan()).double())

    def compute(self) -> Tensor:
        """[1 + draws, size]: the mean, then those of the resamples; NaN where nothing is known."""
        return self.sums / self.known


class MeanKinematics(ResampledMean):
    """Mean norm, density, velocity and cosine similarity at each depth.

    Args:
        sublayers: Places at which the stream is read.
        draws: Resamples of the texts; 0 for the mean alone.
        seed: Of the resamples.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    def __init__(self, sublayers: int, draws: int = 1000, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(3 * sublayers + 3 * (sublayers - 1), draws, seed, **kwargs)
        self.sublayers = sublayers

    def update(self, kinematics: Kinematics, texts: Tensor) -> None:  # type: ignore[override]
        """Take in the kinematics of a batch, and the text [batch] of each sample."""
        super().update(kinematics.to_columns(), texts)

    def curves(self) -> Kinematics:
        """Means over samples, [1 + draws, sublayers or transitions]."""
        return Kinematics.from_columns(self.compute(), self.sublayers)


class ResampledUnits(NamedTuple):
    """What ``UnitBootstrap`` gives, of all samples first, then of the resamples.

    Attributes:
        mean: [1 + draws, sublayers, units], mean activations.
        correlation: [1 + draws, sublayers - 1], Pearson's r between successive sublayers, mean over units.
        update_correlation: [1 + draws, sublayers - 1], r of activation and update, mean over units.
    """

    mean: Tensor
    correlation: Tensor
    update_correlation: Tensor


ROUNDING = 1e-13
"""A variance below this share of the mean square is that of a constant."""


class UnitBootstrap(_Resampled):
    """Mean activations and correlations of a few units, resampled; for intervals alone.

    Values of all units are in ``TransitionStatistics``, which sums about the mean: the sums of squares here lose digits
    where a unit's mean is large, 8 of 16 where it is 10,000 standard deviations.

    Args:
        sublayers: Places at which the stream is read.
        units: How many.
        draws: Resamples of the texts.
        seed: Of the resamples.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    weights: Tensor
    sums: Tensor
    squares: Tensor
    products: Tensor

    def __init__(self, sublayers: int, units: int, draws: int = 1000, seed: int = 0, **kwargs: Any) -> None:
        sizes = {"sums": sublayers * units, "squares": sublayers * units, "products": (sublayers - 1) * units}
        super().__init__({"weights": 1, **sizes}, draws, seed, **kwargs)
        self.units = units

    def update(self, trajectories: Tensor, texts: Tensor) -> None:
        """Take in a batch [batch, sublayers, units] of samples of these texts [batch]."""
        weights, values = self._weights(texts), trajectories.double()
        self.weights += weights.sum(dim=1, keepdim=True)
        self.sums.addmm_(weights, values.flatten(1))
        self.products.addmm_(weights, (values[:, :-1] * values[:, 1:]).flatten(1))
        self.squares.addmm_(weights, values.square().flatten(1))

    def compute(self) -> ResampledUnits:
        """Units that do not vary do not count; NaN where none does."""
        parts = (getattr(self, name).split(DRAWS_AT_ONCE) for name in ("weights", "sums", "squares", "products"))
        curves = [self._curves(*part) for part in zip(*parts, strict=True)]
        correlation, update = (torch.cat(curve) for curve in zip(*curves, strict=True))
        return ResampledUnits((self.sums / self.weights).unflatten(1, (-1, self.units)), correlation, update)

    def _curves(self, weights: Tensor, *sums: Tensor) -> tuple[Tensor, Tensor]:
        """Both correlations of a few draws, mean over units."""
        mean, square, product = ((part / weights).unflatten(1, (-1, self.units)) for part in sums)
        variance = square - mean.square()
        varies = variance > ROUNDING * square
        parts = variance[:, :-1], variance[:, 1:], product - mean[:, :-1] * mean[:, 1:]
        known = varies[:, :-1] & varies[:, 1:]
        r, update = pearson(*parts), pearson_with_update(*parts)
        known_update = known & update.isfinite()
        return r.where(known, torch.nan).nanmean(dim=2), update.where(known_update, torch.nan).nanmean(dim=2)

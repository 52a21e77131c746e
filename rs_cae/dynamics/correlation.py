"""How alike a unit's values are at successive sublayers: Pearson's r over samples, from moments that merge exactly."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rs_cae.dynamics.kinematics import refuse_other_shapes


class TransitionMoments(NamedTuple):
    """Moments of every unit at every sublayer, and of every unit with itself one sublayer on; in float64.

    Sums of products are taken about the means, never as E[xy] - E[x]E[y]. Parts merge in any order (Chan, Golub and
    LeVeque 1979).

    Attributes:
        count: [], the number of samples.
        mean: [sublayers, width].
        squared_deviations: [sublayers, width], the sum over samples of (h - mean)^2.
        products: [sublayers - 1, width], the sum over samples of the deviations' product at s and at s + 1.
        lowest: [sublayers, width], the least value.
        highest: [sublayers, width], the greatest value.

    Example:
        >>> trajectories = torch.tensor([[[1.0], [2.0]], [[2.0], [3.0]], [[3.0], [1.0]]])
        >>> moments = TransitionMoments.merge(*map(TransitionMoments.of, trajectories.split(1)))
        >>> correlation(moments)
        tensor([[-0.5000]], dtype=torch.float64)
    """

    count: Tensor  # type: ignore[assignment]  # in place of the tuple's method, which nobody calls
    mean: Tensor
    squared_deviations: Tensor
    products: Tensor
    lowest: Tensor
    highest: Tensor

    @classmethod
    def zeros(cls, sublayers: int, width: int, device: torch.device | None = None) -> TransitionMoments:
        """Moments of no samples at all."""
        empty = torch.zeros(sublayers, width, dtype=torch.float64, device=device)
        bound = torch.full_like(empty, torch.inf)
        return cls(empty.new_zeros(()), empty, empty.clone(), empty[1:].clone(), bound, -bound)

    @classmethod
    def of(cls, trajectories: Tensor) -> TransitionMoments:
        """Moments of a batch [samples, sublayers, width].

        Raises:
            ValueError: If not 3-D or fewer than two sublayers.
        """
        refuse_other_shapes(trajectories)
        samples, sublayers, width = trajectories.shape
        mean, squares, lowest, highest = trajectories.new_zeros(4, sublayers, width, dtype=torch.float64)
        products = torch.zeros_like(mean[1:])
        before = None
        for sublayer in range(sublayers):  # one sublayer of a batch stays in the processor's cache
            state = trajectories[:, sublayer]
            lowest[sublayer] = state.amin(dim=0)  # both apart take a quarter of the time of aminmax
            highest[sublayer] = state.amax(dim=0)
            deviations = state.to(torch.float64, copy=True)
            mean[sublayer] = deviations.mean(dim=0)
            deviations -= mean[sublayer]
            if before is not None:
                products[sublayer - 1] = before.mul_(deviations).sum(dim=0)
            squares[sublayer] = deviations.square().sum(dim=0)
            before = deviations
        return cls(mean.new_tensor(samples), mean, squares, products, lowest, highest)

    @classmethod
    def merge(cls, *parts: TransitionMoments) -> TransitionMoments:
        """Moments of the union."""
        merged = parts[0]
        for part in parts[1:]:
            merged = merged._with(part)
        return merged

    @property
    def constant(self) -> Tensor:
        """[sublayers, width], boolean: whether a unit has one and the same value in all samples."""
        return self.lowest == self.highest

    def _with(self, other: TransitionMoments) -> TransitionMoments:
        count = self.count + other.count
        shift = other.mean - self.mean
        share = other.count / count.clamp(min=1)
        between = self.count * share
        return TransitionMoments(
            count,
            self.mean + shift * share,
            self.squared_deviations + other.squared_deviations + between * shift.square(),
            self.products + other.products + between * shift[:-1] * shift[1:],
            torch.minimum(self.lowest, other.lowest),
            torch.maximum(self.highest, other.highest),
        )


def correlation(moments: TransitionMoments) -> Tensor:
    """Pearson's r over samples of each unit between successive sublayers. Source: arXiv 2502.12131, Figure 1C.

    Returns:
        [sublayers - 1, width] in [-1, 1]; NaN where a unit is constant at either sublayer.
    """
    squares = moments.squared_deviations
    return _known(moments, pearson(squares[:-1], squares[1:], moments.products))


def correlation_of_unrelated_updates(moments: TransitionMoments) -> Tensor:
    """What r would be if each update, as large as it is, had nothing to do with the state that it is added to.

    r = sd(h[t]) / sqrt(var(h[t]) + var(h[t+1] - h[t])): as if every sample got another sample's update. The stream is a
    sum, so a high r says little by itself: this is what it is to be held against. Ours.

    Returns:
        [sublayers - 1, width] in [0, 1]; NaN where a unit is constant at either sublayer.
    """
    squares = moments.squared_deviations
    return _known(moments, pearson_of_unrelated_updates(squares[:-1], squares[1:], moments.products))


def update_correlation(moments: TransitionMoments) -> Tensor:
    """Pearson's r over samples of each unit's activation and the update that is added to it; 0 if they are unrelated.

    Below 0 updates pull back to the mean over samples, above 0 they drive away from it. Ours.

    Returns:
        [sublayers - 1, width] in [-1, 1]; NaN where a unit or its update is constant.
    """
    squares = moments.squared_deviations
    r = pearson_with_update(squares[:-1], squares[1:], moments.products)
    return _known(moments, r.where(r.isfinite(), torch.nan))


def pearson(start: Tensor, end: Tensor, product: Tensor) -> Tensor:
    """Pearson's r from two variances and the covariance, or from the sums that they are means of."""
    return (product / (start * end).sqrt()).clamp(-1, 1)


def pearson_of_unrelated_updates(start: Tensor, end: Tensor, product: Tensor) -> Tensor:
    """The same if end - start, of the variance that it has, were uncorrelated with start."""
    update = (start + end - 2 * product).clamp(min=0)
    return (start / (start + update)).sqrt()


def pearson_with_update(start: Tensor, end: Tensor, product: Tensor) -> Tensor:
    """Pearson's r of start and end - start."""
    update = (start + end - 2 * product).clamp(min=0)
    return ((product - start) / (start * update).sqrt()).clamp(-1, 1)


def _known(moments: TransitionMoments, values: Tensor) -> Tensor:
    return values.masked_fill(moments.constant[:-1] | moments.constant[1:], torch.nan)

"""How much of the states' variance a reconstruction explains, from the moments of states and residuals.

``targets`` are the moments of the states h, ``residuals`` those of h - reconstruction, both over [sublayers, width] and
over the same samples. Every function keeps the groups' axis first. Source: arXiv 2502.12131, Figure 3D; that the
variance is summed over units before the division, and the pooling, are our choices.
"""

import torch
from torch import Tensor

from rs_cae.dynamics.moments import Moments


def explained_variance(targets: Moments, residuals: Moments) -> Tensor:
    """Per sublayer, 1 - (variance of the residual summed over units) / (variance of the state summed over units).

    1 is a perfect reconstruction, 0 that of one which knows only each sublayer's mean. A constant bias is forgiven.

    Returns:
        [groups, sublayers], at most 1; NaN where the states do not vary.
    """
    return _one_minus(residuals.squared_deviations.sum(-1), targets.squared_deviations.sum(-1))


def explained_variance_pooled(targets: Moments, residuals: Moments) -> Tensor:
    """The same with numerators and denominators summed over sublayers before the division.

    In raw units the sublayers with the largest norms, mostly the last ones, outweigh the others.

    Returns:
        [groups].
    """
    return _one_minus(residuals.squared_deviations.sum((-2, -1)), targets.squared_deviations.sum((-2, -1)))


def r2(targets: Moments, residuals: Moments) -> Tensor:
    """Per sublayer, 1 - (squared error) / (squared deviation of the state from its sublayer's mean).

    Unlike the explained variance it counts a constant bias as error.

    Returns:
        [groups, sublayers], at most 1; NaN where the states do not vary.
    """
    return _one_minus(residuals.squares.sum(-1), targets.squared_deviations.sum(-1))


def r2_pooled(targets: Moments, residuals: Moments) -> Tensor:
    """1 - (squared error) / (squared deviation from the grand mean over samples and sublayers).

    A reconstruction that knows nothing but each sublayer's mean can score high here: see ``r2_of_sublayer_means``.

    Returns:
        [groups].
    """
    return _one_minus(residuals.squares.sum((-2, -1)), total_deviation(targets).sum(-1))


def r2_of_sublayer_means(targets: Moments) -> Tensor:
    """The ``r2_pooled`` of the best reconstruction that knows the sublayer alone: the null of ``r2_pooled``.

    Returns:
        [groups].
    """
    return _one_minus(targets.squared_deviations.sum((-2, -1)), total_deviation(targets).sum(-1))


def total_deviation(states: Moments) -> Tensor:
    """Squared deviations of each unit, summed over samples and sublayers, from its mean over both.

    Returns:
        [groups, units].
    """
    grand_mean = states.mean.mean(dim=-2, keepdim=True)
    between = (states.mean - grand_mean).square().sum(-2) * states.count[:, None]
    return states.squared_deviations.sum(-2) + between


def _one_minus(numerator: Tensor, denominator: Tensor) -> Tensor:
    ratio = numerator / denominator
    return torch.where(denominator > 0, 1 - ratio, torch.nan)

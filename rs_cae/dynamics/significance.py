"""What was measured, held against draws of a null."""

from typing import NamedTuple

import torch
from scipy.stats import false_discovery_control
from torch import Tensor

ROUNDING = 1e-9
"""Counts closer than this, in turns, are equal: sums in another order round differently."""


class Comparison(NamedTuple):
    """Measured counts beside those of a surrogate.

    Attributes:
        mean: [units], the surrogate's mean over draws.
        std: [units], its standard deviation (ddof 1).
        z: [units], (measured - mean) / std; NaN where the draws do not differ.
        p: [units], two-sided: (1 + draws at least as far from the mean) / (1 + draws).
        unit_mean: [draws], the mean over units in each draw: the null of the measured mean over units.
        unit_mean_p: [], the two-sided p of that mean.
        significant_share: [], of the units, by Benjamini and Hochberg at q = 0.05; NaN units count as not.
    """

    mean: Tensor
    std: Tensor
    z: Tensor
    p: Tensor
    unit_mean: Tensor
    unit_mean_p: Tensor
    significant_share: Tensor


def compare_with_surrogate(measured: Tensor, drawn: Tensor) -> Comparison:
    """Hold counts against a surrogate's.

    Args:
        measured: [units].
        drawn: [draws, units].

    Returns:
        The comparison; NaN for units whose count is NaN.
    """
    mean, std = drawn.mean(dim=0), drawn.std(dim=0)
    unit_mean = drawn.nanmean(dim=1)
    p = two_sided_p(measured, drawn)
    unit_mean_p = two_sided_p(measured.nanmean(), unit_mean)
    share = benjamini_hochberg(p).double().mean()
    z = torch.where(std > ROUNDING, (measured - mean) / std, torch.nan)
    return Comparison(mean, std, z, p, unit_mean, unit_mean_p, share)


def two_sided_p(measured: Tensor, drawn: Tensor) -> Tensor:
    """(1 + draws at least as far from the draws' mean as what was measured) / (1 + draws).

    Args:
        measured: [...].
        drawn: [draws, ...].

    Returns:
        [...], at least 1 / (1 + draws); NaN where anything is.
    """
    mean = drawn.mean(dim=0)
    reached = (measured - mean).abs() - ROUNDING  # a draw may be what was measured, but for the order of its sums
    farther = ((drawn - mean).abs() >= reached).double().sum(dim=0)
    return torch.where((measured - mean).isnan(), torch.nan, (1 + farther) / (1 + len(drawn)))


def benjamini_hochberg(p: Tensor, q: float = 0.05) -> Tensor:
    """Which hypotheses to reject so that the expected share of true ones among them is at most q.

    Source: Benjamini and Hochberg (1995).

    Args:
        p: [hypotheses]; NaN is never rejected, and does not count.
        q: Share of false discoveries that is borne.

    Returns:
        [hypotheses], boolean.

    Example:
        >>> benjamini_hochberg(torch.tensor([0.001, 0.02, 0.9, torch.nan]))
        tensor([ True,  True, False, False])
    """
    known = ~p.isnan()
    rejected = torch.zeros_like(known)
    if known.any():
        adjusted = false_discovery_control(p[known].double().cpu().numpy())
        rejected[known] = torch.from_numpy(adjusted <= q).to(p.device)
    return rejected

"""Intervals over texts: how far a number would move had other texts been drawn."""

import torch
from scipy.stats import t as student
from torch import Tensor


def bootstrap_mean_interval(
    values: Tensor, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Percentile bootstrap interval of the mean over samples.

    Args:
        values: [samples, ...], one entry per text.
        draws: Number of resamples, each of as many texts with replacement.
        level: Coverage that is aimed at.
        seed: Seed of the resamples; the same for all trailing entries, which are resampled together.

    Returns:
        Low and high, each of the trailing shape, in float64.
    """
    samples = len(values)
    flat = values.double().reshape(samples, -1)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(samples, (draws, samples), generator=generator)
    weights = torch.zeros(draws, samples, dtype=torch.float64)
    weights.scatter_add_(1, chosen, torch.ones(draws, samples, dtype=torch.float64))
    weights = weights.to(flat.device) / samples
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device=flat.device)
    blocks = [torch.quantile(weights @ block, tails, dim=0) for block in flat.split(4096, dim=1)]
    low, high = torch.cat(blocks, dim=1).reshape(2, *values.shape[1:])
    return low, high


def jackknife_interval(whole: Tensor, leave_one_out: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Interval of any smooth statistic from its values with one of G groups of texts left out at a time.

    The standard error is sqrt((G - 1) / G * sum (x_g - mean x)^2), its quantile Student's t with G - 1 degrees of
    freedom. Source: Tukey (1958); the grouping is ours, because it streams where a bootstrap does not.

    Args:
        whole: [...], the statistic of all texts.
        leave_one_out: [groups, ...], the statistic without each group.
        level: Coverage that is aimed at.

    Returns:
        Low and high, each [...]; NaN with fewer than two groups.
    """
    groups = len(leave_one_out)
    if groups < 2:
        return torch.full_like(whole, torch.nan), torch.full_like(whole, torch.nan)
    spread = (leave_one_out - leave_one_out.mean(dim=0)).square().sum(dim=0)
    half = float(student.ppf((1 + level) / 2, groups - 1)) * ((groups - 1) / groups * spread).sqrt()
    return whole - half, whole + half

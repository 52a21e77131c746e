"""Intervals over texts: how far a number would move had other texts been drawn."""

import torch
from scipy.stats import t as student
from torch import Tensor


def bootstrap_mean_interval(
    values: Tensor, draws: int = 1000, level: float = 0.95, seed: int = 0, texts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Percentile bootstrap interval of the mean over samples, whole texts drawn at a time.

    Samples of one text are not independent of each other, so it is texts that are drawn.

    Args:
        values: [samples, ...].
        draws: Number of resamples, each of as many texts with replacement.
        level: Coverage that is aimed at.
        seed: Seed of the resamples; the same for all trailing entries, which are resampled together.
        texts: [samples], the text of each sample; a text of its own for each when left out.

    Returns:
        Low and high, each of the trailing shape, in float64.
    """
    flat = values.double().reshape(len(values), -1)
    text = torch.arange(len(values)) if texts is None else texts.unique(return_inverse=True)[1]
    size = torch.bincount(text).double()
    sums = torch.zeros(len(size), flat.shape[1], dtype=torch.float64).index_add(0, text.cpu(), flat.cpu())
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(size), (draws, len(size)), generator=generator)
    times = torch.zeros(draws, len(size), dtype=torch.float64)
    times.scatter_add_(1, chosen, torch.ones(draws, len(size), dtype=torch.float64))
    drawn = (times @ size.cpu())[:, None]
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    blocks = [torch.quantile(times @ block / drawn, tails, dim=0) for block in sums.split(4096, dim=1)]
    low, high = torch.cat(blocks, dim=1).reshape(2, *values.shape[1:])
    return low.to(values.device), high.to(values.device)


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

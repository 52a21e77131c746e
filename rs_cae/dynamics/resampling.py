"""Intervals over texts: how far a number would move had other texts been drawn."""

import numpy as np
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


def jackknife_p(whole: Tensor, leave_one_out: Tensor) -> Tensor:
    """Two-sided p of a statistic being 0, by the standard error and Student's t of ``jackknife_interval``.

    Args:
        whole: [...], the statistic of all texts.
        leave_one_out: [groups, ...], the statistic without each group.

    Returns:
        [...]; NaN with fewer than two groups.
    """
    groups = len(leave_one_out)
    if groups < 2:
        return torch.full_like(whole, torch.nan)
    spread = (leave_one_out - leave_one_out.mean(dim=0)).square().sum(dim=0)
    ratio = whole.abs() / ((groups - 1) / groups * spread).sqrt()
    return torch.as_tensor(2 * student.sf(ratio.cpu(), groups - 1)).to(whole)


def poisson_weights(texts: Tensor, draws: int, seed: int = 0) -> Tensor:
    """How often each text is drawn in each resample, when resamples are made while the texts go by.

    Each count is Poisson with mean 1, as a bootstrap's is in the limit of many texts, and depends on the seed and the
    text's number alone: on no other text, no batch and no process. Source: Hanley and MacGibbon (2006).

    Args:
        texts: [samples], the text of each.
        draws: Resamples.
        seed: Of the counts.

    Returns:
        [draws, samples] in float64, on the device of the texts.
    """
    distinct, place = texts.cpu().unique(return_inverse=True)
    mean = torch.ones(draws, dtype=torch.float64)
    generators = (torch.Generator().manual_seed(seed * 1_000_003 + text) for text in distinct.tolist())
    counts = [torch.poisson(mean, generator=generator) for generator in generators]
    return torch.stack(counts, dim=1)[:, place].to(texts.device)


def resampled_mean(values: Tensor, texts: Tensor, draws: int = 1000, seed: int = 0) -> Tensor:
    """The mean over samples, and its means over resampled texts; NaN values do not count.

    Args:
        values: [samples, size].
        texts: [samples], the text of each.
        draws: Resamples.
        seed: Of the resamples, which are those of ``poisson_weights``.

    Returns:
        [1 + draws, size] in float64; NaN where nothing is known.
    """
    once = torch.ones(1, len(texts), dtype=torch.float64, device=texts.device)
    weights = torch.cat([once, poisson_weights(texts, draws, seed)])
    return (weights @ values.double().nan_to_num()) / (weights @ (~values.isnan()).double())


def percentile_interval(draws: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """The quantiles between which resampled values [draws, ...] lie with this share; NaN draws do not count."""
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=draws.dtype, device=draws.device)
    low, high = torch.nanquantile(draws, tails, dim=0)
    return low, high


def bootstrap_p(differences: Tensor) -> Tensor:
    """Two-sided p of a difference being 0: the level at which its percentile interval would begin to hold 0.

    Args:
        differences: [draws, ...], resampled.

    Returns:
        [...], at least 2 / (1 + draws); NaN where no draw is a number.
    """
    above, below = (differences >= 0).double().sum(dim=0), (differences <= 0).double().sum(dim=0)
    known = (~differences.isnan()).double().sum(dim=0)
    p = (2 * (1 + torch.minimum(above, below)) / (1 + known)).clamp(max=1)
    return torch.where(known > 0, p, torch.nan)


def half_samples(texts: Tensor, halves: int = 20, seed: int = 0) -> list[Tensor]:
    """Rows of the samples of half of the texts, drawn without replacement, several times.

    For statistics that ties ruin, which a bootstrap makes. At half the size the deviation between draws is the standard
    error at the full size: the larger variance and the overlap of the draws cancel.

    Args:
        texts: [samples], the text of each.
        halves: How many draws.
        seed: Of the draws.

    Returns:
        Rows of each draw, ascending.
    """
    distinct = texts.cpu().unique()
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(distinct), generator=generator) for _ in range(halves)]
    chosen = [distinct[order[: (len(distinct) + 1) // 2]] for order in orders]
    return [torch.isin(texts.cpu(), some).nonzero().flatten() for some in chosen]


def standard_error_interval(value: Tensor, draws: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """The value, less and plus its standard error by resamples [draws, ...] times Student's t.

    For statistics whose resamples are off in the mean, as noisier estimates are, so that quantiles miss the value.
    Draws that are NaN do not count; NaN with fewer than two.
    """
    known = (~draws.isnan()).sum(dim=0)
    squares = (draws - draws.nanmean(dim=0)).square().nansum(dim=0)
    freedom = (known - 1).clamp(min=1)
    quantile = torch.from_numpy(np.asarray(student.ppf((1 + level) / 2, freedom.cpu()))).to(draws.device)
    half = torch.where(known > 1, quantile * (squares / freedom).sqrt(), torch.nan)
    return value - half, value + half

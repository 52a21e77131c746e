"""How much do the first components keep? (Figures 4B and 4C)"""

from collections.abc import Callable

import torch
from torch import Tensor

from rs_cae.callbacks.verdicts import Verdict, with_sentence
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.resampling import jackknife_interval
from rs_cae.dynamics.variance import total_deviation
from rs_cae.results import Findings, Headline

MANY = 100
"""Components of Figure 4C."""

BEYOND_CHANCE = Verdict(
    null="as many random directions keep",
    above="the variance lies along few directions",
    undecided="not told apart from random directions",
    below="less than random directions keep",
)


def component_findings(targets: Moments, coefficients: Moments, scale: Tensor, shared: bool) -> Findings:
    """Explained variance by the number of components; nothing where there are none.

    The reconstruction from the first k of some orthonormal coordinates leaves the variance along the others, so its
    explained variance is that along the first k over that of the states.

    Args:
        targets: Of the standardized states, [groups of texts, sublayers, width].
        coefficients: Of their coordinates, [groups, sublayers, components].
        scale: [sublayers], by which states were divided.
        shared: Whether all sublayers have the same directions.
    """
    found = Findings()
    if coefficients.mean.shape[-1]:
        _add_cumulative(found, targets, coefficients, 1 / scale[:, None])
        if shared:
            _add_share_over_depth(found, targets, coefficients)
        _add_by_sublayer(found, targets, coefficients)
    return found


def _add_cumulative(found: Findings, targets: Moments, coefficients: Moments, raw: Tensor) -> None:
    """The curve over components; ``raw`` leads back to the units of the activations."""

    def pooled(states: Moments, along: Moments) -> Tensor:
        kept = along.rescaled(raw).squared_deviations.sum(dim=1)
        return kept.cumsum(dim=1) / states.rescaled(raw).squared_deviations.sum(dim=(1, 2))[:, None]

    width, components = targets.mean.shape[-1], coefficients.mean.shape[-1]
    chance = torch.arange(1, components + 1, dtype=torch.float64) / width
    value, interval = _with_interval(pooled, targets, coefficients)
    meaning = "explained variance with so many components, pooled over sublayers, raw units"
    found.add_with_interval("cumulative_explained_variance", "component", value, interval, meaning, null=chance)
    many = min(MANY, width)
    if components >= many and many < width:  # all directions keep all
        low, high = (float(end[many - 1]) for end in interval)
        headline = Headline(float(value[many - 1]), "1", low, high, null=many / width)
        subject = f"Explained variance with {many} of {width} components"
        found.headlines["explained_variance_100_pooled"] = with_sentence(headline, subject, BEYOND_CHANCE)


def _add_share_over_depth(found: Findings, targets: Moments, coefficients: Moments) -> None:
    """The usual curve of a PCA, about the grand mean over texts and sublayers."""

    def over_depth(states: Moments, along: Moments) -> Tensor:
        return total_deviation(along).cumsum(dim=1) / total_deviation(states).sum(dim=1, keepdim=True)

    value, interval = _with_interval(over_depth, targets, coefficients)
    meaning = "share of the variance over texts and sublayers with so many components, standardized units"
    found.add_with_interval("cumulative_variance_share", "component", value, interval, meaning)


def _add_by_sublayer(found: Findings, targets: Moments, coefficients: Moments) -> None:
    """Explained variance with 100 components, or with all that a narrower stream has; nothing if fewer were kept."""
    width = targets.mean.shape[-1]
    many = min(MANY, width)
    if coefficients.mean.shape[-1] < many:
        return

    def by_sublayer(states: Moments, along: Moments) -> Tensor:
        return along.squared_deviations[..., :many].sum(dim=-1) / states.squared_deviations.sum(dim=-1)

    value, interval = _with_interval(by_sublayer, targets, coefficients)
    chance = torch.full_like(value, many / width)
    meaning = f"explained variance with {many} components"
    found.add_with_interval("explained_variance_100", "sublayer", value, interval, meaning, null=chance)


def _with_interval(
    statistic: Callable[[Moments, Moments], Tensor], targets: Moments, coefficients: Moments
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """A statistic of the whole test set, and its jackknife interval."""
    value = statistic(targets.pooled(), coefficients.pooled()).squeeze(0)
    return value, jackknife_interval(value, statistic(targets.leave_one_out(), coefficients.leave_one_out()))

"""How much a unit's activation says of the next one (Figures 1G and 1H)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rs_cae import processes
from rs_cae.callbacks.depth import WITHOUT_EMBEDDING, part_mean
from rs_cae.callbacks.verdicts import Verdict, with_sentence
from rs_cae.dynamics.estimators import Estimator
from rs_cae.dynamics.information import information_of_unrelated_updates, mutual_information, tied_share
from rs_cae.dynamics.resampling import half_samples, standard_error_interval
from rs_cae.results import Findings, Headline

INTERVAL_UNITS = 256
"""Units behind intervals, at most; so few leave the mean over units sharp enough."""

DROPS = Verdict(
    null="unrelated updates of that size",
    above="a larger fall than theirs",
    undecided="not told apart from theirs",
    below="a smaller fall than theirs",
)


class Estimates(NamedTuple):
    """What an ``InformationPlan`` gives.

    Attributes:
        whole: [transitions, units], of all samples.
        halves: [half-samples, transitions], means over some units of each half-sample.
        null: [transitions], the mean over units if updates were unrelated to states.
    """

    whole: Tensor
    halves: Tensor
    null: Tensor


class InformationPlan:
    """The estimates that are to be made, and how much work they are.

    Args:
        trajectories: [samples, sublayers, units], of the units that were chosen.
        texts: [samples], the text of each.
        estimator: Of mutual information.
        halves: Half-samples behind the intervals.
        seed: Of the half-samples, of the units behind intervals, and of the exchange of updates.
    """

    def __init__(self, trajectories: Tensor, texts: Tensor, estimator: Estimator, halves: int, seed: int) -> None:
        self.trajectories, self.estimator, self.seed = trajectories, estimator, seed
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randperm(trajectories.shape[2], generator=generator)[:INTERVAL_UNITS]
        self.some = drawn.sort().values.to(trajectories.device)
        self.half_rows = half_samples(texts, halves, seed)

    @property
    def work(self) -> int:
        """Units to go through, by this process."""
        every, some = (len(range(count)[_own()]) for count in (self.trajectories.shape[2], len(self.some)))
        return every + some * (len(self.half_rows) + 1)

    def run(self, progress: Callable[[int], object]) -> Estimates:
        """Estimate.

        Args:
            progress: Called with the number of units that are done.
        """

        def measured(part: Tensor) -> Tensor:
            return mutual_information(part, self.estimator, progress)

        def unrelated(part: Tensor) -> Tensor:
            return information_of_unrelated_updates(part, self.estimator, self.seed, progress)

        some = self.trajectories[:, :, self.some]
        whole = _shared(self.trajectories, measured)
        halves = [_shared(some[rows.to(some.device)], measured).nanmean(dim=1) for rows in self.half_rows]
        # some units stand for all: what they have more than the mean of all, their null has too
        excess = whole[:, self.some].nanmean(dim=1) - whole.nanmean(dim=1)
        return Estimates(whole, torch.stack(halves), _shared(some, unrelated).nanmean(dim=1) - excess)


def information_findings(
    plan: InformationPlan, units: Tensor, width: int, progress: Callable[[int], object]
) -> Findings:
    """Mutual information between successive sublayers, its mean over units, and its drop with depth.

    Args:
        plan: Of the estimates.
        units: [chosen units], ascending.
        width: Units of the stream.
        progress: Called with the number of units that are done.
    """
    found, estimates = Findings(), plan.run(progress)
    curve = estimates.whole.nanmean(dim=1)
    whole = _spread(estimates.whole, units, width)
    meaning = "mutual information of successive activations"
    found.add("mutual_information", "transition unit", whole, meaning, "nat")
    interval = standard_error_interval(curve, estimates.halves)
    words = f"{meaning}, mean over units"
    found.add_with_interval("mutual_information_mean", "transition", curve, interval, words, "nat", estimates.null)
    ties = _spread(tied_share(plan.trajectories), units, width)
    found.add("tied_share", "sublayer unit", ties, "share of samples whose value another has too")
    for suffix, start in (("", "first third"), (WITHOUT_EMBEDDING, "first third without the step from the embedding")):
        values = (_drop(part, suffix) for part in (curve, estimates.halves, estimates.null))
        headline = _drop_headline(*values)
        subject = f"Mutual information ({plan.estimator}) of successive activations, {start} less last third of depth"
        found.headlines[f"mutual_information_drop{suffix}"] = with_sentence(headline, subject, DROPS)
    return found


def _drop(curve: Tensor, suffix: str) -> Tensor:
    """The first third of depth less the last, of curves [..., transitions]."""
    return part_mean(curve, f"first_third{suffix}") - part_mean(curve, "last_third")


def _drop_headline(value: Tensor, halves: Tensor, null: Tensor) -> Headline:
    low, high = standard_error_interval(value, halves)
    return Headline(float(value), "nat", float(low), float(high), float(null))


def _own() -> slice:
    """The units that are this process's share."""
    return slice(processes.rank(), None, processes.world_size())


def _shared(trajectories: Tensor, estimate: Callable[[Tensor], Tensor]) -> Tensor:
    """An estimate [transitions, units] to which each process contributes some units."""
    transitions, units = trajectories.shape[1] - 1, trajectories.shape[2]
    whole = torch.zeros(transitions, units, dtype=torch.float64, device=trajectories.device)
    own = trajectories[:, :, _own()]
    if own.numel():
        whole[:, _own()] = estimate(own)
    return processes.total(whole)


def _spread(values: Tensor, units: Tensor, width: int) -> Tensor:
    """Values [..., chosen units] among all units, NaN for the rest."""
    whole = values.new_full((*values.shape[:-1], width), torch.nan)
    whole[..., units.to(values.device)] = values
    return whole

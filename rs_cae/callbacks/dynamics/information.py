"""How much a unit's activation says of the next one (Figures 1G and 1H)."""

from collections.abc import Callable

import torch
from torch import Tensor

from rs_cae import processes
from rs_cae.callbacks.dynamics.depth import WITHOUT_EMBEDDING, third_mean
from rs_cae.callbacks.verdicts import Verdict, sentence
from rs_cae.dynamics.estimators import Estimator
from rs_cae.dynamics.information import information_of_unrelated_updates, mutual_information, tied_share
from rs_cae.dynamics.resampling import deviation_interval, half_samples
from rs_cae.results import Findings, Headline

INTERVAL_UNITS = 256
"""Units behind intervals, at most; so few leave the mean over units sharp enough."""

DROPS = Verdict(
    null="unrelated updates of that size",
    above="it falls more than theirs would",
    level="it changes as theirs would",
    below="it falls less than theirs would",
)


class InformationPlan:
    """The estimates that are to be made, and how much work each is.

    Args:
        trajectories: [samples, sublayers, units], of the units that were chosen.
        texts: [samples], the text of each.
        estimator: Of mutual information.
        halves: Half-samples behind the intervals.
        seed: Of the half-samples and of the exchange of updates.
    """

    def __init__(self, trajectories: Tensor, texts: Tensor, estimator: Estimator, halves: int, seed: int) -> None:
        self.trajectories, self.estimator, self.seed = trajectories, estimator, seed
        self.some = trajectories[:, :, :INTERVAL_UNITS]
        self.halves = half_samples(texts, halves, seed)

    @property
    def work(self) -> int:
        """Units to go through, by this process."""
        each = [part[:, :, _own()].shape[2] for part in (self.trajectories, self.some)]
        return each[0] + each[1] * (len(self.halves) + 1)

    def run(self, progress: Callable[[int], object]) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate.

        Args:
            progress: Called with the number of units that are done.

        Returns:
            [transitions, units], of all samples; [halves, transitions], means over some units of each half-sample;
            [transitions], the mean over those units if updates were unrelated to states.
        """
        estimator = self.estimator
        whole = _shared(self.trajectories, lambda part: mutual_information(part, estimator, progress))
        halves = [
            _shared(self.some[rows.to(self.some.device)], lambda part: mutual_information(part, estimator, progress))
            for rows in self.halves
        ]
        unrelated = _shared(
            self.some, lambda part: information_of_unrelated_updates(part, estimator, self.seed, progress)
        )
        return whole, torch.stack(halves).nanmean(dim=2), unrelated.nanmean(dim=1)


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
    found = Findings()
    information, halves, null = plan.run(progress)
    curve = information.nanmean(dim=1)
    low, high = deviation_interval(curve, halves)
    whole = _spread(information, units, width)
    found.add("mutual_information", "transition unit", whole, "mutual information of successive activations", "nat")
    found.add("mutual_information_mean", "transition", curve, "mutual information, mean over units", "nat")
    found.add("mutual_information_mean_low", "transition", low, "its lower end, 95 % by half-samples", "nat")
    found.add("mutual_information_mean_high", "transition", high, "its upper end", "nat")
    meaning = "mutual information if updates were unrelated to states"
    found.add("mutual_information_mean_null", "transition", null, meaning, "nat")
    ties = _spread(tied_share(plan.trajectories), units, width)
    found.add("tied_share", "sublayer unit", ties, "share of samples whose value another has too")
    for skip_first in (False, True):
        _add_drop(found, curve, halves, null, skip_first)
    return found


def _add_drop(found: Findings, curve: Tensor, halves: Tensor, null: Tensor, skip_first: bool) -> None:
    """The first third of depth less the last, against the same if updates were unrelated to states."""

    def drop(values: Tensor) -> Tensor:
        return third_mean(values, "first", skip_first) - third_mean(values, "last")

    value, expected = float(drop(curve)), float(drop(null))
    low, high = (float(end) for end in deviation_interval(drop(curve), drop(halves)))
    depth = f"first third of depth{', without the step from the embedding,' if skip_first else ''} less last third"
    subject = f"Mutual information of successive activations, {depth}"
    words = sentence(subject, value, low, high, expected, None, DROPS, "nat")
    suffix = WITHOUT_EMBEDDING if skip_first else ""
    found.headlines[f"mutual_information_drop{suffix}"] = Headline(value, "nat", low, high, expected, sentence=words)


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

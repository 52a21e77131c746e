"""What a study of displaced streams found, as variables: means over prompts, with their intervals."""

from typing import NamedTuple

import torch
from torch import Tensor

from rs_cae.callbacks.verdicts import LEAST_TEXTS
from rs_cae.dynamics.resampling import resampled_mean, standard_error_interval
from rs_cae.results import Findings

UNRELATED = "each sublayer has a latent space of its own: no arrow leads from one to another"

MEASURES = {
    "recovery": "share of a displacement that is gone after the steps, in full width",
    "recovery_direction": "share of a displacement that is gone after the steps, of states divided by their norms",
    "recovery_plane": "share of a displacement that is gone after the steps, in the latent space",
    "kl": "sum of p log(p / q) over next tokens, p of the control, q of the displaced stream",
}
"""What displacements are judged by."""

UNITS = {"kl": "nat"}
ENTRIES_AT_ONCE = 4096


class PromptBootstrap(NamedTuple):
    """Means over prompts and over resampled prompts.

    Attributes:
        texts: [prompts], the text of each; prompts of one text are drawn together.
        draws: Resamples.
        seed: Of the resamples.
    """

    texts: Tensor
    draws: int
    seed: int

    def means(self, values: Tensor) -> Tensor:
        """Means [1 + draws, ...] of values [prompts, ...], then of resampled ones: NaN if there are too few texts."""
        flat = values.double().reshape(len(values), -1)
        means = resampled_mean(flat, self.texts, self.draws, self.seed)
        if len(self.texts.unique()) < LEAST_TEXTS:
            means[1:] = torch.nan
        return means.reshape(-1, *values.shape[1:])

    def interval(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean of values [prompts, ...] that are known, and the ends of its 95 % interval."""
        parts = []
        for part in values.reshape(len(values), -1).split(ENTRIES_AT_ONCE, dim=1):
            means = self.means(part)
            parts.append(torch.stack([means[0], *standard_error_interval(means[0], means[1:])]))
        mean, low, high = torch.cat(parts, dim=1).reshape(3, *values.shape[1:])
        return mean, low, high


def perturbation_variables(results: dict[str, Tensor], prompts: PromptBootstrap, points: Tensor) -> Findings:
    """Where displaced streams lead, and how much of the displacements is gone.

    Args:
        results: Of ``teleport.Study``.
        prompts: Whose they are.
        points: [points, axes] of the reduced plane.
    """
    found = Findings()
    add = _Adder(found, results, prompts)
    _add_plane(add, points)
    for name, meaning in MEASURES.items():
        if name not in results:
            continue
        unit = UNITS.get(name, "1")
        add(name, "injection grid", meaning, unit)
        add(f"{name}_random", "injection grid", f"{meaning}: random displacements as large", unit)
        add(f"{name}_mean", "injection", f"{meaning}: pooled over the grid", unit)
        add(f"{name}_random_mean", "injection", f"{meaning}: over random displacements as large", unit)
        add(f"{name}_uncorrected_mean", "injection", f"{meaning}: were displacements carried along", unit)
    meaning = "1 - spread of the points about their mean after the steps / before, in the plane"
    add("contraction_mean", "injection", meaning)
    add("contraction_uncorrected_mean", "injection", f"{meaning}: were displacements carried along")
    by_step, by_size = "share of a displacement that is gone after each step", "by size relative to the state's norm"
    add("recovery_by_step", "injection step", f"{by_step}, in full width")
    add("recovery_random_by_step", "injection step", f"{by_step}, in full width: random displacements as large")
    add("dose_recovery", "injection displaced size", f"{MEASURES['recovery']}, {by_size}")
    if "dose_kl" in results:
        add("dose_kl", "injection displaced size", f"{MEASURES['kl']}, {by_size}", "nat")
    if "recovery_untrained_mean" in results:
        meaning = "recovery of the same relative displacements in the untrained model"
        add("recovery_untrained_mean", "injection", meaning)
    return found


class _Adder(NamedTuple):
    """Adds a variable of the same name as what was found, with its interval."""

    found: Findings
    results: dict[str, Tensor]
    prompts: PromptBootstrap

    def __call__(self, name: str, dimensions: str, meaning: str, unit: str = "1", note: str = "") -> None:
        mean, low, high = self.prompts.interval(self.results[name])
        self.found.add_with_interval(name, dimensions, mean, (low, high), meaning, unit, note=note)


def _add_plane(add: _Adder, points: Tensor) -> None:
    """Where displaced streams lead in the latent space."""
    found, results = add.found, add.results
    bottleneck = results["control"].shape[-1]
    on_plane = torch.full((len(points), bottleneck), torch.nan, dtype=torch.float64)
    on_plane[:, : points.shape[1]] = points
    beyond = "latents beyond the first two are the control's own" if bottleneck > points.shape[1] else ""
    found.add("points", "grid latent", on_plane, "points of the reduced plane", "latent unit", beyond)
    note = UNRELATED if bool(results["latents"].isnan().all()) else ""
    where, unit = "injection grid step latent", "latent unit"
    found.add("control", "sublayer latent", results["control"].nanmean(dim=0), "latents of the stream left alone", unit)
    found.add("trajectories", where, results["latents"].nanmean(dim=0), "latents of displaced streams", unit, note)
    along, arrows = "injection grid latent", "arrows: latents after the last step less those at the injection"
    add("displacement", along, arrows, unit, note)
    uncorrected = "arrows, were displacements carried along as they are"
    found.add(
        "displacement_uncorrected", along, results["displacement_uncorrected"].nanmean(dim=0), uncorrected, unit, note
    )

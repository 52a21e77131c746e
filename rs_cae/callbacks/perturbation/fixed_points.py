"""Is there an attractor? Divergence and fixed points of the field of arrows, and whether they persist."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rs_cae.callbacks.perturbation.variables import PromptBootstrap
from rs_cae.dynamics.flow import KINDS, FixedPoints, fixed_points, grid_spacing, mean_divergence, persistence
from rs_cae.dynamics.resampling import standard_error_interval
from rs_cae.results import Findings, Headline

LEAST_PROMPTS = 50
"""With fewer it is not known whether a fixed point would be there with other prompts."""

PERSISTENT = 0.95
"""Share of resamples of the prompts in which a fixed point must be there to count."""


class Fields(NamedTuple):
    """Of one injection, or of several one after the other.

    Attributes:
        divergence: [1 + draws, fields], of the mean field of all prompts, then of resampled ones.
        points: Of the mean fields, their batch the field.
        persistence: [zeros].
        prompt_share: [zeros], of the single prompts that have it.
    """

    divergence: Tensor
    points: FixedPoints
    persistence: Tensor
    prompt_share: Tensor

    @classmethod
    def of(cls, places: Tensor, arrows: Tensor, prompts: PromptBootstrap) -> "Fields":
        """One field, of arrows [prompts, rows, columns, 2] (or [prompts, points, 1]) that begin at these places."""
        mean_places, mean_arrows = prompts.means(torch.stack([places, arrows], dim=1)).unbind(dim=1)
        divergence = mean_divergence(mean_places, mean_arrows)
        points, spacing = fixed_points(mean_places[:1], mean_arrows[:1]), grid_spacing(mean_places[0])
        resampled, single = fixed_points(mean_places[1:], mean_arrows[1:]), fixed_points(places, arrows)
        persistent = persistence(points, resampled, prompts.draws, spacing)
        persistent = persistent if _enough(prompts) else torch.full_like(persistent, torch.nan)
        share = persistence(points, single, len(places), spacing)
        return cls(divergence[:, None], points, persistent, share)

    @classmethod
    def join(cls, fields: list["Fields"]) -> "Fields":
        """Several, one after the other."""
        points = [of.points._replace(batch=of.points.batch + number) for number, of in enumerate(fields)]
        return cls(
            torch.cat([of.divergence for of in fields], dim=1),
            FixedPoints(*map(torch.cat, zip(*points, strict=True))),
            torch.cat([of.persistence for of in fields]),
            torch.cat([of.prompt_share for of in fields]),
        )


def fields_of(results: dict[str, Tensor], arrows: str, prompts: PromptBootstrap, axes: int) -> Fields:
    """The field of each injection.

    Args:
        results: Of ``teleport.Study``.
        arrows: Name of those that are meant.
        prompts: Whose they are.
        axes: Latents that the grid spans.
    """
    places, moved = results["latents"][..., 0, :axes], results[arrows][..., :axes]
    size = round(places.shape[2] ** (1 / axes))
    grid = [size] * axes
    injections = zip(places.unbind(dim=1), moved.unbind(dim=1), strict=True)
    return Fields.join([Fields.of(a.unflatten(1, grid), b.unflatten(1, grid), prompts) for a, b in injections])


def field_findings(results: dict[str, Tensor], prompts: PromptBootstrap, axes: int, labels: list[str]) -> Findings:
    """Divergence and fixed points of the arrows, and of those that there would be without any correction.

    Args:
        results: Of ``teleport.Study``.
        prompts: Whose they are.
        axes: Latents that the grid spans.
        labels: Of the injections.
    """
    found = Findings()
    field = fields_of(results, "displacement", prompts, axes)
    uncorrected = fields_of(results, "displacement_uncorrected", prompts, axes)
    interval = standard_error_interval(field.divergence[0], field.divergence[1:])
    meaning = "mean divergence of the arrows, along the first two latents"
    found.add_with_interval("divergence", "injection", field.divergence[0], interval, meaning)
    found.add(
        "divergence_uncorrected", "injection", uncorrected.divergence[0], f"{meaning}, were displacements carried along"
    )
    _add_fixed_points(found, field, uncorrected)
    found.headlines["stable_fixed_points"] = _stable_fixed_points(field, uncorrected, prompts, len(labels))
    return found


def _add_fixed_points(found: Findings, field: Fields, uncorrected: Fields) -> None:
    """Those of the model's arrows, then those of the others."""
    both = [field, uncorrected]
    eigenvalues = torch.cat([torch.linalg.eigvals(of.points.jacobian) for of in both])
    rows = {
        "injection": (torch.cat([of.points.batch for of in both]), "number of the injection"),
        "uncorrected": (
            torch.cat([torch.full_like(of.points.batch, of is uncorrected) for of in both]),
            "1 if only carried along",
        ),
        "persistence": (torch.cat([of.persistence for of in both]), "share of resamples of the prompts that have it"),
        "prompt_share": (torch.cat([of.prompt_share for of in both]), "share of the prompts that have it"),
    }
    for name, (values, meaning) in rows.items():
        found.add(f"fixed_point_{name}", "fixed_point", values, f"fixed point: {meaning}")
    kinds = np.array([KINDS[number] for of in both for number in of.points.kind.tolist()], dtype=str)
    found.variables["fixed_point_kind"] = (("fixed_point",), kinds, {"long_name": "fixed point: its kind"})
    places = torch.cat([of.points.place for of in both])
    found.add(
        "fixed_point_place",
        "fixed_point axis",
        places,
        "fixed point, along the first two latents: where it lies",
        "latent unit",
    )
    for part, values in (("real", eigenvalues.real), ("imaginary", eigenvalues.imag)):
        found.add(f"fixed_point_{part}", "fixed_point axis", values, f"{part} part of the Jacobian's eigenvalues")


def _stable_fixed_points(field: Fields, uncorrected: Fields, prompts: PromptBootstrap, injections: int) -> Headline:
    """Injections whose arrows have a stable fixed point that persists."""
    there = bool(field.divergence[0].isfinite().any())
    counts = [_count(of) if there and _enough(prompts) else math.nan for of in (field, uncorrected)]
    words = f"{counts[0]:.0f} of {injections}; if uncorrected {counts[1]:.0f}"
    words = words if _enough(prompts) else f"not known with fewer than {LEAST_PROMPTS} texts"
    words = words if there else "not defined here"
    subject = "Injections with a stable fixed point of the arrows, along the first two latents,"
    sentence = f"{subject} that persists when texts are resampled: {words}."
    return Headline(counts[0], "1", null=counts[1], sentence=sentence)


def _count(field: Fields) -> float:
    """Fields that have one that is stable and persists."""
    stable = torch.tensor(["stable" in kind.split() for kind in KINDS])[field.points.kind]
    return float(len(field.points.batch[stable & (field.persistence >= PERSISTENT)].unique()))


def _enough(prompts: PromptBootstrap) -> bool:
    return len(prompts.texts.unique()) >= LEAST_PROMPTS

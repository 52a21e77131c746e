"""All that a study of displaced streams says: variables, headlines, and what they are along."""

from typing import Any

import torch
import xarray as xr

from rs_cae.callbacks.perturbation.fixed_points import LEAST_PROMPTS, PERSISTENT, field_findings
from rs_cae.callbacks.perturbation.headlines import perturbation_headlines
from rs_cae.callbacks.perturbation.variables import PromptBootstrap, perturbation_variables
from rs_cae.record import Record
from rs_cae.results import depth_coordinates
from rs_cae.sublayers import SublayerLayout
from rs_cae.teleportation import SIZES, Study, Teleports

DATASET = "perturbation"


def record_study(
    record: Record, study: Study, prompts: PromptBootstrap, layout: SublayerLayout, teleports: Teleports
) -> None:
    """Hand a record what a study found.

    Args:
        record: Keeps it as the dataset ``perturbation``.
        study: To which every prompt was added.
        prompts: Whose they are, in the order of their numbers.
        layout: Of the model.
        teleports: By which the streams were displaced.
    """
    results, points = study.results(), study.spec.points.double().cpu()
    labels = [layout.labels[injection.sublayer] for injection in study.injections]
    steps_left = torch.tensor([injection.steps for injection in study.injections])
    found = perturbation_variables(results, prompts, points)
    field = field_findings(results, prompts, points.shape[1], labels)
    found.variables |= field.variables
    found.headlines |= perturbation_headlines(results, prompts, steps_left, labels) | field.headlines
    found.add("steps_left", "injection", steps_left, "sublayers that are read after the injection")
    record.add_findings(DATASET, found, _coordinates(study, layout, labels))
    how = {"way": teleports.way, "way_reason": teleports.reason}
    drawn_from = {"persistent_share": PERSISTENT, "least_prompts": LEAST_PROMPTS}
    settings = {"prompts": len(prompts.texts), "steps": study.spec.steps, "offplane": study.spec.offplane}
    record.add_variables(DATASET, xr.Dataset(attrs=settings | how | drawn_from))


def _coordinates(study: Study, layout: SublayerLayout, labels: list[str]) -> dict[str, Any]:
    names, sublayers = study.reducer.latent_names, [injection.sublayer for injection in study.injections]
    return {
        **{name: values for name, values in depth_coordinates(layout).items() if name not in ("transition", "kind")},
        "injection": ("injection", labels),
        "injection_sublayer": ("injection", sublayers),
        "injection_depth": ("injection", [sublayer / len(layout.sites) for sublayer in sublayers]),
        "step": ("step", range(study.spec.steps + 1)),
        "latent": ("latent", names),
        "axis": ("axis", names[: study.spec.points.shape[1]]),
        "displaced": ("displaced", ["random", "principal"]),
        "size": ("size", list(SIZES)),
    }

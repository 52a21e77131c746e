"""Which figures there are, and what each is drawn from."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from rs_cae.figures import (
    components,
    curvature,
    dimension,
    information,
    perturbation,
    recovery,
    recovery_lines,
    reduced_space,
    units,
    vectors,
)
from rs_cae.figures.style import Control


class Drawing(NamedTuple):
    """A figure.

    Attributes:
        dataset: Name of the dataset that it is drawn from.
        needs: Variables that this must hold.
        draw: Makes the figure, from the dataset and the same of other runs.
    """

    dataset: str
    needs: tuple[str, ...]
    draw: Callable[[xr.Dataset, Sequence[Control]], Figure]


def _with_interval(name: str) -> tuple[str, ...]:
    return name, f"{name}_low", f"{name}_high"


_SURROGATES = tuple(f"rotations_surrogate_{end}" for end in ("mean", "std"))
_TURNING = tuple(f"turning_angle_mean{of}{end}" for of in ("", "_trajectory") for end in ("", "_low", "_high", "_null"))
_UNIT_MEANS = tuple(f"rotations_surrogate_{end}" for end in ("unit_mean", "unit_mean_p"))

FIGURES = {
    "mean_activation": Drawing("dynamics", ("mean_activation",), vectors.draw_mean_activation),
    "correlation_map": Drawing("dynamics", ("correlation",), vectors.draw_correlation_map),
    "correlation_histograms": Drawing("dynamics", ("correlation",), vectors.draw_correlation_histograms),
    "correlation": Drawing("dynamics", ("correlation_mean",), vectors.draw_correlation),
    "cosine_similarity": Drawing("dynamics", ("cosine_similarity_mean",), vectors.draw_cosine_similarity),
    "velocity": Drawing("dynamics", ("velocity_mean", "relative_velocity_mean"), vectors.draw_velocity),
    "density": Drawing("dynamics", ("norm_mean", "mean_abs_mean", "participation_ratio_mean"), vectors.draw_density),
    "mutual_information_map": Drawing("dynamics", ("mutual_information",), information.draw_mutual_information_map),
    "mutual_information": Drawing("dynamics", ("mutual_information_mean",), information.draw_mutual_information),
    "portraits": Drawing("dynamics", ("mean_activation", "rotations"), units.draw_portraits),
    "rotation_distribution": Drawing(
        "dynamics", ("rotations", *_SURROGATES, *_UNIT_MEANS), units.draw_rotation_distribution
    ),
    "rotations_by_unit": Drawing("dynamics", ("rotations", *_SURROGATES), units.draw_rotations_by_unit),
    "cumulative_turning": Drawing(
        "dynamics",
        ("cumulative_turning_mean", *_with_interval("cumulative_turning_mean_null")),
        units.draw_cumulative_turning,
    ),
    "turning_angle": Drawing("dynamics", _TURNING, curvature.draw_turning_angle),
    "intrinsic_dimension": Drawing("dynamics", ("covariance_dimension", "two_nn"), dimension.draw_intrinsic_dimension),
    "mean_trajectory": Drawing(
        "latent", ("latents", "last_token_text", "mean_trajectory"), reduced_space.draw_mean_trajectory
    ),
    "layer_distance": Drawing("latent", _with_interval("layer_distance"), reduced_space.draw_layer_distance),
    "explained_variance": Drawing(
        "latent",
        (*_with_interval("explained_variance"), "explained_variance_pooled", "r2"),
        reduced_space.draw_explained_variance,
    ),
    "cumulative_explained_variance": Drawing(
        "latent",
        (*_with_interval("cumulative_explained_variance"), "cumulative_explained_variance_null"),
        components.draw_cumulative_explained_variance,
    ),
    "explained_variance_100": Drawing(
        "latent",
        (*_with_interval("explained_variance_100"), "explained_variance_100_null"),
        components.draw_explained_variance_100,
    ),
    "latent_turning_angle": Drawing("latent", _TURNING, curvature.draw_latent_turning_angle),
    "perturbation_field": Drawing(
        "perturbation",
        ("displacement", "trajectories", "control", "steps_left"),
        perturbation.draw_perturbation_field,
    ),
    "recovery": Drawing("perturbation", ("recovery_mean", "steps_left"), recovery.draw_recovery),
    "recovery_by_step": Drawing(
        "perturbation", ("recovery_by_step", "steps_left"), recovery_lines.draw_recovery_by_step
    ),
    "dose_response": Drawing("perturbation", ("dose_recovery", "steps_left"), recovery_lines.draw_dose_response),
}
"""By name, in the order of the paper."""


def drawable(datasets: Mapping[str, xr.Dataset]) -> dict[str, Drawing]:
    """The figures that can be drawn: those whose variables are there, and not empty.

    Args:
        datasets: By name.
    """
    return {
        name: drawing
        for name, drawing in FIGURES.items()
        if drawing.dataset in datasets and all(_holds(datasets[drawing.dataset], need) for need in drawing.needs)
    }


def _holds(dataset: xr.Dataset, name: str) -> bool:
    return name in dataset and dataset[name].size > 0

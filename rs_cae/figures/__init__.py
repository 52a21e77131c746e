"""Datasets to matplotlib figures: a few figures of the paper a file, all of them in the catalogue."""

from rs_cae.figures.catalogue import FIGURES, Drawing, drawable
from rs_cae.figures.components import draw_cumulative_explained_variance, draw_explained_variance_100
from rs_cae.figures.curvature import draw_latent_turning_angle, draw_turning_angle
from rs_cae.figures.dimension import draw_intrinsic_dimension
from rs_cae.figures.information import draw_mutual_information, draw_mutual_information_map
from rs_cae.figures.perturbation import draw_perturbation_field
from rs_cae.figures.recovery import draw_recovery
from rs_cae.figures.recovery_lines import draw_dose_response, draw_recovery_by_step
from rs_cae.figures.reduced_space import draw_explained_variance, draw_layer_distance, draw_mean_trajectory
from rs_cae.figures.style import Control
from rs_cae.figures.sweep import draw_sweep
from rs_cae.figures.units import (
    draw_cumulative_turning,
    draw_portraits,
    draw_rotation_distribution,
    draw_rotations_by_unit,
)
from rs_cae.figures.vectors import (
    draw_correlation,
    draw_correlation_histograms,
    draw_correlation_map,
    draw_cosine_similarity,
    draw_density,
    draw_mean_activation,
    draw_velocity,
)

__all__ = [
    "FIGURES",
    "Control",
    "Drawing",
    "draw_correlation",
    "draw_correlation_histograms",
    "draw_correlation_map",
    "draw_cosine_similarity",
    "draw_cumulative_explained_variance",
    "draw_cumulative_turning",
    "draw_density",
    "draw_dose_response",
    "draw_explained_variance",
    "draw_explained_variance_100",
    "draw_intrinsic_dimension",
    "draw_latent_turning_angle",
    "draw_layer_distance",
    "draw_mean_activation",
    "draw_mean_trajectory",
    "draw_mutual_information",
    "draw_mutual_information_map",
    "draw_perturbation_field",
    "draw_portraits",
    "draw_recovery",
    "draw_recovery_by_step",
    "draw_rotation_distribution",
    "draw_rotations_by_unit",
    "draw_sweep",
    "draw_turning_angle",
    "draw_velocity",
    "drawable",
]

"""Pure functions of trajectories: tensors in, tensors out; no files, no models, no training."""

from rs_cae.dynamics.alignment import align_sublayers
from rs_cae.dynamics.correlation import (
    TransitionMoments,
    correlation,
    correlation_of_unrelated_updates,
    update_correlation,
)
from rs_cae.dynamics.covariance import PrincipalAxes, Scatter, principal_axes
from rs_cae.dynamics.curvature import (
    RearrangedSteps,
    angles_between_steps,
    expected_turning_angle,
    flipped_straightness,
    rearranged_steps,
    reordered_turning_angle,
    steps_gram,
    straightness,
    tortuosity,
    turning_angle,
)
from rs_cae.dynamics.dimension import (
    Dimensions,
    covariance_dimension,
    intrinsic_dimensions,
    two_nn,
    two_nn_of_gaussians,
)
from rs_cae.dynamics.exchange import cosine_beyond_exchange, exchange_order, exchange_updates
from rs_cae.dynamics.flow import (
    KINDS,
    FixedPoints,
    fixed_points,
    grid_spacing,
    jacobians,
    mean_divergence,
    persistence,
)
from rs_cae.dynamics.information import information_of_unrelated_updates, mutual_information, tied_share
from rs_cae.dynamics.kinematics import (
    Kinematics,
    layer_distance,
    norm_outliers,
    participation_ratio_of_noise,
    velocity,
)
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.recovery import direction_distances, distances, kl_divergence, pooled_recovery, recovery
from rs_cae.dynamics.resampling import (
    bootstrap_mean_interval,
    bootstrap_p,
    half_samples,
    jackknife_interval,
    jackknife_p,
    percentile_interval,
    poisson_weights,
    resampled_mean,
    standard_error_interval,
)
from rs_cae.dynamics.rotations import gradient, portrait, rotation_count, turning
from rs_cae.dynamics.significance import Comparison, benjamini_hochberg, compare_with_surrogate, two_sided_p
from rs_cae.dynamics.surrogates import SURROGATES, surrogate_counts, surrogate_turning
from rs_cae.dynamics.variance import explained_variance, explained_variance_pooled, r2, r2_of_sublayer_means, r2_pooled

__all__ = [
    "KINDS",
    "SURROGATES",
    "Comparison",
    "Dimensions",
    "FixedPoints",
    "Kinematics",
    "Moments",
    "PrincipalAxes",
    "RearrangedSteps",
    "Scatter",
    "TransitionMoments",
    "align_sublayers",
    "angles_between_steps",
    "benjamini_hochberg",
    "bootstrap_mean_interval",
    "bootstrap_p",
    "compare_with_surrogate",
    "correlation",
    "correlation_of_unrelated_updates",
    "cosine_beyond_exchange",
    "covariance_dimension",
    "direction_distances",
    "distances",
    "exchange_order",
    "exchange_updates",
    "expected_turning_angle",
    "explained_variance",
    "explained_variance_pooled",
    "fixed_points",
    "flipped_straightness",
    "gradient",
    "grid_spacing",
    "half_samples",
    "information_of_unrelated_updates",
    "intrinsic_dimensions",
    "jackknife_interval",
    "jackknife_p",
    "jacobians",
    "kl_divergence",
    "layer_distance",
    "mean_divergence",
    "mutual_information",
    "norm_outliers",
    "participation_ratio_of_noise",
    "percentile_interval",
    "persistence",
    "poisson_weights",
    "pooled_recovery",
    "portrait",
    "principal_axes",
    "r2",
    "r2_of_sublayer_means",
    "r2_pooled",
    "rearranged_steps",
    "recovery",
    "reordered_turning_angle",
    "resampled_mean",
    "rotation_count",
    "standard_error_interval",
    "steps_gram",
    "straightness",
    "surrogate_counts",
    "surrogate_turning",
    "tied_share",
    "tortuosity",
    "turning",
    "turning_angle",
    "two_nn",
    "two_nn_of_gaussians",
    "two_sided_p",
    "update_correlation",
    "velocity",
]

"""Pure functions of trajectories: tensors in, tensors out; no files, no models, no training."""

from rs_cae.dynamics.correlation import (
    TransitionMoments,
    correlation,
    correlation_of_unrelated_updates,
    update_correlation,
)
from rs_cae.dynamics.exchange import cosine_beyond_exchange, exchange_order, exchange_updates
from rs_cae.dynamics.information import information_of_unrelated_updates, mutual_information, tied_share
from rs_cae.dynamics.kinematics import (
    Kinematics,
    layer_distance,
    norm_outliers,
    participation_ratio_of_noise,
    velocity,
)
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.resampling import (
    bootstrap_mean_interval,
    bootstrap_p,
    half_samples,
    jackknife_interval,
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
    "SURROGATES",
    "Comparison",
    "Kinematics",
    "Moments",
    "TransitionMoments",
    "benjamini_hochberg",
    "bootstrap_mean_interval",
    "bootstrap_p",
    "compare_with_surrogate",
    "correlation",
    "correlation_of_unrelated_updates",
    "cosine_beyond_exchange",
    "exchange_order",
    "exchange_updates",
    "explained_variance",
    "explained_variance_pooled",
    "gradient",
    "half_samples",
    "information_of_unrelated_updates",
    "jackknife_interval",
    "layer_distance",
    "mutual_information",
    "norm_outliers",
    "participation_ratio_of_noise",
    "percentile_interval",
    "poisson_weights",
    "portrait",
    "r2",
    "r2_of_sublayer_means",
    "r2_pooled",
    "resampled_mean",
    "rotation_count",
    "standard_error_interval",
    "surrogate_counts",
    "surrogate_turning",
    "tied_share",
    "turning",
    "two_sided_p",
    "update_correlation",
    "velocity",
]

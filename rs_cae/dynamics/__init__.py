"""Pure functions of trajectories: tensors in, tensors out; no files, no models, no training."""

from rs_cae.dynamics.correlation import TransitionMoments, correlation, correlation_of_unrelated_updates
from rs_cae.dynamics.information import (
    binned,
    gaussian,
    information_of_unrelated_updates,
    ksg,
    mutual_information,
    tied_share,
)
from rs_cae.dynamics.kinematics import Kinematics, layer_distance, norm_outliers, velocity
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.resampling import (
    bootstrap_mean_interval,
    deviation_interval,
    half_samples,
    jackknife_interval,
    percentile_interval,
    poisson_weights,
)
from rs_cae.dynamics.rotations import gradient, portrait, rotation_count, turning
from rs_cae.dynamics.surrogates import SURROGATES, benjamini_hochberg, compare, surrogate_counts, two_sided_p
from rs_cae.dynamics.variance import explained_variance, explained_variance_pooled, r2, r2_pooled

__all__ = [
    "SURROGATES",
    "Kinematics",
    "Moments",
    "TransitionMoments",
    "benjamini_hochberg",
    "binned",
    "bootstrap_mean_interval",
    "compare",
    "correlation",
    "correlation_of_unrelated_updates",
    "deviation_interval",
    "explained_variance",
    "explained_variance_pooled",
    "gaussian",
    "gradient",
    "half_samples",
    "information_of_unrelated_updates",
    "jackknife_interval",
    "ksg",
    "layer_distance",
    "mutual_information",
    "norm_outliers",
    "percentile_interval",
    "poisson_weights",
    "portrait",
    "r2",
    "r2_pooled",
    "rotation_count",
    "surrogate_counts",
    "tied_share",
    "turning",
    "two_sided_p",
    "velocity",
]

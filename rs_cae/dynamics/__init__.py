"""Pure functions of trajectories: tensors in, tensors out; no files, no models, no training."""

from rs_cae.dynamics.kinematics import layer_distance, norm_outliers, velocity
from rs_cae.dynamics.moments import Moments
from rs_cae.dynamics.resampling import bootstrap_mean_interval, jackknife_interval
from rs_cae.dynamics.variance import explained_variance, explained_variance_pooled, r2, r2_pooled

__all__ = [
    "Moments",
    "bootstrap_mean_interval",
    "explained_variance",
    "explained_variance_pooled",
    "jackknife_interval",
    "layer_distance",
    "norm_outliers",
    "r2",
    "r2_pooled",
    "velocity",
]

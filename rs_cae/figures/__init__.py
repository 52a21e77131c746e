"""Arrays to matplotlib figures: one file per figure of the paper."""

from rs_cae.figures.reduced_space import draw_explained_variance, draw_layer_distance, draw_mean_trajectory

__all__ = ["draw_explained_variance", "draw_layer_distance", "draw_mean_trajectory"]

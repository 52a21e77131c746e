"""Maps between states of the residual stream and a few latents."""

from rs_cae.reducers.autoencoder import CompressingAutoencoder, geometric_widths
from rs_cae.reducers.base import Reducer
from rs_cae.reducers.standardizer import Standardization, Standardizer

__all__ = ["CompressingAutoencoder", "Reducer", "Standardization", "Standardizer", "geometric_widths"]

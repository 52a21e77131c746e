"""Maps between states of the residual stream and a few latents."""

from rs_cae.reducers.autoencoder import CompressingAutoencoder, geometric_widths, halving_widths
from rs_cae.reducers.base import Reducer, Scope
from rs_cae.reducers.pca import PrincipalComponents
from rs_cae.reducers.standardizer import Standardization, Standardizer

__all__ = [
    "CompressingAutoencoder",
    "PrincipalComponents",
    "Reducer",
    "Scope",
    "Standardization",
    "Standardizer",
    "geometric_widths",
    "halving_widths",
]

"""LightningModules that fit reducers, and reducers read back from what they wrote."""

from rs_cae.modules.autoencoder import AutoencoderModule
from rs_cae.modules.base import ReducerModule, reducer_of
from rs_cae.modules.checkpoints import load_reducer
from rs_cae.modules.pca import PCAModule

__all__ = ["AutoencoderModule", "PCAModule", "ReducerModule", "load_reducer", "reducer_of"]

"""The transformer's residual stream as a dynamical system: capture it, compress it, measure it."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("rs-cae")
except PackageNotFoundError:
    __version__ = "0+unknown"

_PUBLIC = {
    "AutoencoderModule": "rs_cae.modules",
    "PCAModule": "rs_cae.modules",
    "CompressingAutoencoder": "rs_cae.reducers",
    "PrincipalComponents": "rs_cae.reducers",
    "SublayerLayout": "rs_cae.sublayers",
    "TrajectoryDataModule": "rs_cae.data",
    "capture_texts": "rs_cae.stream",
    "load_reducer": "rs_cae.modules",
    "open_dataset": "rs_cae.results",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rs_cae' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__

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
    "capture": "rs_cae.api",
    "load_model": "rs_cae.api",
    "load_reducer": "rs_cae.modules",
    "open_results": "rs_cae.api",
    "teleport": "rs_cae.api",
}
_PACKAGES = ("dynamics",)

__all__ = ["__version__", *sorted((*_PUBLIC, *_PACKAGES))]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package costs nothing."""
    if name in _PACKAGES:
        return import_module(f"rs_cae.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rs_cae' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__

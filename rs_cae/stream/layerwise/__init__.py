"""Capture from models larger than memory: one layer's weights at a time."""

from rs_cae.stream.layerwise.schedule import Layerwise

__all__ = ["Layerwise"]

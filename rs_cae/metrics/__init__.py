"""Streaming, mergeable accumulators: torchmetrics on top of the functions of ``rs_cae.dynamics``."""

from rs_cae.metrics.reconstruction import ReconstructionMoments
from rs_cae.metrics.samples import PerSample

__all__ = ["PerSample", "ReconstructionMoments"]

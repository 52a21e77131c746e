"""Streaming, mergeable accumulators: torchmetrics on top of the functions of ``rs_cae.dynamics``."""

from rs_cae.metrics.grouped import GroupedMean, GroupedMoments
from rs_cae.metrics.paths import Paths, PathStatistics
from rs_cae.metrics.reconstruction import ReconstructionMoments
from rs_cae.metrics.resampled import MeanKinematics, ResampledMean, ResampledUnits, UnitBootstrap
from rs_cae.metrics.samples import PerSample
from rs_cae.metrics.transitions import TransitionStatistics

__all__ = [
    "GroupedMean",
    "GroupedMoments",
    "MeanKinematics",
    "PathStatistics",
    "Paths",
    "PerSample",
    "ReconstructionMoments",
    "ResampledMean",
    "ResampledUnits",
    "TransitionStatistics",
    "UnitBootstrap",
]

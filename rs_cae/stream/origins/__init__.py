"""Where a run's trajectories come from: a language model that runs now, or a cache that it once filled."""

from typing import Literal

from rs_cae.stream.origins.base import CaptureSpec, LanguageModel, Origin
from rs_cae.stream.origins.cached import CachedOrigin
from rs_cae.stream.origins.live import LayerwiseOrigin, LiveOrigin

Schedule = Literal["batchwise", "layerwise"]

SCHEDULES: dict[str, type[LiveOrigin]] = {"batchwise": LiveOrigin, "layerwise": LayerwiseOrigin}
"""In which order a language model runs: each batch through all layers, or all batches through each layer."""

__all__ = [
    "SCHEDULES",
    "CachedOrigin",
    "CaptureSpec",
    "LanguageModel",
    "LayerwiseOrigin",
    "LiveOrigin",
    "Origin",
    "Schedule",
]

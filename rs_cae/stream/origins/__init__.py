"""Where a run's trajectories come from: a language model that runs now, or a cache that it once filled."""

from rs_cae.stream.origins.base import CaptureSpec, Origin, Schedule
from rs_cae.stream.origins.cached import CachedOrigin
from rs_cae.stream.origins.live import LiveOrigin

__all__ = ["CachedOrigin", "CaptureSpec", "LiveOrigin", "Origin", "Schedule"]

"""What a notebook asks for: models, their streams captured and set to other states, and the results of runs."""

from rs_cae.api.capture import Captured, capture
from rs_cae.api.models import load_model
from rs_cae.api.results import open_results
from rs_cae.api.teleport import TeleportedPrompt, teleport

__all__ = ["Captured", "TeleportedPrompt", "capture", "load_model", "open_results", "teleport"]

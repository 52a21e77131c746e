"""From texts and a language model to trajectories of its residual stream."""

from rs_cae.stream.capture import Batchwise, capture
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.hookpoints import HookPoints, find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.tokens import TokenBatch, Tokenization, TokenizedTexts
from rs_cae.stream.trajectories import TrajectoryBatch

__all__ = [
    "Batchwise",
    "CorpusSpec",
    "HookPoints",
    "LanguageModelSpec",
    "TokenBatch",
    "Tokenization",
    "TokenizedTexts",
    "TrajectoryBatch",
    "capture",
    "find_hook_points",
]

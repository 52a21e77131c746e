"""From texts and a language model to trajectories of its residual stream."""

from rs_cae.stream.capture import capture, capture_texts
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.hookpoints import HookPoints, find_hook_points
from rs_cae.stream.language_model import LanguageModelSpec
from rs_cae.stream.tokens import TokenBatch, Tokenization

__all__ = [
    "CorpusSpec",
    "HookPoints",
    "LanguageModelSpec",
    "TokenBatch",
    "Tokenization",
    "capture",
    "capture_texts",
    "find_hook_points",
]

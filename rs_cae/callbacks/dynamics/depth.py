"""Depth in three parts, and how a number is held against its null in words."""

import torch
from torch import Tensor

THIRDS = ("first", "middle", "last")
WITHOUT_EMBEDDING = "_without_embedding"
"""Added to the name of a headline that leaves out the first transition, from the tokens' embeddings: what it measures
is mostly which token is read."""


def thirds(transitions: int) -> dict[str, Tensor]:
    """The transitions of each third of depth; the first may hold one more, and with few of them some are empty."""
    return dict(zip(THIRDS, torch.arange(transitions).tensor_split(3), strict=True))


def third_mean(curve: Tensor, third: str, skip_first: bool = False) -> Tensor:
    """Mean over one third of depth.

    Args:
        curve: [..., transitions].
        third: ``first``, ``middle`` or ``last``.
        skip_first: Whether to leave out the first transition.

    Returns:
        [...]; NaN if nothing is left.
    """
    chosen = thirds(curve.shape[-1])[third]
    return curve[..., chosen[int(skip_first and third == "first") :].to(curve.device)].mean(dim=-1)


def interval_words(value: float, low: float, high: float, unit: str = "") -> str:
    """Such as ``0.98 [0.97, 0.99]``."""
    return f"{value:.3g}{unit} [{low:.3g}, {high:.3g}]"


def against_null(low: float, high: float, null: float, above: str, inside: str, below: str) -> str:
    """The words that fit where an interval lies: above its null, around it, or below it."""
    if null < low:
        return above
    return below if null > high else inside

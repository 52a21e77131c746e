"""Parts of depth over which curves are averaged."""

from typing import NamedTuple

import torch
from torch import Tensor

WITHOUT_EMBEDDING = "_without_embedding"
"""Ends the name of a headline that leaves out the first transition, from the tokens' embeddings: what it measures is
mostly which token is read."""


class Part(NamedTuple):
    """A third of depth.

    Attributes:
        words: What sentences call it.
        third: 0, 1 or 2.
        skips: Transitions at its beginning that are left out.
    """

    words: str
    third: int
    skips: int = 0


PARTS = {
    "first_third": Part("first third of depth", 0),
    f"first_third{WITHOUT_EMBEDDING}": Part("first third of depth without the embedding", 0, skips=1),
    "middle_third": Part("middle third of depth", 1),
    "last_third": Part("last third of depth", 2),
}


def part_mean(curve: Tensor, name: str) -> Tensor:
    """Mean over a part of depth.

    Args:
        curve: [..., transitions or sublayers].
        name: Of ``PARTS``.

    Returns:
        [...]; NaN if nothing is left of so few transitions.
    """
    part = PARTS[name]
    chosen = torch.arange(curve.shape[-1], device=curve.device).tensor_split(3)[part.third]
    return curve[..., chosen[part.skips :]].mean(dim=-1)

"""Depth in three parts."""

import torch
from torch import Tensor

THIRDS = ("first", "middle", "last")
WITHOUT_EMBEDDING = "_without_embedding"
"""Added to the name of a headline that leaves out the first transition, from the tokens' embeddings: what it measures
is mostly which token is read."""


def third_mean(curve: Tensor, third: str, skip_first: bool = False) -> Tensor:
    """Mean over one third of depth.

    Args:
        curve: [..., transitions or sublayers].
        third: ``first``, ``middle`` or ``last``; with few transitions some are empty.
        skip_first: Whether to leave out the first transition.

    Returns:
        [...]; NaN if nothing is left.
    """
    chosen = torch.arange(curve.shape[-1], device=curve.device).tensor_split(3)[THIRDS.index(third)]
    return curve[..., chosen[int(skip_first and third == "first") :]].mean(dim=-1)

"""Latent spaces that have nothing to do with each other, brought together."""

import torch
from torch import Tensor


def align_sublayers(latents: Tensor) -> Tensor:
    """Rotate, reflect and shift the latents of each sublayer onto those of the one before, as far as that goes.

    For reducers that have a latent space of their own for each sublayer: its axes and its origin are arbitrary. What is
    left of the distance between two sublayers is what no rigid motion explains. By orthogonal Procrustes on the centred
    latents: from U S V^T = z[t+1]^T z[t], the rotation is U V^T. Source: Schoenemann (1966); its use here is ours.

    Args:
        latents: [samples, sublayers, bottleneck].

    Returns:
        The same shape in float64, of mean 0 over samples at each sublayer.
    """
    aligned = latents.double() - latents.double().mean(dim=0)
    for sublayer in range(1, latents.shape[1]):
        here, before = aligned[:, sublayer], aligned[:, sublayer - 1]
        left, _, right = torch.linalg.svd(here.T @ before)
        aligned[:, sublayer] = here @ (left @ right)
    return aligned

"""How far a trajectory moves from one sublayer to the next."""

import torch
from torch import Tensor


def velocity(trajectories: Tensor) -> Tensor:
    """Distance travelled at each transition, the L2 norm of the step.

    Unit: that of the activations. Source: arXiv 2502.12131, Figure 1F; the norm is our choice.

    Args:
        trajectories: [samples, sublayers, width].

    Returns:
        [samples, sublayers - 1], at least 0.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.

    Example:
        >>> velocity(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor([[5.]])
    """
    if trajectories.ndim != 3 or trajectories.shape[1] < 2:
        raise ValueError(
            f"expected [samples, sublayers, width] with at least 2 sublayers, got {tuple(trajectories.shape)}"
        )
    return torch.linalg.vector_norm(trajectories.diff(dim=1), dim=-1)


def layer_distance(latents: Tensor) -> Tensor:
    """Mean distance, over samples, between successive sublayers in one shared latent space.

    It is the mean of the velocity of latent trajectories, in units of the latents. Source: arXiv 2502.12131, Figure 3C;
    the mean of the distances, not the distance of the means, is our choice.

    Args:
        latents: [samples, sublayers, bottleneck], all sublayers in the same space.

    Returns:
        [sublayers - 1] in float64.

    Raises:
        ValueError: If not 3-D or fewer than two sublayers.
    """
    return velocity(latents.double()).mean(dim=0)


def norm_outliers(norms: Tensor, factor: float) -> Tensor:
    """Which samples have, at any sublayer, a norm above ``factor`` medians of that sublayer.

    Single tokens, the first of a text above all, can carry norms a hundredfold of the others', which then make up most
    of a variance. The rule is ours.

    Args:
        norms: [samples, sublayers], L2 norms of the states.
        factor: Norms allowed, in medians over samples.

    Returns:
        [samples], boolean.

    Example:
        >>> norm_outliers(torch.tensor([[1.0], [2.0], [3.0], [9.0], [2.0]]), factor=4)
        tensor([False, False, False,  True, False])
    """
    return (norms > factor * norms.median(dim=0).values).any(dim=1)

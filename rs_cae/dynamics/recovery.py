"""How far a perturbed state is from the unperturbed one after each sublayer, and how much of that was undone."""

import torch
from torch import Tensor


def distances(perturbed: Tensor, control: Tensor) -> Tensor:
    """L2 norm of the difference between each perturbed state and the control at the same sublayer.

    Unit: that of the states. Both become float64 before they are subtracted.

    Args:
        perturbed: [..., points, steps + 1, width]; step 0 is where the state was replaced.
        control: [..., steps + 1, width], the unperturbed run.

    Returns:
        [..., points, steps + 1] in float64.

    Example:
        >>> distances(torch.tensor([[[3.0, 5.0]]]), torch.tensor([[0.0, 1.0]]))
        tensor([[5.]], dtype=torch.float64)
    """
    return torch.linalg.vector_norm(perturbed.double() - control.double().unsqueeze(-3), dim=-1)


def direction_distances(perturbed: Tensor, control: Tensor) -> Tensor:
    """The same of states divided by their norms: between 0 and 2.

    The stream grows with depth, so that a distance can grow while the direction recovers. Ours.

    Args:
        perturbed: [..., points, steps + 1, width].
        control: [..., steps + 1, width].

    Returns:
        [..., points, steps + 1] in float64; NaN where either state has norm 0.
    """
    return distances(_directions(perturbed), _directions(control))


def recovery(distances: Tensor) -> Tensor:
    """Share of a displacement that is gone after the last step: 1 - d[K] / d[0].

    1 is back on the control trajectory, 0 no correction, below 0 driven away. Ours.

    Args:
        distances: [..., steps + 1], from the control; at least step 0.

    Returns:
        [...] in float64, at most 1; NaN where there was no displacement or there is no step after it.

    Example:
        >>> recovery(torch.tensor([[4.0, 3.0, 1.0], [2.0, 3.0, 4.0]]))
        tensor([ 0.7500, -1.0000], dtype=torch.float64)
    """
    start, end = distances[..., 0].double(), distances[..., -1].double()
    return _share_gone(end, start) if distances.shape[-1] > 1 else torch.full_like(start, torch.nan)


def pooled_recovery(distances: Tensor) -> Tensor:
    """Share of all points' displacement that is gone after each step: 1 - sum d[j] / sum d[0], sums over points.

    Large displacements weigh more; a point next to the control cannot outweigh the rest, as in a mean of ratios. Ours.

    Args:
        distances: [..., points, steps + 1], from the control.

    Returns:
        [..., steps + 1] in float64, 0 at step 0; NaN where no point was displaced or a point's distance is NaN.
    """
    total = distances.double().sum(dim=-2)
    return _share_gone(total, total[..., :1])


def kl_divergence(logits: Tensor, control: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the perturbed next-token distribution from the control's.

    sum over tokens of p log(p / q), p the control's and q the perturbed probabilities. Unit: nats. A token that the
    control rules out counts as 0; one that only the perturbed run rules out makes it infinite.

    Args:
        logits: [..., points, vocabulary], perturbed.
        control: [..., vocabulary].

    Returns:
        [..., points] in float64, at least 0, and exactly 0 for equal logits.

    Example:
        >>> kl_divergence(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([1.0, 2.0]))
        tensor([0.0000, 0.4621], dtype=torch.float64)
    """
    p = control.double().log_softmax(dim=-1).unsqueeze(-2)
    q = logits.double().log_softmax(dim=-1)
    weight = p.exp()
    terms = torch.where(weight == 0, 0.0, weight * (p - q))
    return terms.sum(dim=-1).clamp(min=0)


def _directions(states: Tensor) -> Tensor:
    states = states.double()
    return states / torch.linalg.vector_norm(states, dim=-1, keepdim=True)


def _share_gone(end: Tensor, start: Tensor) -> Tensor:
    return torch.where(start > 0, 1 - end / start, torch.nan)

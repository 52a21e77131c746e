"""Turns of single units in the plane of activation and gradient (Figure 2).

A trace is one unit's activations by sublayer; traces are [..., sublayers, units].
"""

from math import pi

import torch
from torch import Tensor

WALK_TURNS = 0.1766
"""Rotation count of a Gaussian random walk for each inner sublayer, by simulation; white noise has 0.2396."""


def gradient(traces: Tensor) -> Tensor:
    """Change per sublayer: central differences, one-sided at the ends, as ``numpy.gradient`` has them.

    Args:
        traces: [..., sublayers, units], at least two sublayers.

    Returns:
        The same shape, in units of the activations per sublayer.

    Example:
        >>> gradient(torch.tensor([[0.0], [1.0], [4.0]])).flatten()
        tensor([1., 2., 3.])
    """
    ends = traces.diff(dim=-2)
    inner = (traces[..., 2:, :] - traces[..., :-2, :]) / 2
    return torch.cat([ends[..., :1, :], inner, ends[..., -1:, :]], dim=-2)


def portrait(traces: Tensor) -> tuple[Tensor, Tensor]:
    """The curve that a unit draws in the plane of activation and gradient, from the origin on.

    Source: arXiv 2502.12131, Figure 2A.

    Args:
        traces: [..., sublayers, units], at least two sublayers.

    Returns:
        Activation a - a[0] and gradient g - g[0], each of the same shape.
    """
    change = gradient(traces)
    return traces - traces[..., :1, :], change - change[..., :1, :]


def turning(traces: Tensor) -> Tensor:
    """By how much the tangent of each portrait turns at each inner sublayer.

    theta is the angle of the step (a[s+1] - a[s], g[s+1] - g[s]), 0 for a step of zero length; its differences are
    wrapped into (-pi, pi] and divided by -2 pi. Source: arXiv 2502.12131, section 2.6; the sign is ours. Computed as
    the angle from one step to the next: differences of two angles round, and a step straight back would be anything.

    Args:
        traces: [..., sublayers, units], at least two sublayers.

    Returns:
        [..., sublayers - 2, units] in float64, in turns, in [-1/2, 1/2), clockwise positive.
    """
    traces = traces.double()
    along, up = traces.diff(dim=-2), gradient(traces).diff(dim=-2)
    along = torch.where((along == 0) & (up == 0), 1.0, along)
    x, y, next_x, next_y = along[..., :-1, :], up[..., :-1, :], along[..., 1:, :], up[..., 1:, :]
    cross, dot = x * next_y - y * next_x, x * next_x + y * next_y
    return torch.atan2(cross + 0.0, dot) / (-2 * pi)  # of a negative zero the angle would be -pi


def rotation_count(traces: Tensor) -> Tensor:
    """How often the tangent of each portrait turns, all in all.

    Over S sublayers a Gaussian random walk has about 0.177 (S - 2) and white noise 0.240 (S - 2), for the gradient is
    made from the activation: hold a count against ``dynamics.surrogates``. Source: arXiv 2502.12131, section 2.6; the
    sign is ours.

    Args:
        traces: [..., sublayers, units], at least two sublayers.

    Returns:
        [..., units] in float64, in turns, clockwise positive; NaN for a constant trace, and with two sublayers alone.

    Example:
        >>> wave = torch.sin(2 * pi * 3 * torch.linspace(0, 1, 200))
        >>> round(float(rotation_count(wave[:, None])), 1)
        3.0
    """
    if traces.shape[-2] < 3:
        return torch.full_like(traces[..., 0, :], torch.nan, dtype=torch.float64)
    constant = (traces == traces[..., :1, :]).all(dim=-2)
    return turning(traces).sum(dim=-2).masked_fill(constant, torch.nan)

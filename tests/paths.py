"""Paths of known shape, and plain NumPy formulas of their angles and lengths."""

import numpy as np
import torch


def walks(samples=30, sublayers=8, width=6, seed=0, drift=0.0):
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(samples, sublayers, width, generator=generator, dtype=torch.float64) + drift
    return steps.cumsum(dim=1)


def arcs(angle, samples=12, steps=15, width=20, seed=0):
    """Paths in planes of their own that turn by the same angle at every step, whose lengths differ."""
    generator = torch.Generator().manual_seed(seed)
    planes = torch.linalg.qr(torch.randn(samples, width, 2, generator=generator, dtype=torch.float64)).Q
    heading = torch.arange(steps, dtype=torch.float64) * np.deg2rad(angle)
    lengths = 0.5 + torch.rand(samples, steps, 1, generator=generator, dtype=torch.float64)
    steps = lengths * torch.stack([heading.cos(), heading.sin()], dim=1)
    return torch.nn.functional.pad((steps @ planes.mT).cumsum(dim=1), (0, 0, 1, 0)) + 3


def angles_by_hand(states):
    """[samples, sublayers - 2] in degrees."""
    steps = np.diff(np.asarray(states), axis=1)
    steps = steps / np.linalg.norm(steps, axis=-1, keepdims=True)
    return np.degrees(np.arccos((steps[:, :-1] * steps[:, 1:]).sum(-1)))


def straightness_by_hand(states):
    states = np.asarray(states)
    path = np.linalg.norm(np.diff(states, axis=1), axis=-1).sum(-1)
    return np.linalg.norm(states[:, -1] - states[:, 0], axis=-1) / path

"""Fisher's scale, z = artanh r, on which correlations and cosines near 1 can be told apart."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm
from matplotlib.ticker import FixedLocator, NullLocator

LIMIT = 0.9999
"""Of correlations; those of 1 would lie at infinity."""

COARSE = (-0.99, -0.9, -0.5, 0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
FINE = tuple(sorted({*np.arange(-9, 10) / 10, 0.85, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999}))


def to_fisher(correlations: np.ndarray) -> np.ndarray:
    """From correlations to z.

    Example:
        >>> to_fisher(np.array([0.0, 0.9, 1.0])).round(2)
        array([0.  , 1.47, 4.95])
    """
    return np.arctanh(np.clip(correlations, -LIMIT, LIMIT))


def fisher_norm(low: float, high: float) -> FuncNorm:
    """Colours between two correlations."""
    return FuncNorm((to_fisher, np.tanh), vmin=low, vmax=high)


def fisher_marks(low: float, high: float) -> list[float]:
    """Correlations between two ends that are marked on an axis; none if the ends are too close for round ones."""
    for marks in (COARSE, FINE):
        within = [float(mark) for mark in marks if low <= mark <= high]
        if len(within) > 2:
            return within
    return []


def spread_near_one(axes: Axes, values: np.ndarray) -> None:
    """Make the vertical axis of a panel one of correlations, on Fisher's scale, whatever values are drawn."""
    axes.set_yscale("function", functions=(to_fisher, np.tanh))
    marks = fisher_marks(*axes.get_ylim())
    if marks:
        axes.yaxis.set_major_locator(FixedLocator(marks))
        axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())

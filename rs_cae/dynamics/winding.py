"""The rotation count of many rearranged traces at once, compiled, without an arc tangent a step.

The wrapped differences of the angles of successive steps add up to the last angle less the first, less 2 pi for each
time that a step's direction passes the negative axis clockwise, plus 2 pi for each time that it passes it
counterclockwise; the count is that sum over -2 pi. Whether it passes shows in signs alone.
``rotations.rotation_count`` is the definition, and equal to it.
"""

from math import atan2, pi

import numba
import numpy as np

UNITS_AT_ONCE = 64
"""So that a block of traces stays in the processor's first cache."""


@numba.njit(nogil=True, error_model="numpy")
def wind(
    values: np.ndarray,
    order: np.ndarray,
    sign: np.ndarray,
    gradient: np.ndarray,
    of_increments: bool,
    carries_gradient: bool,
    turns: np.ndarray,
) -> None:
    """Count the turns of all units' traces, rearranged alike.

    Args:
        values: [T, units], the points of the traces or, with ``of_increments``, their increments.
        order: [T], which of them comes first, second, ...
        sign: [T], what it is multiplied by.
        gradient: [sublayers, units], the gradient of each point; read only with ``carries_gradient``.
        of_increments: Whether values are increments, to be added up.
        carries_gradient: Whether each point keeps the gradient that it had; otherwise it is taken anew.
        turns: [units], filled, clockwise positive.
    """
    count, units = values.shape
    sublayers = count + 1 if of_increments else count
    trace, slope = np.zeros((sublayers, UNITS_AT_ONCE)), np.zeros((sublayers, UNITS_AT_ONCE))
    for first in range(0, units, UNITS_AT_ONCE):
        width = min(UNITS_AT_ONCE, units - first)
        for t in range(count):
            row, factor = values[order[t], first : first + width], sign[t]
            if of_increments:
                here, there = trace[t], trace[t + 1]
                for u in range(width):
                    there[u] = here[u] + factor * row[u]
            else:
                here = trace[t]
                for u in range(width):
                    here[u] = factor * row[u]
        if carries_gradient:
            for t in range(count):
                slope[t, :width] = gradient[order[t], first : first + width]
        else:
            _differentiate(trace, slope)
        _count(trace, slope, turns[first : first + width])


@numba.njit(nogil=True, error_model="numpy")
def _differentiate(trace: np.ndarray, slope: np.ndarray) -> None:
    last = len(trace) - 1
    slope[0], slope[last] = trace[1] - trace[0], trace[last] - trace[last - 1]
    for s in range(1, last):
        before, after, here = trace[s - 1], trace[s + 1], slope[s]
        for u in range(UNITS_AT_ONCE):
            here[u] = (after[u] - before[u]) / 2


@numba.njit(nogil=True, error_model="numpy")
def _count(trace: np.ndarray, slope: np.ndarray, turns: np.ndarray) -> None:
    along, up, wraps = np.empty(UNITS_AT_ONCE), np.empty(UNITS_AT_ONCE), np.zeros(UNITS_AT_ONCE)
    for u in range(UNITS_AT_ONCE):
        along[u], up[u] = trace[1, u] - trace[0, u], slope[1, u] - slope[0, u]
    first_angle = np.empty(len(turns))
    for u in range(len(turns)):
        first_angle[u] = atan2(up[u] + 0.0, along[u] + 0.0)
    for u in range(UNITS_AT_ONCE):
        along[u] += 1.0 if (along[u] == 0.0) & (up[u] == 0.0) else 0.0  # a step of zero length points along
    for s in range(1, len(trace) - 1):
        _pass(trace[s], trace[s + 1], slope[s], slope[s + 1], along, up, wraps)
    for u in range(len(turns)):
        turns[u] = wraps[u] - (atan2(up[u] + 0.0, along[u] + 0.0) - first_angle[u]) / (2 * pi)


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _pass(
    trace: np.ndarray,
    next_trace: np.ndarray,
    slope: np.ndarray,
    next_slope: np.ndarray,
    along: np.ndarray,
    up: np.ndarray,
    wraps: np.ndarray,
) -> None:
    """Count how often the step from one sublayer to the next passes the negative axis, seen from the step before."""
    for u in range(UNITS_AT_ONCE):
        x, y = next_trace[u] - trace[u], next_slope[u] - slope[u]
        x += 1.0 if (x == 0.0) & (y == 0.0) else 0.0
        cross = along[u] * y - up[u] * x
        was_below, is_below = up[u] < 0.0, y < 0.0
        clockwise = was_below & (not is_below) & (cross < 0.0)
        straight_back = (along[u] < 0.0) & (up[u] == 0.0) & (x > 0.0) & (y == 0.0)  # from pi to 0 is from -pi to 0
        counterclockwise = ((not was_below) & is_below & (cross >= 0.0)) | straight_back
        wraps[u] += (1.0 if clockwise else 0.0) - (1.0 if counterclockwise else 0.0)
        along[u], up[u] = x, y

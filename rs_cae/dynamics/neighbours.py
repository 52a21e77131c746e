"""The nearest neighbours and the counts behind the KSG estimator, compiled, for one pair of variables.

Counts compare differences with the radius: a boundary computed as value + radius rounds, at times onto the neighbour
that must not be counted, which biases the estimate by 0.03 nats.
"""

import numba
import numpy as np

NEIGHBOURS = 3
"""Fixed, for the search keeps the three nearest in registers."""

STRIDE = 16


@numba.njit(nogil=True, error_model="numpy")
def mean_log_counts(x: np.ndarray, y: np.ndarray, by_x: np.ndarray, by_y: np.ndarray, digamma: np.ndarray) -> float:
    """Mean over samples of digamma(nx + 1) + digamma(ny + 1).

    nx and ny are the numbers of other samples strictly closer in one variable than the third neighbour is in the
    greater of both distances.

    Args:
        x: [samples].
        y: [samples], the other variable.
        by_x: [samples], which sample comes first, second, ... in x.
        by_y: [samples], in y.
        digamma: Of 0, 1, ..., samples; the first is not read.
    """
    rank = np.empty(len(y), dtype=np.int64)
    for place in range(len(y)):
        rank[by_y[place]] = place
    ascending, beside, y_ascending = x[by_x], y[by_x], y[by_y]
    total = 0.0
    for i in range(len(x)):
        radius = _third_distance(ascending, beside, i)
        near_x, near_y = _closer(ascending, i, radius), _closer(y_ascending, rank[by_x[i]], radius)
        total += digamma[near_x + 1] + digamma[near_y + 1]
    return total / len(x)


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _third_distance(x: np.ndarray, y: np.ndarray, i: int) -> float:
    """Distance in the max norm from sample i to its third neighbour; x is ascending."""
    nearest = second = third = np.inf
    for j in range(i - 1, -1, -1):
        across = x[i] - x[j]
        if across >= third:
            break
        nearest, second, third = _inserted(max(across, abs(y[j] - y[i])), nearest, second, third)
    for j in range(i + 1, len(x)):
        across = x[j] - x[i]
        if across >= third:
            break
        nearest, second, third = _inserted(max(across, abs(y[j] - y[i])), nearest, second, third)
    return third


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _inserted(distance: float, nearest: float, second: float, third: float) -> tuple[float, float, float]:
    """The three least of three in order and one more; without a branch, which could not be predicted."""
    return min(nearest, distance), max(nearest, min(second, distance)), max(second, min(third, distance))


@numba.njit(nogil=True, error_model="numpy", inline="always")
def _closer(ascending: np.ndarray, i: int, radius: float) -> int:
    """How many others are strictly closer to entry i than the radius: by strides, then counted one by one."""
    value, first, end = ascending[i], i, i + 1
    while first > 0 and value - ascending[first] < radius:
        first = max(0, first - STRIDE)
    while end < len(ascending) and ascending[end - 1] - value < radius:
        end = min(len(ascending), end + STRIDE)
    count = 0
    for other in ascending[first : min(first + STRIDE, i)]:
        count += value - other < radius
    for other in ascending[max(end - STRIDE, i + 1) : end]:
        count += other - value < radius
    between = max(i - first - STRIDE, 0) + max(end - STRIDE - i - 1, 0)
    return count + between

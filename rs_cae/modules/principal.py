"""The principal axes of the standardized train states, in one pass or, of wide streams, in a few."""

import torch
from torch import Tensor

from rs_cae import processes
from rs_cae.data import TrajectoryDataModule
from rs_cae.dynamics.covariance import (
    OVERSAMPLING,
    PrincipalAxes,
    Scatter,
    first_probe,
    leading_axes,
    next_probe,
    principal_axes,
)
from rs_cae.errors import InputError
from rs_cae.reducers.base import Reducer

WIDEST = 16_384
"""Units up to which covariances are kept, one of them 2 GB then; beyond, their products with a few vectors."""

MOST_ENTRIES = 2**31
"""Of the covariances of all maps together, 17 GB; beyond, likewise."""

POWER_PASSES = 5


class AxesSearch:
    """Finds principal axes pass by pass: one where covariances are kept, else one for each step of power iteration.

    Args:
        maps: How many sets of axes.
        width: Units of the residual stream.
        axes: How many of each.
        device: Where states come from.
        exact: Whether a covariance that is kept is solved by ``eigh``, or its few leading axes alone are sought.
    """

    def __init__(self, maps: int, width: int, axes: int, device: torch.device, exact: bool = True) -> None:
        self.axes, self.exact = axes, exact
        whole = width <= WIDEST and maps * width**2 <= MOST_ENTRIES
        self.passes = 1 if whole else POWER_PASSES
        probe = None if whole else first_probe(maps, width, min(width, axes + OVERSAMPLING), device=device)
        self.scatter = Scatter.zeros(maps, width, device, probe)

    def add(self, rows: Tensor) -> None:
        """Take in standardized rows [maps, rows, width] of the train set."""
        self.scatter.add(rows)

    def end_pass(self) -> PrincipalAxes | None:
        """The axes after the last pass, from what all processes have seen; None where another is to come."""
        merged = _of_all_processes(self.scatter)
        if merged.count < 2:
            raise InputError("--data.n_train", merged.count, "train states of a map are too few for principal axes")
        self.passes -= 1
        if not self.passes:
            solve = principal_axes if self.exact or merged.probe is not None else leading_axes
            return PrincipalAxes(*(_agreed(part) for part in solve(merged, self.axes)))
        self.scatter = merged.emptied(_agreed(next_probe(merged)))
        return None


def fit_principal_axes(data: TrajectoryDataModule, reducer: Reducer, axes: int, device: torch.device) -> PrincipalAxes:
    """The leading principal axes of a data module's train states, as a reducer standardizes and arranges them."""
    search = AxesSearch(reducer.maps, reducer.width, axes, device, exact=False)
    while True:
        for batch in data.batches("train", device):
            search.add(reducer.by_map(reducer.standardizer(batch.states)))
        found = search.end_pass()
        if found is not None:
            return found


def _of_all_processes(scatter: Scatter) -> Scatter:
    """The same scatter, with what all processes have added to it."""
    if processes.world_size() == 1:
        return scatter
    counts = processes.gather(torch.tensor(scatter.count, device=scatter.mean.device))
    means = processes.gather(scatter.mean)
    for index in range(len(scatter.mean)):  # map by map: all of them of all processes could be too much
        this = slice(index, index + 1)
        probe = None if scatter.probe is None else scatter.probe[this]
        merged = Scatter.zeros(1, scatter.mean.shape[1], scatter.mean.device, probe)
        for count, mean, product in zip(counts, means, processes.gather(scatter.product[this]), strict=True):
            merged.merge(Scatter(int(count), mean[this], product, probe))
        scatter.product[this], scatter.mean[this] = merged.product, merged.mean
    scatter.count = sum(int(count) for count in counts)
    return scatter


def _agreed(tensor: Tensor) -> Tensor:
    """The first process's, so that no rounding sets the processes apart."""
    processes.broadcast(tensor, 0)
    return tensor

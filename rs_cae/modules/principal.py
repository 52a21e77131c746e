"""The principal axes of the standardized train states, in one pass or, of wide streams, in a few."""

import torch
from torch import Tensor

from rs_cae import processes
from rs_cae.data import TrajectoryDataModule
from rs_cae.dynamics.covariance import PrincipalAxes, Scatter, first_probe, next_probe, principal_axes
from rs_cae.reducers.base import Reducer

WIDEST = 16_384
"""Units up to which the covariance itself is kept, 2 GB then; beyond, its product with a few vectors."""

MOST_ENTRIES = 2**31
"""Of the covariances of all maps together, 17 GB; beyond, likewise."""

OVERSAMPLING = 20
"""Vectors more than axes that are asked for, which makes these exact sooner."""


POWER_PASSES = 5


class AxesSearch:
    """Finds principal axes pass by pass: one where covariances are kept, else one for each step of power iteration.

    Args:
        maps: How many sets of axes.
        width: Units of the residual stream.
        axes: How many of each.
        device: Where states come from.
    """

    def __init__(self, maps: int, width: int, axes: int, device: torch.device) -> None:
        self.axes = axes
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
        self.passes -= 1
        if not self.passes:
            return PrincipalAxes(*(_agreed(part) for part in principal_axes(merged, self.axes)))
        self.scatter = merged.emptied(_agreed(next_probe(merged)))
        return None


def fit_principal_axes(data: TrajectoryDataModule, reducer: Reducer, axes: int, device: torch.device) -> PrincipalAxes:
    """The principal axes of the train states of a data module, as a reducer standardizes and arranges them."""
    search = AxesSearch(reducer.maps, reducer.width, axes, device)
    while True:
        for batch in data.batches("train", device):
            search.add(reducer.by_map(reducer.standardizer(batch.states)))
        found = search.end_pass()
        if found is not None:
            return found


def _of_all_processes(scatter: Scatter) -> Scatter:
    if processes.world_size() == 1:
        return scatter
    counts = processes.gather(torch.tensor(scatter.count, device=scatter.mean.device))
    merged = scatter.emptied(scatter.probe)
    for count, mean, product in zip(
        counts, processes.gather(scatter.mean), processes.gather(scatter.product), strict=True
    ):
        merged.merge(Scatter(int(count), mean, product, scatter.probe))
    return merged


def _agreed(tensor: Tensor) -> Tensor:
    """The first process's, so that no rounding sets the processes apart."""
    processes.broadcast(tensor, 0)
    return tensor

"""Which part of the reduced plane is covered."""

from pathlib import Path

import torch
from torch import Tensor

from rs_cae.errors import InputError
from rs_cae.results import open_dataset
from rs_cae.run_folder import RunFolder


def plane_extent(given: list[float] | None, run_dir: Path | None, bottleneck: int) -> Tensor | None:
    """Low and high of each axis [axes, 2]: those that are given, else those of the run's test, if there was one.

    Args:
        given: Of ``--extent``.
        run_dir: The run.
        bottleneck: Latents of its reducer, of which the first two are axes.

    Raises:
        InputError: If what is given is no extent, or the results of the test cannot be read.
    """
    axes = min(2, bottleneck)
    if given is not None:
        extent, words = torch.tensor(given, dtype=torch.float64), " ".join(f"{end:g}" for end in given)
        if len(given) != 2 * axes:
            raise InputError("--extent", words, f"expected {2 * axes} numbers: low and high of each axis of the plane")
        if not (extent.isfinite().all() and (extent[::2] < extent[1::2]).all()):
            raise InputError("--extent", words, "expected each low end below its high end")
        return extent.view(axes, 2)
    return None if run_dir is None else _tested_extent(run_dir, axes)


def _tested_extent(run_dir: Path, axes: int) -> Tensor | None:
    """That of a run's test; None if it has none yet, or did not ask for it."""
    results = RunFolder(run_dir).results
    try:
        if (results / "latent.nc").is_file() and "grid_extent" in (tested := open_dataset(run_dir, "latent")):
            return torch.from_numpy(tested["grid_extent"].values[:axes]).double()
        if (results / "perturbation.nc").is_file():
            points = torch.from_numpy(open_dataset(run_dir, "perturbation")["points"].values[:, :axes]).double()
            return torch.stack([points.amin(dim=0), points.amax(dim=0)], dim=1)
    except (OSError, LookupError, ValueError) as error:
        problem = f"its results cannot be read ({error}); `python -m rs_cae test --run_dir {run_dir}` makes them anew"
        raise InputError("--run_dir", run_dir, problem) from error
    return None

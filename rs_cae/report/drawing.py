"""Figures of datasets as files, each a PNG for the eye and a PDF for papers."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import xarray as xr
from matplotlib.figure import Figure

from rs_cae.figures.catalogue import drawable
from rs_cae.figures.style import Control

METADATA: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}}
"""What is said in a file of each format: the same results give the same bytes."""


class ShownRun(NamedTuple):
    """What is shown of a run, or of a control in grey behind it.

    Attributes:
        label: What it is, such as ``untrained``.
        datasets: Its results, by name.
        headlines: Its headline numbers by name, as ``metrics.json`` has them.
    """

    label: str
    datasets: Mapping[str, xr.Dataset]
    headlines: Mapping[str, Mapping[str, Any]]


def _literal() -> AbstractContextManager[None]:
    """Letters stay letters in a PDF, and a dollar in a text or in a folder's name begins no formula."""
    return mpl.rc_context({"pdf.fonttype": 42, "text.parse_math": False})


def write_figures(folder: Path, run: ShownRun, controls: Sequence[ShownRun] = ()) -> list[str]:
    """Draw every figure whose variables are there.

    Args:
        folder: Takes ``NAME.png`` and ``NAME.pdf`` of each.
        run: What is drawn.
        controls: Other runs, drawn in grey behind.

    Returns:
        Their names.

    Raises:
        OSError: If one cannot be written.
    """
    drawings = drawable(run.datasets)
    for name, drawing in drawings.items():
        dataset = run.datasets[drawing.dataset]
        beside = [
            Control(one.label, one.datasets[drawing.dataset]) for one in controls if drawing.dataset in one.datasets
        ]
        with _literal():
            figure = drawing.draw(dataset, beside)
        write_figure(folder / name, figure, dataset)
    return list(drawings)


def write_figure(path: Path, figure: Figure, dataset: xr.Dataset) -> None:
    """Write a figure in every format, each whole or not at all, below it where its dataset comes from.

    Args:
        path: Of the files, without an ending.
        figure: What is written.
        dataset: What it was drawn from.

    Raises:
        OSError: If it cannot be written.
    """
    with _literal():
        figure.supxlabel(_provenance_line(dataset), fontsize=6, color="0.4", x=0.99, ha="right")
    for ending, metadata in METADATA.items():
        temporary = path.with_name(f".{path.name}.{ending}")
        with _literal():
            figure.savefig(temporary, metadata=metadata)
        temporary.replace(path.with_name(f"{path.name}.{ending}"))


def control_label(attributes: Mapping[str, Any]) -> str:
    """What makes a run a control, by a dataset's attributes: untrained weights, shuffled tokens; empty if nothing."""
    marks = {"random_init": "untrained", "shuffle_tokens": "shuffled tokens"}
    return ", ".join(label for name, label in marks.items() if attributes.get(name))


def _provenance_line(dataset: xr.Dataset) -> str:
    """Which model read which texts, and how many samples or runs there are."""
    attributes = dataset.attrs
    what = [
        str(attributes.get("language_model", "")),
        control_label(attributes),
        str(attributes.get("prompts_source") or attributes.get("test_corpus", "")),
    ]
    counts = [f"{dataset.sizes[kind]} {kind}s" for kind in ("sample", "run") if kind in dataset.sizes]
    return " · ".join(part for part in [*what, *counts] if part)

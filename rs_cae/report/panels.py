"""In which order figures are shown, and what is said of each."""

from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import xarray as xr
import yaml

from rs_cae.report.settings import settings_of


class Panel(NamedTuple):
    """A figure and its caption.

    Attributes:
        figure: Its name in the catalogue.
        paper: The panel of the paper that it reproduces; empty if it is ours.
        shows: What is seen.
        computed: How it was computed, from what.
    """

    figure: str
    paper: str
    shows: str
    computed: str


class Section(NamedTuple):
    """Panels that belong together.

    Attributes:
        title: Of the section.
        panels: In order, at least one.
    """

    title: str
    panels: list[Panel]


def sections(datasets: Mapping[str, xr.Dataset], figures: Collection[str]) -> list[Section]:
    """The panels of the figures that there are.

    Args:
        datasets: By name; their sizes and settings go into the captions.
        figures: Names of those that were drawn.
    """
    said = _said(datasets)
    shown = []
    for section in _layout():
        panels = [_panel(panel, said) for panel in section["panels"] if panel["figure"] in figures]
        if panels:
            shown.append(Section(section["title"], panels))
    return shown


def _layout() -> list[dict[str, Any]]:
    return yaml.safe_load((files(__package__) / "panels.yaml").read_text())


def _panel(panel: Mapping[str, str], said: Mapping[str, str]) -> Panel:
    shows, computed = (panel[part].format_map(said) for part in ("shows", "computed"))
    return Panel(panel["figure"], panel.get("paper", ""), shows, computed)


UNSAID = {
    "sample": "all",
    "unit": "the",
    "draw": "All",
    "grid": "All",
    "steps": "some",
    "prompts": "prompts",
    "estimator": "",
}
"""What captions leave open, in words for results that do not know it."""


def _said(datasets: Mapping[str, xr.Dataset]) -> dict[str, str]:
    said = dict(UNSAID)
    for dataset in datasets.values():
        said.update({str(name): str(size) for name, size in dataset.sizes.items()})
    if "perturbation" in datasets:
        prompts = int(datasets["perturbation"].attrs.get("prompts", 1))
        said["steps"] = str(datasets["perturbation"].sizes["step"] - 1)
        said["prompts"] = f"{prompts} prompts" if prompts > 1 else "one prompt"
    chosen: Mapping[str, Any] = settings_of(datasets, "mutual_information")
    if chosen:
        estimator, units, samples = (chosen[part] for part in ("estimator", "units", "samples"))
        said["estimator"] = f"Estimator {estimator}, {units} units, {samples} samples."
    return said

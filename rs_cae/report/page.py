"""The figures of a run and one page that shows them, which needs neither network nor other files."""

import base64
import json
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import plotly.io
import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from rs_cae.atomic_files import replaced_folder, write_whole
from rs_cae.figures.style import DPI
from rs_cae.report.drawing import ShownRun, write_figures
from rs_cae.report.headlines import first_sentences, rows
from rs_cae.report.interactive import CONFIG, plottable
from rs_cae.report.panels import sections
from rs_cae.report.paper import beside_the_paper
from rs_cae.report.settings import again, attributes_of, configuration, facts, is_study

PIXELS = 100 / DPI
"""Width on the page of a figure's pixel, such that letters are as large as the text's beside it."""


class Image(NamedTuple):
    """A PNG inside the page.

    Attributes:
        data: Its bytes, in base 64.
        width: On the page, in pixels.
        height: On the page, in pixels.
    """

    data: str
    width: int
    height: int

    @staticmethod
    def of(path: Path) -> "Image":
        """Read a file."""
        content = path.read_bytes()
        width, height = (round(size * PIXELS) for size in struct.unpack(">II", content[16:24]))
        return Image(base64.b64encode(content).decode(), width, height)


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
    run = ShownRun(folder.name, datasets, headlines)
    with replaced_folder(folder / "figures") as figures:
        names = write_figures(figures, run, controls)
        write_whole(folder / "report.html", _page(run, controls, figures).encode())
    return names


def _page(run: ShownRun, controls: Sequence[ShownRun], figures: Path) -> str:
    """The page; everything that comes from results is escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"inside_script": _inside_script, "code": _code}
    images = {path.stem: Image.of(path) for path in sorted(figures.glob("*.png"))}
    plots = {name: plot.plot(run.datasets[plot.dataset]) for name, plot in plottable(run.datasets).items()}
    study = is_study(run.datasets)  # it answers one question, and the page asks no other
    return environment.get_template("page.html").render(
        again=again(run.datasets),
        attributes=attributes_of(run.datasets),
        configuration=configuration(run.datasets),
        controls=[control.label for control in controls],
        facts=facts(run.datasets),
        findings=[
            finding for finding in beside_the_paper(run.datasets, run.headlines) if not study or finding.panel == "4D"
        ],
        images=images,
        numbers="perturbation.nc" if study else "results/*.nc",
        plotly=Markup(get_plotlyjs()) if plots else "",
        plot_options=json.dumps(CONFIG),
        plots={name: plotly.io.to_json(figure, pretty=False) for name, figure in plots.items()},
        rows=rows(run, controls),
        sections=sections(run.datasets, images.keys()),
        sentences=first_sentences(run.headlines),
    )


def _code(text: str) -> Markup:
    """Escaped text in which what stands between backticks is set as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _inside_script(text: str) -> Markup:
    """JSON that cannot end the script element in which it stands."""
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))

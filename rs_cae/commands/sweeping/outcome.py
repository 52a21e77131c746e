"""What came out of a sweep's runs, and its table."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from rs_cae.commands.sweeping.runs import Run, short_value
from rs_cae.commands.sweeping.sweep_file import SweepFile
from rs_cae.run_folder import RunFolder


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Attributes:
        run: The run.
        error: What went wrong; empty if nothing did.
        value: Of the metric; NaN if it is not known.
        low: Lower end of its 95 % interval; NaN if it has none.
        high: Upper end.
        unit: Of the metric.
    """

    run: Run
    error: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = ""

    @property
    def state(self) -> str:
        """As tables show it."""
        return "failed" if self.error else "finished"


def read_outcome(run: Run, folder: RunFolder, metric: str) -> Outcome:
    """Read the metric of a run that has ended well; one that lacks it counts as failed."""
    try:
        headlines = json.loads(folder.metrics.read_text())
        line = headlines[metric]
    except (OSError, ValueError) as error:
        return Outcome(run, f"{folder.metrics} cannot be read: {error}")
    except KeyError:
        return Outcome(run, f"has no {metric}, but {', '.join(headlines)}")
    value, low, high = (math.nan if line[key] is None else float(line[key]) for key in ("value", "low", "high"))
    return Outcome(run, "", value, low, high, line["unit"])


def as_table(sweep: SweepFile, outcomes: Sequence[Outcome]) -> Table:
    """One row for each run; the best value is printed in bold."""
    known = [out.value for out in outcomes if math.isfinite(out.value)]
    best = (max if sweep.maximize else min)(known, default=math.nan)
    names = [axis.name for axis in sweep.axes]
    columns = "run", *names, f"{sweep.metric} (95 %)", "state"
    table = Table(*columns, title=escape(f"Sweep {sweep.path}"), title_justify="left")
    for out in outcomes:
        values = [escape(short_value(out.run.parameters[name])) for name in names]
        style = "bold" if out.value == best else None
        table.add_row(escape(out.run.name), *values, _with_interval(out), out.state, style=style)
    return table


def _with_interval(out: Outcome) -> str:
    if not math.isfinite(out.value):
        return ""
    interval = f" ({out.low:.4g} to {out.high:.4g})" if math.isfinite(out.low + out.high) else ""
    return f"{out.value:.4g}{interval}"

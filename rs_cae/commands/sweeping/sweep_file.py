"""A sweep file in Weights & Biases' own format."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rs_cae.callbacks.wandb_results import COMPARED, POOLED
from rs_cae.commands.configs import read_yaml
from rs_cae.commands.sweeping.axes import Axis, drawn, grid, read_axis
from rs_cae.errors import InputError

METHODS = ("grid", "random")
GOALS = ("maximize", "minimize")
METRIC_PREFIX = "test/"
ARGS = ("${args}", "${args_no_equals}")
"""The words in whose place a run's parameters go, written --NAME=VALUE or --NAME VALUE."""

KEYS = {
    *("method", "metric", "parameters", "command", "program", "run_cap", "early_terminate"),
    *("name", "description", "project", "entity", "apiVersion", "kind", "controller", "settings"),
}
"""What W&B knows at a file's top; the second line says nothing of what is run."""


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says.

    Attributes:
        path: The file.
        text: All of it.
        method: ``grid`` or ``random``.
        metric: The headline number that is compared, as ``metrics.json`` names it.
        maximize: Whether more of it is better.
        axes: What is varied.
        arguments: What follows ``fit`` in its command, one of ARGS among them.
        run_cap: At most this many runs.
    """

    path: Path
    text: str
    method: str
    metric: str
    maximize: bool
    axes: tuple[Axis, ...]
    arguments: tuple[str, ...]
    run_cap: int | None

    def combinations(self, count: int | None, seed: int) -> list[dict[str, Any]]:
        """The values of all parameters, for each run.

        Args:
            count: At most this many; by default what the file says.
            seed: Of random ones.

        Raises:
            InputError: If they are drawn and nothing says how many, or an axis cannot be listed.
        """
        most = count or self.run_cap
        if self.method == "grid":
            return grid(str(self.path), self.axes)[:most]
        if most is None:
            raise InputError(f"{self.path}: method", "random", "wants run_cap in the file, or --count")
        return drawn(self.axes, most, seed)


def read_sweep_file(path: Path) -> SweepFile:
    """Read a sweep file.

    Raises:
        InputError: If it cannot be read, or says what only W&B's server can do.
    """
    text, content = _read(path)
    if unknown := [str(key) for key in content if key not in KEYS]:
        raise InputError(f"{path}:", unknown[0], f"is no key of a sweep; known are {', '.join(sorted(KEYS))}")
    metric, goal = _metric(path, content.get("metric"))
    run_cap = content.get("run_cap")
    if run_cap is not None and (type(run_cap) is not int or run_cap < 1):
        raise InputError(f"{path}: run_cap", run_cap, "expected an integer of at least 1")
    return SweepFile(
        path=path,
        text=text,
        method=_method(path, content.get("method", "")),
        metric=metric,
        maximize=goal == "maximize",
        axes=_axes(path, content.get("parameters")),
        arguments=_arguments(path, content.get("command")),
        run_cap=run_cap,
    )


def _read(path: Path) -> tuple[str, dict[Any, Any]]:
    content = read_yaml("sweep", path)
    if not isinstance(content, dict):
        raise InputError("sweep", path, "holds no sweep: method, metric, parameters and command are wanted")
    return path.read_text(encoding="utf-8"), content


def _method(path: Path, method: Any) -> str:
    if method == "bayes":
        raise InputError(f"{path}: method", method, "needs W&B's server: `wandb sweep FILE`, then `wandb agent ID`")
    if method not in METHODS:
        raise InputError(f"{path}: method", method, f"expected one of {', '.join(METHODS)}")
    return str(method)


def _metric(path: Path, content: Any) -> tuple[str, str]:
    name = content.get("name") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name.startswith(METRIC_PREFIX):
        problem = f"expected a headline number of the test, such as {METRIC_PREFIX}explained_variance_pooled"
        raise InputError(f"{path}: metric.name", name or "", problem)
    goal = content.get("goal", "minimize")  # W&B's default
    if goal not in GOALS:
        raise InputError(f"{path}: metric.goal", goal, f"expected one of {', '.join(GOALS)}")
    metric = name.removeprefix(METRIC_PREFIX)
    return POOLED if metric == COMPARED else metric, goal


def _axes(path: Path, content: Any) -> tuple[Axis, ...]:
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: parameters", content or "", "expected options of rs_cae and their values")
    return tuple(read_axis(str(path), str(name), described) for name, described in content.items())


def _arguments(path: Path, content: Any) -> tuple[str, ...]:
    """What follows ``fit``, variables replaced as by W&B's agent, which passes over a command that is not a list."""
    option, wanted = f"{path}: command", "[python, -m, rs_cae, fit, ..., '${args}']"
    if not isinstance(content, list) or not content:
        raise InputError(option, content or "", f"expected a list of words: {wanted}")
    command = [str(word) for word in content]
    before = command[: command.index("fit")] if "fit" in command else []
    if not any("rs_cae" in word for word in before):
        raise InputError(option, " ".join(command), f"expected {wanted}")
    after = [
        re.sub(r"\$\{envvar:([A-Z0-9_]*)\}", lambda found: os.environ.get(found[1], found[1]), word)
        for word in command[len(before) + 1 :]
    ]
    macros = [word for word in after if word.startswith("${") and word.endswith("}")]
    if unknown := [macro for macro in macros if macro not in ARGS]:
        raise InputError(option, unknown[0], f"expected one of {', '.join(ARGS)}")
    if not macros:
        raise InputError(option, " ".join(command), "wants ${args}, where the parameters go")
    return tuple(after)

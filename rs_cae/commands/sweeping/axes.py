"""The parameters that a sweep varies, and the combinations of their values that are run."""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rs_cae.errors import InputError

DRAWS: dict[str, Callable[[random.Random, Any, Any], float]] = {
    "int_uniform": lambda generator, low, high: generator.randint(low, high),
    "uniform": lambda generator, low, high: generator.uniform(low, high),
    "log_uniform_values": lambda generator, low, high: math.exp(generator.uniform(math.log(low), math.log(high))),
}
"""A number between two ends, by each of those of W&B's distributions that are known here."""

EXPECTED = "expected value, values, or min and max"
ATTEMPTS = 1000
"""Draws in a row that bring nothing new, after which no more are made."""


@dataclass(frozen=True)
class Axis:
    """A parameter that is varied.

    Attributes:
        name: An option without its hyphens, such as ``model.bottleneck``.
        values: All it can be, in order; None if they cannot be listed.
        draw: One at random.
    """

    name: str
    values: tuple[Any, ...] | None
    draw: Callable[[random.Random], Any]


def read_axis(source: str, name: str, content: Any) -> Axis:
    """An axis as W&B's sweep files describe it.

    Args:
        source: The file, for messages.
        name: Of the parameter.
        content: ``value``, ``values``, or ``min`` and ``max`` with or without a ``distribution``.

    Raises:
        InputError: If it is described by something else.
    """
    option = f"{source}: parameters.{name}"
    if not isinstance(content, Mapping):
        raise InputError(option, content, EXPECTED)
    kind = content.get("distribution")
    if kind is not None and kind not in DRAWS:
        problem = f"needs W&B's server; known here are value, values, and {', '.join(DRAWS)} between min and max"
        raise InputError(f"{option}.distribution", kind, problem)
    if content.keys() == {"value"}:
        return _listed(name, [content["value"]])
    if content.keys() == {"values"}:
        if not isinstance(content["values"], list) or not content["values"]:
            raise InputError(f"{option}.values", content["values"], "expected a list of at least one value")
        return _listed(name, content["values"])
    if content.keys() - {"distribution"} == {"min", "max"}:
        return _between(option, name, kind, content["min"], content["max"])
    raise InputError(option, dict(content), EXPECTED)


def _listed(name: str, values: Sequence[Any]) -> Axis:
    return Axis(name, tuple(values), lambda generator: generator.choice(values))


def _between(option: str, name: str, kind: str | None, low: Any, high: Any) -> Axis:
    """Without a distribution, integers are drawn between integers, and any number otherwise, as W&B has it."""
    kind = kind or ("int_uniform" if type(low) is type(high) is int else "uniform")
    integers = kind == "int_uniform"
    for key, end in {"min": low, "max": high}.items():
        if type(end) is not int and (integers or type(end) is not float or not math.isfinite(end)):
            wanted = "an integer" if integers else "a number, as YAML writes it: 1.0e-3, not 1e-3"
            raise InputError(f"{option}.{key}", end, f"expected {wanted}")
    if low > high:
        raise InputError(f"{option}.min", low, f"must be at most max, {high}")
    if kind == "log_uniform_values" and low <= 0:
        raise InputError(f"{option}.min", low, "must be above 0, as its logarithm is drawn")
    listed = tuple(range(low, high + 1)) if integers else None
    return Axis(name, listed, lambda generator: DRAWS[kind](generator, low, high))


def grid(source: str, axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination, the last axis first to change.

    Raises:
        InputError: If an axis has values that cannot be listed.
    """
    for axis in axes:
        if axis.values is None:
            problem = "method grid wants value, values, or integers min and max"
            raise InputError(f"{source}: parameters.{axis.name}", "", problem)
    every = itertools.product(*(axis.values or () for axis in axes))
    return _distinct([dict(zip((axis.name for axis in axes), values, strict=True)) for values in every])


def drawn(axes: Sequence[Axis], count: int, seed: int) -> list[dict[str, Any]]:
    """Combinations at random, none of them twice, since a run that is repeated with one seed says nothing new (ours).

    Args:
        axes: What is varied.
        count: How many; fewer are given where there are fewer.
        seed: Of the draws. The first of many draws are those of few.
    """
    generator = random.Random(seed)
    found: list[dict[str, Any]] = []
    attempts = 0
    while len(found) < count and attempts < ATTEMPTS:
        more = _distinct([*found, {axis.name: axis.draw(generator) for axis in axes}])
        attempts = attempts + 1 if len(more) == len(found) else 0
        found = more
    return found


def _distinct(combinations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that were there before; 1 and True differ, since they are written differently."""
    return list({repr(combination): combination for combination in combinations}.values())

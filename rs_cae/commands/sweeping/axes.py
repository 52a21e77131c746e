"""The parameters that a sweep varies, and the combinations of their values that are run."""

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rs_cae.errors import InputError

KEYS_OF: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_log_uniform_values": ("min", "max", "q"),
    "normal": ("mu", "sigma"),
    "q_normal": ("mu", "sigma", "q"),
}
"""What describes each of those of W&B's distributions that are known here."""

DEFAULTS = {"q": 1, "mu": 0.0, "sigma": 1.0}
"""Where a file does not say, as W&B has it."""

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
        content: ``value``, ``values`` with or without ``probabilities``, ``min`` and ``max``, or a ``distribution``
            with what belongs to it.

    Raises:
        InputError: If it is described by something else.
    """
    option = f"{source}: parameters.{name}"
    if not isinstance(content, Mapping):
        raise InputError(option, content, "expected value, values, min and max, or a distribution")
    if "parameters" in content:
        raise InputError(
            f"{option}.parameters", "", "parameters within parameters are not known here; use dotted names"
        )
    kind = content.get("distribution") or _kind(option, content)
    if kind not in KEYS_OF:
        raise InputError(f"{option}.distribution", kind, f"expected one of {', '.join(KEYS_OF)}")
    allowed = {"distribution", *KEYS_OF[kind], *(["probabilities"] if kind == "categorical" else [])}
    if unknown := [str(key) for key in content if key not in allowed]:
        raise InputError(f"{option}.{unknown[0]}", content[unknown[0]], f"does not belong to a {kind}")
    given = {**DEFAULTS, **content}
    if missing := [key for key in KEYS_OF[kind] if key not in given]:
        raise InputError(f"{option}.{missing[0]}", "", f"is wanted by a {kind}")
    if kind == "constant":
        return Axis(name, (given["value"],), lambda _: given["value"])
    if kind == "categorical":
        return _categorical(option, name, given["values"], given.get("probabilities"))
    return _numeric(option, name, kind, given)


def _kind(option: str, content: Mapping[str, Any]) -> str:
    """The distribution that is meant where none is named, as W&B has it."""
    if "value" in content:
        return "constant"
    if "values" in content:
        return "categorical"
    if "min" in content and "max" in content:
        return "int_uniform" if all(_is_integer(content[key]) for key in ("min", "max")) else "uniform"
    if "mu" in content or "sigma" in content:
        return "normal"
    raise InputError(option, dict(content), "expected value, values, min and max, or a distribution")


def _categorical(option: str, name: str, values: Any, weights: Any) -> Axis:
    if not isinstance(values, list) or not values:
        raise InputError(f"{option}.values", values, "expected a list of at least one value")
    if weights is not None:
        numbers = isinstance(weights, list) and all(_is_number(weight) and weight >= 0 for weight in weights)
        if not numbers or len(weights) != len(values) or not math.isclose(sum(weights), 1, abs_tol=1e-6):
            problem = f"expected {len(values)} numbers, one for each value, that add up to 1"
            raise InputError(f"{option}.probabilities", weights, problem)
    return Axis(name, tuple(values), lambda generator: generator.choices(values, weights)[0])


def _numeric(option: str, name: str, kind: str, given: Mapping[str, Any]) -> Axis:
    for key in KEYS_OF[kind]:
        if not _is_number(given[key]) or (kind == "int_uniform" and not _is_integer(given[key])):
            wanted = "an integer" if kind == "int_uniform" else "a number, as YAML writes it: 1.0e-3, not 1e-3"
            raise InputError(f"{option}.{key}", given[key], f"expected {wanted}")
    if "min" in KEYS_OF[kind] and given["min"] > given["max"]:
        raise InputError(f"{option}.min", given["min"], f"must be at most max, {given['max']}")
    if "values" in kind and given["min"] <= 0:
        raise InputError(f"{option}.min", given["min"], "must be above 0, as its logarithm is drawn")
    for key in {"q", "sigma"} & set(KEYS_OF[kind]):
        if given[key] <= 0:
            raise InputError(f"{option}.{key}", given[key], "must be above 0")
    listed = tuple(range(given["min"], given["max"] + 1)) if kind == "int_uniform" else None
    return Axis(name, listed, lambda generator: _drawn(kind, given, generator))


def _drawn(kind: str, given: Mapping[str, Any], generator: random.Random) -> float:
    """A number from one of the distributions; those with a ``q`` are rounded to its multiples."""
    if kind == "int_uniform":
        return generator.randint(given["min"], given["max"])
    if kind.endswith("normal"):
        value = generator.gauss(given["mu"], given["sigma"])
    elif "log_uniform" in kind:
        low, high = (math.log(given[key]) if "values" in kind else given[key] for key in ("min", "max"))
        value = math.exp(generator.uniform(low, high))
    else:
        value = generator.uniform(given["min"], given["max"])
    if kind.startswith("q_"):
        rounded = round(value / given["q"]) * given["q"]
        return min(max(rounded, given["min"]), given["max"]) if "min" in given else rounded
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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

"""The floors hold: a module imports only from lower floors, and from its own folder without circles."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "rs_cae"
FLOORS = [
    {"sublayers", "errors", "atomic_files", "processes", "dynamics", "figures", "demo"},
    {"stream", "reducers", "metrics", "results"},
    {"data", "record", "run_folder", "teleportation"},
    {"modules"},
    {"callbacks"},
    {"report"},
    {"api", "commands", "cli", "__main__", "__init__"},
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
SOURCES = {path.relative_to(ROOT).with_suffix("").as_posix(): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def imports(source: str) -> set[str]:
    """Modules of rs_cae that a source imports, as paths without the package: ``stream/tokens``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rs_cae"):
            base = node.module.split(".")[1:]
            for alias in node.names:
                path = "/".join([*base, alias.name])
                found.add(path if path in SOURCES else "/".join(base) or "__init__")
        elif isinstance(node, ast.Import):
            found |= {"/".join(alias.name.split(".")[1:]) for alias in node.names if alias.name.startswith("rs_cae.")}
    return found


def upward(name: str, source: str) -> list[str]:
    """Imports of a module that point to its own floor outside its folder, or above."""
    place = name.split("/")[0]
    assert place in FLOOR_OF, f"{name} has no floor: put it into FLOORS and into docs/architecture.md"
    others = {other.split("/")[0] for other in imports(source)} - {place}
    free = 6  # the top floor's modules serve each other
    return [other for other in others if FLOOR_OF[other] >= FLOOR_OF[place] and FLOOR_OF[place] < free]


def circle(sources: dict[str, str]) -> list[str] | None:
    """Modules that import each other in a circle, if any do."""
    graph = {
        name: {other for other in imports(text) if other in sources and other != name} for name, text in sources.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def unsafe_calls(source: str) -> list[str]:
    """Calls that could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            words = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            name = ast.unparse(node.func)
            if name == "torch.load" and words.get("weights_only") != "True":
                found.append(name)
            if name in ("pickle.load", "pickle.loads", "eval", "exec") or words.get("trust_remote_code") == "True":
                found.append(name)
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_keeps_the_rules(name):
    source = SOURCES[name]
    assert upward(name, source) == []
    assert unsafe_calls(source) == []
    assert len(source.splitlines()) <= 250
    assert Path(name).name not in ("utils", "helpers")
    if not name.startswith(("callbacks", "cli", "commands")):
        assert "wandb" not in source.lower()
    if name.startswith("dynamics"):
        assert not any(f"import {word}" in source for word in ("lightning", "transformers", "xarray"))


def test_no_circles():
    assert circle({name: text for name, text in SOURCES.items() if not name.endswith("__init__")}) is None


def test_the_rules_can_be_broken():
    assert upward("dynamics/moments", "from rs_cae.data import TrajectoryDataModule") == ["data"]
    assert upward("stream/datasets", "import rs_cae.metrics.samples") == ["metrics"]
    assert unsafe_calls("torch.load(path)") == ["torch.load"]
    assert unsafe_calls("torch.load(path, weights_only=True)") == []
    a, b = "from rs_cae.stream import tokens", "from rs_cae.stream import datasets"
    assert circle({"stream/datasets": a, "stream/tokens": b})
    with pytest.raises(AssertionError, match="has no floor"):
        upward("attic/old", "")

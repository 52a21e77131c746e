"""docs/architecture.md against the syntax trees: the floors, who uses whom, and every file of the folders it lists."""

import re

import pytest
from documents import DOCS, names, tables
from test_architecture import FLOORS, ROOT, SOURCES, imports

PAGE = (DOCS / "architecture.md").read_text()
SMALL = {"sublayers", "errors", "atomic_files", "processes"}
"""Whom anyone may use."""


def test_the_picture_has_the_floors():
    pictured = re.findall(r"^floor (\d) \|(.+)$", PAGE, re.MULTILINE)
    assert [(int(floor), set(parts.split())) for floor, parts in pictured] == list(enumerate(FLOORS))[::-1]


def test_each_part_uses_what_it_is_said_to_use():
    (table,) = (table for table in tables(PAGE) if "uses" in table[0])
    said = {frozenset(names(row["part"])): set(names(row["uses"])) for row in table}
    used = {part: set() for parts in said for part in parts}
    for name, source in SOURCES.items():
        part = name.split("/")[0]
        used[part] |= {other.split("/")[0] for other in imports(source)} - SMALL - {part, "__init__"}
    together = {parts: set().union(*(used[part] for part in parts)) - parts for parts in said}
    assert said == together
    assert set(used) == set().union(*FLOORS)


@pytest.mark.parametrize("folder", ["stream", "dynamics", "teleportation", "callbacks", "report", "commands", "api"])
def test_every_file_of_a_folder_is_listed(folder):
    listed = PAGE[PAGE.index(f"Within `{folder}/`") :].split("\n\nWithin")[0].split("\n## ")[0]
    files = {path.name.removesuffix(".py") for path in (ROOT / folder).iterdir() if path.is_file()}
    folders = {f"{path.name}/" for path in (ROOT / folder).iterdir() if path.is_dir()} - {"__pycache__/"}
    assert {name for name in files if not name.startswith("__")} | folders <= set(names(listed))
    rows = [row for table in tables(listed) for row in table]
    assert {name for row in rows for name in names(row["file"])} <= files | folders

"""What the pages say, without running any of it: links, options, reasons for commands that nobody runs."""

import re
import subprocess
from inspect import signature

import pytest
from documents import PAGES, ROOT, blocks, commands, headings, links, tables

from rs_cae.callbacks import ANALYSES
from rs_cae.cli import OWN_COMMANDS, RunCLI
from rs_cae.data import TrajectoryDataModule
from rs_cae.modules.checkpoints import MODULES
from rs_cae.stream.families import FAMILIES

TARGETS = ("demo", "test", "test-all", "bench", "clean")
ELSEWHERE = ("wandb", "srun", "sbatch", "squeue", "hf")
"""Programs that say by their name that they need a server, a cluster or the hub."""


def of_language(page, language):
    return [block for block in blocks(PAGES[page].read_text()) if block.language == language]


def installs(command):
    """Whether it is one of those by which ``make`` installs."""
    return command.words[:3] == ("python3", "-m", "venv") or command.words[:2] == (".venv/bin/pip", "install")


def is_run(command):
    """Whether a test runs it, or ``make`` does, whose targets are tested."""
    return bool(command.of_rs_cae) or installs(command) or (command.words[0] == "make" and command.words[1] in TARGETS)


@pytest.mark.parametrize("page", PAGES)
def test_a_command_is_run_or_says_why_not(page):
    every = [command for block in of_language(page, "bash") for command in commands(block)]
    assert [command.words for command in every if not is_run(command) and not command.reason] == []


@pytest.mark.parametrize("page", PAGES)
def test_what_is_shown_only_says_what_it_needs(page):
    for block in of_language(page, "console"):
        told = any(command.reason for command in commands(block))
        assert told or {command.program for command in commands(block)} <= set(ELSEWHERE)


@pytest.mark.parametrize("page", PAGES)
def test_no_command_hides_in_a_block_of_another_kind(page):
    others = [block for block in blocks(PAGES[page].read_text()) if block.language not in ("bash", "console")]
    assert not [block for block in others if re.search(r"^\$? ?(python|torchrun|make|wandb) ", block.text, re.M)]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in links(PAGES[page].read_text()):
        path, _, anchor = target.partition("#")
        file = PAGES[page].parent / path if path else PAGES[page]
        assert file.exists(), target
        assert not anchor or anchor in headings(file.read_text()), target


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_project_that_is_named_is_there(page):
    text = PAGES[page].read_text()
    named = re.findall(r"(?<![\w./-])(?:rs_cae|configs|scripts|tests)/[\w/.-]*[\w/]", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [name for name in re.findall(r"\btest_\w+\.py", text) if not (ROOT / "tests" / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_row_of_a_table_has_all_columns(page):
    assert all(row for table in tables(PAGES[page].read_text()) for row in table)


@pytest.mark.parametrize("page", PAGES)
def test_every_option_and_command_that_is_named_is_there(page):
    sections = {"data": [TrajectoryDataModule], "model": MODULES.values()} | {k: [v] for k, v in ANALYSES.items()}
    held = {
        f"{name}.{option}"
        for name, kinds in sections.items()
        for kind in kinds
        for option in signature(kind).parameters
    }
    text = PAGES[page].read_text()
    named = set(re.findall(rf"--((?:{'|'.join(sections)})\.\w+)", text))
    assert named - held <= {"model.help", "model.init_args", "perturbation.NAME"}
    known = {*OWN_COMMANDS, *RunCLI.subcommands()}
    assert set(re.findall(r"-m rs_cae (\w+)", text)) | set(re.findall(r"`rs_cae (\w+)", text)) <= known


@pytest.mark.parametrize("page", ["README.md", "capture.md"])
def test_every_known_family_is_named(page):
    text = PAGES[page].read_text()
    assert [name for name in FAMILIES if not re.search(rf"\b{name.removesuffix('_text')}\b", text)] == []


def test_every_page_is_in_the_index():
    assert set(links(PAGES["index.md"].read_text())) >= {
        name for name in PAGES if name not in ("README.md", "index.md")
    }


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_the_targets(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

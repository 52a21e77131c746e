"""docs/configs.md against the code: every option with its default, every configuration, every section."""

import contextlib
import io
from inspect import signature

import pytest
import yaml
from documents import DOCS, ROOT, names, section, tables

from rs_cae.callbacks import ANALYSES
from rs_cae.cli import OWN_COMMANDS, main
from rs_cae.data import TrajectoryDataModule
from rs_cae.modules.checkpoints import MODULES

PAGE = (DOCS / "configs.md").read_text()
SECTIONS = {"data": TrajectoryDataModule, **{f"model: {name}": kind for name, kind in MODULES.items()}, **ANALYSES}
SET_FROM_DATA = ("width", "sublayers")


def options(title):
    """Defaults by option, of the table under a heading; several options may share a row."""
    (table,) = tables(section(PAGE, title))
    rows = [(names(row["option"]), names(row["default"]) or [row["default"]]) for row in table]
    return {
        name: yaml.safe_load(default) for held, defaults in rows for name, default in zip(held, defaults, strict=True)
    }


@pytest.fixture(scope="module")
def printed():
    """What holds without any option, as the command line prints it."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        main(["fit", "--print_config"])
    return yaml.safe_load(text.getvalue())


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_has_the_options_of_its_class(title):
    parameters = signature(SECTIONS[title].__init__).parameters.values()
    held = {one.name: one.default for one in parameters if one.name not in ("self", *SET_FROM_DATA)}
    described = options(title)
    assert list(described) == list(held)
    assert {name: (type(value), value) for name, value in described.items()} == {
        name: (type(value), value) for name, value in held.items()
    }


def test_the_options_of_a_run_and_of_the_trainer(printed):
    described = options("Of the run")
    sections = {"trainer", "model", "data", *ANALYSES}
    assert described.pop("analyses") == "all"
    assert printed["analyses"] == list(ANALYSES)
    hidden = {"weights_only"}
    assert described == {name: printed[name] for name in printed.keys() - sections - hidden - {"analyses"}}
    trainer = options("trainer")
    assert trainer == {name: printed["trainer"][name] for name in trainer}


def test_every_section_of_a_configuration_has_a_heading(printed):
    sections = {name for name, value in printed.items() if isinstance(value, dict)}
    assert {f"\n## {name}" in PAGE for name in sections} == {True}


def test_every_configuration_is_named():
    table = tables(section(PAGE, "The files"))[0]
    named = [name for row in table for name in names(row["file"])]
    assert sorted(named) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml"))


def test_every_command_with_options_of_its_own_is_named(capsys):
    (table,) = tables(section(PAGE, "Commands with options of their own"))
    rows = {names(row["command"])[0]: names(row["options"]) for row in table}
    assert rows.keys() == OWN_COMMANDS.keys() | {"predict"}
    for command in ("report", "sweep"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        words = capsys.readouterr().out
        assert all(option in words for option in rows[command])
        assert words.count("\n  --") == sum(option.startswith("--") for option in rows[command])


def test_lists_are_replaced_or_appended_to(tmp_path, capsys):
    def callbacks(*files):
        with pytest.raises(SystemExit):
            main(["fit", *(f"--config={tmp_path / file}.yaml" for file in files), "--print_config"])
        return [
            one["class_path"].split(".")[-1] for one in yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
        ]

    for name, key, kind in (("first", "", "LearningRateMonitor"), ("other", "", "DeviceStatsMonitor")):
        text = f"trainer:\n  callbacks{key}:\n    - class_path: lightning.pytorch.callbacks.{kind}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
        (tmp_path / f"{name}-too.yaml").write_text(text.replace("callbacks:", "callbacks+:"))
    assert callbacks("first", "other") == ["DeviceStatsMonitor"]
    assert callbacks("first", "other-too") == ["LearningRateMonitor", "DeviceStatsMonitor"]

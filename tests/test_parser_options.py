"""Options of a command's own beside those of a run's sections, and the run that they refer to."""

from pathlib import Path

import pytest
import torch

from rs_cae.commands.joining import find_run, join_run
from rs_cae.commands.messages import one_line, trainer_problem
from rs_cae.commands.parser import CommandParser, OneLineParser, parse_sections, true_or_false
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.modules import PCAModule

SECTIONS = {"data": TrajectoryDataModule}


def parser():
    made = CommandParser("perturb", "Put the stream somewhere else.")
    made.add_run()
    made.add_argument("--prompt")
    made.add_argument("--layers", type=int, nargs="+", metavar="N")
    made.add_argument("--site", choices=["attn", "mlp", "layer"], default="attn")
    made.add_argument("--grid", type=int, default=15)
    made.add_argument("--extent", type=float, nargs="+")
    made.add_argument("--logits", type=true_or_false, default=False)
    return made


def parsed(*words):
    options, rest = parser().parse_beside(SECTIONS, list(words))
    return options, parse_sections("perturb", "", SECTIONS, rest)


def test_own_options_and_sections_in_any_order():
    options, sections = parsed(
        *("--data.n_test", "9", "--layers", "0", "7", "15", "--data.batch_size=4", "--extent", "-1.5", "2"),
        *("--grid=3", "--logits", "TRUE", "--site", "mlp", "--data.model", "demo"),
    )
    assert (options.layers, options.extent, options.grid) == ([0, 7, 15], [-1.5, 2.0], 3)
    assert (options.logits, options.site, options.run_dir) == (True, "mlp", None)
    assert (sections.data.n_test, sections.data.batch_size, sections.data.model) == (9, 4, "demo")


def test_false_is_an_answer_too():
    assert parsed("--logits", "false")[0].logits is False


def test_what_is_not_given_has_its_default():
    options, sections = parsed()
    assert (options.layers, options.grid, options.logits, options.ckpt_path) == (None, 15, False, None)
    assert sections.data == parse_sections("cache", "", SECTIONS, []).data


@pytest.mark.parametrize("prompt", ["${data.n_train} of ${HOME}", "12", "null", "a: [b", "", "-5 degrees --grid x"])
def test_a_prompt_is_taken_as_it_is(prompt):
    assert parsed("--prompt", prompt)[0].prompt == prompt


def test_a_configuration_gives_its_part_and_options_override_it(tmp_path):
    (tmp_path / "config.yaml").write_text("data:\n  n_test: 5\n  batch_size: 2\nmodel:\n  class_path: X\ngrid: 99\n")
    options, sections = parsed("--config", str(tmp_path / "config.yaml"), "--grid", "4", "--data.n_test", "6")
    assert (options.grid, sections.data.n_test, sections.data.batch_size) == (4, 6, 2)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--grid x", "--grid x: expected int"),
        ("--grid=1.5", "--grid 1.5: expected int"),
        ("--grid ''", "--grid '': expected int"),
        ("--grid", "--grid : expected one argument"),
        ("--layers 0 x 3", "--layers x: expected int"),
        ("--layers --grid 3", "--layers : expected at least one argument"),
        ("--extent 1 it's", "--extent it's: expected float"),
        ("--site top", "--site top: expected one of attn, mlp, layer"),
        ("--logits maybe", "--logits maybe: expected true or false"),
        ("--logits a:b", "--logits a:b: expected true or false"),
        ("--data.n_test x", "--data.n_test x: expected int or null"),
        ("--gri 3", "--gri 3: no such option of perturb"),
        ("stray", "perturb stray: is neither an option nor the value of one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, line, monkeypatch):
    monkeypatch.setattr(OneLineParser, "typed", ["perturb", *words.split()])
    with pytest.raises(InputError) as raised:
        parsed(*words.split())
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_help_names_all_options(capsys):
    with pytest.raises(SystemExit) as left:
        parsed("--help")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--run_dir DIR", "--ckpt_path FILE", "--layers N", "--config FILE", "--data.test_corpus"):
        assert option in shown


def make_run(folder, held=7):
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("data: {}\n")
    (folder / "run.json").write_text("{}\n")
    for name in ("best", "last"):
        save(folder / "checkpoints" / f"{name}.ckpt", held)
    return folder


def arguments_of(held):
    return {"width": 8, "sublayers": 2, "bottleneck": 1, "components": held}


def save(path, held):
    arguments = arguments_of(held)
    weights = PCAModule(**arguments).state_dict()
    written = {"_class_path": "rs_cae.PCAModule", "_instantiator": "x", **arguments}
    torch.save({"hyper_parameters": written, "state_dict": weights}, path)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs, the second of which is the latest, and a checkpoint that lies in none."""
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/one"), 1)
    make_run(Path("runs/two"), 2)
    Path("runs/latest").symlink_to("two")
    save(Path("alone.ckpt"), 3)
    return tmp_path.resolve()


def test_the_run_is_the_one_that_was_named_else_the_checkpoint_s_else_the_latest(runs):
    one, last = Path("runs/one"), Path("runs/one/checkpoints/last.ckpt")
    found = find_run(one, None)
    assert (found.folder, found.checkpoint, found.config) == (one, one / "checkpoints/best.ckpt", one / "config.yaml")
    assert (found.class_path, found.hyperparameters) == ("rs_cae.PCAModule", arguments_of(1))
    found = find_run(None, last)
    assert (found.folder, found.checkpoint, found.config) == (runs / one, last, runs / one / "config.yaml")
    found = find_run(None, None)
    assert (found.folder, found.config) == (runs / "runs/two", runs / "runs/two/config.yaml")
    assert (found.checkpoint, found.hyperparameters) == (runs / "runs/two/checkpoints/best.ckpt", arguments_of(2))


def test_a_run_and_another_checkpoint(runs):
    two, last = Path("runs/two"), Path("runs/one/checkpoints/last.ckpt")
    found = find_run(two, last)
    assert (found.folder, found.checkpoint, found.config) == (two, last, two / "config.yaml")
    found = find_run(Path("runs/new"), last)
    assert (found.folder, found.checkpoint, found.config) == (Path("runs/new"), last, runs / "runs/one/config.yaml")


def test_a_checkpoint_that_lies_in_no_run(runs):
    found = find_run(None, Path("alone.ckpt"))
    assert (found.folder, found.checkpoint, found.config) == (None, Path("alone.ckpt"), None)
    assert found.hyperparameters == arguments_of(3)
    assert found.config_for([]) == []


@pytest.mark.parametrize(
    ("run_dir", "checkpoint", "line"),
    [
        ("nowhere", None, "--run_dir nowhere: holds no run"),
        (None, "nowhere.ckpt", "--ckpt_path nowhere.ckpt: no such checkpoint"),
        (None, "runs/one/run.json", "--ckpt_path runs/one/run.json: is not a checkpoint of rs_cae"),
    ],
)
def test_what_is_not_there_is_refused(runs, run_dir, checkpoint, line):
    with pytest.raises(InputError) as raised:
        find_run(run_dir and Path(run_dir), checkpoint and Path(checkpoint))
    assert str(raised.value).startswith(line)


def test_the_run_s_configuration_is_used_unless_one_is_given(runs):
    found = find_run(Path("runs/one"), None)
    assert found.config_for(["--data.model", "config"]) == ["--config", "runs/one/config.yaml"]
    Path("x").write_text("data: {}")
    for given in (["--config", "x"], ["--config=x"], ["-c", "x"], ["-cx"]):
        assert found.config_for(["--data.model=demo", *given]) == []
        assert "runs/one/config.yaml" not in join_run(["test", "--run_dir", "runs/one", *given])[1]
    completed = join_run(["test", "--run_dir", "runs/one", "--data.n_test=3"])[1]
    assert completed[:3] == ["test", "--config", "runs/one/config.yaml"]
    held = '{"model": {"class_path": "rs_cae.PCAModule", "init_args": {"bottleneck": 1, "components": 1}}}'
    best = ["--ckpt_path", "runs/one/checkpoints/best.ckpt"]
    assert completed[3:] == ["--config", held, *best, "--run_dir", "runs/one", "--data.n_test=3"]
    completed = join_run(["fit", *best])[1]
    assert completed == ["fit", "--config", str(runs / "runs/one/config.yaml"), "--config", held, *best]
    assert join_run(["fit", "--run_dir", "runs/one"])[1] == ["fit", "--run_dir", "runs/one"]


def test_a_union_of_types_is_named_in_words():
    message = (
        'Parser key "data.n_train":\n  Does not validate against any of the Union subtypes\n'
        "  Errors:\n    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n  Given value: 1.5"
    )
    assert one_line(message, []) == ("--data.n_train", "1.5", "expected int or null")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("`max_epochs` must be a non-negative integer. You passed in -5.", ("--trainer.max_epochs", "-5")),
        ("`Trainer(devices=0)` value is not a valid input using cpu accelerator.", ("--trainer.devices", "0")),
        ("`Timer(duration='x')` is not a valid duration.", ("--trainer.max_time", "x")),
        ("No supported gpu backend found!", ("--trainer", "(accelerator gpu, devices 0)")),
    ],
)
def test_the_option_that_a_trainer_complains_of(said, told):
    given = {"accelerator": "gpu", "devices": 0, "max_epochs": -5, "max_time": "x", "logger": None}
    assert trainer_problem(said, given) == (*told, said)

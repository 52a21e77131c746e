"""What ``rs_cae perturb`` refuses: exit code 2, one line that names the option and the value, nothing written."""

import shutil

import pytest
import torch
from workplace import stamps

from rs_cae.cli import main
from rs_cae.commands import perturb
from rs_cae.record import Record


@pytest.fixture(scope="module")
def prepared(tested, tmp_path_factory):
    """A folder with the run, another model of the same shape, and things that are wrong."""
    (place, run_dir), folder = tested, tmp_path_factory.mktemp("refusals")
    shutil.copytree(run_dir, folder / "run")
    shutil.copytree(place.model, folder / "other")
    shutil.copytree(run_dir, folder / "untrained")
    for name, trained in (("run.json", '"data.random_init": false'), ("config.yaml", "random_init: false")):
        content = (run_dir / name).read_text()
        assert content.count(trained) == 1
        (folder / "untrained" / name).write_text(content.replace(trained, trained.replace("false", "true")))
    (folder / "empty.txt").write_text("\n  \n")
    (folder / "long.txt").write_text("short enough\n" + "many words " * 100)
    (folder / "latin.txt").write_bytes("größer".encode("latin-1"))
    best = run_dir / "checkpoints" / "best.ckpt"
    (folder / "damaged.ckpt").write_bytes(best.read_bytes()[:-3000])
    (folder / "text.ckpt").write_text("no checkpoint")
    torch.save({**torch.load(best, weights_only=True), "module": "SomebodyElses"}, folder / "foreign.ckpt")
    return folder


@pytest.fixture
def here(prepared, monkeypatch):
    """It as the working folder."""
    monkeypatch.chdir(prepared)
    return prepared


CASES = [
    ("--layers 0 3", "--layers 3: the model has layers 0 to 2"),
    ("--layers -1", "--layers -1: the model has layers 0 to 2"),
    ("--layers x", "--layers x: expected int"),
    ("--layers", "--layers : expected at least one argument"),
    ("--site head", "--site head: expected one of attn, mlp, the model's"),
    ("--grid 1", "--grid 1: must be at least 2"),
    ("--grid 51", "--grid 51: must be at most 50"),
    ("--grid x", "--grid x: expected int"),
    ("--steps 0", "--steps 0: must be at least 1"),
    ("--bootstrap 38", "--bootstrap 38: must be at least 39"),
    ("--seed -1", "--seed -1: must be at least 0"),
    ("--seed 4294967296", "--seed 4294967296: must be at most 4294967295"),
    ("--offplane drop", "--offplane drop: expected one of mean, keep"),
    ("--logits perhaps", "--logits perhaps: expected true or false"),
    ("--prompt=", "--prompt '': is empty"),
    ("--prompt=\t", "--prompt '\\t': is empty"),
    ("--prompt=\udcff", "--prompt '\\udcff': is not UTF-8"),
    ("--prompts_file empty.txt", "--prompts_file empty.txt: holds no prompt; one a line is expected"),
    ("--prompts_file nowhere.txt", "--prompts_file nowhere.txt: cannot be read: "),
    ("--prompts_file latin.txt", "--prompts_file latin.txt: cannot be read: "),
    ("--prompts_file run", "--prompts_file run: cannot be read: "),
    (
        "--prompts_file long.txt",
        "--prompts_file 'many words many words many words many words many words many ...': has ",
    ),
    ("--prompt=a --prompts_file long.txt", "--prompt 'a': cannot be combined with --prompts_file"),
    ("--data.model demo", "--data.model demo: run/checkpoints/best.ckpt was fitted to a model with --data.model "),
    ("--data.model other", "--data.model other: run/checkpoints/best.ckpt was fitted to a model with --data.model "),
    ("--data.random_init true", "--data.random_init True: run/checkpoints/best.ckpt was fitted to a model with"),
    ("--run_dir untrained --data.random_init false", "--data.random_init False: untrained/checkpoints/best.ckpt was"),
    ("--run_dir untrained --data.seed 1", "--data.seed 1: untrained/checkpoints/best.ckpt was fitted to a model with"),
    ("--run_dir untrained --untrained true", "--untrained true: the model is untrained itself"),
    ("--run_dir untrained --ckpt_path run/checkpoints/best.ckpt", "--run_dir untrained: the checkpoint run/"),
    ("--data.hook_points.layers x", "--data.hook_points"),
    ("--run_dir nowhere", "--run_dir nowhere: holds no run; give the run's folder, or --ckpt_path"),
    ("--ckpt_path nowhere.ckpt", "--ckpt_path nowhere.ckpt: no such checkpoint"),
    ("--ckpt_path run", "--ckpt_path run: no such checkpoint"),
    ("--ckpt_path damaged.ckpt", "--ckpt_path damaged.ckpt: is not a checkpoint of rs_cae, or is damaged"),
    ("--ckpt_path text.ckpt", "--ckpt_path text.ckpt: is not a checkpoint of rs_cae, or is damaged"),
    ("--ckpt_path=foreign.ckpt --out=new --data.model=other", "--ckpt_path foreign.ckpt: foreign.ckpt holds Somebody"),
    ("--ckpt_path=foreign.ckpt --out=new --data.model=demo", "--data.model demo has 128"),
    ("--extent -1 1 -1", "--extent -1 1 -1: expected 4 numbers: low and high of each axis of the plane"),
    ("--extent -1 1 2 -2", "--extent -1 1 2 -2: expected each low end below its high end"),
    ("--extent -1 1 2 2", "--extent -1 1 2 2: expected each low end below its high end"),
    ("--extent nan 1 -2 2", "--extent nan 1 -2 2: expected each low end below its high end"),
    ("--extent -1 1 -2 inf", "--extent -1 1 -2 inf: expected each low end below its high end"),
    ("--extent a", "--extent a: expected float"),
    ("--out run", "--out run: is there already; name a new folder"),
    ("--out text.ckpt/new", "is not a folder"),
    ("--promt=a", "--promt"),
    ("--data.nope 3", "--data.nope 3"),
    ("stray", "stray"),
    ("--data.dtype float16", "--data.dtype float16: expected one of float32, bfloat16"),
    (
        "--data.schedule layerwise",
        "--data.schedule layerwise: holds one layer at a time, and what is asked for runs the",
    ),
    ("--data.test_corpus nowhere.txt", "--data.test_corpus nowhere.txt: cannot be read"),
    ("--config nowhere.yaml", "--config nowhere.yaml: no such file"),
]


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[repr(words) for words, _ in CASES])
def test_one_clear_line(here, no_model, capsys, words, expected):
    before = stamps(here)
    given = [] if "--run_dir" in words or "--ckpt_path" in words else ["--run_dir=run"]
    assert main(["perturb", *given, *words.split(" ")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].startswith("error: ")
    assert expected in error[0]
    assert len(error[0]) < 500
    assert stamps(here) == before


def test_a_folder_that_turns_out_not_to_be_writable(here, capsys):
    """Root may write anywhere, as far as it can be asked."""
    assert main(["perturb", "--run_dir=run", "--out=/proc/new", "--layers=1", "--grid=2", "--bootstrap=39"]) == 2
    assert capsys.readouterr().err.startswith("error: --out /proc/new: results cannot be written: ")


def test_an_interruption_while_it_writes_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(perturb, "write_report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        perturb._write(Record({}), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []

"""``rs_cae verify`` says what holds of a model's hook points; a run does not start where something does not."""

import json
import re

import pytest
from tiny_models import tiny_model

from rs_cae.cli import main

LLAMA = {"layers": "model.layers", "attn": "input_layernorm", "mlp": "post_attention_layernorm"}
LLAMA_ADDS = {"attn_adds": "self_attn", "mlp_adds": "mlp"}
GPT2 = {"layers": "transformer.h", "attn": "ln_1", "mlp": "ln_2"}


@pytest.fixture
def command(tiny_llama_dir, tmp_path, monkeypatch, capsys):
    """Runs a command on the tiny model from an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(name, hook_points=None, *options):
        given = [] if hook_points is None else ["--data.hook_points", json.dumps(hook_points)]
        code = main([name, "--data.model", str(tiny_llama_dir), *given, *options])
        written = capsys.readouterr()
        assert list(tmp_path.iterdir()) == []
        return code, written.out, written.err

    return run


@pytest.mark.parametrize("names", [None, {**LLAMA, **LLAMA_ADDS}, LLAMA])
def test_the_command_prints_what_holds(command, names):
    code, out, errors = command("verify", names)
    assert (code, errors) == (0, "")
    assert "llama, 6 sublayers (attn, mlp of each layer), float32" in out
    assert re.findall(r"│ \((.)\)", out) == ["a", "b", "c", "c", "d"]
    assert re.findall(r"│ (yes|NO) +│", out) == ["yes"] * 5


def test_the_command_fails_where_something_does_not_hold(command):
    code, out, errors = command("verify", {**LLAMA, **LLAMA_ADDS, "mlp": "mlp"})
    assert (code, errors) == (1, "")
    assert re.findall(r"│ \((.)\).*│ NO +│", out) == ["b", "c"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mlp": "ln_2"}, "no attribute `ln_2`; a layer has self_attn, mlp, input_layernorm, post_attention_layernorm"),
        ({"layers": "transformer.h"}, "the model has no list of layers 'transformer.h'"),
        ({"norm": "ln_f"}, "wants layers, attn and mlp (or layers and layer), and has norm, which is none of them"),
    ],
)
def test_names_of_no_module_are_one_line(command, wrong, message):
    code, out, errors = command("verify", {**LLAMA, **wrong})
    assert (code, out, len(errors.splitlines())) == (2, "", 1)
    assert errors.startswith("error: --data.hook_points {")
    assert message in errors


@pytest.mark.parametrize(
    "wrong",
    [
        {**LLAMA, "mlp": "mlp.down_proj"},  # what enters it is not of the stream's width
        {"layers": "model.layers", "layer": "mlp.act_fn"},
    ],
)
def test_modules_that_cannot_be_hook_points_are_one_line(command, wrong):
    code, out, errors = command("verify", wrong)
    assert (code, out, len(errors.splitlines())) == (2, "", 1)
    assert errors.startswith("error: --data.hook_points {")


def test_modules_that_never_run_are_one_line(demo_tokenizer, tmp_path, capsys):
    tiny_model("gpt2").save_pretrained(tmp_path)
    demo_tokenizer.save_pretrained(tmp_path)
    options = ["--data.model", str(tmp_path), "--data.hook_points"]
    assert main(["verify", *options, json.dumps(GPT2)]) == 0
    capsys.readouterr()
    assert main(["verify", *options, json.dumps({**GPT2, "mlp": "attn.attn_dropout"})]) == 2
    assert capsys.readouterr().err.startswith("error: --data.hook_points {")


def test_sublayers_may_differ_in_how_many_modules_add(command):
    """The first sums of two are wrong; the others are not mixed up with them."""
    code, out, _ = command("verify", {**LLAMA, **LLAMA_ADDS, "attn_adds": "self_attn+mlp"})
    assert code == 1
    assert re.findall(r"│ \((.)\).*│ NO +│", out) == ["b"]


def test_nothing_is_fitted_or_written_where_hook_points_do_not_hold(command):
    options = ("--data.train_corpus", "demo/test", "--trainer.max_epochs", "1")
    code, _, errors = command("fit", {**LLAMA, **LLAMA_ADDS, "mlp": "mlp"}, *options)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "its hook points do not hold: (b) the state before plus what is added: off by" in errors
    code, _, errors = command("fit", {**LLAMA, "mlp": "ln_2"}, *options)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "no attribute `ln_2`" in errors

"""A folder with a run and everything that is wrong, and what a refused command line must leave and say."""

import json
import os
import shutil
from pathlib import Path

import torch
import xarray as xr
import yaml
from transformers import BertConfig, LlamaConfig, LlamaForCausalLM, T5Config

from rs_cae.cli import RunCLI, main
from rs_cae.results import open_dataset, write_dataset

LONGEST = 500
"""Characters of a line that can still be read."""

SWEEP = {
    "method": "grid",
    "metric": {"name": "test/explained_variance_pooled", "goal": "maximize"},
    "parameters": {"model.bottleneck": {"values": [1, 2]}},
    "command": ["python", "-m", "rs_cae", "fit", "--config", "tiny.yaml", "--test_after", "true", "${args}"],
}

TEXTS = {
    **{"empty.txt": "\n  \n", "short.txt": "too short\n", "one.txt": "x" * 200, "file": "precious"},
    **{"two.txt": f"{'x' * 200}\n{'y' * 200}", "long.txt": f"short enough\n{'many words ' * 100}"},
    **{"damaged.yaml": "data: {n_train: [1\n", "list.yaml": "- 1\n", "empty.yaml": "", "number.yaml": "data: 3\n"},
    **{"unknown.yaml": "data:\n  n_trian: 3\n", "types.yaml": "data:\n  n_train: many\n", "good.yaml": "data: {}\n"},
    "of_model.yaml": "model: {class_path: PCAModule, init_args: {lr: 0.1}}\n",
    "model_types.yaml": "model: {bottleneck: many}\n",
    "no_model.yaml": "model: {class_path: PCAModel}\n",
    "tiny.yaml": "data: {model: llama, train_corpus: train.txt, test_corpus: test.txt}\n",
    **{"text.ckpt": "no checkpoint", "barred.txt": "x" * 200, "barred.yaml": "data: {}\n"},
}


def make_wrong(folder, place, run_dir):
    """Fill a folder with the model, its texts, the run of it, and things that are wrong.

    Args:
        folder: Takes them.
        place: Where the run was made.
        run_dir: The run, which was tested.
    """
    for name in ("train.txt", "test.txt"):
        shutil.copy(place.folder / name, folder)
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    for name in ("latin.txt", "latin.yaml"):
        (folder / name).write_bytes("größer".encode("latin-1"))
    _make_models(folder, place)
    _make_runs(folder, run_dir)
    _make_checkpoints(folder, run_dir / "checkpoints" / "best.ckpt")
    for name, changed in {
        "sweep": {},
        "no_parameters": {"parameters": None},
        "no_metric": {"metric": {"name": "test/nonsense"}},
        "left_out": {"metric": {"name": "test/turning_angle"}},
        "misspelled": {"parameters": {"model.bottlneck": {"values": [1, 2]}}},
        "bayes": {"method": "bayes"},
    }.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**SWEEP, **changed}))


def _make_models(folder, place):
    shutil.copytree(place.model, folder / "llama")
    shutil.copytree(place.model, folder / "cut")
    weights = folder / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3000])
    BertConfig().save_pretrained(folder / "bert")
    T5Config().save_pretrained(folder / "t5")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=2048, **shape)).save_pretrained(folder / "shallow")
    for file in place.model.glob("tokenizer*"):
        shutil.copy(file, folder / "shallow")
    (folder / "no_config").mkdir()
    (folder / "no_json").mkdir()
    (folder / "no_json" / "config.json").write_text("{")


def _make_runs(folder, run_dir):
    """The run, and others that are damaged, of another model or of another depth."""
    for name in (
        "run",
        "no_identity",
        "no_settings",
        "no_best",
        "no_netcdf",
        "no_headlines",
        "shallower",
        "untested",
        "barred_run",
        "headline_list",
        "asked",
        "gaussian",
    ):
        shutil.copytree(run_dir, folder / name)
    (folder / "no_identity" / "run.json").write_text("{")
    (folder / "no_settings" / "config.yaml").write_text("data: {")
    (folder / "no_best" / "checkpoints" / "best.ckpt").unlink()
    (folder / "no_netcdf" / "results" / "latent.nc").write_bytes(b"no netcdf")
    (folder / "no_headlines" / "metrics.json").write_text("{")
    (folder / "headline_list" / "metrics.json").write_text("[1]")
    shutil.rmtree(folder / "untested" / "results")
    for name, estimator in {"asked": "ksg", "gaussian": "gaussian"}.items():  # nothing else of it is looked at
        about = {"settings": json.dumps({"dynamics": {"mi_estimator": estimator}})}
        made_up = xr.Dataset({"mutual_information": ("transition", [0.5])}, attrs=about)
        write_dataset(folder / name / "results" / "dynamics.nc", made_up)
    write_dataset(
        folder / "shallower" / "results" / "latent.nc",
        open_dataset(run_dir, "latent").isel(sublayer=slice(0, 4), transition=slice(0, 3)),
    )
    shutil.copytree(run_dir, folder / "untrained")
    for name, trained in (("run.json", '"data.random_init": false'), ("config.yaml", "random_init: false")):
        content = (run_dir / name).read_text()
        assert content.count(trained) == 1
        (folder / "untrained" / name).write_text(content.replace(trained, trained.replace("false", "true")))
    (folder / "barred").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "run.json").write_text(json.dumps({"data.model": "another"}))
    (folder / "thesis").mkdir()
    (folder / "thesis" / "thesis.tex").write_text("precious")


def _make_checkpoints(folder, best):
    (folder / "damaged.ckpt").write_bytes(best.read_bytes()[:-3000])
    content = torch.load(best, weights_only=True)
    held = content["hyper_parameters"]
    torch.save({**content, "module": "SomebodyElses"}, folder / "foreign.ckpt")
    torch.save({**content, "hyper_parameters": {**held, "_class_path": "os.system"}}, folder / "system.ckpt")
    torch.save({**content, "hyper_parameters": {**held, "bottleneck": 5}}, folder / "others.ckpt")
    torch.save({"hyper_parameters": held}, folder / "no_weights.ckpt")
    torch.save([1, 2], folder / "list.ckpt")


def state_of(folder):
    """All that a folder holds, with what changes of it if it is written again."""
    states = {}
    for entry in os.scandir(folder):
        state = entry.stat(follow_symlinks=False)
        points_to = entry.is_symlink() and Path(entry.path).readlink()
        states[entry.path] = state.st_ino, state.st_mtime_ns, state.st_mode, points_to
        if entry.is_dir(follow_symlinks=False):
            states |= state_of(entry.path)
    return states


def refuse(words, expected, folder, capsys):
    """Run a command line that is wrong, and check that it says so and does nothing else."""
    before = state_of(folder)
    capsys.readouterr()
    assert main(words) == 2
    check_refusal(*capsys.readouterr(), expected)
    assert state_of(folder) == before


def check_refusal(printed, error, expected):
    """One line of error that begins as expected, and not a word beside it."""
    assert error.startswith(f"error: {expected}"), error
    assert error.count("\n") == 1, error
    assert error.endswith("\n")
    assert len(error) < LONGEST
    assert printed == ""


def build_parser_once(patch):
    """Let all command lines of a module share one parser, whose making takes most of a refusal's time."""
    made, setup = {}, RunCLI.setup_parser

    def setup_once(self, *arguments, **keywords):
        if not made:
            setup(self, *arguments, **keywords)
            names = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
            made.update({name: getattr(self, name) for name in names})
        vars(self).update(made)

    patch.setattr(RunCLI, "setup_parser", setup_once)

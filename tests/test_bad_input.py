"""Bad input: exit code 2, one line that names the option and the value, nothing written."""

import json
import subprocess
import sys

import pytest
from transformers import BertConfig, T5Config

from rs_cae.cli import main
from rs_cae.commands.messages import one_line


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with a few things that are wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_config").mkdir()
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "short.txt").write_text("too short\n")
    (tmp_path / "one.txt").write_text("x" * 200)
    (tmp_path / "damaged.ckpt").write_text("no checkpoint")
    (tmp_path / "other_run").mkdir()
    (tmp_path / "other_run" / "run.json").write_text(json.dumps({"data.model": "another"}))
    (tmp_path / "not_a_run").mkdir()
    (tmp_path / "not_a_run" / "thesis.tex").write_text("precious")
    BertConfig().save_pretrained(tmp_path / "bert")
    T5Config().save_pretrained(tmp_path / "t5")
    return tmp_path


CASES = [
    ("fit --data.model no_config", "--data.model no_config: the folder has no config.json"),
    ("fit --data.model ./nowhere", "--data.model ./nowhere: neither a local folder"),
    ("fit --data.model bert", "--data.model bert: family 'bert' is not a known decoder"),
    ("fit --data.model t5", "--data.model t5: t5 is an encoder-decoder"),
    ("fit --data.train_corpus missing.txt", "--data.train_corpus missing.txt: cannot be read"),
    ("fit --data.train_corpus empty.txt", "--data.train_corpus empty.txt: the file is empty"),
    ("fit --data.train_corpus short.txt", "--data.train_corpus short.txt: none of its texts has 100 to 500 characters"),
    ("fit --data.train_corpus one.txt", "--data.train_corpus one.txt: one text is too few"),
    ("fit --data.train_corpus demo/tarin", "--data.train_corpus demo/tarin: no such corpus"),
    (
        "fit --data.test_corpus short.txt --test_after true --data.train_corpus demo/test",
        "--data.test_corpus short.txt",
    ),
    ("fit --data.n_train 50000 --data.train_corpus demo/test", "--data.n_train 50000: only 983 texts"),
    ("fit --data.n_train 0 --data.train_corpus demo/test", "--data.n_train 0: must be at least 1"),
    ("fit --data.min_chars 600", "--data.min_chars 600: is above --data.max_chars 500"),
    ("fit --data.batch_size 0", "--data.batch_size 0: must be at least 1"),
    ("fit --data.n_train 1.5", "--data.n_train 1.5: expected int or null"),
    ("fit --data.token_position middle", "--data.token_position middle: expected one of last, random"),
    ("fit --data.dtype float16", "--data.dtype float16: expected one of float32, bfloat16"),
    ("fit --data.nope 3", "--data.nope 3"),
    ("fit --model.bottleneck 0", "--model.bottleneck 0: must be at least 1 and below the width 128"),
    ("fit --model.bottleneck 128", "--model.bottleneck 128: must be at least 1 and below the width 128"),
    ("fit --model.n_layers 3", "--model.n_layers 3: must be even"),
    ("fit --model.standardize zscore", "--model.standardize zscore: expected one of none, global, per_sublayer"),
    ("fit --model.nope 3", "--model.nope 3: no such option"),
    ("fit --model Nope", "--model Nope"),
    ("fit --trainer.max_epochs x", "--trainer.max_epochs x: expected int or null"),
    ("fit --trainer.devices 0", "--trainer (accelerator auto, devices 0): "),
    ("fit --trainer.accelerator warp", "--trainer (accelerator warp, devices auto): "),
    ("cache --data.cache_dir out --trainer.devices 0", "--trainer (accelerator auto, devices 0, strategy auto): "),
    ("fit --config missing.yaml", "--config missing.yaml: File does not exist"),
    ("fit --run_dir /proc/nowhere --data.train_corpus demo/test", "--run_dir /proc/nowhere: cannot be written to"),
    ("fit --run_dir short.txt", "--run_dir short.txt: short.txt is not a folder"),
    ("fit --run_dir not_a_run", "--run_dir not_a_run: is not empty and holds no run"),
    ("fit --run_dir other_run", "--run_dir other_run: holds another run: its data.model is another, not demo"),
    ("fit --ckpt_path missing.ckpt", "--ckpt_path missing.ckpt: no such checkpoint"),
    ("test", "--run_dir runs/latest: no run there yet"),
    ("test --run_dir not_a_run", "--run_dir not_a_run: holds no run"),
    ("test --ckpt_path missing.ckpt", "--ckpt_path missing.ckpt: no such checkpoint"),
    ("test --ckpt_path damaged.ckpt", "--ckpt_path damaged.ckpt: is not a checkpoint of rs_cae"),
    ("fit --data.token_position all --data.max_positions 0", "--data.max_positions 0: must be at least 1"),
    ("fit --data.max_positions 3", "--data.max_positions 3: goes with --data.token_position all"),
    ("fit --data.tokens_per_batch 0", "--data.tokens_per_batch 0: must be at least 1"),
    ("fit --data.outlier_norm_factor 0.5", "--data.outlier_norm_factor 0.5: must be at least 1"),
    ("fit --data.outliers drop", "--data.outliers drop: wants --data.outlier_norm_factor"),
    ("fit --data.outliers hide", "--data.outliers hide: expected one of report, drop"),
    ("fit --data.source cached", "--data.source cached: wants --data.cache_dir"),
    ("fit --data.source cached --data.cache_dir not_a_run", "--data.cache_dir not_a_run: holds no cache"),
    ("fit --data.schedule sideways", "--data.schedule sideways: expected one of batchwise, layerwise"),
    ("fit --data.hook_points {layers:model.layers}", "--data.hook_points"),
    (
        "fit --data.schedule layerwise --data.random_init true --data.train_corpus demo/test",
        "--data.schedule layerwise: reads weights from files, and --data.random_init has none",
    ),
    ("fit --data.train_corpus hf:nope", "--data.train_corpus hf:nope"),
    ("cache", "--data.cache_dir : is wanted: the folder to write to"),
    ("cache --data.cache_dir short.txt", "--data.cache_dir short.txt: short.txt is not a folder"),
    ("cache --data.cache_dir /proc/nowhere", "--data.cache_dir /proc/nowhere: cannot be written to"),
    ("cache --data.cache_dir out --data.nope 3", "--data.nope 3"),
    ("cache --data.cache_dir out --config missing.yaml", "--config missing.yaml: File does not exist"),
    ("cache --data.cache_dir out --data.dtype float16", "--data.dtype float16: expected one of float32, bfloat16"),
    ("cache --data.cache_dir out --data.train_corpus missing.txt", "--data.train_corpus missing.txt: cannot be read"),
    ("verify nowhere", "verify nowhere: no such folder"),
    ("verify not_a_run --data.model demo", "verify not_a_run --data.model demo: wants a cache's folder alone"),
    ("verify not_a_run", "verify not_a_run: holds no cache"),
    ("verify --data.model bert", "--data.model bert: family 'bert' is not a known decoder"),
    ("verify --data.device_map nope --data.model demo", "--data.device_map nope: cannot be used"),
    ("fit --dynamics.mi_units 0", "--dynamics.mi_units 0: must be at least 1"),
    ("fit --dynamics.surrogates 1", "--dynamics.surrogates 1: must be at least 19"),
    ("fit --dynamics.mi_estimator guess", "--dynamics.mi_estimator guess: expected one of ksg, binned, gaussian"),
    ("fit --dynamics.seed -1", "--dynamics.seed -1: must be at least 0"),
    ("fit --dynamics.seed 9999999999999", "--dynamics.seed 9999999999999: must be below 2^32"),
    ("fit --explained_variance.groups 1", "--explained_variance.groups 1: must be at least 2"),
    ("fit --latent_trajectory.bootstrap 38", "--latent_trajectory.bootstrap 38: must be at least 39"),
    ("fit --latent_trajectory.seed -1", "--latent_trajectory.seed -1: must be at least 0"),
    ("fit --data.n_test 0", "--data.n_test 0: must be at least 1"),
    ("report", "report : the following arguments are required: run_dir"),
    ("report nowhere", "report nowhere: holds no run"),
    ("report not_a_run", "report not_a_run: holds no run"),
    ("report other_run", "report other_run: holds no results; `python -m rs_cae test --run_dir other_run` makes them"),
    ("report other_run --control", "--control : expected one argument"),
    ("report other_run --contrl x", "report : unrecognized arguments: --contrl x"),
    ("frobnicate", "rs_cae frobnicate: expected a command, one of fit, validate, test, cache, verify, perturb, report"),
    ("", "rs_cae : expected a command, one of"),
]


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[words or "nothing" for words, _ in CASES])
def test_one_clear_line(here, capsys, words, expected, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = sorted(here.rglob("*"))
    assert main(words.split()) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].startswith("error: ")
    assert expected in error[0]
    assert len(error[0]) < 500
    assert sorted(here.rglob("*")) == before


def test_the_process_itself_exits_with_two(here):
    words = [sys.executable, "-m", "rs_cae", "fit", "--data.model", "no_config"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: --data.model no_config: the folder has no config.json"
    assert "Traceback" not in done.stdout


def test_a_union_of_types_is_named_in_words():
    message = (
        'Parser key "data.n_train":\n  Does not validate against any of the Union subtypes\n'
        "  Errors:\n    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n  Given value: 1.5"
    )
    assert one_line(message, []) == ("--data.n_train", "1.5", "expected int or null")

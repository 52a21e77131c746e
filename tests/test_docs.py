"""What the README and the configs promise: every YAML parses, every command in the README is one that works."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from workplace import FEW_DRAWS

from rs_cae.cli import main
from rs_cae.demo.corpus import load_test_paragraphs
from rs_cae.stream import LanguageModelSpec

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "sweeps")
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("capture", "dynamics", "reducers", "perturbation")),
]
COMMANDS = {
    page.name: [
        line.partition("-m rs_cae ")[2]
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
        if line.startswith(("python -m rs_cae ", "torchrun "))  # with two processes: tests/test_processes.py
    ]
    for page in PAGES
}
NEEDS_HUB = ("smollm2", "llama-3.1")
FEW = {"fit": ["--data.n_train=20", "--data.n_test=10"], "cache": ["--data.n_train=20", "--data.n_test=10"]}
QUIET = {
    "fit": ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *FEW_DRAWS],
    "test": ["--data.n_test=10", "--trainer.enable_progress_bar=false", *FEW_DRAWS],
    "perturb": ["--grid=3", "--bootstrap=39", "--steps=2"],
}
RESUMED = ["--data.n_train=20", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_parses(path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(path), "--print_config"])
    assert stopped.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    for section, values in yaml.safe_load(path.read_text()).items():
        assert _contains(printed[section], values), section


def _contains(whole, part):
    if isinstance(part, dict):
        return all(key in whole and _contains(whole[key], value) for key, value in part.items())
    return whole == part


def test_the_demo_config_spells_out_the_defaults(capsys):
    printed = []
    for words in (["fit", "--print_config"], ["fit", "--config", str(ROOT / "configs/demo.yaml"), "--print_config"]):
        with pytest.raises(SystemExit):
            main(words)
        printed.append(yaml.safe_load(capsys.readouterr().out))
    assert printed[0] == printed[1]


@pytest.mark.parametrize(
    "path", [path for path in CONFIGS if path.parent != ROOT / "configs"], ids=lambda path: path.stem
)
def test_fragments_are_short_and_leave_the_bottleneck_alone(path):
    assert len(path.read_text().splitlines()) <= 25
    assert "bottleneck:" not in path.read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the README's commands run in order, on few texts, with a tiny model for DIR."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "configs").symlink_to(ROOT / "configs")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=2048, max_position_embeddings=256, **shape)).save_pretrained(folder / "DIR")
    AutoTokenizer.from_pretrained(LanguageModelSpec("demo").path).save_pretrained(folder / "DIR")
    texts = [text for text in load_test_paragraphs() if 100 <= len(text) <= 500]
    (folder / "a.txt").write_text("\n".join(texts[:30]))
    (folder / "b.txt").write_text("\n".join(texts[30:50]))
    return folder


@pytest.mark.parametrize(
    "page",
    [page.name if page.name == "README.md" else pytest.param(page.name, marks=pytest.mark.slow) for page in PAGES],
)
def test_the_commands_of_a_page_run(page, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("WANDB_MODE", "offline")
    ran = [command for command in COMMANDS[page] if not any(name in command for name in (*NEEDS_HUB, "sweep"))]
    assert ran
    for command in ran:
        words = shlex.split(command, comments=True)
        quick = [*FEW.get(words[0], []), *QUIET.get(words[0], [])]
        if words[0] == "fit" and "--ckpt_path" in words:
            quick = RESUMED
        assert main([*words, *quick]) == 0, command


@pytest.mark.slow
def test_the_sweeps_of_the_docs_run(place, monkeypatch):
    monkeypatch.chdir(place)
    sweeps = [command for page in COMMANDS.values() for command in page if command.startswith("sweep ")]
    assert len(sweeps) >= 2
    for command in dict.fromkeys(sweeps):
        assert main([*shlex.split(command), "--count=1", *FEW["fit"], *QUIET["fit"]]) == 0, command


@pytest.mark.parametrize("target", ["demo", "test", "test-all"])
def test_make_knows_the_targets(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""What the README, the docs and the configurations promise: commands and blocks of Python work, every YAML parses."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from documents import PAGES, ROOT, blocks, commands
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from workplace import FEW_DRAWS, quietly

from rs_cae.cli import main
from rs_cae.demo.corpus import load_test_paragraphs
from rs_cae.figures.catalogue import FIGURES
from rs_cae.stream import LanguageModelSpec

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "sweeps")
FEW = {"fit": ["--data.n_train=20", "--data.n_test=10"], "cache": ["--data.n_train=20", "--data.n_test=10"]}
QUIET = {
    "fit": ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *FEW_DRAWS],
    "test": ["--data.n_test=10", "--trainer.enable_progress_bar=false", *FEW_DRAWS],
    "validate": ["--trainer.enable_progress_bar=false"],
    "predict": ["--trainer.enable_progress_bar=false"],
    "perturb": ["--grid=3", "--bootstrap=39", "--steps=2"],
}
REDUCER_ONLY = "--analyses=[explained_variance,latent_trajectory]"
"""For the README, which is read in every test run; other pages ask everything."""

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
def material(tmp_path_factory):
    """A folder with configurations, a tiny model and texts, for what pages call DIR, a.txt and b.txt."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("configs", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=2048, max_position_embeddings=256, **shape))
    model.save_pretrained(folder / "DIR")
    AutoTokenizer.from_pretrained(LanguageModelSpec("demo").path).save_pretrained(folder / "DIR")
    texts = [text for text in load_test_paragraphs() if 100 <= len(text) <= 500]
    (folder / "a.txt").write_text("\n".join(texts[:30]))
    (folder / "b.txt").write_text("\n".join(texts[30:50]))
    return folder


@pytest.fixture
def place(material, tmp_path, monkeypatch):
    """A copy of it to run a page in, few figures drawn, nothing sent."""
    folder = shutil.copytree(material, tmp_path / "place", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("WANDB_MODE", "offline")
    drawn = {name: FIGURES[name] for name in ("layer_distance", "recovery")}
    monkeypatch.setattr(
        "rs_cae.report.drawing.drawable",
        lambda datasets: {name: figure for name, figure in drawn.items() if figure.dataset in datasets},
    )
    return folder


@pytest.fixture(scope="module")
def earlier(material):
    """A run of the demo, for pages that speak of ``runs/latest``."""
    run = material / "runs" / "earlier"
    assert quietly(lambda: main(["fit", "--test_after=true", f"--run_dir={run}", *FEW["fit"], *QUIET["fit"]]))[0] == 0
    (material / "runs" / "latest").symlink_to("earlier")


def run_page(page, *asked):
    """Every command and every block of Python of a page in order, but for sweeps, each run of which is a process.

    A block that begins with the name of a file is what that file holds. ``asked`` goes to fits and tests.
    """
    names = {"__name__": page}
    for block in blocks(PAGES[page].read_text()):
        if block.language == "python":
            if file := re.match(r"# (\w+\.py)\n", block.text):
                Path(file[1]).write_text(block.text)
            exec(compile(block.text, page, "exec"), names)
        for command in commands(block) if block.language == "bash" else []:
            words = command.of_rs_cae
            if words and not command.reason and words[0] != "sweep":
                quick = [
                    *FEW.get(words[0], []),
                    *QUIET.get(words[0], []),
                    *(asked if words[0] in ("fit", "test") else ()),
                ]
                resumed = words[0] == "fit" and "--ckpt_path" in words
                assert _code([*words, *(RESUMED if resumed else quick)]) == 0, shlex.join(words)


def _code(words):
    """What a command returns; one that informs leaves by itself."""
    try:
        return main(words)
    except SystemExit as left:
        return left.code


def test_the_readme_is_true(place):
    run_page("README.md", REDUCER_ONLY)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_a_page_is_true(page, earlier, place):
    run_page(page)


@pytest.mark.slow
def test_the_sweeps_of_the_pages_run(place):
    every = [
        command.of_rs_cae
        for page in PAGES.values()
        for block in blocks(page.read_text())
        if block.language == "bash"
        for command in commands(block)
    ]
    sweeps = [tuple(words) for words in every if words[:1] == ["sweep"]]
    assert len(sweeps) >= 2
    for words in dict.fromkeys(sweeps):
        assert main([*words, "--count=1", *FEW["fit"], *QUIET["fit"]]) == 0, words

"""A tiny Llama with two corpora, and caches of them: made in this process or in one to be killed, and compared."""

import contextlib
import ctypes
import io
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rs_cae.callbacks import ANALYSES
from rs_cae.cli import main
from rs_cae.data import TrajectoryDataModule
from rs_cae.demo.corpus import load_test_paragraphs
from rs_cae.stream import LanguageModelSpec
from rs_cae.stream.cache.shards import is_intact, read_record
from rs_cae.stream.capture import Batchwise

LAYERS, WIDTH, CONTEXT = 3, 32, 96
SHARD_SIZE = 10
COUNTS = {"train": 44, "test": 14}
SHARDS = [("train", number) for number in range(5)] + [("test", number) for number in range(2)]

FEW_DRAWS = [
    *("--report=false", "--dynamics.surrogates=19", "--dynamics.bootstrap=39", "--dynamics.mi_halves=2"),
    *("--curvature.draws=19", "--curvature.bootstrap=39", "--intrinsic_dimension.halves=2"),
    *("--perturbation.texts=2", "--perturbation.layers=[1]", "--perturbation.grid=3", "--perturbation.bootstrap=39"),
]

ODD = ["--model.init=random", "--data.n_test=13", "--data.batch_size=15", "--perturbation.texts=3"]
"""Layers alone, and numbers that two processes cannot share evenly."""

OF_TRAJECTORIES = f"--analyses=[{','.join(name for name in ANALYSES if name != 'perturbation')}]"
"""What is asked of trajectories alone, without the language model."""


@dataclass(frozen=True)
class Workplace:
    """A folder with a model and two text files, one text a line; some are longer than the model's context.

    Attributes:
        folder: Where they lie.
        texts: What is to be taken from either file; ``train.txt`` also has lines that are to be left out.
    """

    folder: Path
    texts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        return self.folder / "llama"

    def shorten(self, role: str, most: int) -> None:
        """Cut the texts of a file, so that they fit into the model's context."""
        self.texts[role] = [text[:most].strip() for text in self.texts[role]]
        (self.folder / f"{role}.txt").write_text("\n".join(self.texts[role]))

    def options(self, *words: str) -> list[str]:
        """Of the data; the last of several values of an option counts."""
        corpora = [f"--data.{role}_corpus={self.folder / role}.txt" for role in COUNTS]
        return [f"--data.model={self.model}", *corpora, f"--data.shard_size={SHARD_SIZE}", *words]

    def cache(self, folder: Path, *words: str) -> int:
        """Run ``rs_cae cache`` in this process."""
        return main(["cache", *self.options(f"--data.cache_dir={folder}", *words)])

    def goes_on(self, folder: Path, whole: dict[str, bytes]) -> None:
        """Check that the same command captures what is missing, that alone, and ends as if nothing had happened."""
        before = kept(folder)
        assert self.cache(folder) == 0
        assert before.items() <= kept(folder).items()
        assert contents(folder) == whole

    def fit(self, run_dir: Path, *words: str) -> int:
        """Run ``rs_cae fit``, then test without figures and with few draws, in this process."""
        return main(self.fit_words(run_dir, *words))

    def fit_words(self, run_dir: Path, *words: str) -> list[str]:
        """What ``fit`` runs."""
        settings = ["--trainer.max_epochs=2", "--trainer.enable_progress_bar=false", "--data.batch_size=16", *FEW_DRAWS]
        return ["fit", *self.options(*settings, f"--run_dir={run_dir}", "--test_after=true", *words)]

    def data(self, **options: Any) -> TrajectoryDataModule:
        """Their data module, ready for any stage."""
        corpora = {f"{role}_corpus": f"{self.folder / role}.txt" for role in COUNTS}
        given = {"model": str(self.model), **corpora, "shard_size": SHARD_SIZE, "batch_size": 16, **options}
        data = TrajectoryDataModule(**given)
        data.setup("fit")
        data.setup("test")
        return data


def make_workplace(folder: Path) -> Workplace:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=2048,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            initializer_range=0.2,
        )
        LlamaForCausalLM(config).save_pretrained(folder / "llama")
    AutoTokenizer.from_pretrained(LanguageModelSpec("demo").path).save_pretrained(folder / "llama")
    paragraphs = [text for text in load_test_paragraphs() if 100 <= len(text) <= 500 and text[0] != "="]
    texts = {"train": paragraphs[: COUNTS["train"]], "test": paragraphs[100 : 100 + COUNTS["test"]]}
    (folder / "train.txt").write_text("= Heading =\ntoo short\n" + "\n".join(texts["train"]))
    (folder / "test.txt").write_text("\n".join(texts["test"]))
    return Workplace(folder, texts)


def quietly(action: Callable[[], int]) -> tuple[int, str]:
    """What a command returns and prints, wherever it is called: fixtures that live long cannot have ``capsys``."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        return action(), printed.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes of a file if it is written again, even to the same content."""
    files = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in files.items() if name != ".lock"}


def kept(folder: Path) -> dict[tuple[str, int], int]:
    """The shards that are there and count, with what changes if one is written again."""
    found = [(role, number, read_record(folder / role, number)) for role, number in SHARDS]
    return {
        (role, number): (folder / role / record.file).stat().st_mtime_ns
        for role, number, record in found
        if record is not None and is_intact(folder / role, record)
    }


def start(action: Callable[[], int], printed: Path) -> BaseProcess:
    """Run an action in a process of its own; forked, so that nothing is imported again."""

    def child() -> None:
        with printed.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            code = action()
            file.flush()
        os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
    process.start()
    return process


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)


def obey_permissions():
    """Root may read and write where nobody may, unless it gives that up, as a process does that is to end soon."""
    header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    library = ctypes.CDLL(None, use_errno=True)
    assert library.capget(header, held) == 0
    for kind in (0, 1):  # those in effect; those that are permitted, by which the system answers questions of access
        held[kind] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert library.capset(header, held) == 0


def slow_capture(pause: float) -> None:
    """For a process that will be killed: pause before each shard."""
    at_once = Batchwise.trajectories

    def trajectories(self, requests):
        for batch in at_once(self, requests):
            time.sleep(pause)
            yield batch

    Batchwise.trajectories = trajectories

"""The paper's run, stage by stage, on a random model of Llama 3.1 8B's exact shape, from weights in memory.

    python scripts/bench/llama_8b.py [--quick] [--layers N] [--width N] [--texts N]

On a GPU with 32 GB or more: 32 layers of width 4096, 32 heads over 8 key-value heads, MLPs of 14336, a vocabulary of
128256, rope with llama3's scaling, a head of its own; bfloat16, weights drawn on the GPU. 1000 test and 4000 train
texts. Anywhere else less is run, and said: layers of less width with the same proportions and fewer texts, in float32
on a CPU. Nothing is downloaded.

Texts are made up: words that are a token each, behind one BOS. Lines of WikiText-2 that have 100 to 500 characters
are spread evenly over that range, and four characters are about a token, so numbers of tokens are drawn evenly from 25
to 125. Tokens are drawn by a log-uniform rank; nine texts of ten end with the same one, as those end with a full stop.

Everything runs as in ``rs_cae fit`` and ``test`` with ``configs/llama-3.1-8b.yaml``: the data module, its checks of the
hook points, the modules and callbacks with their defaults under Lightning's trainer. Only the weights are not read.
Results are written; figures are not drawn, checkpoints not kept. Numbers mean nothing, as the weights are random.

Each stage: seconds, the device having finished; peak memory, the GPU's or without one resident; and, where the language
model runs, tokens a second, padding and prefixes among them, and its arithmetic (``measure.stages.Work``) a second over
that of the fastest large matrix product in the model's precision, measured at the start of the same run. Compiling
numba's functions is part of the stages in which they first run.

Last line: JSON with figures_1_to_4_seconds, capture_tokens_per_second (without padding), capture_share_of_ceiling,
teleport_tokens_per_second, teleport_share_of_ceiling, ceiling_tflops and peak_gb, and the table of stages.
"""

import argparse
import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning import Callback, Trainer, seed_everything
from measure.stages import Stages, Work, matrix_product_flops, print_rows
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from rs_cae import AutoencoderModule, PCAModule, TrajectoryDataModule
from rs_cae.callbacks import (
    Curvature,
    Dynamics,
    ExplainedVariance,
    IntrinsicDimension,
    LatentTrajectory,
    PerturbationField,
    RunRecord,
)
from rs_cae.modules import ReducerModule
from rs_cae.run_folder import RunFolder
from rs_cae.stream import LanguageModelSpec

CONFIG = yaml.safe_load((Path(__file__).resolve().parents[2] / "configs" / "llama-3.1-8b.yaml").read_text())
FULL_LAYERS, FULL_WIDTH, FULL_VOCABULARY = 32, 4096, 128_256
GPU_BYTES = 32e9


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        layers: Of the model.
        width: Of its stream.
        test_texts: Whose dynamics are measured.
        train_texts: To which reducers are fitted.
        epochs: Of the autoencoder.
        perturbed: Test texts whose streams are teleported.
    """

    layers: int
    width: int
    test_texts: int
    train_texts: int
    epochs: int
    perturbed: int


class DrawnOnTheDevice(LanguageModelSpec):
    """Untrained weights that are drawn where they are to be, not in main memory first."""

    def load(self, device: torch.device) -> PreTrainedModel:
        """See ``LanguageModelSpec``."""
        with torch.device(device):
            return super().load(device)


def shape(layers: int, width: int) -> LlamaConfig:
    """Llama 3.1 8B's, or one of the same proportions."""
    heads = max(4, width // 128)
    return LlamaConfig(
        vocab_size=FULL_VOCABULARY * width // FULL_WIDTH,
        hidden_size=width,
        intermediate_size=7 * width // 2,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        max_position_embeddings=131_072,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=0,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )


def made_up_texts(count: int, vocabulary: int, seed: int) -> list[str]:
    """Texts of 25 to 125 words; word 1 ends nine of ten."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(25, 126, (count,), generator=generator).tolist()
    uniform = torch.rand(sum(lengths), generator=generator, dtype=torch.float64)
    words = (vocabulary - 2) ** uniform  # from 1 to all words but BOS, small numbers the most common
    stops = torch.rand(count, generator=generator) < 0.9
    parts = (words.long() + 1).split(lengths)
    numbered = [[*part[:-1].tolist(), 1 if stop else int(part[-1])] for part, stop in zip(parts, stops, strict=True)]
    return [" ".join(f"w{word}" for word in words) for words in numbered]


def write_inputs(folder: Path, size: Size) -> None:
    """A model folder without weights, and both corpora."""
    config = shape(size.layers, size.width)
    config.save_pretrained(folder)
    words = {"<s>": 0} | {f"w{number}": number for number in range(1, config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<s>").save_pretrained(folder)
    for seed, (role, count) in enumerate((("train", size.train_texts), ("test", size.test_texts))):
        (folder / f"{role}.txt").write_text("\n".join(made_up_texts(count, config.vocab_size, seed)))


def data_of(folder: Path, size: Size, device: torch.device) -> TrajectoryDataModule:
    """The data module, whose language model is drawn where it runs."""
    data = TrajectoryDataModule(
        model=str(folder),
        random_init=True,
        train_corpus=str(folder / "train.txt"),
        test_corpus=str(folder / "test.txt"),
        min_chars=1,
        max_chars=1_000_000,
        n_train=size.train_texts,
        n_test=size.test_texts,
    )
    data.origin.model = DrawnOnTheDevice(**vars(data.origin.model))
    data.origin.device = device
    return data


def trainer_of(device: torch.device, epochs: int, callbacks: list[Callback]) -> Trainer:
    """As the command line's, but silent, and with neither loggers nor checkpoints."""
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        devices=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        callbacks=callbacks,
        **silent,
    )


class Run:
    """All stages, one after the other.

    Args:
        folder: Of the inputs; takes the results.
        size: How much is run.
        stages: Measures.
    """

    def __init__(self, folder: Path, size: Size, stages: Stages) -> None:
        self.folder, self.size, self.stages = folder, size, stages
        self.data = data_of(folder, size, stages.device)

    def capture(self) -> Iterator[str]:
        """Draw the weights, then capture both corpora; gives the names of stages that capture."""
        with self.stages.stage("weights drawn, hook points checked", counted=False):
            self.data.origin.verify()
        self.stages.work = Work(self.data.origin.capturer.model)  # type: ignore[attr-defined]
        with self.stages.stage("texts to tokens"):
            for command in ("fit", "test"):
                self.data.setup(command)
        for role, count in (("train", self.size.train_texts), ("test", self.size.test_texts)):
            name = f"capture of {count} {role} texts"
            with self.stages.stage(name), contextlib.redirect_stdout(io.StringIO()):
                self.data.origin.prepare(role)
            yield name

    def fit(self, title: str, module: ReducerModule, epochs: int) -> ReducerModule:
        """Fit a reducer."""
        with self.stages.stage(title):
            trainer_of(self.stages.device, epochs, []).fit(module, self.data)
        return module

    def ask(
        self, title: str, module: ReducerModule, callbacks: list[Callback], left: dict[str, str], counted: bool = True
    ) -> None:
        """Test a reducer with some callbacks; what they leave, a variable of each dataset, must be there."""
        folder = self.folder / f"results of stage {len(self.stages.all)}"
        folder.mkdir()
        record, printed = RunRecord(RunFolder(folder), {}), io.StringIO()
        with self.stages.stage(title, counted), contextlib.redirect_stdout(printed):
            trainer_of(self.stages.device, 1, [record, *callbacks]).test(module, self.data, verbose=False)
        for dataset, variable in left.items():
            if variable not in record.datasets.get(dataset, {}):
                raise SystemExit(f"{title}: no {variable} in {dataset}: {printed.getvalue()}")

    def figures_1_to_4(self) -> None:
        """Fit both reducers and ask everything."""
        size, options = self.size, CONFIG["model"]["init_args"]
        autoencoder: Any = AutoencoderModule(self.data.width, self.data.sublayers, **options)
        components: Any = PCAModule(self.data.width, self.data.sublayers)
        self.fit(f"autoencoder fitted, {size.epochs} epochs", autoencoder, size.epochs)
        self.ask("dynamics (Figures 1 and 2)", autoencoder, [Dynamics()], {"dynamics": "rotations_surrogate_p"})
        space: list[Callback] = [ExplainedVariance(), LatentTrajectory()]
        self.ask(
            "autoencoder: latents, explained variance (Figure 3)", autoencoder, space, {"latent": "layer_distance"}
        )
        self.fit("PCA fitted", components, 1)
        curves = {"latent": "cumulative_explained_variance"}
        self.ask("PCA: latents, curves over components (Figures 4 A to C)", components, space, curves)
        title = f"teleports of {size.perturbed} texts (Figure 4 D)"
        self.ask(title, autoencoder, [PerturbationField(texts=size.perturbed)], {"perturbation": "displacement"})
        beyond: list[Callback] = [Curvature(), IntrinsicDimension()]
        self.ask("curvature, intrinsic dimension", autoencoder, beyond, {"dynamics": "two_nn"}, False)


def measured(folder: Path, size: Size, device: torch.device) -> dict[str, Any]:
    """Run everything; figures and stages."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    ceiling = matrix_product_flops(device, dtype, *((8192, 200) if device.type == "cuda" else (2048, 20)))
    print(f"the matrix product: {ceiling / 1e12:.3g} TFLOP/s in {dtype}")
    stages = Stages(device, ceiling)
    write_inputs(folder, size)
    run = Run(folder, size, stages)
    capturing = list(run.capture())
    run.figures_1_to_4()
    captures = [stage for stage in stages.all if stage.name in capturing]
    teleports = next(stage for stage in stages.all if stage.name.startswith("teleports"))
    tokens = sum(len(run.data.origin.plan(role).tokenized.ids) for role in ("train", "test"))  # type: ignore[attr-defined]
    padding = 1 - tokens / sum(stage.tokens for stage in captures)
    print(f"capture ran {tokens:,} tokens, and {padding:.1%} of all that ran was padding\n")
    print_rows(stages.rows())
    figures = {
        "figures_1_to_4_seconds": sum(stage.seconds for stage in stages.all if stage.counted),
        "capture_tokens_per_second": tokens / sum(stage.seconds for stage in captures),
        "capture_share_of_ceiling": stages.share(*captures),
        "teleport_tokens_per_second": teleports.tokens / teleports.seconds,
        "teleport_share_of_ceiling": stages.share(teleports),
        "ceiling_tflops": ceiling / 1e12,
        "peak_gb": max(stage.peak_gb for stage in stages.all),
    }
    return {name: float(f"{value:.4g}") for name, value in figures.items()} | {"stages": stages.rows()}


def size_of(given: argparse.Namespace, full: bool) -> Size:
    """What is asked for, completed by what this machine can do in the time."""
    layers = given.layers or (FULL_LAYERS if full else 8 if given.quick else 16)
    width = given.width or (FULL_WIDTH if full else 128 if given.quick else 256)
    whole, epochs = CONFIG["data"], CONFIG["trainer"]["max_epochs"]
    tests = given.texts or (whole["n_test"] if full and not given.quick else 100 if given.quick else 250)
    return Size(
        layers=layers,
        width=width,
        test_texts=tests,
        train_texts=tests * whole["n_train"] // whole["n_test"],
        epochs=4 if given.quick else epochs,
        perturbed=min(tests, 5 if given.quick else 50),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer texts and epochs, without a GPU less of the model")
    parser.add_argument("--layers", type=int, help="of the model; 32 on a GPU")
    parser.add_argument("--width", type=int, help="of its stream; 4096 on a GPU")
    parser.add_argument("--texts", type=int, help="test texts; 1000 on a GPU; four times as many to train on")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seed_everything(CONFIG["seed_everything"])
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    full = gpu and torch.cuda.get_device_properties(device).total_memory >= GPU_BYTES
    size = size_of(given, full)
    found: dict[str, Any] = {}
    if size != size_of(argparse.Namespace(layers=None, width=None, texts=None, quick=False), full=True):
        why = "" if full else f": {'the GPU has less than 32 GB' if gpu else 'no GPU at hand'}"
        what = f"{size.layers} layers of width {size.width}, {size.test_texts} test and {size.train_texts} train texts"
        found = {"reduced": True, "notes": [f"not run at full size{why}; run with {what}, {size.epochs} epochs"]}
        print(found["notes"][0])
    print(torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), size, device) | found
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""The data module: trajectories of a language model's residual stream, as batches for training and testing."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from rs_cae import processes
from rs_cae.dynamics.moments import Moments
from rs_cae.errors import InputError, refuse_below, refuse_other_seeds
from rs_cae.stream.capture import TOKENS_PER_BATCH
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.language_model import LanguageModelSpec, Precision
from rs_cae.stream.origins import SCHEDULES, CachedOrigin, CaptureSpec, LanguageModel, Origin, Schedule
from rs_cae.stream.outliers import OutlierRule
from rs_cae.stream.sampling import GlobalBatches
from rs_cae.stream.tokens import CaptureRequest, TokenPosition
from rs_cae.stream.trajectories import TrajectoryBatch

VALIDATION_SHARE = 0.1
SAMPLES_AT_ONCE = 512  # in a pass over a whole split

CORPUS_OF = {"train": "train", "validation": "train", "test": "test"}
"""The corpus that each split is a part of."""


class TrajectoryDataModule(LightningDataModule):
    """Streams trajectories [batch, sublayers, width] from a language model or from a cache of its trajectories.

    The last tenth of the train texts validates; the test corpus is never seen in training. Where the trajectories of a
    corpus fit into the memory budget they are captured once, before the first batch; otherwise the language model runs
    when a batch has reached the device. Of several processes each gets a part of every batch.

    Args:
        model: ``demo``, a Hugging Face id, or a local folder in Hugging Face format.
        revision: Branch, tag or commit of a hub model.
        random_init: The same architecture with untrained weights: the control.
        dtype: Precision in which the language model runs; by default float32 on CPU, bfloat16 on GPU.
        device_map: Such as ``auto``: spreads the layers over several devices; needs the package accelerate.
        hook_points: For a family that is not known: ``layers``, the path of its list of layers, ``attn`` and ``mlp``,
            the modules of a layer whose input is the residual stream, and, to verify the sums, ``attn_adds`` and
            ``mlp_adds``, those whose outputs are added.
        trust_remote_code: Whether code that comes with a model may run.
        allow_pickle_weights: Whether weights may be read from files other than safetensors.
        schedule: ``batchwise``, or ``layerwise`` for models larger than memory: one layer's weights at a time.
        train_corpus: ``demo/train``, ``wikitext-2/train`` (or 103), ``hf:NAME:CONFIG:SPLIT:COLUMN``, or the path of a
            .txt or .txt.gz file with a text a line.
        test_corpus: The same; by default ``demo/test``; the paper's is ``wikitext-2/validation+test``.
        min_chars: Least length of a text in characters, inclusive.
        max_chars: Greatest length of a text in characters, inclusive.
        n_train: Train texts, the validation's tenth among them; by default the first 4000, or all if there are fewer.
        n_test: Test texts; by default the first 1000, or all if there are fewer.
        token_position: The tokens whose states are read: the ``last`` of each text, a ``random`` one, or ``all``.
        max_positions: With ``all``, at most this many tokens of a text, drawn evenly.
        shuffle_tokens: Whether a text's tokens are put into random order, BOS and the one that is read (unless all
            are) staying in place: a control.
        source: ``live``, or ``cached`` to read what ``rs_cae cache`` wrote.
        cache_dir: Folder of the cache.
        shard_size: Samples a shard of the cache; by default 256 MB of them in float32, at most 1024.
        batch_size: Samples a training or test step, of all processes together; each gives one state per sublayer.
        tokens_per_batch: Tokens that the language model runs at a time, padding among them.
        num_workers: Processes that read or tokenize.
        memory_budget_gb: Trajectories of all corpora together are kept in memory up to this size, in gigabytes.
        outlier_norm_factor: A sample is an outlier if at any sublayer its norm exceeds this many medians; off if null.
        outliers: ``report`` outliers, or ``drop`` them.
        seed: Seed of the shuffling, of random positions and of untrained weights.

    Raises:
        InputError: If an option cannot be used; its message names the option and the value.
    """

    def __init__(
        self,
        model: str = "demo",
        revision: str | None = None,
        random_init: bool = False,
        dtype: Precision | None = None,
        device_map: str | None = None,
        hook_points: dict[str, str] | None = None,
        trust_remote_code: bool = False,
        allow_pickle_weights: bool = False,
        schedule: Schedule = "batchwise",
        train_corpus: str = "demo/train",
        test_corpus: str = "demo/test",
        min_chars: int = 100,
        max_chars: int = 500,
        n_train: int | None = None,
        n_test: int | None = None,
        token_position: TokenPosition = "last",
        max_positions: int | None = None,
        shuffle_tokens: bool = False,
        source: Literal["live", "cached"] = "live",
        cache_dir: str | None = None,
        shard_size: int | None = None,
        batch_size: int = 64,
        tokens_per_batch: int = TOKENS_PER_BATCH,
        num_workers: int = 0,
        memory_budget_gb: float = 4.0,
        outlier_norm_factor: float | None = None,
        outliers: Literal["report", "drop"] = "report",
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"n_train": n_train, "n_test": n_test, "max_positions": max_positions, "shard_size": shard_size}
        sizes |= {"batch_size": batch_size, "tokens_per_batch": tokens_per_batch}
        refuse_below(
            "data",
            dict.fromkeys([*sizes, "outlier_norm_factor"], 1),
            sizes | {"outlier_norm_factor": outlier_norm_factor},
        )
        none = {"num_workers": num_workers, "memory_budget_gb": memory_budget_gb, "min_chars": min_chars}
        refuse_below("data", dict.fromkeys(none, 0), none)
        refuse_other_seeds("data", seed)
        if max_positions is not None and token_position != "all":
            raise InputError("--data.max_positions", max_positions, "goes with --data.token_position all")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.outlier_rule = OutlierRule(outlier_norm_factor, outliers)
        self.seed = seed
        language_model = LanguageModelSpec(
            model, random_init, dtype, seed, revision, hook_points, device_map, trust_remote_code, allow_pickle_weights
        )
        corpora = {
            "train": CorpusSpec("train", train_corpus, min_chars, max_chars, n_train, default_count=4000),
            "test": CorpusSpec("test", test_corpus, min_chars, max_chars, n_test, default_count=1000),
        }
        budget = memory_budget_gb * 1e9
        capture = CaptureSpec(token_position, max_positions, seed, tokens_per_batch, shard_size, budget, shuffle_tokens)
        self.origin: Origin = (
            CachedOrigin(cache_dir, language_model, corpora, capture)
            if source == "cached"
            else SCHEDULES[schedule](language_model, corpora, capture)
        )
        self.layout, self.width = self.origin.layout, self.origin.width
        self.sublayers = len(self.layout)
        if self.sublayers < 2:
            raise InputError("--data.model", model, "is read at one sublayer alone: there is nowhere to go")
        self.splits: dict[str, Tensor] = {}
        self.outliers: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        """Open the corpora that the stage needs; the language model is loaded when it first runs."""
        if stage in ("fit", "validate") and "train" not in self.splits:
            texts, name = self._text_count("train"), self.origin.corpora["train"].name
            if texts < 2:
                raise InputError("--data.train_corpus", name, "one text is too few to train and validate")
            training = texts - max(1, round(VALIDATION_SHARE * texts))
            self._split("train", 0, training)
            self._split("validation", training, texts)
        if stage in ("test", "predict") and "test" not in self.splits:
            self._split("test", 0, self._text_count("test"))

    def describe(self) -> str:
        """One line: how many samples each split has, and how many texts were cut."""
        counts = ", ".join(f"{len(samples)} {split}" for split, samples in self.splits.items())
        line = f"{self.origin.model.name}: {self.sublayers} sublayers of width {self.width}; samples: {counts}"
        cut = sum(self.origin.notes(role)["truncated_texts"] for role in {CORPUS_OF[split] for split in self.splits})
        return f"{line}; texts longer than the context, cut on the left: {cut}" if cut else line

    def samples(self, split: str) -> Tensor:
        """A split's samples, less the outliers if they are to be dropped, once its corpus is ready to be read."""
        self._origin_here().prepare(CORPUS_OF[split])
        samples = self.splits[split]
        if self.outlier_rule.factor is None:
            return samples
        if split not in self.outliers:
            self.outliers[split] = self.outlier_rule.find(split, samples, self._trajectories(split, samples))
        return self.outlier_rule.keep(split, samples, self.outliers[split])

    def token_texts(self, tokens: Tensor) -> list[str]:
        """The text of each of the test corpus's tokens [n], byte for byte where the tokenizer works on bytes."""
        return self.origin.token_texts("test", tokens)

    def language_model(self) -> LanguageModel:
        """The language model itself, on the trainer's device, and the test corpus as it reads it."""
        return self._origin_here().language_model("test")

    def trajectories(self, split: str, samples: Tensor) -> TrajectoryBatch:
        """Trajectories of some samples together; where the language model runs now, it runs on no more than these."""
        return self.origin.run(self.origin.open(CORPUS_OF[split]).__getitems__(samples.tolist()))

    def batches(self, split: str, device: torch.device) -> Iterator[TrajectoryBatch]:
        """This process's part of a split, outside the trainer's loops, in batches of at most ``batch_size``."""
        for part in self._trajectories(split, self.samples(split), shared=True):
            batch = part.to(device)
            yield from map(batch.take, torch.arange(len(batch.samples)).split(self.batch_size))

    def train_moments(self, device: torch.device) -> Moments:
        """Moments of the train trajectories over [sublayers, width], in one pass that the processes share."""
        moments = Moments.zeros(1, self.sublayers, self.width, device=device)
        for batch in self.batches("train", device):
            moments = Moments.merge(moments, Moments.of(batch.states))
        everywhere = zip(*(processes.gather(field) for field in moments), strict=True)
        return Moments.merge(*(Moments(*fields) for fields in everywhere))

    def on_after_batch_transfer(self, batch: CaptureRequest | TrajectoryBatch, dataloader_idx: int) -> TrajectoryBatch:
        """Run the language model on a batch of tokens; hand a batch of trajectories on."""
        return self.origin.run(batch)

    def train_dataloader(self) -> DataLoader[CaptureRequest | TrajectoryBatch]:
        """Shuffled anew each epoch, by the seed."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[CaptureRequest | TrajectoryBatch]:
        """The last tenth of the train texts, in order."""
        return self._loader("validation")

    def test_dataloader(self) -> DataLoader[CaptureRequest | TrajectoryBatch]:
        """The test texts, in order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[CaptureRequest | TrajectoryBatch]:
        """The same."""
        return self._loader("test")

    def _origin_here(self) -> Origin:
        """The origin, told on which device its language model is to run."""
        if self.trainer is not None:
            self.origin.device = self.trainer.strategy.root_device
        return self.origin

    def _text_count(self, role: str) -> int:
        corpus, held = self.origin.corpora[role], int(self.origin.open(role).text_of[-1]) + 1
        return min(held, corpus.count or corpus.default_count)

    def _split(self, name: str, start: int, end: int) -> None:
        """The samples of the texts from start to end."""
        text_of = self.origin.open(CORPUS_OF[name]).text_of
        self.splits[name] = ((text_of >= start) & (text_of < end)).nonzero().flatten()

    def _trajectories(self, split: str, samples: Tensor, shared: bool = False) -> Iterator[TrajectoryBatch]:
        """Trajectories of these samples in order, or this process's share of them."""
        source = self.origin.open(CORPUS_OF[split])
        parts = samples.split(SAMPLES_AT_ONCE)
        for part in parts[processes.rank() :: processes.world_size()] if shared else parts:
            yield self.origin.run(source.__getitems__(part.tolist()))

    def _loader(self, split: str, shuffle: bool = False) -> DataLoader[CaptureRequest | TrajectoryBatch]:
        batches = GlobalBatches(self.samples(split), self.batch_size, self.seed if shuffle else None)
        corpus, workers = self.origin.open(CORPUS_OF[split]), self.num_workers
        return DataLoader(corpus, batch_sampler=batches, num_workers=workers, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch

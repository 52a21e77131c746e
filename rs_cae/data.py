"""The data module: trajectories of a language model's residual stream, as batches for training and testing."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel

from rs_cae.dynamics.moments import Moments
from rs_cae.errors import InputError
from rs_cae.stream.corpus import CorpusSpec
from rs_cae.stream.hookpoints import layout_of
from rs_cae.stream.language_model import LanguageModelSpec, Precision
from rs_cae.stream.live import LiveTrajectories, TrajectoryBatch, read_trajectories
from rs_cae.stream.tokens import TokenBatch, Tokenization, TokenPosition

VALIDATION_SHARE = 0.1


class TrajectoryDataModule(LightningDataModule):
    """Streams trajectories [batch, sublayers, width] from a language model.

    The last tenth of the train texts validates; the test corpus is never seen in training. The language model runs when
    a batch has reached the device; where the trajectories of the train texts fit into the memory budget they are
    captured once, before the first epoch, and no epoch runs the model again.

    Args:
        model: ``demo``, a Hugging Face id, or a local folder in Hugging Face format.
        random_init: The same architecture with untrained weights: the control.
        dtype: Precision in which the language model runs; by default float32 on CPU, bfloat16 on GPU.
        train_corpus: ``demo/train``, ``wikitext-2/train``, or the path of a .txt file with a text a line.
        test_corpus: ``demo/test``, ``wikitext-2/validation+test``, or the path of a .txt file.
        min_chars: Least length of a text in characters, inclusive.
        max_chars: Greatest length of a text in characters, inclusive.
        n_train: Train texts, the validation's tenth among them; by default the first 4000, or all if there are fewer.
        n_test: Test texts; by default the first 1000, or all if there are fewer.
        token_position: The token whose states are read: the ``last`` of each text, or a ``random`` one.
        batch_size: Texts a training or test step; each gives one state per sublayer.
        capture_batch_size: Texts a forward pass of the language model when the train texts are captured.
        num_workers: Processes that tokenize.
        memory_budget_gb: Trajectories are kept in memory up to this size, in gigabytes.
        seed: Seed of the shuffling, of random positions and of untrained weights.

    Raises:
        InputError: If an option cannot be used; its message names the option and the value.
    """

    def __init__(
        self,
        model: str = "demo",
        random_init: bool = False,
        dtype: Precision | None = None,
        train_corpus: str = "demo/train",
        test_corpus: str = "demo/test",
        min_chars: int = 100,
        max_chars: int = 500,
        n_train: int | None = None,
        n_test: int | None = None,
        token_position: TokenPosition = "last",
        batch_size: int = 64,
        capture_batch_size: int = 32,
        num_workers: int = 0,
        memory_budget_gb: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.language_model_spec = LanguageModelSpec(model, random_init, dtype, seed)
        self.train_spec = CorpusSpec("train", train_corpus, min_chars, max_chars, n_train, default_count=4000)
        self.test_spec = CorpusSpec("test", test_corpus, min_chars, max_chars, n_test, default_count=1000)
        for option, value in (("batch_size", batch_size), ("capture_batch_size", capture_batch_size)):
            if value < 1:
                raise InputError(f"--data.{option}", value, "must be at least 1")
        self.token_position = token_position
        self.batch_size = batch_size
        self.capture_batch_size = capture_batch_size
        self.num_workers = num_workers
        self.memory_budget_bytes = memory_budget_gb * 1e9
        self.seed = seed
        self.config = self.language_model_spec.config()
        self.layout = layout_of(self.config)
        self.width: int = self.config.hidden_size
        self.sublayers = len(self.layout)
        self.sources: dict[str, LiveTrajectories] = {}
        self._language_model: PreTrainedModel | None = None

    def setup(self, stage: str) -> None:
        """Read the corpora that the stage needs; the language model is loaded when it first runs."""
        if stage in ("fit", "validate") and "train" not in self.sources:
            texts = self.train_spec.load()
            n_validation = max(1, round(VALIDATION_SHARE * len(texts)))
            if len(texts) < 2:
                raise InputError(
                    "--data.train_corpus", self.train_spec.name, "one text is too few to train and validate"
                )
            self.sources["train"] = self._source(texts[:-n_validation])
            self.sources["validation"] = self._source(texts[-n_validation:])
        if stage in ("test", "predict") and "test" not in self.sources:
            self.sources["test"] = self._source(self.test_spec.load())

    def describe(self) -> str:
        """One line: how many texts each split has."""
        counts = ", ".join(f"{len(source)} {name}" for name, source in self.sources.items())
        return f"{self.language_model_spec.name}: {self.sublayers} sublayers of width {self.width}; texts: {counts}"

    def language_model(self, device: torch.device) -> PreTrainedModel:
        """The language model on the device, loaded on first use; it is no part of any checkpoint."""
        if self._language_model is None:
            self._language_model = self.language_model_spec.load(device)
        return self._language_model

    def token_texts(self, tokens: Tensor) -> list[str]:
        """The text of each of the tokens [n], byte for byte where the tokenizer works on bytes."""
        tokenizer = next(iter(self.sources.values())).tokenization.tokenizer
        return [str(tokenizer.decode([token])) for token in tokens.tolist()]

    def train_moments(self, device: torch.device) -> Moments:
        """Moments of the train trajectories over [sublayers, width].

        It passes over the train texts once, and keeps their trajectories, and validation's, if the budget allows.
        """
        self._remember_training(device)
        model = self.language_model(device)
        moments = Moments.zeros(1, self.sublayers, self.width, device=device)
        for batch in self.sources["train"].stream(model, self.capture_batch_size, "train moments"):
            for states in batch.states.split(self.batch_size):
                moments = Moments.merge(moments, Moments.of(states))
        return moments

    def on_after_batch_transfer(self, batch: TokenBatch | TrajectoryBatch, dataloader_idx: int) -> TrajectoryBatch:
        """Run the language model on a batch of tokens; hand a batch of trajectories on."""
        if isinstance(batch, TrajectoryBatch):
            return batch
        return read_trajectories(self.language_model(batch.input_ids.device), batch)

    def train_dataloader(self) -> DataLoader[TokenBatch | TrajectoryBatch]:
        """Shuffled anew each epoch, by the seed."""
        if self.trainer is not None:
            self._remember_training(self.trainer.strategy.root_device)
        return self._loader("train", EpochShuffle(len(self.sources["train"]), self.seed))

    def val_dataloader(self) -> DataLoader[TokenBatch | TrajectoryBatch]:
        """The last tenth of the train texts, in order."""
        return self._loader("validation")

    def test_dataloader(self) -> DataLoader[TokenBatch | TrajectoryBatch]:
        """The test texts, in order."""
        return self._loader("test")

    def _remember_training(self, device: torch.device) -> None:
        """Capture what is trained and validated on, once, if the budget allows."""
        model = self.language_model(device)
        training = [self.sources["train"], self.sources["validation"]]
        size = sum(map(len, training)) * self.sublayers * self.width * model.dtype.itemsize
        if size <= self.memory_budget_bytes:
            for source, title in zip(training, ("capture train", "capture validation"), strict=True):
                source.remember(model, self.capture_batch_size, title)

    def _source(self, texts: list[str]) -> LiveTrajectories:
        context = self.config.max_position_embeddings
        tokenizer = self.language_model_spec.tokenizer()
        return LiveTrajectories(texts, Tokenization(tokenizer, context, self.token_position, self.seed))

    def _loader(self, split: str, sampler: "EpochShuffle | None" = None) -> DataLoader[TokenBatch | TrajectoryBatch]:
        return DataLoader(
            self.sources[split],
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
        )


class EpochShuffle(Sampler[int]):
    """A permutation that depends on the seed and the epoch alone, so that a resumed run goes on as it would have.

    Args:
        length: Number of samples.
        seed: Seed of the permutations.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.length, generator=generator).tolist())


def _as_it_is(batch: Any) -> Any:
    return batch

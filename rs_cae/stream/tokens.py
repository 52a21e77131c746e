"""Texts to tokens, the samples that are read from them, and padded batches of both."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rs_cae.stream.batching import batches_of_like_lengths

TokenPosition = Literal["last", "random", "all"]


class TokenBatch(NamedTuple):
    """Right-padded texts that run together, and the samples that are read from them.

    Attributes:
        input_ids: [texts, tokens].
        attention_mask: [texts, tokens], 1 on real tokens.
        rows: [samples], the row of each sample's text.
        positions: [samples], the position that is read, always a real token.
        samples: [samples], each one's number in its corpus.
        texts: [samples], the number of its text.
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positions: Tensor
    samples: Tensor
    texts: Tensor

    @property
    def tokens(self) -> Tensor:
        """[samples], the ids of the tokens whose state is read."""
        return self.input_ids[self.rows, self.positions]

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same on another device."""
        return TokenBatch(*(field.to(device) for field in self))


class CaptureRequest(NamedTuple):
    """Samples whose trajectories are wanted together, as batches that run within the token budget.

    Attributes:
        batches: What runs.
        order: [samples], which sample of the joined batches comes first, second, ... in the order that was asked for.
    """

    batches: list[TokenBatch]
    order: Tensor


@dataclass(frozen=True)
class TokenizedTexts:
    """A corpus as tokens, with the samples that are read from it: one state per sublayer each.

    Attributes:
        ids: [all tokens], texts end to end.
        offsets: [texts + 1], where each text begins.
        text_of: [samples], the text of each sample, ascending.
        position_of: [samples], the position at which it is read.
        hashes: [texts], the first eight bytes of each text's SHA-256.
        truncated: How many texts were longer than the context and lost tokens from their left.
    """

    ids: Tensor
    offsets: Tensor
    text_of: Tensor
    position_of: Tensor
    hashes: Tensor
    truncated: int

    def __len__(self) -> int:
        return len(self.text_of)

    @property
    def tokens(self) -> Tensor:
        """[samples], the ids of the tokens whose state is read."""
        return self.ids[self.offsets[self.text_of] + self.position_of]

    def prompt(self, sample: int) -> Tensor:
        """[tokens], the ids of a sample's text up to and including the one whose state is read."""
        start = self.offsets[self.text_of[sample]]
        return self.ids[start : start + self.position_of[sample] + 1]

    def request(self, samples: Sequence[int], tokens_per_batch: int) -> CaptureRequest:
        """The texts of some samples in batches of like lengths; a text of several samples runs once."""
        chosen = torch.as_tensor(samples)
        texts, row_of = self.text_of[chosen].unique(return_inverse=True)
        lengths = (self.offsets[texts + 1] - self.offsets[texts]).tolist()
        batches, places = [], []
        for rows in batches_of_like_lengths(lengths, tokens_per_batch):
            row_in_batch = torch.full((len(texts),), -1)
            row_in_batch[rows] = torch.arange(len(rows))
            place = (row_in_batch[row_of] >= 0).nonzero().flatten()
            batches.append(self._pad(texts[rows], row_in_batch[row_of[place]], chosen[place]))
            places.append(place)
        return CaptureRequest(batches, torch.cat(places).argsort())

    def _pad(self, texts: Tensor, rows: Tensor, samples: Tensor) -> TokenBatch:
        starts = self.offsets[texts]
        lengths = self.offsets[texts + 1] - starts
        place = torch.arange(int(lengths.max()))
        mask = place < lengths[:, None]
        input_ids = torch.where(mask, self.ids[(starts[:, None] + place).clamp(max=len(self.ids) - 1)], 0)
        return TokenBatch(input_ids, mask.long(), rows, self.position_of[samples], samples, self.text_of[samples])


@dataclass(frozen=True)
class Tokenization:
    """How texts become tokens, and which tokens' states are read.

    Texts get the special tokens that the tokenizer adds itself, at most one BOS. A text longer than the context loses
    tokens from its left, but keeps its BOS. What is read is never the BOS, unless a text has nothing else.

    Attributes:
        tokenizer: Any Hugging Face tokenizer; a pad token is not needed.
        context: The most tokens that the model takes; None for no limit.
        position: ``last``: the last token of each text. ``random``: one drawn evenly. ``all``: every token.
        max_positions: With ``all``, at most this many tokens of a text, drawn evenly without replacement.
        seed: Seed of what is drawn, which depends on it and the text's number alone.
        shuffle: Whether tokens are put into random order, as a control for what context contributes; its BOS stays
            where it is, and so does the token that is read, unless all are.
    """

    tokenizer: PreTrainedTokenizerBase
    context: int | None = None
    position: TokenPosition = "last"
    max_positions: int | None = None
    seed: int = 0
    shuffle: bool = False

    def __call__(self, texts: Sequence[str]) -> TokenizedTexts:
        """Tokenize a corpus.

        Raises:
            ValueError: If a text has no token at all.
        """
        whole = [self._without_second_bos(ids) for ids in self.tokenizer(list(texts), verbose=False)["input_ids"]]
        empty = next((number for number, ids in enumerate(whole) if not ids), None)
        if empty is not None:
            raise ValueError(f"text {empty} has no tokens")
        rows = [self._fitted(ids) for ids in whole]
        positions = [self._positions(ids, number) for number, ids in enumerate(rows)]
        if self.shuffle:
            rows = [self._shuffled(ids, positions[number], number) for number, ids in enumerate(rows)]
        lengths = torch.tensor([0, *map(len, rows)])
        counts = torch.tensor([len(places) for places in positions])
        digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in texts]
        return TokenizedTexts(
            ids=torch.tensor([token for ids in rows for token in ids]),
            offsets=lengths.cumsum(0),
            text_of=torch.arange(len(rows)).repeat_interleave(counts),
            position_of=torch.tensor([place for places in positions for place in places]),
            hashes=torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests]),
            truncated=sum(len(ids) < len(before) for ids, before in zip(rows, whole, strict=True)),
        )

    def _starts_with_bos(self, ids: list[int]) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and ids[:1] == [bos]

    def _without_second_bos(self, ids: list[int]) -> list[int]:
        while self._starts_with_bos(ids) and ids[1:2] == ids[:1]:
            ids = ids[1:]
        return ids

    def _fitted(self, ids: list[int]) -> list[int]:
        if self.context is None or len(ids) <= self.context:
            return ids
        if self._starts_with_bos(ids):
            return [ids[0], *ids[len(ids) - self.context + 1 :]]
        return ids[-self.context :]

    def _positions(self, ids: list[int], number: int) -> list[int]:
        first = int(len(ids) > 1 and self._starts_with_bos(ids))
        if self.position == "last":
            return [len(ids) - 1]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        if self.position == "random":
            return [int(torch.randint(first, len(ids), (1,), generator=generator))]
        most = len(ids) - first if self.max_positions is None else self.max_positions
        drawn = torch.randperm(len(ids) - first, generator=generator)[:most]
        return sorted((drawn + first).tolist())

    def _shuffled(self, ids: list[int], positions: list[int], number: int) -> list[int]:
        first = int(len(ids) > 1 and self._starts_with_bos(ids))
        stays = set(range(first)) | (set(positions) if self.position != "all" else set())
        moves = [place for place in range(len(ids)) if place not in stays]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        shuffled = list(ids)
        for place, other in zip(moves, torch.randperm(len(moves), generator=generator).tolist(), strict=True):
            shuffled[place] = ids[moves[other]]
        return shuffled

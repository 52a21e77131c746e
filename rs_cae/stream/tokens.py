"""Texts to padded token batches, with the position that is read in each."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

TokenPosition = Literal["last", "random"]


class TokenBatch(NamedTuple):
    """Right-padded texts.

    Attributes:
        input_ids: [batch, tokens].
        attention_mask: [batch, tokens], 1 on real tokens.
        positions: [batch], the position whose state is read, always a real token.
        index: [batch], which text of the corpus each one is.
    """

    input_ids: Tensor
    attention_mask: Tensor
    positions: Tensor
    index: Tensor  # type: ignore[assignment]  # in place of the tuple's method, which nobody calls

    @property
    def read_tokens(self) -> Tensor:
        """[batch], the ids of the tokens whose state is read."""
        return self.input_ids.gather(1, self.positions[:, None]).squeeze(1)


class Tokenization:
    """How texts become token batches.

    Texts get the special tokens that the tokenizer adds itself, at most one BOS. A text longer than the context loses
    tokens from its left, but keeps its BOS.

    Args:
        tokenizer: Any Hugging Face tokenizer; a pad token is not needed.
        context: The most tokens that the model takes.
        position: ``last``: the last token of each text. ``random``: one drawn evenly from all its tokens but the BOS.
        seed: Seed of the random positions, which depend on it and the text's index alone.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, context: int, position: TokenPosition = "last", seed: int = 0
    ) -> None:
        self.tokenizer = tokenizer
        self.context = context
        self.position = position
        self.seed = seed

    def batch(self, texts: list[str], index: list[int]) -> TokenBatch:
        """Tokenize and pad.

        Raises:
            ValueError: If a text has no token at all.
        """
        rows = [self._tokens(text) for text in texts]
        empty = next((number for number, row in zip(index, rows, strict=True) if not row), None)
        if empty is not None:
            raise ValueError(f"text {empty} has no tokens")
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        input_ids = torch.zeros(mask.shape, dtype=torch.long)
        input_ids[mask] = torch.tensor([token for row in rows for token in row])
        return TokenBatch(input_ids, mask.long(), self._positions(rows, index), torch.tensor(index))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        starts = bos is not None and ids[:1] == [bos]
        if starts:
            while ids[1:2] == [bos]:
                ids = ids[1:]
        if len(ids) <= self.context:
            return ids
        return [ids[0], *ids[len(ids) - self.context + 1 :]] if starts else ids[-self.context :]

    def _positions(self, rows: list[list[int]], index: list[int]) -> Tensor:
        if self.position == "last":
            return torch.tensor([len(row) - 1 for row in rows])
        drawn = []
        for row, number in zip(rows, index, strict=True):
            first = int(len(row) > 1 and row[0] == self.tokenizer.bos_token_id)
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
            drawn.append(int(torch.randint(first, len(row), (1,), generator=generator)))
        return torch.tensor(drawn)

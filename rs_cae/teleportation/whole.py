"""Teleports by running the whole prompt for every state: for models whose prefix cannot be kept."""

from collections.abc import Sequence

import torch
from torch import nn

from rs_cae.stream.capture import TOKENS_PER_BATCH
from rs_cae.stream.tokens import TokenBatch
from rs_cae.teleportation.teleporter import Teleporter


class WholePrompt(Teleporter):
    """Runs a copy of the prompt for each state, all layers of it up to the last that is read."""

    tokens_at_once = TOKENS_PER_BATCH

    def _batch(self, rows: int) -> TokenBatch:
        ids, numbers = self.input_ids.repeat(rows, 1), torch.arange(rows, device=self.input_ids.device)
        last = torch.full_like(numbers, len(self.input_ids) - 1)
        return TokenBatch(ids, torch.ones_like(ids), numbers, last, numbers, numbers)

    def _left_out(self, layer: int) -> Sequence[nn.Module]:
        return ()

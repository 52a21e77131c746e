"""Teleports with the prompt's prefix run once: its keys and values are kept, and all states share them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

from rs_cae.stream.hookpoints import HookPoints
from rs_cae.stream.language_model import input_device
from rs_cae.stream.tokens import TokenBatch
from rs_cae.teleportation.teleporter import Teleporter


class SharedLayer(CacheLayerMixin):
    """A layer's keys and values of one prefix, held once whatever the number of rows that attend to them.

    Nothing is added to it: every row's own token is seen by that row alone, for as long as its attention runs.

    Args:
        held: The layer as the prefix left it.

    Raises:
        TypeError: If it holds something else than keys and values of whole tokens.
    """

    def __init__(self, held: Any) -> None:
        super().__init__()
        if type(held) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise TypeError(f"a layer's memory is a {type(held).__name__}, which cannot be shared")
        self.held: DynamicLayer = held
        self.keys, self.values, self.is_initialized = held.keys, held.values, held.is_initialized
        self.is_sliding = held.is_sliding

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is to be set up."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The prefix's keys and values with those of each row's token after them, [rows, heads, tokens, dim]."""
        if self.keys is None or self.values is None:
            return key_states, value_states
        rows = (len(key_states), -1, -1, -1)
        keys, values = self.keys.expand(rows), self.values.expand(rows)
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that queries see, and the place of the first."""
        return self.held.get_mask_sizes(query_length)

    def get_seq_length(self) -> int:
        """Tokens of the prefix."""
        return self.held.get_seq_length()

    def get_max_length(self) -> int:
        """The most tokens that the layer would hold."""
        return self.held.get_max_length()


@torch.inference_mode()
def run_prefix(model: PreTrainedModel, input_ids: Tensor) -> Cache | None:
    """The keys and values of a prefix [tokens], by the model's own forward pass; None if it is empty."""
    if not len(input_ids):
        return None
    ids, cache = input_ids.to(input_device(model))[None], DynamicCache(config=model.config)
    model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=cache, use_cache=True)
    return Cache(layers=[SharedLayer(layer) for layer in cache.layers])


class KeptPrefix(Teleporter):
    """Runs all tokens but the last once, and then of every state the last token alone.

    The layers below an injection hand on what they handed on in the control; at a layer's second site, its attention
    runs on the control's state.
    """

    tokens_at_once = 65_536

    def __init__(self, model: PreTrainedModel, points: HookPoints, input_ids: Tensor) -> None:
        self.prefix = run_prefix(model, input_ids[:-1])
        super().__init__(model, points, input_ids)

    def _batch(self, rows: int) -> TokenBatch:
        """The last token in each row; the mask is that of all tokens."""
        ids, numbers = self.input_ids[-1:].repeat(rows, 1), torch.arange(rows, device=self.input_ids.device)
        seen = ids.new_ones(rows, len(self.input_ids))
        return TokenBatch(ids, seen, numbers, torch.zeros_like(numbers), numbers, numbers)

    def _left_out(self, layer: int) -> Sequence[nn.Module]:
        return list(self.points.layers[:layer])

    def _cache(self) -> dict[str, Any]:
        return super()._cache() if self.prefix is None else {"past_key_values": self.prefix, "use_cache": True}

"""A long run stage by stage: seconds, memory, tokens, and how much of the hardware's arithmetic is made use of."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from measure import peak_mb


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_product_flops(device: torch.device, dtype: torch.dtype, size: int, repeats: int) -> float:
    """Floating-point operations a second of the fastest of some products of square matrices, 2 size^3 each."""
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        torch.mm(first, second)
        synchronize(device)
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * size**3 / fastest


class Work:
    """Counts what a language model runs, by hooks that see shapes alone: nothing waits for the device.

    Of each linear layer 2 x inputs x outputs for every row that enters it, so that what is left out is not counted;
    of each attention 4 x heads x head size for every pair of a query and a key, as fused kernels compute it without
    use of causality. Norms, activations and embeddings are left out.

    Args:
        model: A Llama of Transformers.

    Attributes:
        flops: So far.
        tokens: That entered the model, padding among them.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.flops, self.tokens = 0, 0
        self.heads_width = model.config.num_attention_heads * model.config.head_dim
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(self._linear)
            elif name.endswith("self_attn"):
                module.register_forward_pre_hook(self._attention, with_kwargs=True)
        model.get_input_embeddings().register_forward_pre_hook(self._embedding)

    def _embedding(self, module: nn.Module, arguments: tuple[Tensor]) -> None:
        self.tokens += arguments[0].numel()

    def _linear(self, module: nn.Linear, arguments: tuple[Tensor]) -> None:
        self.flops += 2 * module.out_features * arguments[0].numel()

    def _attention(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        rows, queries = keywords["hidden_states"].shape[:2]
        past = keywords.get("past_key_values")
        keys = queries + (past.get_seq_length(module.layer_idx) if past is not None else 0)
        self.flops += 4 * rows * queries * keys * self.heads_width


@dataclass
class Stage:
    """What was measured of one.

    Attributes:
        name: Of it.
        counted: Whether the total has it.
        seconds: By the wall.
        peak_gb: Most memory, of the GPU or without one resident.
        tokens: That the language model ran, padding among them; 0 if it did not.
        flops: Of the language model.
    """

    name: str
    counted: bool
    seconds: float = 0.0
    peak_gb: float = 0.0
    tokens: int = 0
    flops: int = 0


class Stages:
    """Measures stages as they run.

    Args:
        device: That of the language model.
        ceiling: Operations a second beside which those of the language model are put.

    Attributes:
        work: Of the language model, once it is there.
        all: The stages so far.
    """

    def __init__(self, device: torch.device, ceiling: float) -> None:
        self.device, self.ceiling = device, ceiling
        self.work: Work | None = None
        self.all: list[Stage] = []

    @contextmanager
    def stage(self, name: str, counted: bool = True) -> Iterator[Stage]:
        """Measure what runs while it is open."""
        stage = Stage(name, counted)
        synchronize(self.device)
        self._forget_peak()
        before = (self.work.tokens, self.work.flops) if self.work else (0, 0)
        began = time.perf_counter()
        yield stage
        synchronize(self.device)
        stage.seconds = time.perf_counter() - began
        stage.peak_gb = self._peak_gb()
        if self.work:
            stage.tokens, stage.flops = self.work.tokens - before[0], self.work.flops - before[1]
        self.all.append(stage)
        print(f"{stage.seconds:9.1f} s  {name}", flush=True)

    def share(self, *stages: Stage) -> float:
        """Of the ceiling, in some stages together."""
        return sum(stage.flops for stage in stages) / sum(stage.seconds for stage in stages) / self.ceiling

    def rows(self) -> list[dict[str, str]]:
        """The stages as a table of words."""
        return [
            {
                "stage": stage.name + ("" if stage.counted else " (not in the total)"),
                "seconds": f"{stage.seconds:.1f}",
                "peak GB": f"{stage.peak_gb:.1f}",
                "tokens a second": f"{stage.tokens / stage.seconds:,.0f}" if stage.tokens else "",
                "TFLOP/s": f"{stage.flops / stage.seconds / 1e12:.3g}" if stage.flops else "",
                "share of the ceiling": f"{self.share(stage):.2f}" if stage.flops else "",
            }
            for stage in self.all
        ]

    def _forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew

    def _peak_gb(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        return peak_mb() / 1e3


def print_rows(rows: list[dict[str, str]]) -> None:
    """A table, its first column to the left."""
    columns = list(rows[0])
    widths = [max(len(name), *(len(row[name]) for row in rows)) for name in columns]
    for cells in (dict(zip(columns, columns, strict=True)), *rows):
        first, *others = (cells[name] for name in columns)
        print(f"{first:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)))

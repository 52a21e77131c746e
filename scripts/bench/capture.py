"""Hooked capture against the bare forward pass, in one process, in turn.

    python scripts/bench/capture.py [--quick]

A random Llama of 16 layers and width 512 runs 32 x 128 tokens. The bare pass is ``model.model(ids, use_cache=False)``,
which computes no head either; capture leaves out the last MLP and the final norm besides, because it stops at the last
state it reads. Last line: JSON with ``capture_over_bare``, ``hidden_states_over_bare`` and ``live_rss_growth_mb``.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rs_cae.stream import TokenBatch, capture


def build_model(layers: int, width: int) -> LlamaForCausalLM:
    """A random Llama in float32."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=width,
        intermediate_size=11 * width // 4,
        num_hidden_layers=layers,
        num_attention_heads=8,
        max_position_embeddings=256,
    )
    return LlamaForCausalLM(config).eval()


def random_batch(texts: int, tokens: int, seed: int = 0) -> TokenBatch:
    """Texts of equal length, read at their last token."""
    ids = torch.randint(3, 2048, (texts, tokens), generator=torch.Generator().manual_seed(seed))
    return TokenBatch(ids, torch.ones_like(ids), torch.full((texts,), tokens - 1), torch.arange(texts))


def paired_times(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, all of them once a round, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if round_number:
                times[name].append(time.perf_counter() - began)
    return times


def resident_mb() -> float:
    """Resident memory of this process in megabytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def live_growth_mb(batches: int) -> float:
    """Growth of the resident memory over live batches of varying length, after 20 to warm up."""
    model = build_model(4, 128)
    for number in range(batches + 20):
        if number == 20:
            before = resident_mb()
        capture(model, random_batch(16, 40 + number % 60, seed=number))
    return resident_mb() - before


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    quick = parser.parse_args().quick
    model, batch = build_model(16, 512), random_batch(32, 128)
    ways = {
        "bare forward": lambda: model.model(batch.input_ids, use_cache=False),
        "capture": lambda: capture(model, batch),
        "output_hidden_states": lambda: model.model(batch.input_ids, use_cache=False, output_hidden_states=True),
    }
    states = capture(model, batch)
    hidden = model.model(batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True).hidden_states
    equal = all(torch.equal(states[:, 2 * layer], hidden[layer][:, -1]) for layer in range(16))
    times = paired_times(ways, repeats=7 if quick else 15)
    print(f"{'':24}{'median ms':>10}{'over bare':>11}{'least':>8}{'most':>8}")
    over = {}
    for name, seconds in times.items():
        ratios = [ours / bare for ours, bare in zip(seconds, times["bare forward"], strict=True)]
        over[name] = median(ratios)
        print(f"{name:24}{median(seconds) * 1e3:10.1f}{over[name]:11.3f}{min(ratios):8.3f}{max(ratios):8.3f}")
    print(f"pre-attention states equal output_hidden_states to the bit: {equal}")
    figures = {
        "capture_over_bare": round(over["capture"], 4),
        "hidden_states_over_bare": round(over["output_hidden_states"], 4),
        "live_rss_growth_mb": round(live_growth_mb(50 if quick else 200), 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

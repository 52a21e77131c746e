"""Capture against the bare forward pass, on ragged text, over many batches, and read back from a cache.

    python scripts/bench/capture.py [--quick]

1. A random Llama of 16 layers and width 512 runs 32 x 128 tokens. The bare pass is the headless model, called without a
   cache; capture leaves out the last MLP and the final norm besides, because it stops at the last state it reads.
2. Texts of the demo corpus, padded in the order in which they come or in batches of like lengths; as many batches.
3. Resident memory over live batches of varying length.
4. Random batches out of a cache in the page cache, on one core, beside a plain copy of a batch and a training step.

Last line: JSON with ``capture_over_bare``, ``hidden_states_over_bare``, ``ragged_speedup``, ``live_rss_growth_mb``,
``cached_gb_per_s`` and ``cached_over_copy``.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rs_cae.reducers import CompressingAutoencoder
from rs_cae.stream import CorpusSpec, LanguageModelSpec, TokenBatch, Tokenization, TrajectoryBatch, capture
from rs_cae.stream.cache import CachedTrajectories, Manifest
from rs_cae.stream.cache.shards import read_record, write_shard


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
    rows = torch.arange(texts)
    return TokenBatch(ids, torch.ones_like(ids), rows, torch.full((texts,), tokens - 1), rows, rows)


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


def print_paired(times: dict[str, list[float]], base: str) -> dict[str, float]:
    """A table of medians; returns the median of each way's ratio to the base, round by round."""
    print(f"{'':24}{'median ms':>10}{'over ' + base:>22}{'least':>8}{'most':>8}")
    over = {}
    for name, seconds in times.items():
        ratios = [ours / theirs for ours, theirs in zip(seconds, times[base], strict=True)]
        over[name] = median(ratios)
        print(f"{name:24}{median(seconds) * 1e3:10.1f}{over[name]:22.3f}{min(ratios):8.3f}{max(ratios):8.3f}")
    return over


@torch.inference_mode()
def against_bare(rounds: int) -> dict[str, float]:
    """Capture, the model's own hidden states, and the bare forward pass."""
    model, batch = build_model(16, 512), random_batch(32, 128)
    states = capture(model, batch)
    hidden = model.model(batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True).hidden_states
    equal = all(torch.equal(states[:, 2 * layer], hidden[layer][:, -1]) for layer in range(16))
    ways = {
        "bare forward": lambda: model.model(batch.input_ids, use_cache=False),
        "capture": lambda: capture(model, batch),
        "output_hidden_states": lambda: model.model(batch.input_ids, use_cache=False, output_hidden_states=True),
    }
    over = print_paired(paired_times(ways, rounds), "bare forward")
    print(f"pre-attention states equal output_hidden_states to the bit: {equal}\n")
    return over


def ragged_speedup(texts: int, rounds: int) -> float:
    """Texts a second in batches of like lengths, over those of arrival-order batches of as many texts."""
    corpus = CorpusSpec("train", "demo/train", 100, 500, texts, texts).load()
    tokenized = Tokenization(LanguageModelSpec("demo").tokenizer(), 256)(corpus)
    like = tokenized.request(range(texts), tokens_per_batch=4096).batches
    in_order = torch.arange(texts).tensor_split(len(like))
    arrival = [tokenized.request(part.tolist(), 10**9).batches[0] for part in in_order]
    model = build_model(8, 256)
    padded = {name: sum(part.input_ids.numel() for part in parts) for name, parts in (("l", like), ("a", arrival))}
    ways = {
        "arrival order": lambda: [capture(model, part) for part in arrival],
        "like lengths": lambda: [capture(model, part) for part in like],
    }
    over = print_paired(paired_times(ways, rounds), "arrival order")
    print(f"{texts} texts, {len(like)} batches; tokens with padding: {padded['a']} and {padded['l']}\n")
    return 1 / over["like lengths"]


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


def cached_reading(folder: Path, sublayers: int, width: int, dtype: torch.dtype, shards: int) -> tuple[float, float]:
    """Gigabytes a second of random batches of 64 from a cache of 64 MB shards, and of copying such a batch."""
    size = 64_000_000 // (sublayers * width * dtype.itemsize)
    for number in range(shards):
        states = torch.randn(size, sublayers, width).to(dtype)
        index = [torch.arange(size) + number * size for _ in range(4)]
        write_shard(folder, number, TrajectoryBatch(states, *index), index[0].clone(), "", {})
    records = [record for number in range(shards) if (record := read_record(folder, number))]
    cached = CachedTrajectories(folder, Manifest({"width": width}, {}, records, shards))
    batches = [part.tolist() for part in torch.randperm(len(cached)).split(64)]
    one = cached.__getitems__(batches[0]).states
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ways = {
        "read": lambda: [cached.__getitems__(batch) for batch in batches],
        "copy": lambda: [one.clone() for _ in batches],
    }
    times = paired_times(ways, 5)
    torch.set_num_threads(threads)
    whole = len(cached) * sublayers * width * dtype.itemsize
    return whole / median(times["read"]) / 1e9, whole / median(times["copy"]) / 1e9


def training_step_seconds(sublayers: int, width: int) -> float:
    """A step of the shared autoencoder on 64 trajectories, forwards and backwards."""
    reducer, states = CompressingAutoencoder(width, sublayers), torch.randn(64, sublayers, width)

    def step() -> None:
        torch.nn.functional.mse_loss(reducer.decode(reducer.encode(states)), states).backward()

    return median(paired_times({"step": step}, 5)["step"])


def reading(quick: bool) -> dict[str, float]:
    """Both shapes of cache: the demo's, and that of Llama 3.1 8B."""
    figures = {}
    print(f"{'cache':32}{'read GB/s':>10}{'copy GB/s':>10}{'ms a batch':>11}")
    shapes = {"24 x 128 float32": (24, 128, torch.float32), "64 x 4096 bfloat16": (64, 4096, torch.bfloat16)}
    for name, (sublayers, width, dtype) in shapes.items():
        with tempfile.TemporaryDirectory() as folder:
            read, copy = cached_reading(Path(folder), sublayers, width, dtype, 2 if quick else 8)
        batch = 64 * sublayers * width * dtype.itemsize / read / 1e6
        print(f"{name:32}{read:10.2f}{copy:10.2f}{batch:11.2f}")
        figures = {"cached_gb_per_s": round(read, 3), "cached_over_copy": round(read / copy, 3)}
    print(f"a training step on a batch of 24 x 128: {training_step_seconds(24, 128) * 1e3:.1f} ms\n")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    quick = parser.parse_args().quick
    over = against_bare(rounds=3 if quick else 15)
    figures = {
        "capture_over_bare": round(over["capture"], 4),
        "hidden_states_over_bare": round(over["output_hidden_states"], 4),
        "ragged_speedup": round(ragged_speedup(256 if quick else 1024, rounds=3 if quick else 5), 3),
        "live_rss_growth_mb": round(live_growth_mb(50 if quick else 200), 2),
        **reading(quick),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""Memory and disk of capture layer by layer, beside a capture with the whole model in memory.

    python scripts/bench/layerwise.py [--quick]

A random Llama of 24 layers, 2 GB in float32, is written shard by shard into a temporary folder. Each way then captures
the last token of 16 texts of 128 tokens in a process of its own, its files dropped from the page cache beforehand.
Memory is what the process has resident, file-backed pages included, beyond what it had after its imports: sampled every
2 ms, and beside it the kernel's own high-water mark. Disk is counted by tensors read and by the kernel. Linux only.
Last line: JSON with ``rss_over_weights`` (the larger of the two) and ``bytes_read_over_weights``, of layer by layer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig
from transformers.utils.logging import disable_progress_bar

from rs_cae.stream import TokenBatch, find_hook_points
from rs_cae.stream.capture import Batchwise
from rs_cae.stream.layerwise import Layerwise
from rs_cae.stream.tokens import CaptureRequest

LAYERS, VOCABULARY, TEXTS, TOKENS = 24, 8192, 16, 128


def write_model(folder: Path, width: int) -> None:
    """A random Llama in float32, a shard for each layer and one for the rest, with never more than one in memory."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=11 * width // 4,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        max_position_embeddings=256,
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder)
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in AutoModelForCausalLM.from_config(config).state_dict().items()}
    shard_of = {name: name.split(".")[2] if ".layers." in name else "rest" for name in shapes}
    for shard in dict.fromkeys(shard_of.values()):
        names = [name for name in shapes if shard_of[name] == shard]
        tensors = {name: random_weight(shapes[name]) for name in names}
        save_file(tensors, folder / f"model-{shard}.safetensors", {"format": "pt"})
    os.sync()  # pages that are not yet on disk could not be dropped from the cache
    index = {"metadata": {}, "weight_map": {name: f"model-{shard}.safetensors" for name, shard in shard_of.items()}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def random_weight(shape: torch.Size) -> torch.Tensor:
    """Ones for a norm, else small numbers."""
    return torch.ones(shape) if len(shape) == 1 else 0.02 * torch.randn(shape)


def request() -> CaptureRequest:
    """The last token of random texts, as batches of 512 tokens."""
    ids = torch.randint(3, VOCABULARY, (TEXTS, TOKENS), generator=torch.Generator().manual_seed(0))
    rows, last = torch.arange(4), torch.full((4,), TOKENS - 1)
    parts = [
        TokenBatch(part, torch.ones_like(part), rows, last, rows + 4 * number, rows + 4 * number)
        for number, part in enumerate(ids.split(4))
    ]
    return CaptureRequest(parts, torch.arange(TEXTS))


def status_mb(field: str) -> float:
    """A figure of this process's memory in megabytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / 1e6


def disk_mb() -> float:
    """What this process had fetched from disk so far in megabytes, through maps or otherwise."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("read_bytes")).split()[1]) / 1e6


class Sampler(threading.Thread):
    """Looks at the resident memory every 2 ms; ``peak`` is the most it saw, in megabytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        """Look until it is over."""
        while not self.over.wait(0.002):
            self.peak = max(self.peak, status_mb("VmRSS"))


def capture_in_this_process(way: str, folder: Path) -> dict[str, float]:
    """Capture one way; what it took, with a checksum of the states."""
    for path in folder.glob("*.safetensors"):  # out of the page cache, so that the kernel counts what is read
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    disable_progress_bar()
    asked, config = [request()], AutoConfig.from_pretrained(folder)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before, disk, sampler, began = status_mb("VmRSS"), disk_mb(), Sampler(), time.perf_counter()
    sampler.start()
    counted = float("nan")
    if way == "layer by layer":
        capturer = Layerwise(folder, config, torch.float32, torch.device("cpu"))
        states = next(capturer.trajectories(asked)).states
        counted = capturer.bytes_read / 1e6
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        states = next(Batchwise(model, find_hook_points(model)).trajectories(asked)).states
    seconds = time.perf_counter() - began
    sampler.over.set()
    sampler.join()
    return {
        "seconds": seconds,
        "sampled": sampler.peak - before,
        "high_water": status_mb("VmHWM") - before,
        "counted": counted,
        "disk": disk_mb() - disk,
        "checksum": float(states.double().norm()),
    }


def in_a_fresh_process(*arguments: str) -> str:
    """The last line that this script prints when it is run again."""
    run = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return (run.stdout.splitlines() or [""])[-1]


def compare(folder: Path, width: int) -> None:
    """Print the table of both ways and the line of JSON."""
    in_a_fresh_process("--write", str(folder), "--width", str(width))
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
    print(f"{LAYERS} layers of width {width}, {weights:.0f} MB in {len(list(folder.glob('*.safetensors')))} files")
    print(f"{'':18}{'seconds':>9}{'peak MB':>9}{'kernel MB':>11}{'over weights':>14}{'read MB':>9}{'disk MB':>9}")
    took = {}
    for way in ("layer by layer", "whole model"):
        took[way] = one = json.loads(in_a_fresh_process("--capture", str(folder), "--way", way))
        one["over"] = max(one["sampled"], one["high_water"]) / weights
        print(
            f"{way:18}{one['seconds']:9.1f}{one['sampled']:9.0f}{one['high_water']:11.0f}{one['over']:14.3f}"
            f"{one['counted']:9.0f}{one['disk']:9.0f}"
        )
    ours, theirs = took.values()
    print(f"norms of all states: {ours['checksum']:.9g} and {theirs['checksum']:.9g}")
    figures = {
        "rss_over_weights": round(ours["over"], 4),
        "bytes_read_over_weights": round(ours["counted"] / weights, 4),
    }
    print(json.dumps({**figures, "disk_over_weights": round(ours["disk"] / weights, 4)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="0.3 GB instead of 2")
    parser.add_argument("--width", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--capture", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write_model(given.write, given.width)
    elif given.capture:
        print(json.dumps(capture_in_this_process(given.way, given.capture)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), width=480 if given.quick else 1280)


if __name__ == "__main__":
    main()

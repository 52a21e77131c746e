"""Teleports with the prompt's prefix kept, beside full forward passes with a hook that sets the last token's stream.

    python scripts/bench/teleport.py [--quick]

1. 100 points at the attention of layers 0, 4 and 8, of which the next 12 sublayers are read, in a random Llama of 16
   layers and width 512 with a prompt of 24 tokens; and in one of 32 layers and width 256 with 100 tokens. The other way
   runs the headless model on a batch of 100 copies of the prompt, once an injection, with a hook that writes and 13
   that read; it stops nowhere. Ours is timed with all that a prompt needs, the prefix's run and the control's; what is
   found out once a model (``Teleports``) is not. States are compared in the same run.
2. The most memory that a process has resident that teleports 400 points, less that of one with 100, in the second
   model; beside it the keys and values that the attention of one layer reads for the 300 points more.

Each round runs both ways once; ratios are taken round by round, medians reported.

Last line: JSON with teleport_speedup_24, teleport_speedup_100, teleport_max_error and teleport_peak_growth_mb.
"""

import argparse
import json
from collections.abc import Sequence

import torch
from measure import in_a_fresh_process, paired_times, peak_mb, print_times, ratio
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from rs_cae.stream import find_hook_points
from rs_cae.teleportation.intervene import KeptPrefix, Teleports

POINTS, STEPS, INJECTIONS = 100, 12, (0, 8, 16)  # before the attention of layers 0, 4 and 8
MODELS = {24: (16, 512), 100: (32, 256)}  # layers and width by the prompt's tokens


def build(tokens: int) -> tuple[LlamaForCausalLM, Tensor]:
    """A random Llama in float32, and a prompt."""
    layers, width = MODELS[tokens]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=width,
        intermediate_size=11 * width // 4,
        num_hidden_layers=layers,
        num_attention_heads=8,
        max_position_embeddings=256,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False), torch.randint(3, 2048, (tokens,))


def targets_of(control: Tensor, points: int) -> Tensor:
    """States [points, width] around the control's [width], as far from it as it is long."""
    away = torch.randn(points, len(control), generator=torch.Generator().manual_seed(1))
    return control + control.norm() * away / away.norm(dim=1, keepdim=True)


@torch.inference_mode()
def by_full_forwards(model: LlamaForCausalLM, prompt: Tensor, targets: Sequence[Tensor]) -> list[Tensor]:
    """The states [points, steps + 1, width] after each injection, by plain hooks."""
    readers = find_hook_points(model).readers
    found = []
    for sublayer, states in zip(INJECTIONS[: len(targets)], targets, strict=True):
        seen: list[Tensor] = []

        def write(module: nn.Module, arguments: tuple[Tensor], states: Tensor = states) -> None:
            arguments[0][:, -1] = states

        def read(module: nn.Module, arguments: tuple[Tensor], seen: list[Tensor] = seen) -> None:
            seen.append(arguments[0][:, -1].clone())

        handles = [readers[sublayer].register_forward_pre_hook(write)]
        handles += [reader.register_forward_pre_hook(read) for reader in readers[sublayer : sublayer + STEPS + 1]]
        model.model(prompt.expand(len(states), -1), use_cache=False)
        for handle in handles:
            handle.remove()
        found.append(torch.stack(seen, dim=1))
    return found


def with_kept_prefix(model: LlamaForCausalLM, prompt: Tensor, targets: Sequence[Tensor]) -> list[Tensor]:
    """The same by ours."""
    teleporter = KeptPrefix(model, find_hook_points(model), prompt)
    pairs = zip(INJECTIONS, targets, strict=True)
    return [teleporter.teleport(sublayer, states, STEPS).states for sublayer, states in pairs]


def speedup(tokens: int, rounds: int, timed: int) -> tuple[float, float]:
    """How many times faster, and the largest relative difference of a state; so many full injections are timed."""
    model, prompt = build(tokens)
    teleports = Teleports(model, find_hook_points(model))
    assert teleports.way == "prefix kept", teleports.reason
    control = teleports.of(prompt).control
    targets = [targets_of(control[sublayer], POINTS) for sublayer in INJECTIONS]
    theirs, ours = (way(model, prompt, targets) for way in (by_full_forwards, with_kept_prefix))
    pairs = zip(ours, theirs, strict=True)
    error = max(float(((mine - full).norm(dim=-1) / full.norm(dim=-1)).max()) for mine, full in pairs)
    ways = {
        "full forwards": (lambda: by_full_forwards(model, prompt, targets[:timed]), timed / len(INJECTIONS)),
        "prefix kept": (lambda: with_kept_prefix(model, prompt, targets), 1.0),
        "its prefix and control alone": (lambda: KeptPrefix(model, find_hook_points(model), prompt), 1.0),
    }
    times = paired_times(ways, rounds)
    layers, width = MODELS[tokens]
    print_times(f"{layers} x {width}, {tokens} tokens", times, "full forwards")
    print(f"largest relative difference of a state: {error:.1e}")
    return ratio(times["full forwards"], times["prefix kept"]), error


def peak_here(points: int) -> dict[str, float]:
    """Teleport so many points; the most memory that this process had resident."""
    model, prompt = build(100)
    teleporter = KeptPrefix(model, find_hook_points(model), prompt)
    for sublayer in INJECTIONS:
        teleporter.teleport(sublayer, targets_of(teleporter.control[sublayer], points), STEPS)
    return {"peak": peak_mb()}


def peak_growth() -> float:
    """Megabytes from 100 to 400 points."""
    few, many = (in_a_fresh_process(__file__, "peak", points)["peak"] for points in ("100", "400"))
    layers, width = MODELS[100]
    attended = 300 * 2 * 100 * width * 4 / 1e6
    print(
        f"\npeak of 400 points less that of 100: {many - few:.0f} MB; keys and values of 300 points in one layer:",
        end="",
    )
    print(f" {attended:.0f} MB, in all {layers} layers: {layers * attended:.0f} MB")
    return many - few


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, and full forwards of one injection timed threefold"
    )
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(peak_here(int(given.part[1]))))
        return
    figures, errors = {}, []
    for tokens in MODELS:
        figures[f"teleport_speedup_{tokens}"], error = speedup(
            tokens, *((2, 1) if given.quick else (7, len(INJECTIONS)))
        )
        errors.append(error)
    figures |= {"teleport_max_error": max(errors), "teleport_peak_growth_mb": peak_growth()}
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()

"""Training of autoencoders and fitting of PCA, beside what one would write with plain PyTorch and scikit-learn.

    python scripts/bench/reducers.py [--quick]

1. A training step, gradient and AdamW included, of an autoencoder for each sublayer: ours, all of them as one, against
   a loop over plain autoencoders each with an optimizer of its own, PyTorch's AdamW as it comes, or fused as ours is
   (``.._fused``). 24 of width 128, 32 of width 512; batches of 64.
   Losses and, after some steps, weights are compared. On a GPU also 64 of width 4096 in batches of 256, alone.
2. PCA with 100 components of [16000, 1024] numbers in float64: ours in batches of 2000 against scikit-learn's
   IncrementalPCA with such batches and its PCA by ``covariance_eigh`` of the whole array.
3. The most memory that a process has resident that fits PCA to 64,000 made-up rows, less that of one with 16,000.
4. A training step of the shared autoencoder, 24 sublayers of width 128 in batches of 64: our module's, called by hand,
   against a loop in bare PyTorch over the same layers; and, apart, a whole epoch by Lightning's trainer, with its
   hooks, progress and logging, against such a loop.

Each round runs all ways once; ratios are taken round by round, medians reported.

Last line: JSON with per_sublayer_speedup_128, per_sublayer_speedup_512, pca_speedup_incremental,
pca_over_covariance_eigh, pca_largest_difference, pca_rss_growth_mb, cae_step_over_bare and lightning_over_bare; with a
GPU also per_sublayer_step_seconds_4096.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from measure import in_a_fresh_process, paired_times, peak_mb, print_times, ratio
from sklearn.decomposition import PCA, IncrementalPCA
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from rs_cae import AutoencoderModule
from rs_cae.dynamics import Scatter, principal_axes
from rs_cae.dynamics.moments import Moments
from rs_cae.stream.trajectories import TrajectoryBatch

BOTTLENECK, LEARNING_RATE = 2, 2e-3


def made_up(samples: int, sublayers: int, width: int, device: str = "cpu") -> Tensor:
    """Trajectories whose variance falls along the units."""
    generator = torch.Generator().manual_seed(0)
    falling = torch.linspace(3.0, 0.1, width)
    return (torch.randn(samples, sublayers, width, generator=generator) * falling).to(device)


def batch_of(states: Tensor) -> TrajectoryBatch:
    """As our modules are given it."""
    numbers = torch.arange(len(states), device=states.device)
    return TrajectoryBatch(states, numbers, numbers, numbers, numbers)


def module_of(states: Tensor, scope: str) -> AutoencoderModule:
    """Layers alone, so that both sides have the same."""
    module = AutoencoderModule(
        states.shape[2], states.shape[1], BOTTLENECK, scope=scope, init="random", lr=LEARNING_RATE, seed=0
    ).to(states.device)
    module.reducer.standardizer.fit(Moments.of(states))
    module.prepared.fill_(True)
    return module


def plain_copy(module: AutoencoderModule, which: int) -> nn.Sequential:
    """One of its autoencoders as a plain ``nn.Sequential``."""
    layers: list[nn.Module] = []
    for half in (module.network.encoder, module.network.decoder):
        for weight, bias in zip(half.weights, half.biases, strict=True):
            inputs, outputs = weight.shape[1:]
            linear = nn.Linear(inputs, outputs, device=weight.device)
            linear.weight.data.copy_(weight[which].T)
            linear.bias.data.copy_(bias[which, 0])
            layers += [linear, nn.GELU()]
        layers.pop()
    return nn.Sequential(*layers)


def our_step(module: AutoencoderModule, states: Tensor) -> Callable[[], Tensor]:
    """A training step of our module, by hand."""
    optimizer = torch.optim.AdamW(module.network.parameters(), LEARNING_RATE, weight_decay=0.01, fused=True)
    batch = batch_of(states)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def plain_step(plain: nn.Module, standardized: Callable[[], Tensor], fused: bool = True) -> Callable[[], Tensor]:
    """A training step in bare PyTorch."""
    optimizer = torch.optim.AdamW(plain.parameters(), LEARNING_RATE, weight_decay=0.01, fused=fused or None)

    def step() -> Tensor:
        target = standardized()
        optimizer.zero_grad()
        loss = mse_loss(plain(target), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def per_sublayer(sublayers: int, width: int, rounds: int) -> dict[str, float]:
    """All autoencoders as one against one after the other."""
    states = made_up(64, sublayers, width)
    module = module_of(states, "per_sublayer")
    scale = module.reducer.standardizer.scale
    columns = (states / scale[:, None]).transpose(0, 1).contiguous()
    plain = [plain_copy(module, which) for which in range(sublayers)]
    loop = [plain_step(each, lambda column=column: column) for each, column in zip(plain, columns, strict=True)]
    usual = [
        plain_step(plain_copy(module, which), lambda column=column: column, fused=False)
        for which, column in enumerate(columns)
    ]
    together = our_step(module, states)
    for _ in range(5):
        ours, theirs = float(together()), sum(float(step()) for step in loop)
        assert abs(ours - theirs) < 1e-4 * theirs, "the losses differ"
    last = torch.stack([each[-1].weight for each in plain])
    torch.testing.assert_close(module.network.decoder.weights[-1].mT, last, atol=1e-4, rtol=1e-3)
    ways = {
        "one after the other": (lambda: [step() for step in usual], 1.0),
        "the same, fused AdamW": (lambda: [step() for step in loop], 1.0),
        "as one": (together, 1.0),
    }
    times = paired_times(ways, rounds)
    print_times(f"{sublayers} autoencoders of width {width}", times, "one after the other")
    return {
        f"per_sublayer_speedup_{width}": ratio(times["one after the other"], times["as one"]),
        f"per_sublayer_speedup_{width}_fused": ratio(times["the same, fused AdamW"], times["as one"]),
    }


def on_a_gpu(rounds: int) -> dict[str, float]:
    """A step at Llama's shape."""
    if not torch.cuda.is_available():
        return {}
    states = made_up(256, 64, 4096, "cuda")
    step = our_step(module_of(states, "per_sublayer"), states)

    def finished() -> None:
        step()
        torch.cuda.synchronize()

    times = paired_times({"64 of width 4096": (finished, 1.0)}, rounds)
    print_times(torch.cuda.get_device_name(), times, "64 of width 4096")
    return {"per_sublayer_step_seconds_4096": float(np.median(times["64 of width 4096"][:, 0]))}


def our_pca(batches: list[Tensor]) -> Tensor:
    """The first 100 directions, [100, width]."""
    scatter = Scatter.zeros(1, batches[0].shape[1])
    for batch in batches:
        scatter.add(batch[None])
    return principal_axes(scatter, 100).directions[0]


def pca(rounds: int) -> dict[str, float]:
    """Ours beside scikit-learn's."""
    rows = made_up(16_000, 1, 1024)[:, 0].double()
    array, batches = rows.numpy(), list(rows.split(2000))
    exact = PCA(100, svd_solver="covariance_eigh")
    incremental = IncrementalPCA(100, batch_size=2000)
    ways = {
        "IncrementalPCA": (lambda: incremental.fit(array), 1.0),
        "PCA, covariance_eigh": (lambda: exact.fit(array), 1.0),
        "ours": (lambda: our_pca(batches), 1.0),
    }
    times = paired_times(ways, rounds, pause=0.2)
    print_times("PCA of [16000, 1024], float64", times, "IncrementalPCA")
    theirs = torch.from_numpy(exact.components_.copy())
    ours = our_pca(batches)
    difference = float((ours - theirs * (ours * theirs).sum(dim=1, keepdim=True).sign()).abs().max())
    return {
        "pca_speedup_incremental": ratio(times["IncrementalPCA"], times["ours"]),
        "pca_over_covariance_eigh": ratio(times["ours"], times["PCA, covariance_eigh"]),
        "pca_largest_difference": difference,
    }


def growth_here(rows: int) -> dict[str, float]:
    """Fit PCA to made-up rows that go through one buffer; the most memory that this process had resident."""
    buffer = torch.empty(1, 2000, 1024, dtype=torch.float64)
    scatter = Scatter.zeros(1, 1024)
    for _ in range(0, rows, 2000):
        scatter.add(buffer.normal_())
    principal_axes(scatter, 100)
    return {"peak": peak_mb()}


class _Ready(LightningDataModule):
    """Batches that are there already."""

    def __init__(self, held: list[TrajectoryBatch]) -> None:
        super().__init__()
        self.held = held

    def batches(self, split: str, device: torch.device) -> list[TrajectoryBatch]:
        return self.held[:1]  # the start is validated on them

    def train_dataloader(self) -> DataLoader[TrajectoryBatch]:
        return DataLoader(self.held, batch_size=None, shuffle=False)  # type: ignore[arg-type]


def shared_step(rounds: int, steps: int = 50) -> dict[str, float]:
    """Our module's step, and an epoch by Lightning, against a bare loop."""
    states = made_up(64, 24, 128)
    module, by_trainer = module_of(states, "shared"), module_of(states, "shared")
    scale = module.reducer.standardizer.scale[:, None]
    bare = plain_step(plain_copy(module, 0), lambda: states / scale)
    ours = our_step(module, states)
    assert abs(float(ours()) - float(bare())) < 1e-5, "the losses differ"
    data = _Ready([batch_of(states)] * steps)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def epoch() -> None:
        trainer = Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, barebones=False, **silent)
        trainer.fit(by_trainer, data)

    ways = {
        "bare loop": (lambda: [bare() for _ in range(steps)], steps),
        "our module's step": (lambda: [ours() for _ in range(steps)], steps),
        "by Lightning's trainer": (epoch, steps),
    }
    times = paired_times(ways, rounds)
    print_times("Step of the shared autoencoder", times, "bare loop")
    return {
        "cae_step_over_bare": ratio(times["our module's step"], times["bare loop"]),
        "lightning_over_bare": ratio(times["by Lightning's trainer"], times["bare loop"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(growth_here(int(given.part[1]))))
        return
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rounds = 5 if given.quick else 15
    figures = per_sublayer(24, 128, 2 * rounds) | per_sublayer(32, 512, rounds) | on_a_gpu(rounds)
    figures |= pca(3 if given.quick else 7) | shared_step(rounds)
    few, much = (in_a_fresh_process(__file__, "growth", rows)["peak"] for rows in ("16000", "64000"))
    figures["pca_rss_growth_mb"] = much - few
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


if __name__ == "__main__":
    main()

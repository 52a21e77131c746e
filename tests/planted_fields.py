"""What a study of displaced streams would hand over, with fields of arrows and curves of recovery made up by hand."""

from types import SimpleNamespace

import torch

from rs_cae.callbacks.perturbation import PromptBootstrap, record_study
from rs_cae.callbacks.perturbation.variables import MEASURES
from rs_cae.record import Record
from rs_cae.results import open_dataset
from rs_cae.sublayers import SublayerLayout
from rs_cae.teleportation import SIZES, FieldSpec, grid_points

GRID = grid_points(torch.tensor([[-1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64), 9)
LINE = grid_points(torch.tensor([[-1.0, 1.0]], dtype=torch.float64), 9)
STEPS, SUBLAYERS = 4, 8
LAYOUT = SublayerLayout(SUBLAYERS // 2)
NODE, SADDLE = torch.diag(torch.tensor([-0.5, -0.8])).double(), torch.diag(torch.tensor([-0.5, 0.5])).double()
FOCUS = torch.tensor([[-0.3, -0.8], [0.8, -0.3]], dtype=torch.float64)
UNIFORM = torch.tensor([0.4, -0.3], dtype=torch.float64)
"""Arrows without a zero."""


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(matrix, zero, prompts=60, spread=0.0, points=GRID):
    """Arrows [prompts, points, axes] of A (z - zero); each prompt's zero is elsewhere, by so much at random."""
    places = torch.tensor(zero, dtype=torch.float64) + spread * noise(prompts, 1, points.shape[1])
    return (points - places) @ matrix.T


def uniform(prompts=60):
    return UNIFORM.expand(prompts, len(GRID), 2)


def results_of(arrows, kept=None, points=GRID, logits=True, untrained=False, **curves):
    """Of ``Study.results``: arrows of each injection, all curves 0.1 or [prompts, injections] where they are given."""
    moved = torch.stack(arrows, dim=1)
    prompts, injections, count, axes = moved.shape
    latents = torch.full((prompts, injections, count, STEPS + 1, axes), 0.5, dtype=torch.float64)
    latents[..., 0, :] = points
    null = uniform(prompts)[:, None, :count, :axes].expand_as(moved)
    found = {
        "control": noise(prompts, SUBLAYERS, axes, seed=9),
        "latents": latents,
        "displacement": moved,
        "displacement_uncorrected": null if kept is None else torch.stack(kept, dim=1),
        "recovery_by_step": torch.full((prompts, injections, STEPS + 1), 0.1).double(),
        "recovery_random_by_step": torch.full((prompts, injections, STEPS + 1), 0.1).double(),
        "dose_recovery": torch.full((prompts, injections, 2, len(SIZES)), 0.1).double(),
    }
    for name in [name for name in MEASURES if logits or name != "kl"]:
        for of in ("", "_random", "_uncorrected"):
            found[f"{name}{of}"] = torch.full((prompts, injections, count), 0.1).double()
            found[f"{name}{of}_mean"] = torch.full((prompts, injections), 0.1).double()
    for of in ("", "_uncorrected"):
        found[f"contraction{of}_mean"] = torch.full((prompts, injections), 0.1).double()
    if logits:
        found["dose_kl"] = found["dose_recovery"].clone()
    if untrained:
        found["recovery_untrained_mean"] = found["recovery_mean"].clone()
    assert set(curves) <= set(found)
    return found | curves


def recorded(results, folder=None, texts=None, sublayers=None, points=GRID, draws=199):
    """The record, and its dataset; with a folder, once it was written there and read."""
    prompts, injections = results["displacement"].shape[:2]
    sublayers = range(injections) if sublayers is None else sublayers
    study = SimpleNamespace(
        results=lambda: results,
        spec=FieldSpec(points, STEPS, "keep"),
        injections=[SimpleNamespace(sublayer=s, steps=min(STEPS, SUBLAYERS - 1 - s)) for s in sublayers],
        reducer=SimpleNamespace(latent_names=[f"PC {axis + 1}" for axis in range(results["latents"].shape[-1])]),
    )
    record = Record({"model": "none"})
    texts = torch.arange(prompts) if texts is None else texts
    teleports = SimpleNamespace(way="prefix kept", reason="")
    record_study(record, study, PromptBootstrap(texts, draws, 0), LAYOUT, teleports)
    if folder is None:
        return record, record.datasets["perturbation"]
    (folder / "results").mkdir()
    record.write(folder / "results", folder / "metrics.json")
    return record, open_dataset(folder, "perturbation")

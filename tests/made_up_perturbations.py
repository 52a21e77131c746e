"""Teleports of no model, in all shapes that their results have, to be drawn."""

import numpy as np
import xarray as xr

from rs_cae.results import depth_coordinates
from rs_cae.sublayers import SublayerLayout

SIZES = (0.01, 0.03, 0.1, 0.3, 1.0, 4.0)
OF_RECOVERY = ("recovery", "recovery_direction", "recovery_plane")


def perturbation_of(
    layers=3, sites=("attn", "mlp"), at=None, steps=4, side=4, latents=2, prompts=60, logits=True, untrained=False
):
    """Each state nears the control by a fifth at each sublayer; in the plane it flows by x - x^3. ``at``: sublayers."""
    layout, generator = SublayerLayout(layers, sites), np.random.default_rng(0)
    at = list(range(0, len(layout), len(sites))) if at is None else list(at)
    left = np.minimum(steps, len(layout) - 1 - np.array(at))
    spread = 0.1 if prompts > 1 else np.nan
    coordinates = {
        "injection": [layout.labels[sublayer] for sublayer in at],
        "injection_sublayer": ("injection", at),
        "injection_depth": ("injection", [layout.layer_of[s] + 0.5 * (layout.site_of[s] == "mlp") for s in at]),
        "step": range(steps + 1),
        "latent": [f"latent {number}" for number in range(latents)],
        "axis": [f"latent {number}" for number in range(min(latents, 2))],
        "displaced": ["random", "principal"],
        "size": list(SIZES),
    }
    variables = {
        "steps_left": ("injection", left),
        **plane(layout, at, left, steps, side, latents, spread),
        **curves(generator, len(at), left, steps, spread, logits, untrained),
        **fixed_points(len(at), min(latents, 2), prompts),
    }
    attributes = {"prompts": prompts, "prompt": "I'm sorry, Dave." if prompts == 1 else "", "steps": steps}
    attributes |= {"persistent_share": 0.95, "least_prompts": 50}
    return xr.Dataset(variables, depth_coordinates(layout) | coordinates, attributes)


def flow(places, time):
    """Where x' = x - x^3 and y' = -y take places [..., latents] by then: a saddle between two nodes."""
    x = places[..., :1]
    grown = x * np.exp(time) / np.sqrt(1 + x**2 * (np.exp(2 * time) - 1))
    return np.concatenate([grown, places[..., 1:] * np.exp(-time)], axis=-1)


def plane(layout, at, left, steps, side, latents, spread):
    """Points, control, trajectories, and displacements with and without the network."""
    ends = [np.linspace(-1.6, 1.6, side) for _ in range(min(latents, 2))]
    grid = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, len(ends))
    points = np.pad(grid, ((0, 0), (0, latents - len(ends))), constant_values=np.nan)
    starts = np.nan_to_num(points)
    depth = np.linspace(0, 1, len(layout))[:, None]
    control = np.hstack([0.3 + 0.7 * depth, *[0.9 * (1 - depth) ** 2] * (latents - 1)])
    trajectories = np.full((len(at), len(starts), steps + 1, latents), np.nan)
    kept = np.full((len(at), len(starts), latents), np.nan)
    for number, (sublayer, count) in enumerate(zip(at, left, strict=True)):
        for step in range(count + 1):
            trajectories[number, :, step] = flow(starts, 0.2 * step)
        if count:
            kept[number] = control[sublayer + count] - control[sublayer] - 0.1 * starts
    displacement = np.stack([trajectories[n, :, count] - trajectories[n, :, 0] for n, count in enumerate(left)])
    displacement[left == 0] = np.nan
    along = ("injection", "grid", "latent")
    return {
        "points": (("grid", "latent"), points),
        "control": (("sublayer", "latent"), control),
        "trajectories": (("injection", "grid", "step", "latent"), trajectories),
        **with_interval("displacement", along, displacement, spread),
        "displacement_uncorrected": (along, kept),
    }


def curves(generator, injections, left, steps, spread, logits, untrained):
    """Recovery by injection, by step and by size; divergences of the next token's distribution if asked for."""
    nothing = np.where(left > 0, 0.0, np.nan)
    after = 1 - 0.8**left + 0.1 * generator.random(injections)
    names = [*OF_RECOVERY, *(["kl"] if logits else [])]
    variables = {}
    for number, name in enumerate(names):
        values = after * (1 - 0.2 * number) + (0 if name == "kl" else nothing)
        ends = spread * values if name == "kl" else spread
        variables |= with_interval(f"{name}_mean", "injection", values, ends)
        variables |= with_interval(f"{name}_random_mean", "injection", 0.3 * values, 0.3 * ends)
        variables |= with_interval(f"{name}_uncorrected_mean", "injection", 0.1 * number + nothing, 0.05 * spread)
    if untrained:
        variables |= with_interval("recovery_untrained_mean", "injection", 0.1 * after + nothing, spread)
    taken = np.arange(steps + 1)
    by_step = np.where(taken <= left[:, None], 1 - 0.8**taken * np.linspace(1, 0.9, injections)[:, None], np.nan)
    by_step[:, 0] = 0
    variables |= with_interval("recovery_by_step", ("injection", "step"), by_step, spread * taken / steps)
    variables["recovery_random_by_step"] = ("injection", "step"), 0.3 * by_step
    dose = (after + nothing)[:, None, None] * np.array([[0.4], [1.0]]) * np.linspace(1, 0.2, len(SIZES))
    along = ("injection", "displaced", "size")
    variables |= with_interval("dose_recovery", along, dose, spread)
    if logits:
        divergence = np.array(SIZES) ** 2 * (np.ones((injections, 2, 1)) + np.arange(injections)[:, None, None])
        variables |= with_interval("dose_kl", along, divergence, 0.5 * spread * divergence)
    return variables


def fixed_points(injections, axes, prompts):
    """At each injection both nodes and the saddle between them, one node that does not last, and one of the null."""
    kinds = ["stable node", "stable node", "saddle" if axes == 2 else "unstable node", "unstable focus", "stable node"]
    places = np.array([-1.0, 1.0, 0.0, 0.5, 0.2])[:, None] * np.eye(axes)[0]
    persistence = np.array([1.0, 0.97, 0.95, 0.9, 1.0]) + (0 if prompts >= 50 else np.nan)
    return {
        "fixed_point_injection": ("fixed_point", np.arange(injections).repeat(len(kinds))),
        "fixed_point_place": (("fixed_point", "axis"), np.tile(places, (injections, 1))),
        "fixed_point_kind": ("fixed_point", kinds * injections),
        "fixed_point_persistence": ("fixed_point", np.tile(persistence, injections)),
        "fixed_point_uncorrected": ("fixed_point", [0, 0, 0, 0, 1] * injections),
    }


def with_interval(name, along, values, spread):
    """A variable and the ends of its interval."""
    ends = {"": values, "_low": values - spread, "_high": values + spread}
    return {f"{name}{end}": (along, part) for end, part in ends.items()}


def labelled(axes, label):
    return [line for line in axes.lines if str(line.get_label()) == label]


def words(figure):
    """Of the title, and of panels that only say why they are empty."""
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([figure.get_suptitle(), *texts])

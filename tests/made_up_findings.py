"""Results of no run in which every finding of the paper holds, to be changed; and results of states that are given."""

from dataclasses import asdict

import numpy as np
import torch
import xarray as xr

from rs_cae.callbacks.curvature.findings import curvature_findings
from rs_cae.callbacks.dynamics.rotations import rotation_findings
from rs_cae.callbacks.dynamics.vectors import correlation_findings, kinematics_findings
from rs_cae.dynamics import (
    SURROGATES,
    Kinematics,
    TransitionMoments,
    cosine_beyond_exchange,
    resampled_mean,
    rotation_count,
)
from rs_cae.metrics import MeanKinematics, PathStatistics, UnitBootstrap
from rs_cae.report.paper import beside_the_paper
from rs_cae.results import depth_coordinates
from rs_cae.sublayers import SublayerLayout

LAYOUT, UNITS, SAMPLES = SublayerLayout(6), 10, 4
SUBLAYERS, TRANSITIONS = len(LAYOUT), len(LAYOUT) - 1
VARIANTS = ("", "_without_embedding")


def headline(value, null, p=0.002, spread=0.01):
    ends = (None, None) if spread is None else (value - spread, value + spread)
    return {"value": value, "low": ends[0], "high": ends[1], "null": null, "p": p, "unit": "1", "sentence": ""}


def with_ends(name, along, values, null=None, spread=0.01):
    held = {f"{name}{end}": (along, values + offset) for end, offset in (("", 0), ("_low", -spread), ("_high", spread))}
    return held | ({} if null is None else {f"{name}_null": (along, values * 0 + null)})


def made_up(pca=False):
    """Datasets and headlines."""
    return {"dynamics": dynamics(), "latent": latent(pca), "perturbation": perturbation()}, headlines()


def headlines():
    held = {
        "correlation_first_third": headline(0.3, 0.2),
        "correlation_first_third_without_embedding": headline(0.35, 0.25),
        "correlation_middle_third": headline(0.8, 0.25),
        "correlation_last_third": headline(0.9, 0.3),
        "velocity_ratio": headline(5.0, 2.0),
        "velocity_ratio_without_embedding": headline(3.5, 2.0),
        "velocity_ratio_mlp": headline(3.0, 2.0),
        "rotations_per_sublayer": headline(0.5, 0.2),
        "explained_variance_pooled": headline(0.5, 0.02, p=None),
        "recovery_plane_early_minus_late": headline(0.3, 0.1),
        "stable_fixed_points": headline(2.0, 1.0, p=None, spread=None),
    }
    for variant in VARIANTS:
        held[f"rotations_mean{variant}"] = headline(5.0, 2.0)
        held[f"tortuosity{variant}"] = headline(1.5, 3.0)
        held[f"mutual_information_drop{variant}"] = headline(0.5, 0.1, p=None)
        for name in ("", "_mean_trajectory"):
            held[f"latent_turning_angle{name}{variant}"] = headline(40.0, 80.0)
    for name in ("recovery", "recovery_direction", "recovery_plane", "contraction"):
        held[f"{name}_first_injection"] = headline(0.6, 0.2)
    return held


def dynamics():
    rising = np.linspace(0.2, 0.9, TRANSITIONS)
    falling = np.linspace(0.3, 0.2, TRANSITIONS)
    surrogates = list(SURROGATES)
    variables = {
        **with_ends("norm_mean", "sublayer", np.linspace(1.0, 12.0, SUBLAYERS)),
        **with_ends("mean_abs_mean", "sublayer", np.linspace(0.1, 1.2, SUBLAYERS)),
        **with_ends("participation_ratio_mean", "sublayer", np.linspace(0.1, 0.3, SUBLAYERS), null=0.34),
        **with_ends("velocity_mean", "transition", np.ones(TRANSITIONS)),
        **with_ends("cosine_similarity_mean", "transition", rising, null=0.2),
        **with_ends("mutual_information_mean", "transition", 0.5 + 2 * 0.5 ** np.arange(TRANSITIONS), falling),
        "correlation": (("transition", "unit"), np.tile(np.linspace(0.85, 0.99, TRANSITIONS)[:, None], UNITS)),
        "activation_std": (("sublayer", "unit"), np.tile(5.0 ** np.arange(SUBLAYERS)[:, None], UNITS)),
        "rotations": ("unit", np.linspace(4.0, 6.0, UNITS)),
        "rotations_surrogate_mean": (("surrogate", "unit"), np.full((len(surrogates), UNITS), 2.0)),
        "rotations_surrogate_p": (("surrogate", "unit"), np.full((len(surrogates), UNITS), 0.001)),
        "rotations_surrogate_unit_mean": (("surrogate", "draw"), np.full((len(surrogates), 5), 2.0)),
        "rotations_surrogate_unit_mean_p": ("surrogate", np.full(len(surrogates), 0.001)),
    }
    return xr.Dataset(variables, depth_coordinates(LAYOUT) | {"surrogate": surrogates})


def latent(pca):
    variables = {
        "latents": (("sample", "sublayer", "latent"), np.zeros((SAMPLES, SUBLAYERS, 2))),
        **with_ends("layer_distance", "transition", np.linspace(1.0, 2.0, TRANSITIONS)),
        **with_ends("explained_variance", "sublayer", np.linspace(0.7, 0.4, SUBLAYERS)),
    }
    for name, curve in (("", "_mean"), ("_mean_trajectory", "_mean_trajectory")):
        variables |= with_ends(f"turning_angle{curve}", "sublayer", np.full(SUBLAYERS, 40.0), null=80.0)
        variables[f"turning_angle{curve}_null_within_kind"] = ("sublayer", np.full(SUBLAYERS, 80.0))
        variables[f"turning_angle{name}_p_within_kind"] = ((), 0.002)
    if pca:
        kept = 1 - 0.7 ** np.arange(1, 101)
        chance = np.arange(1, 101) / 500
        variables |= with_ends("cumulative_explained_variance", "component", kept, null=chance, spread=0.001)
        variables |= with_ends("explained_variance_100", "sublayer", np.full(SUBLAYERS, 0.9), null=0.2)
    return xr.Dataset(variables, depth_coordinates(LAYOUT))


def perturbation():
    names = ("recovery", "recovery_direction", "recovery_plane", "contraction")
    variables = {f"{name}_mean": ("injection", np.array([0.6, 0.4, 0.3])) for name in names}
    variables["steps_left"] = ("injection", np.array([4, 4, 4]))
    return xr.Dataset(variables, {"injection": ["L00.attn", "L01.attn", "L03.attn"]})


def measured(states, surrogates):
    """What a test finds in states [samples, sublayers, units], but for mutual information."""
    samples, sublayers, units = states.shape
    layout, texts, draws = SublayerLayout(-(-sublayers // 2)), torch.arange(samples), 99
    kinds = layout.transition_kinds[: sublayers - 1]
    bootstrap, mean = UnitBootstrap(sublayers, units, draws=draws), MeanKinematics(sublayers, draws=draws)
    bootstrap.update(states, texts)
    rows, moments, resampled = Kinematics.of(states), TransitionMoments.of(states), bootstrap.compute()
    mean.update(rows, texts)
    beyond = resampled_mean(cosine_beyond_exchange(states), texts, draws)
    turns = resampled_mean(rotation_count(states), texts, draws)
    paths = PathStatistics(kinds, units, surrogates, 39, 0, torch.device("cpu"))
    paths.update(states, texts, texts)
    variables, lines = {}, {}
    for findings in (
        correlation_findings(moments, resampled),
        kinematics_findings(rows, mean.curves(), beyond, units, kinds),
        rotation_findings(moments.mean, resampled.mean[1:], turns, states[:2], kinds, surrogates, 0),
        curvature_findings(paths.compute(), kinds, "", surrogates, 0),
    ):
        variables |= findings.variables
        lines |= {name: asdict(line) for name, line in findings.headlines.items()}
    coordinates = {"kind": ("transition", kinds), "surrogate": list(SURROGATES)}
    return {"dynamics": xr.Dataset(variables, coordinates)}, lines


def found(world, words):
    (finding,) = [line for line in beside_the_paper(*world) if words in line.statement]
    return finding


def said(name, **changes):
    """A headline that is changed; its interval goes along with its value."""

    def change(datasets, headlines):
        line = headlines[name]
        if "value" in changes and line["low"] is not None:
            line |= {"low": changes["value"] - 0.01, "high": changes["value"] + 0.01}
        line |= changes

    return change


def drawn(dataset, name, values, **where):
    """A variable, or part of it, that is changed; with a curve its interval."""

    def change(datasets, headlines):
        held = datasets[dataset]
        for end, offset in (("", 0.0), ("_low", -0.01), ("_high", 0.01)):
            if f"{name}{end}" in held:
                place = held[f"{name}{end}"].loc[where]
                held[f"{name}{end}"].loc[where] = place * 0 + np.asarray(values) + offset

    return change

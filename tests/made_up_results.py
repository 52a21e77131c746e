"""Results of no run, in all shapes that results have, to be drawn."""

import numpy as np
import xarray as xr
from made_up_perturbations import perturbation_of

from rs_cae.dynamics import SURROGATES
from rs_cae.results import depth_coordinates
from rs_cae.sublayers import SublayerLayout

SHARES = ("correlation_mean", "cosine_similarity_mean", "participation_ratio_mean")
TRANSITION_CURVES = ("velocity_mean", "relative_velocity_mean", "mutual_information_mean", *SHARES[:2])
SUBLAYER_CURVES = ("norm_mean", "mean_abs_mean", "participation_ratio_mean", "covariance_dimension", "two_nn")
BY_SAMPLES = ("_low", "_high", "correlation", "correlation_mean", "mutual_information", "mutual_information_mean")


def with_ends(name, along, values, null=False):
    """A curve, its interval, and perhaps its null."""
    ends = {"": values, "_low": values * 0.9, "_high": values * 1.1} | ({"_null": values * 0.8} if null else {})
    return {f"{name}{end}": (along, part) for end, part in ends.items()}


def paths(generator, sublayers, undefined):
    """Turning angles, which neither end has."""
    variables = {}
    for name in ("turning_angle_mean", "turning_angle_mean_trajectory"):
        angles = generator.random(sublayers) * 180 + undefined
        angles[[0, -1]] = np.nan
        variables |= with_ends(name, "sublayer", angles, null=True)
    return variables


def dynamics_of(layers=3, sites=("attn", "mlp"), units=9, draws=20, seed=0):
    layout, generator = SublayerLayout(layers, sites), np.random.default_rng(seed)
    sublayers, transitions = len(layout), len(layout) - 1
    undefined = np.nan if sublayers < 3 else 0.0
    turning = generator.random(sublayers).cumsum() + undefined
    turning[[0, -1]] = np.nan
    variables = {
        "mean_activation": (("sublayer", "unit"), generator.standard_normal((sublayers, units)).cumsum(axis=0)),
        "correlation": (("transition", "unit"), 1 - generator.random((transitions, units)) ** 2),
        "mutual_information": (("transition", "unit"), generator.random((transitions, units))),
        "rotations": ("unit", generator.random(units) + undefined),
        "rotations_surrogate_mean": (("surrogate", "unit"), generator.random((6, units)) + undefined),
        "rotations_surrogate_std": (("surrogate", "unit"), generator.random((6, units)) + undefined),
        "rotations_surrogate_unit_mean": (("surrogate", "draw"), generator.random((6, draws)) + undefined),
        "rotations_surrogate_unit_mean_p": ("surrogate", generator.random(6) + undefined),
        **{f"cumulative_turning_mean{end}": ("sublayer", turning) for end in ("", "_null", "_null_low", "_null_high")},
    }
    variables |= paths(generator, sublayers, undefined)
    for name in (*TRANSITION_CURVES, *SUBLAYER_CURVES):
        values = generator.random(sublayers) * (1 if name in SHARES else 40)
        along = ("transition", values[1:]) if name in TRANSITION_CURVES else ("sublayer", values)
        variables |= with_ends(name, *along, null=name in (*SHARES[:2], "two_nn"))
    return xr.Dataset(variables, coords=depth_coordinates(layout) | {"surrogate": list(SURROGATES)})


def latent_of(layers=3, sites=("attn", "mlp"), samples=5, bottleneck=2, seed=0, components=7):
    layout, generator = SublayerLayout(layers, sites), np.random.default_rng(seed)
    undefined = np.nan if len(layout) < 3 else 0.0
    cumulative = generator.random(components).cumsum() / components
    latents = generator.standard_normal((samples, len(layout), bottleneck))
    variables = {
        "latents": (("sample", "sublayer", "latent"), latents),
        "mean_trajectory": (("sublayer", "latent"), latents.mean(axis=0)),
        "last_token_text": ("sample", ["."] * samples),
        "r2": ("sublayer", generator.random(len(layout))),
        "explained_variance_pooled": 0.5,
        **with_ends("layer_distance", "transition", generator.random(len(layout) - 1)),
        **with_ends("explained_variance", "sublayer", generator.random(len(layout))),
        **with_ends("cumulative_explained_variance", "component", cumulative, null=True),
        **with_ends("explained_variance_100", "sublayer", generator.random(len(layout)), null=True),
        **paths(generator, len(layout), undefined),
    }
    names = {"component": range(1, components + 1), "latent": [f"latent {n}" for n in range(bottleneck)]}
    return xr.Dataset(variables, coords=depth_coordinates(layout) | names)


def both(**shape):
    made_up = {"dynamics": dynamics_of, "latent": latent_of, "perturbation": perturbation_of}
    return {name: of(**shape) for name, of in made_up.items()}


def unknown(datasets, *endings):
    """The same, with NaN in the variables whose names end so."""

    def emptied(variable):
        return variable * np.nan if variable.dtype.kind == "f" and variable.name.endswith(endings) else variable

    return {name: held.map(emptied) for name, held in datasets.items()}

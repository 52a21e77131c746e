"""The headline numbers that a sweep can compare, known before any run has any."""

from difflib import get_close_matches

from rs_cae.callbacks.depth import WITHOUT_EMBEDDING
from rs_cae.callbacks.wandb_results import POOLED
from rs_cae.commands.sweeping.sweep_file import METRIC_PREFIX, SweepFile
from rs_cae.errors import InputError

BOTH = ("", WITHOUT_EMBEDDING)
THIRDS = (*(f"first_third{variant}" for variant in BOTH), "middle_third", "last_third")
BENT = [f"{name}{of}" for name in ("turning_angle", "tortuosity") for of in ("", "_mean_trajectory")]
MEASURES = ("recovery", "recovery_direction", "recovery_plane", "contraction")

HEADLINES = {
    "explained_variance": {
        *(f"{name}{units}_pooled" for name in ("explained_variance", "r2") for units in ("", "_standardized")),
        "explained_variance_100_pooled",
    },
    "latent_trajectory": {"path_length"},
    "dynamics": {
        *(f"{name}_{part}" for name in ("correlation", "cosine_similarity") for part in THIRDS),
        *(f"{name}{variant}" for name in ("velocity_ratio", "mutual_information_drop") for variant in BOTH),
        *("velocity_ratio_mlp", "participation_ratio_last_third", "rotations_mean", "rotations_per_sublayer"),
        *(f"rotations_mean{WITHOUT_EMBEDDING}", "rotations_per_sample_mean", "rotations_significant_share"),
    },
    "intrinsic_dimension": {f"{name}_{part}" for name in ("covariance_dimension", "two_nn") for part in THIRDS},
    "curvature": {f"{space}{name}{variant}" for space in ("", "latent_") for name in BENT for variant in BOTH},
    "perturbation": {
        *(f"{name}_{of}" for name in MEASURES for of in ("first_injection", "early_minus_late")),
        *("kl_first_injection", "stable_fixed_points"),
    },
}
"""By the analysis that finds them; not every model and reducer has all."""

OF_ANY_TEST = {"share_of_commonest_token"}


def refuse_unknown_metric(sweep: SweepFile, analyses: list[str]) -> None:
    """Raise an InputError if no test with these analyses finds what a sweep compares.

    Args:
        sweep: What its file says.
        analyses: That its runs make.
    """
    option, typed = f"{sweep.path}: metric.name", f"{METRIC_PREFIX}{sweep.metric}"
    finder = next((name for name, found in HEADLINES.items() if sweep.metric in found), None)
    if finder is not None and finder not in analyses:
        raise InputError(option, typed, f"is found by the analysis {finder}, which --analyses leaves out")
    known = OF_ANY_TEST.union(*HEADLINES.values())
    if sweep.metric not in known:
        close = get_close_matches(sweep.metric, known, 1) or [POOLED]
        raise InputError(option, typed, f"no test finds it; did you mean {METRIC_PREFIX}{close[0]}?")

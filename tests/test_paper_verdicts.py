"""Each verdict of the paper beside a run flips with the numbers that it rests on, and the reason says with which."""

import numpy as np
import pytest
from made_up_findings import drawn, found, made_up, said

from rs_cae.report.paper import Verdict
from rs_cae.report.paper.numbers import WITHOUT_EMBEDDING

HOLDS, FAILS, NOT_TESTABLE = Verdict
UNRELATED = "no more than unrelated updates of that size make it"
CARRIED = "no more than perturbations merely carried along do"
REORDERED = "than its steps in another order"

LOW_AT_FIRST = [0, *[2.0] * 3, *[1.5] * 4, *[1.4] * 3]
FALLING, FLAT, EARLY = np.linspace(0.9, 0.5, 11), np.full(11, 0.9), [9, 0.5, 0.5, 0.5] + [0.5] * 7
FLIPS = [
    ("Activations grow over", said("tortuosity", null=1.5, p=1.0), "its path is no straighter"),
    ("Activations grow over", said("tortuosity", null=1.0), "its path is no straighter"),
    ("Activations grow over", said("tortuosity_without_embedding", p=0.06), "without the embedding its path"),
    ("Activations grow over", drawn("dynamics", "norm_mean", np.linspace(9, 1, 12)), "falls from the first third"),
    ("denser", drawn("dynamics", "participation_ratio_mean", np.full(12, 0.3)), "neither rises nor falls"),
    (
        "denser",
        drawn("dynamics", "participation_ratio_mean", [0, *[0.2] * 11]),
        "with the step from the embedding alone",
    ),
    ("Of most units", said("correlation_last_third", value=0.1), "falls"),
    ("Of most units", said("correlation_last_third", null=0.93), f"rises, but {UNRELATED}"),
    (
        "Of most units",
        said("correlation_first_third_without_embedding", value=0.95),
        "rises with the step from the emb",
    ),
    (
        "Of most units",
        said("correlation_first_third_without_embedding", null=-0.3),
        f"without the embedding {UNRELATED}",
    ),
    ("Of most units", drawn("dynamics", "correlation", FALLING[:, None]), "rises in 0% of the units only"),
    ("highly correlated", drawn("dynamics", "correlation", 0.5), "most units are less correlated"),
    ("highly correlated", drawn("dynamics", "activation_std", 1.0), "leave 100% of the units as highly correlated"),
    ("highly correlated", said("correlation_middle_third", p=0.06), "not beyond unrelated updates"),
    ("highly correlated", said("correlation_middle_third", value=0.1), "not beyond unrelated updates"),
    ("after attention", drawn("dynamics", "cosine_similarity_mean", FALLING), "falls"),
    ("after the MLP", drawn("dynamics", "cosine_similarity_mean_null", np.linspace(0.1, 0.9, 11)), UNRELATED),
    ("attention steps grow", said("velocity_ratio", value=0.9), "the last step is not longer"),
    ("attention steps grow", said("velocity_ratio", p=0.051), "no more than the stream"),
    ("attention steps grow", said("velocity_ratio_without_embedding", value=0.9), "than the embedding's alone"),
    ("attention steps grow", said("velocity_ratio_without_embedding", null=4.0), "without the embedding's, steps grow"),
    ("MLP steps grow", said("velocity_ratio_mlp", null=4.0), "no more than the stream"),
    ("activations falls over", said("mutual_information_drop", value=-1.0), "does not fall"),
    ("activations falls over", said("mutual_information_drop", null=0.6), "no more than with unrelated updates"),
    (
        "activations falls over",
        said(f"mutual_information_drop{WITHOUT_EMBEDDING}", value=0.0),
        "from the embedding alone",
    ),
    (
        "activations falls over",
        said(f"mutual_information_drop{WITHOUT_EMBEDDING}", null=0.6),
        "without the embedding no",
    ),
    ("sharply", drawn("dynamics", "mutual_information_mean", FLAT), "does not fall from the first"),
    ("sharply", drawn("dynamics", "mutual_information_mean", EARLY), "does not fall from the first"),
    ("sharply", drawn("dynamics", "mutual_information_mean", LOW_AT_FIRST), "does not fall from the first"),
    ("sharply", drawn("dynamics", "mutual_information_mean", [*[2.0] * 4, *[1.9] * 4, 0, 0, 0]), "no more in early"),
    (
        "sharply",
        drawn("dynamics", "mutual_information_mean_null", [*[9.0] * 4, *[0] * 7]),
        "no more than with unrelated",
    ),
    ("with their points shuffled", said("rotations_mean", value=-1.0), "do not turn in one sense"),
    (
        "with their points shuffled",
        drawn("dynamics", "rotations_surrogate_unit_mean_p", 0.06, surrogate="point_shuffle"),
        "no more than the shuffled points",
    ),
    ("unstable periodic", said("rotations_mean", value=-1.0), "do not turn in one sense"),
    ("unstable periodic", said("rotations_mean", p=0.06), "not told apart from a random walk"),
    ("unstable periodic", said("rotations_mean", null=9.0), "less than a random walk"),
    ("unstable periodic", said("rotations_mean_without_embedding", p=0.06), "without the embedding, not told apart"),
    (
        "unstable periodic",
        drawn("dynamics", "rotations_surrogate_unit_mean", 9.0, surrogate="increment_shuffle"),
        "no more than the same steps in another order",
    ),
    ("than their shuffled points", drawn("dynamics", "rotations", -3.0), "most units turn no more than"),
    ("than their shuffled points", drawn("dynamics", "rotations_surrogate_p", 0.06), "100% lie above, but most"),
    (
        "than their shuffled points",
        drawn("dynamics", "rotations_surrogate_mean", 9.0, surrogate="point_shuffle"),
        "most units turn no more than their shuffled points",
    ),
    (
        "than their shuffled points",
        lambda datasets, _: datasets["dynamics"].update(
            {
                "rotations": ("unit", [5.0] * 6 + [-5.0] * 4),
                "rotations_surrogate_p": (("surrogate", "unit"), [[0.001] * 4 + [0.9] * 2 + [0.001] * 4] * 6),
            }
        ),
        "60% lie above, but most of them not beyond chance",
    ),
    (
        "walks of their steps",
        drawn("dynamics", "rotations_surrogate_mean", 9.0, surrogate="increment_sign_flip"),
        "most units turn no more than walks",
    ),
    *(
        (path, said(f"latent_turning_angle{name}{variant}", **change), reason)
        for path, name in (("Trajectories of single", ""), ("The mean trajectory in", "_mean_trajectory"))
        for variant, change, reason in (
            ("", {"value": 99.0}, "goes to and fro"),
            ("", {"p": 0.06}, f"bends, but not otherwise {REORDERED}"),
            (WITHOUT_EMBEDDING, {"p": 0.06}, f"without the embedding not less {REORDERED}"),
        )
    ),
    ("autoencoder's space", said("latent_turning_angle_mean_trajectory", p=0.06), f"not otherwise {REORDERED}"),
    (
        "autoencoder's space",
        drawn("latent", "turning_angle_mean_trajectory_p_within_kind", 0.06),
        "with attention and MLP steps shuffled apart",
    ),
    ("two latents", drawn("latent", "explained_variance", 0.0), "no more than knowing the depth alone"),
    ("two latents", said("explained_variance_pooled", null=0.6), "no more than knowing the depth alone"),
    ("Few principal", drawn("latent", "cumulative_explained_variance", 0.001), "no more than as many random"),
    ("100 principal", drawn("latent", "explained_variance_100", 0.4), "no more than half of the variance"),
    ("100 principal", drawn("latent", "explained_variance_100_null", 0.95), "no more than as many random"),
    ("reduced plane", said("recovery_plane_first_injection", value=-0.1), "they do not return in the plane"),
    ("reduced plane", said("recovery_plane_first_injection", null=0.9), f"they return in the plane, but {CARRIED}"),
    ("reduced plane", said("recovery_plane_first_injection", p=0.06), CARRIED),
    ("lower layers", said("recovery_plane_first_injection", null=0.9), "nothing is corrected"),
    ("lower layers", said("recovery_plane_early_minus_late", value=-0.1), "no more is recovered in lower layers"),
    ("lower layers", said("recovery_plane_early_minus_late", null=0.9), "merely carried along give"),
    ("the direction of the state", said("recovery_direction_first_injection", null=0.9), CARRIED),
    (
        "after random perturb",
        said("recovery_first_injection", null=0.9),
        "no more than random perturbations as large do",
    ),
    ("draw together", said("contraction_first_injection", p=0.06), f"they draw together, but {CARRIED}"),
    ("fixed points", said("stable_fixed_points", value=1.0), "at most injections no stable fixed point"),
    ("fixed points", said("stable_fixed_points", null=2.0), "merely carried along have them at most injections too"),
]


@pytest.mark.parametrize(("words", "change", "reason"), FLIPS)
def test_a_verdict_flips_with_what_it_rests_on(words, change, reason):
    world = made_up(pca=any(part in words for part in ("principal", "single", "trajectory in")))
    before = found(world, words)
    change(*world)
    after = found(world, words)
    assert (before.verdict, after.verdict) == (HOLDS, FAILS)
    assert reason in after.reason

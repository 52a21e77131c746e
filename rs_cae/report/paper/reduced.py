"""The paper's Figures 3 and 4A to 4C: the reduced space of an autoencoder and of a PCA."""

from functools import partial

import numpy as np

from rs_cae.report.paper.judging import NOTHING, Claim, Condition, Judgement, Verdict, decide
from rs_cae.report.paper.numbers import LEAST_ORDERS, UNDEFINED, WITHOUT_EMBEDDING, Results, UntestableError, third_of
from rs_cae.report.paper.vectors import CURVATURE

LATENTS, COMPONENTS = 2, 100
"""The paper's bottleneck, and its number of principal components."""

LATENT = "needs the analyses explained_variance and latent_trajectory, which `python -m rs_cae test` asks by default"
AUTOENCODER = "needs an autoencoder: fit one with `--config configs/model/cae.yaml`"
PCA = "needs a PCA: fit one with `--config configs/model/pca.yaml`"
ALL_COMPONENTS = f"needs {COMPONENTS} kept components: fit with `--model.components {COMPONENTS}`"


def is_curved(results: Results, of_pca: bool, name: str) -> Judgement:
    """Turning angles of a path in the latent space, against the same steps in other orders.

    Any path is curved whose steps do not all point one way. A smooth curve turns less from step to step than its steps
    in another order do; what turns more goes to and fro.

    Args:
        results: Of the run.
        of_pca: Whether the latents must be a PCA's; an autoencoder's if not.
        name: Ends the names of headlines: empty for samples' paths.
    """
    curve = f"turning_angle{name or '_mean'}"
    _refuse_other_reducers(results, of_pca)
    results.variable("latent", curve)
    apart = results.variable("latent", f"{curve}_null_within_kind").values
    results.refuse_fewer_steps("latent", LEAST_ORDERS)
    whole, later = (results.number(f"latent_turning_angle{name}{end}") for end in ("", WITHOUT_EMBEDDING))
    p = float(results.variable("latent", f"turning_angle{name}_p_within_kind"))
    within = whole._replace(null=float(np.nanmean(apart)), p=p)
    return decide(
        f"turns by {whole.words} degrees a step; without the embedding {later.words}",
        f"the same steps in another order {whole.null_words}; {later.null_words}; "
        f"attention and MLP steps shuffled apart {within.null_words}",
        [
            Condition(not whole.above, "goes to and fro: it turns more sharply than its steps in another order"),
            Condition(whole.below, "bends, but not otherwise than its steps in another order"),
            Condition(later.below, "bends, but without the embedding not less than its steps in another order"),
            Condition(within.below, "bends, but not less than with attention and MLP steps shuffled apart"),
        ],
        "bends gradually: it turns less from step to step than its steps in another order",
    )


def distances(results: Results) -> Judgement:
    """Distances by depth, shown: it is not known to us what the paper finds in them."""
    _refuse_other_reducers(results, of_pca=False)
    results.variable("latent", "layer_distance")
    curve = results.curve("latent", "layer_distance")[:3]
    first, last = (third_of(curve, third) for third in (0, 2))
    return Judgement(
        f"{first.words} latent units a step in the first third of depth, {last.words} in the last",
        NOTHING,
        Verdict.NOT_TESTABLE,
        "the paper shows a curve; its caption says nothing of a direction",
    )


def two_latents_explain(results: Results) -> Judgement:
    """Explained variance of each sublayer's states about their mean, with the paper's bottleneck."""
    _refuse_other_reducers(results, of_pca=False)
    bottleneck = results.variable("latent", "latents").sizes["latent"]
    if bottleneck != LATENTS:
        raise UntestableError(
            f"needs {LATENTS} latents, here there are {bottleneck}: fit with `--model.bottleneck {LATENTS}`"
        )
    pooled = results.number("explained_variance_pooled")
    curve = results.curve("latent", "explained_variance")[:3]
    first, last = (third_of(curve, third) for third in (0, 2))
    return decide(
        f"{pooled.words} pooled; {first.words} in the first third of depth, {last.words} in the last",
        f"knowing the depth alone {pooled.null_words}",
        [
            Condition(
                bool((curve[1] > pooled.null).all()), "at some sublayer no more than knowing the depth alone gives"
            )
        ],
        "at every sublayer more than knowing the depth alone gives",
    )


def few_components_explain(results: Results) -> Judgement:
    """Explained variance by the number of components, against as many random directions."""
    _refuse_other_reducers(results, of_pca=True)
    values, low, _, null = results.curve("latent", "cumulative_explained_variance")
    if not np.isfinite([*low, *null]).all():
        raise UntestableError(UNDEFINED)
    fewer, few = null < 1, max(1, len(values) // 10)
    half = int(np.argmax(values >= 0.5)) if (values >= 0.5).any() else len(values) - 1
    return decide(
        f"{values[half]:.1%} with {_counted(half + 1)}, {values[0]:.1%} with the first",
        f"as many random directions {null[half]:.1%}, {null[0]:.1%}",
        [
            Condition(bool((low > null)[fewer].all()), "components keep no more than as many random directions"),
            Condition(half + 1 <= few, f"half the variance takes more than {_counted(few)}, a tenth of all (ours)"),
        ],
        f"the variance lies along few directions: half of it along {_counted(half + 1)} of {len(values)}",
    )


def many_components_explain(results: Results) -> Judgement:
    """Explained variance of each sublayer with 100 components, against as many random directions."""
    _refuse_other_reducers(results, of_pca=True)
    values, low, _, null = results.curve("latent", "explained_variance_100")
    if not np.isfinite([*low, *null]).all():
        raise UntestableError(UNDEFINED)
    if (null >= 1).any():
        raise UntestableError(f"needs a stream of more than {COMPONENTS} units: here as many components are all of it")
    return decide(
        f"between {values.min():.1%} and {values.max():.1%} of the variance of a sublayer",
        f"as many random directions {null.min():.1%}",
        [
            Condition(bool((low > 0.5).all()), "at some sublayer no more than half of the variance"),
            Condition(bool((low > null).all()), "at some sublayer no more than as many random directions keep"),
        ],
        "at every sublayer most of the variance, and more than random directions keep",
    )


def _refuse_other_reducers(results: Results, of_pca: bool) -> None:
    """Unless the latent space is a PCA's, or if it must not be: components are what a PCA alone has."""
    if "latent" not in results.datasets:
        raise UntestableError
    if ("cumulative_explained_variance" in results.datasets["latent"]) != of_pca:
        raise UntestableError(PCA if of_pca else AUTOENCODER)


def _counted(components: int) -> str:
    return f"{components} component{'' if components == 1 else 's'}"


CLAIMS = (
    Claim(
        "3B",
        "The mean trajectory through the autoencoder's space is curved",
        "curved; no number known",
        CURVATURE,
        partial(is_curved, of_pca=False, name="_mean_trajectory"),
    ),
    Claim("3C", "Distances between subsequent layers in the reduced space", "no number known", LATENT, distances),
    Claim(
        "3A, D",
        "An autoencoder with two latents keeps variance of the stream at every layer",
        "a curve by layer; no number known",
        LATENT,
        two_latents_explain,
    ),
    Claim(
        "4A",
        "Trajectories of single samples in PCA space are curved",
        "curved; no number known",
        CURVATURE,
        partial(is_curved, of_pca=True, name=""),
    ),
    Claim(
        "4A",
        "The mean trajectory in PCA space is curved",
        "curved; no number known",
        CURVATURE,
        partial(is_curved, of_pca=True, name="_mean_trajectory"),
    ),
    Claim(
        "4B",
        "Few principal components keep much of the trajectories' variance",
        "a curve by components; no number known",
        LATENT,
        few_components_explain,
    ),
    Claim(
        "4C",
        f"{COMPONENTS} principal components keep most of the variance at every layer",
        "a curve by layer; no number known",
        ALL_COMPONENTS,
        many_components_explain,
    ),
)
"""Of the reduced space."""

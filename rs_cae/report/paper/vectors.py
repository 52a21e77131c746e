"""The paper's Figures 1B to 1F: size, density, correlation, angle and speed."""

from functools import partial

import numpy as np
import torch

from rs_cae.dynamics.correlation import pearson_of_unrelated_updates
from rs_cae.report.paper.judging import Claim, Condition, Judgement, Trend, decide
from rs_cae.report.paper.numbers import (
    LEAST_SIGNS,
    UNDEFINED,
    WITHOUT_EMBEDDING,
    Number,
    Results,
    UntestableError,
    third_of,
)

DYNAMICS = "needs the analysis dynamics, which `python -m rs_cae test` asks unless --analyses leaves it out"
CURVATURE = "needs the analysis curvature, which `python -m rs_cae test` asks unless --analyses leaves it out"
PARALLEL = "needs a model with a state between attention and MLP: here they run in parallel"

HIGH = 0.9
"""From this r on a unit counts as highly correlated. Ours: the paper gives no threshold."""

UNRELATED = "unrelated updates of that size"

KIND_NAMES = {"within": "attention", "across": "mlp"}
"""End the names of the headlines of a kind of step, but for the kind of the last one."""


def grows(results: Results) -> Judgement:
    """Norm by depth, and whether steps add up more than with random signs.

    The stream begins small, so its norm grows whatever is added to it. If its steps have to do with each other, its
    path is straighter than one of the same steps with random signs.
    """
    trend = _trend(results.curve("dynamics", "norm_mean")[:3])
    results.refuse_fewer_steps("dynamics", LEAST_SIGNS)
    first, _, last = (part.mean() for part in np.array_split(results.variable("dynamics", "mean_abs_mean").values, 3))
    whole, later = (results.number(f"tortuosity{end}", absent=CURVATURE) for end in ("", WITHOUT_EMBEDDING))
    return decide(
        f"norm {trend.words}; mean absolute activation {first:.3g} to {last:.3g}; path length over distance "
        f"{whole.words}, without the embedding {later.words}",
        f"path length over distance of the same steps with random signs {whole.null_words}, {later.null_words}",
        [
            *trend.is_seen(),
            Condition(whole.below, "grows, but its path is no straighter than one of unrelated steps"),
            Condition(
                later.below, "grows, but without the embedding its path is no straighter than one of unrelated steps"
            ),
        ],
        "grows, along a path that is straighter than one of unrelated steps",
    )


def grows_denser(results: Results) -> Judgement:
    """Participation ratio by depth; that of a Gaussian vector is the same at any depth and any size."""
    trend = _trend(results.curve("dynamics", "participation_ratio_mean"))
    return decide(
        f"participation ratio {trend.words}",
        f"a Gaussian vector {trend.last.null:.3g} at any depth",
        trend.is_seen(),
        "rises: more units carry the state, which its growth in size alone does not give",
    )


def correlations_rise(results: Results) -> Judgement:
    """Units' correlations by depth, of the mean over units and of most of them."""
    names = ("first_third", f"first_third{WITHOUT_EMBEDDING}", "last_third")
    trend = Trend(*(results.number(f"correlation_{name}") for name in names))
    measured, unrelated = (_share_that_rises(r) for r in _correlations(results))
    return decide(
        f"r {trend.words}; it rises in {measured:.0%} of the units",
        f"{UNRELATED} {trend.null_words}; in {unrelated:.0%}",
        [
            Condition(measured > 0.5, f"r rises in {measured:.0%} of the units only"),
            *trend.rises(UNRELATED),
        ],
        f"rises, and more than {UNRELATED} make it",
    )


def units_are_continuous(results: Results) -> Judgement:
    """Share of the units whose r, in the median over transitions, is high."""
    thirds = [results.number(f"correlation_{third}_third") for third in ("first", "middle", "last")]
    known = [r[:, np.isfinite(r).any(axis=0)] for r in _correlations(results)]
    measured, unrelated = (float((np.nanmedian(r, axis=0) >= HIGH).mean()) for r in known)
    beyond = float(np.mean([third.value - third.null for third in thirds]))
    return decide(
        f"r of {HIGH} or more in {measured:.0%} of the units; mean r by thirds of depth {_joined(thirds, 'words')}",
        f"{UNRELATED}: {unrelated:.0%}; by thirds {_joined(thirds, 'null_words')}",
        [
            Condition(measured > 0.5, "most units are less correlated than that"),
            Condition(
                unrelated <= 0.5,
                f"seen, but {UNRELATED} leave {unrelated:.0%} of the units as highly correlated; r differs from theirs "
                f"by {beyond:+.2g} in the mean",
            ),
            Condition(
                all(third.above for third in thirds), f"seen, but not beyond {UNRELATED} in every third of depth"
            ),
        ],
        f"most units are more alike than {UNRELATED} leave them",
    )


def cosine_rises(results: Results, kind: str) -> Judgement:
    """Cosine of successive states by depth, over steps of one kind."""
    curve = results.curve("dynamics", "cosine_similarity_mean")
    chosen = results.variable("dynamics", "kind").values == kind
    if not chosen.any():
        raise UntestableError(PARALLEL)
    trend = _trend(curve, chosen)
    return decide(
        f"cosine {trend.words}",
        f"{UNRELATED} {trend.null_words}",
        trend.rises(UNRELATED),
        f"rises more than {UNRELATED} make it",
    )


def speed_rises(results: Results, kind: str) -> Judgement:
    """The last step of a kind over the first, against the growth of the norm between them."""
    results.variable("dynamics", "velocity_mean")
    kinds = results.variable("dynamics", "kind").values
    if kind not in kinds:
        raise UntestableError(PARALLEL)
    name = "velocity_ratio" if kind == kinds[-1] else f"velocity_ratio_{KIND_NAMES[kind]}"
    whole = results.number(name, absent=UNDEFINED)
    later = results.number(f"{name}{WITHOUT_EMBEDDING}", absent=UNDEFINED) if kind == kinds[0] else None
    beside = f"; after the embedding's {later.words}" if later else ""
    beside_null = f"; {later.null_words}" if later else ""
    return decide(
        f"last step over the first {whole.words}{beside}",
        f"the norm grows by a factor of {whole.null_words}{beside_null}",
        [
            Condition(whole.low > 1, "the last step is not longer than the first"),
            Condition(not later or later.low > 1, "the last step is longer than the embedding's alone"),
            Condition(whole.above, "steps grow, but no more than the stream that they are added to"),
            Condition(not later or later.above, "without the embedding's, steps grow no more than the stream"),
        ],
        "steps grow, and more than the stream that they are added to",
    )


def _trend(curve: list[np.ndarray], chosen: np.ndarray | None = None) -> Trend:
    return Trend(third_of(curve, 0, 0, chosen), third_of(curve, 0, 1, chosen), third_of(curve, 2, 0, chosen))


def _correlations(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """[transitions, units], measured, and what unrelated updates of the same size would leave."""
    measured = results.variable("dynamics", "correlation").values
    deviation = results.variable("dynamics", "activation_std").values
    start, end = (torch.from_numpy(part**2) for part in (deviation[:-1], deviation[1:]))
    product = torch.from_numpy(measured * deviation[:-1] * deviation[1:])
    return measured, pearson_of_unrelated_updates(start, end, product).numpy()


def _share_that_rises(correlations: np.ndarray) -> float:
    """Of the units, by r [transitions, units]: the last third of depth against the first, without the embedding too."""
    first, _, last = (correlations[places] for places in np.array_split(np.arange(len(correlations)), 3))
    change = last.mean(axis=0) - np.maximum(first.mean(axis=0), first[1:].mean(axis=0))
    if not np.isfinite(change).any():
        raise UntestableError(UNDEFINED)
    return float((change > 0).sum() / np.isfinite(change).sum())


def _joined(numbers: list[Number], name: str) -> str:
    return ", ".join(getattr(number, name) for number in numbers)


CLAIMS = (
    Claim("1B", "Activations grow over the layers", "grow; no number known", DYNAMICS, grows),
    Claim("1B", "Activations grow denser over the layers", "grow dense; no number known", DYNAMICS, grows_denser),
    Claim(
        "1C",
        "Of most units the correlation between successive layers increases over the layers",
        "increases for most units; no number known",
        DYNAMICS,
        correlations_rise,
    ),
    Claim(
        "1D",
        "Activations of most units are highly correlated from layer to layer",
        "most units; no number known",
        DYNAMICS,
        units_are_continuous,
    ),
    Claim(
        "1E",
        "The cosine of states before and after attention rises over the layers",
        "rises; no number known",
        DYNAMICS,
        partial(cosine_rises, kind="within"),
    ),
    Claim(
        "1E",
        "The cosine of states before and after the MLP rises over the layers",
        "rises; no number known",
        DYNAMICS,
        partial(cosine_rises, kind="across"),
    ),
    Claim(
        "1F",
        "The stream accelerates: attention steps grow over the layers",
        "rises; no number known",
        DYNAMICS,
        partial(speed_rises, kind="within"),
    ),
    Claim(
        "1F",
        "The stream accelerates: MLP steps grow over the layers",
        "rises; no number known",
        DYNAMICS,
        partial(speed_rises, kind="across"),
    ),
)
"""Of the stream's vectors."""

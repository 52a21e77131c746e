"""The paper's Figure 2: rotations of single units."""

from functools import partial

import numpy as np
import torch

from rs_cae.dynamics.rotations import WALK_TURNS
from rs_cae.dynamics.significance import benjamini_hochberg
from rs_cae.report.paper.judging import Claim, Condition, Judgement, decide
from rs_cae.report.paper.numbers import (
    LEAST_SIGNS,
    SIGNIFICANT,
    UNDEFINED,
    WITHOUT_EMBEDDING,
    Number,
    Results,
    UntestableError,
)
from rs_cae.report.paper.vectors import DYNAMICS

TURNS, SUBLAYERS, UNITS = 10.74, 64, 4096
"""The paper's mean rotation count, of so many units over so many sublayers."""

CONTROL, WALK, ANY_ORDER = "point_shuffle", "increment_sign_flip", "increment_shuffle"
"""Surrogates: the paper's control, the walk of the headline, and the one that keeps a trace's drift."""


def turn_beyond_shuffles(results: Results) -> Judgement:
    """The mean over units against the paper's control."""
    measured = results.number("rotations_mean")
    control = _mean_of(results, CONTROL, measured)
    rate = results.number("rotations_per_sublayer")
    return decide(
        f"{measured.words} turns; for each sublayer where a trace can turn {rate.words}",
        f"shuffled points of the portrait {control.null_words}",
        [
            Condition(measured.low > 0, "traces do not turn in one sense"),
            Condition(control.above, "turns no more than the shuffled points"),
        ],
        "turns more than the paper's control, in which almost nothing can turn",
    )


def turn_beyond_walks(results: Results) -> Judgement:
    """The mean over units against walks of the same steps, with and without their drift."""
    results.variable("dynamics", "rotations")
    results.refuse_fewer_steps("dynamics", LEAST_SIGNS)
    measured, later = (results.number(f"rotations_mean{end}") for end in ("", WITHOUT_EMBEDDING))
    reordered = _mean_of(results, ANY_ORDER, measured)
    return decide(
        f"{measured.words} turns; without the embedding {later.words}",
        f"the same steps with random signs {measured.null_words}; {later.null_words}; in another order "
        f"{reordered.null_words}; a Gaussian walk {WALK_TURNS:.3g} for each sublayer where it can turn",
        [
            Condition(measured.low > 0, "traces do not turn in one sense"),
            Condition(measured.above, f"turns, but {_compared(measured)} a random walk of the same step sizes"),
            Condition(later.above, f"without the embedding, {_compared(later)} a random walk of the same step sizes"),
            Condition(reordered.above, "turns, but no more than the same steps in another order"),
        ],
        "turns more than random walks of the same steps",
    )


def every_unit(results: Results, surrogate: str, words: str) -> Judgement:
    """Share of the units that turn more than a surrogate of theirs, at a false discovery rate of 0.05."""
    counts = results.variable("dynamics", "rotations").values
    mean, p = (_of_surrogate(results, f"rotations_surrogate_{name}", surrogate) for name in ("mean", "p"))
    known = np.isfinite(counts) & np.isfinite(p)
    if not known.any():
        raise UntestableError(UNDEFINED)
    more = (counts > mean)[known]
    told = benjamini_hochberg(torch.from_numpy(p[known]), SIGNIFICANT).numpy() & more
    low, high = np.percentile(counts[known], [2.5, 97.5])
    return decide(
        f"{more.mean():.0%} of {known.sum()} units turn more, {told.mean():.1%} significantly; "
        f"95 % of them turn between {low:.3g} and {high:.3g} times",
        f"{words}: mean over units {mean[known].mean():.3g}; of significant units {SIGNIFICANT:.0%} may be chance",
        [
            Condition(more.mean() > 0.5, f"most units turn no more than {words}"),
            Condition(told.mean() > 0.5, f"{more.mean():.0%} lie above, but most of them not beyond chance"),
        ],
        f"most units are told apart from {words}, one by one",
    )


def _mean_of(results: Results, surrogate: str, measured: Number) -> Number:
    """The measured mean over units beside that of another surrogate."""
    drawn = _of_surrogate(results, "rotations_surrogate_unit_mean", surrogate)
    p = _of_surrogate(results, "rotations_surrogate_unit_mean_p", surrogate)
    if not np.isfinite(drawn).all() or not np.isfinite(p):
        raise UntestableError(UNDEFINED)
    return measured._replace(null=float(drawn.mean()), p=float(p))


def _of_surrogate(results: Results, name: str, surrogate: str) -> np.ndarray:
    variable = results.variable("dynamics", name)
    if surrogate not in variable["surrogate"].values:
        raise UntestableError
    return variable.sel(surrogate=surrogate).values


def _compared(measured: Number) -> str:
    return "less than" if measured.below else "not told apart from"


CLAIMS = (
    Claim(
        "2A, B",
        "Units rotate in the plane of activation and gradient, and more than with their points shuffled",
        f"{TURNS} turns over {UNITS} units, {TURNS / (SUBLAYERS - 2):.3f} a sublayer; control about 0",
        DYNAMICS,
        turn_beyond_shuffles,
    ),
    Claim(
        "2A, B",
        "Units rotate akin to unstable periodic orbits: more than random walks of the same steps",
        f"{TURNS} turns; no walk was tried, of {SUBLAYERS} sublayers a Gaussian one has "
        f"{WALK_TURNS * (SUBLAYERS - 2):.1f}",
        DYNAMICS,
        turn_beyond_walks,
    ),
    Claim(
        "2C",
        "Single units rotate more than their shuffled points",
        f"shown for {UNITS} units; no number known",
        DYNAMICS,
        partial(every_unit, surrogate=CONTROL, words="their shuffled points"),
    ),
    Claim(
        "2C",
        "Single units rotate more than random walks of their steps",
        "no walk was tried",
        DYNAMICS,
        partial(every_unit, surrogate=WALK, words="walks of their step sizes"),
    ),
)
"""Of rotations."""

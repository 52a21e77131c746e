"""The paper's Figures 1G and 1H: mutual information of a unit's successive activations."""

from rs_cae.report.paper.judging import Claim, Condition, Judgement, decide
from rs_cae.report.paper.numbers import WITHOUT_EMBEDDING, Results, third_of
from rs_cae.report.paper.vectors import DYNAMICS, UNRELATED


def falls(results: Results) -> Judgement:
    """The first third of depth less the last."""
    name = "mutual_information_drop"
    whole, later = results.number(name), results.number(f"{name}{WITHOUT_EMBEDDING}")
    return decide(
        f"first third less the last {whole.words} nats, without the embedding {later.words}",
        f"with {UNRELATED} {whole.null_words}, {later.null_words}",
        [
            Condition(whole.low > 0, "does not fall from the first third of depth to the last"),
            Condition(later.low > 0, "falls from the embedding alone"),
            Condition(whole.above, f"falls, but no more than with {UNRELATED}"),
            Condition(later.above, f"falls, but without the embedding no more than with {UNRELATED}"),
        ],
        f"falls, and more than with {UNRELATED}",
    )


def falls_early(results: Results) -> Judgement:
    """The first third of depth less the middle one, beside the middle one less the last."""
    curve = results.curve("dynamics", "mutual_information_mean")
    first, later, middle, last = (third_of(curve, *part) for part in ((0, 0), (0, 1), (1, 0), (2, 0)))
    early, without, late = first.minus(middle), later.minus(middle), middle.minus(last)
    return decide(
        f"first third less the middle one {early.words} nats, without the embedding {without.words}; "
        f"middle less the last {late.words}",
        f"with {UNRELATED} {early.null_words}, {without.null_words}; {late.null_words}",
        [
            Condition(
                early.low > 0 and without.low > 0, "does not fall from the first third of depth to the middle one"
            ),
            Condition(
                min(early.value, without.value) > late.value, "falls, but no more in early layers than in later ones"
            ),
            Condition(early.above and without.above, f"falls early, but no more than with {UNRELATED}"),
        ],
        f"most of the fall is in early layers, and it is more than with {UNRELATED}",
    )


CLAIMS = (
    Claim(
        "1G, H",
        "Mutual information of a unit's successive activations falls over the layers",
        "falls; no number known",
        DYNAMICS,
        falls,
    ),
    Claim(
        "1H",
        "Mutual information falls sharply in early layers",
        "falls sharply; no number known",
        DYNAMICS,
        falls_early,
    ),
)
"""Of mutual information."""

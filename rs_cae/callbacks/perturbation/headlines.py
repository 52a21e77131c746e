"""What a study of perturbed streams says in a few numbers, each beside what would be if nothing corrected them."""

from typing import NamedTuple

from torch import Tensor

from rs_cae.callbacks.perturbation.variables import PromptBootstrap
from rs_cae.callbacks.verdicts import Verdict, compare_with_null
from rs_cae.results import Headline

ROUNDING = 6
"""Decimals below which numbers are no different: states are in float32."""

RANDOM, UNCORRECTED = "_random", "_uncorrected"

AGAINST_RANDOM = Verdict(
    null="of random perturbations as large",
    above="more is recovered than of those",
    undecided="not told apart from those",
    below="less is recovered than of those",
)
AGAINST_UNCORRECTED = Verdict(
    null="if uncorrected",
    above="more than the stream's growth alone gives: the network corrects",
    undecided="not told apart from what the stream's growth alone gives",
    below="less than the stream's growth alone gives: the network does not correct",
)
NEXT_TOKEN = Verdict(
    null="after random perturbations as large",
    above="the next token changes more than by those",
    undecided="not told apart from those",
    below="the next token changes less than by those",
)


EARLY_MINUS_LATE = (
    "beside that, more in lower layers",
    "beside that, not told apart",
    "beside that, less in lower layers",
)
"""What a verdict says above, at and below its null."""


class Question(NamedTuple):
    """A curve over injections, of which the first value, and the first less the last, are headlines.

    Attributes:
        name: Of the curve.
        words: What sentences call it.
        null: Ends the name of the curve that it is held against.
        verdict: What it means where it lies.
        unit: Of both.
    """

    name: str
    words: str
    null: str
    verdict: Verdict
    unit: str = "1"


QUESTIONS = (
    Question("recovery", "Recovery in full width", RANDOM, AGAINST_RANDOM),
    Question("recovery_direction", "Recovery of the direction", UNCORRECTED, AGAINST_UNCORRECTED),
    Question("recovery_plane", "Recovery in the plane", UNCORRECTED, AGAINST_UNCORRECTED),
    Question("contraction", "Contraction of the field of arrows", UNCORRECTED, AGAINST_UNCORRECTED),
)
KL = Question("kl", "KL divergence of the next-token distribution", RANDOM, NEXT_TOKEN, "nat")


def perturbation_headlines(
    results: dict[str, Tensor], prompts: PromptBootstrap, steps_left: Tensor, labels: list[str]
) -> dict[str, Headline]:
    """Headline numbers by name.

    Args:
        results: Of ``teleport.Study``.
        prompts: How they are resampled.
        steps_left: [injections], sublayers that were read after each.
        labels: Of the injections.
    """
    found, left = {}, int(steps_left[0])
    after = f"{left} sublayer{'' if left == 1 else 's'} after {labels[0]}"
    whole = (steps_left == steps_left.max()).nonzero().flatten().tolist()
    for question in QUESTIONS:
        curves = _curves(results, question)
        subject = f"{question.words}, {after}"
        first = [curve[:, 0] for curve in curves]
        found[f"{question.name}_first_injection"] = _headline(subject, first, prompts, question.verdict)
        if len(whole) > 1:
            early, late = whole[0], whole[-1]
            subject = f"{question.words}, at {labels[early]} less that at {labels[late]}"
            verdict = Verdict(question.verdict.null, *EARLY_MINUS_LATE)
            apart = [curve[:, early] - curve[:, late] for curve in curves]
            found[f"{question.name}_early_minus_late"] = _headline(subject, apart, prompts, verdict)
    if "kl_mean" in results:
        first = [curve[:, 0] for curve in _curves(results, KL)]
        subject = f"{KL.words}, perturbed at {labels[0]}"
        found["kl_first_injection"] = _headline(subject, first, prompts, KL.verdict, KL.unit)
    return found


def _curves(results: dict[str, Tensor], question: Question) -> list[Tensor]:
    """A curve [prompts, injections], and the one that it is held against."""
    return [results[f"{question.name}{end}_mean"] for end in ("", question.null)]


def _headline(
    subject: str, curves: list[Tensor], prompts: PromptBootstrap, verdict: Verdict, unit: str = "1"
) -> Headline:
    """A number of prompts beside its null, both [prompts]; that they differ by rounding is no finding."""
    values, null = curves
    beyond = prompts.means((values - null).round(decimals=ROUNDING))
    mean_null = round(float(prompts.means(null)[0]), ROUNDING) + 0.0  # no -0
    return compare_with_null(subject, prompts.means(values), beyond, verdict, unit, mean_null)

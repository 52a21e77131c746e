"""What a study of displaced streams says in a few numbers, each beside what would be if nothing corrected anything."""

from typing import NamedTuple

from torch import Tensor

from rs_cae.callbacks.perturbation.variables import Prompts
from rs_cae.callbacks.verdicts import Verdict, compare_with_null
from rs_cae.results import Headline
from rs_cae.teleport.field import MEASURES as ALONG

RANDOM, CARRIED = "_random", "_kept"

TAKEN_BACK = Verdict(
    null="random displacements as large",
    above="more is gone than of those",
    undecided="not told apart from those",
    below="less is gone than of those",
)
CORRECTED = Verdict(
    null="if only carried along",
    above="the network itself corrects them",
    undecided="not told apart from what the stream's growth does",
    below="the network itself enlarges them",
)
CHANGED = Verdict(
    null="random displacements as large",
    above="the next token changes more than by those",
    undecided="not told apart from those",
    below="the next token changes less than by those",
)
DECLINES = Verdict(
    null="random displacements as large",
    above="beside theirs it falls with depth",
    undecided="not told apart from theirs",
    below="beside theirs it rises with depth",
)


class Question(NamedTuple):
    """A curve over injections, of which one place or a difference is a headline.

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
    Question("recovery", "Share that is gone of displacements onto the plane", RANDOM, TAKEN_BACK),
    Question("recovery_direction", "Share that is gone of displacements of the direction", CARRIED, CORRECTED),
    Question("recovery_plane", "Share that is gone of displacements in the plane", CARRIED, CORRECTED),
    Question("kl", "Divergence of the next token's distribution", RANDOM, CHANGED, "nat"),
)


def perturbation_headlines(
    results: dict[str, Tensor], prompts: Prompts, steps_left: Tensor, labels: list[str]
) -> dict[str, Headline]:
    """Headline numbers by name.

    Args:
        results: Of ``teleport.Study``.
        prompts: Whose they are.
        steps_left: [injections], sublayers that were read after each.
        labels: Of the injections.
    """
    found = {}
    for question in QUESTIONS:
        if f"{question.name}_mean" in results:
            values = prompts.means(results[f"{question.name}_mean"])
            null = prompts.means(results[f"{question.name}{question.null}_mean"])
            left = int(steps_left[0])
            after = f"{left} sublayer{'' if left == 1 else 's'} after"
            when = after if question.name in ALONG else "displaced onto the plane at"
            subject = f"{question.words}, {when} {labels[0]}"
            of_lowest = values[:, 0], (values - null)[:, 0], question.verdict, question.unit
            found[f"{question.name}_lowest"] = compare_with_null(subject, *of_lowest)
    whole = (steps_left == steps_left.max()).nonzero().flatten()
    if len(whole) > 1:
        found["recovery_lowest_less_highest"] = _decline(results, prompts, labels, int(whole[0]), int(whole[-1]))
    return found


def _decline(results: dict[str, Tensor], prompts: Prompts, labels: list[str], lowest: int, highest: int) -> Headline:
    """Recovery at the lowest injection less that at the highest of those that leave as many sublayers."""
    values = prompts.means(results["recovery_mean"])
    beyond = values - prompts.means(results["recovery_random_mean"])
    subject = f"Share that is gone of displacements onto the plane at {labels[lowest]} less that at {labels[highest]}"
    return compare_with_null(
        subject, values[:, lowest] - values[:, highest], beyond[:, lowest] - beyond[:, highest], DECLINES
    )

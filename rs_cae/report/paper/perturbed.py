"""The paper's Figure 4D: streams that are teleported elsewhere, and where they go."""

from functools import partial

from rs_cae.report.paper.judging import Claim, Condition, Judgement, decide
from rs_cae.report.paper.numbers import Results

PERTURBATION = (
    "needs the analysis perturbation, which `python -m rs_cae test` asks unless --analyses leaves it out or the model "
    "was run layer by layer"
)
ONE_INJECTION = "needs two injections that are followed for as many sublayers: name two layers by --perturbation.layers"
UNCORRECTED = "perturbations merely carried along"
RANDOM = "random perturbations as large"


def first_injection(results: Results, name: str, null: str, seen: str) -> Judgement:
    """What is recovered of a perturbation before the first layer, beside what its null recovers.

    Args:
        results: Of the run.
        name: Of the curve over injections.
        null: What it is held against, in the plural.
        seen: What they do, if anything is recovered.
    """
    measured = results.number(f"{name}_first_injection")
    later = results.variable("perturbation", f"{name}_mean").values[1:]
    label = str(results.datasets["perturbation"]["injection"].values[0])
    rest = f"; later {', '.join(f'{value:.2g}' for value in later)}" if len(later) else ""
    return decide(
        f"{measured.words} at {label}{rest}",
        f"{null} {measured.null_words}",
        [
            Condition(measured.low > 0, f"they do not {seen}"),
            Condition(measured.above, f"they {seen}, but no more than {null} do"),
        ],
        f"they {seen}, and more than {null} do",
    )


def in_lower_layers(results: Results) -> Judgement:
    """Recovery in the plane at the first injection less that at the last one that is followed for as many steps."""
    first = results.number("recovery_plane_first_injection")
    measured = results.number("recovery_plane_early_minus_late", absent=ONE_INJECTION)
    return decide(
        f"lower less upper layers {measured.words}",
        f"{UNCORRECTED} {measured.null_words}",
        [
            Condition(
                first.above, f"in lower layers no more is recovered than {UNCORRECTED} give: nothing is corrected"
            ),
            Condition(measured.low > 0, "no more is recovered in lower layers than in upper ones"),
            Condition(measured.above, f"more is recovered in lower layers, but no more than {UNCORRECTED} give"),
        ],
        f"more is recovered in lower layers, and more than {UNCORRECTED} give",
    )


def stable_points(results: Results) -> Judgement:
    """Injections whose arrows have a stable fixed point that persists when texts are resampled."""
    found, carried = results.without_interval("stable_fixed_points")
    injections = results.variable("perturbation", "steps_left").size
    return decide(
        f"at {found:.0f} of {injections} injections",
        f"{UNCORRECTED}: at {carried:.0f}",
        [
            Condition(found > injections / 2, "at most injections no stable fixed point persists"),
            Condition(carried <= injections / 2, f"seen, but {UNCORRECTED} have them at most injections too"),
        ],
        f"stable fixed points persist at most injections, and not of {UNCORRECTED}",
    )


CLAIMS = (
    Claim(
        "4D",
        "Teleported streams correct themselves: in the reduced plane they return to their path",
        "arrows lead back; no number known",
        PERTURBATION,
        partial(first_injection, name="recovery_plane", null=UNCORRECTED, seen="return in the plane"),
    ),
    Claim(
        "4D",
        "Teleported streams correct themselves in lower layers especially",
        "in lower layers; no number known",
        PERTURBATION,
        in_lower_layers,
    ),
    Claim(
        "4D",
        "Teleported streams return in full width too: the direction of the state recovers",
        "shown in the plane alone",
        PERTURBATION,
        partial(first_injection, name="recovery_direction", null=UNCORRECTED, seen="return to the direction"),
    ),
    Claim(
        "4D",
        "Teleported streams return more than after random perturbations",
        "not compared",
        PERTURBATION,
        partial(first_injection, name="recovery", null=RANDOM, seen="return in full width"),
    ),
    Claim(
        "4D",
        "The arrows draw together, as to an attractor",
        "attractor-like in lower layers; no number known",
        PERTURBATION,
        partial(first_injection, name="contraction", null=UNCORRECTED, seen="draw together"),
    ),
    Claim(
        "4D",
        "The arrows have stable fixed points, as an attractor has",
        "attractor-like; no number known",
        PERTURBATION,
        stable_points,
    ),
)
"""Of teleports."""

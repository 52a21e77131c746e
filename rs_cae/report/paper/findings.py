"""Every finding of the paper beside a run's numbers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import xarray as xr

from rs_cae.report.paper import information, perturbed, reduced, units, vectors
from rs_cae.report.paper.judging import NOTHING, Claim, Judgement, Verdict
from rs_cae.report.paper.numbers import Results, UntestableError

CLAIMS: tuple[Claim, ...] = (
    *vectors.CLAIMS,
    *information.CLAIMS,
    *units.CLAIMS,
    *reduced.CLAIMS,
    *perturbed.CLAIMS,
)
"""In the order of the paper."""


class Finding(NamedTuple):
    """A finding of the paper beside this run.

    Attributes:
        panel: The paper's, such as ``1C``.
        statement: What the paper says, in our words.
        paper: Its number, or what is known of its direction.
        ours: Our number with its interval.
        null: What it is held against, and the value of that.
        verdict: Whether it holds.
        reason: Why, in one sentence without its full stop.
    """

    panel: str
    statement: str
    paper: str
    ours: str
    null: str
    verdict: Verdict
    reason: str


def beside_the_paper(datasets: Mapping[str, xr.Dataset], headlines: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Each finding of the paper (arXiv 2502.12131, Figures 1 to 4), our number, its null, and a verdict.

    A verdict is about the finding as one about the network. It *holds* if two things are true: what the paper says is
    seen, and the null does not show it as well. What is seen but shown by the null too *does not hold*, and the reason
    says ``seen`` or names the direction first: that the paper's picture can be drawn here is one thing, that it says
    something of the network is another. Where a number is missing or not finite it is *not testable here*, and the
    reason says what would make it so. How it is decided (ours):

    - Over depth: seen if the last third's interval lies above the first third's; the null shows it if its own change
      lies within the interval of ours or beyond. Both must be so without the embedding too.
    - A number with a p, which is of the very difference from its null: told apart if p is at most 0.05, on the side
      that the paper says. A number without one: if the null lies outside its interval.
    - A share of units: seen if it is more than half, and shown by the null if its share is too: what a null has as much
      of says nothing, however small the p of the rest. But of units that rise, by how much they rise decides, as over
      depth: updates that shrink make r rise in every unit.
    - A curve over sublayers or components: if the whole of its interval lies above the null, at each of them.
    - A count of injections: like a share of units.

    Args:
        datasets: Results by name: ``dynamics``, ``latent``, ``perturbation``, those that there are.
        headlines: By name, as ``metrics.json`` holds them.

    Returns:
        The findings in the order of the paper, the same ones for every run.
    """
    results = Results(datasets, headlines)
    return [_finding(claim, results) for claim in CLAIMS]


def _finding(claim: Claim, results: Results) -> Finding:
    try:
        judged = claim.judge(results)
    except UntestableError as untestable:
        judged = Judgement(NOTHING, NOTHING, Verdict.NOT_TESTABLE, str(untestable) or claim.remedy)
    return Finding(claim.panel, claim.statement, claim.paper, *judged)

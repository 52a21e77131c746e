"""The paper beside a run: each of its findings, its number, ours, the null, and whether it holds here."""

from rs_cae.report.paper.findings import Finding, beside_the_paper
from rs_cae.report.paper.judging import Verdict

__all__ = ["Finding", "Verdict", "beside_the_paper"]

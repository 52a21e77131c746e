"""What a person sees of a run: figures, and one self-contained ``report.html``."""

from rs_cae.report.drawing import ShownRun
from rs_cae.report.page import write_report

__all__ = ["ShownRun", "write_report"]

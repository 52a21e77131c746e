"""What is found when a claim about a model is checked."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One claim, and how far the model is from it.

    Attributes:
        claim: What should hold.
        error: The largest error, relative to the norm of what is compared; infinite if there is nothing to compare.
        tolerance: The largest that rounding explains, or that leaves the claim true.
        where: The sublayer of the largest error.
    """

    claim: str
    error: float
    tolerance: float
    where: str

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}

"""What is found when a claim about a model is checked."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One claim, and how far the model is from it.

    Attributes:
        claim: What should hold.
        error: The largest error, relative to the norm of what is compared; None if it could not be checked.
        tolerance: The largest that rounding explains.
        where: The sublayer of the largest error, or why there was no check.
    """

    claim: str
    error: float | None
    tolerance: float
    where: str

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; a claim that could not be checked has not failed."""
        return self.error is None or self.error <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}

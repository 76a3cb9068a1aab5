"""What an analysis finds: a decision and its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headway.components._shared.errors import HeadwayError
from headway.components.deployment.record import Check

Decision = Literal["passed", "failed", "inconclusive"]

BROKEN = "the limit is broken"
UNDECIDED = "not decided"


@dataclass(frozen=True)
class Outcome:
    """The end of an analysis.

    Attributes:
        decision: `passed` when every limit is proven to be kept, `failed` when one is proven to be broken.
        checks: The evidence.
        fault: What kept it from a decision, where that is not a lack of requests.
    """

    decision: Decision
    checks: tuple[Check, ...]
    fault: HeadwayError | None = None

    def told(self) -> str:
        """What stands against the candidate."""
        found = [c for c in self.checks if BROKEN in c.value] or [c for c in self.checks if not c.passed]
        return "; ".join(f"{c.check}: {c.value}; allowed: {c.limit}" for c in found)

    def error(self, where: str, *, must_be_better: bool = False) -> HeadwayError:
        """The error of an analysis that does not let the candidate go on.

        Args:
            where: Of the rollout.
            must_be_better: Whether it was to be better than the stable version, not only no worse.
        """
        if must_be_better and not self.fault:
            return HeadwayError(
                "deployment.not_better",
                f"The candidate was not proven to be better than the stable version ({where}). {self.told()}.",
                remedy="Keep the stable version; or, where the interval leaves it open, give the test more time.",
            )
        if self.decision == "failed":
            return HeadwayError(
                "deployment.analysis_failed",
                f"The candidate is worse than the stable version ({where}). {self.told()}.",
                remedy="Look for the cause in the candidate; if the difference is wanted, widen the limit of the "
                "analysis.",
            )
        told = f"It could not be decided whether the candidate is as good as the stable version ({where}). "
        if self.fault:
            error = self.fault
            return HeadwayError(error.code, f"{told}{error.message}", value=error.value, remedy=error.remedy)
        return HeadwayError(
            "deployment.analysis_inconclusive",
            f"{told}{self.told()}.",
            remedy="Let the analysis take more requests or more time or widen its limit, or set "
            "serving.rollout.on_inconclusive to go_on.",
        )


def combined(decisions: set[Decision]) -> Decision:
    """The decision over all that is compared."""
    return "failed" if "failed" in decisions else "passed" if decisions == {"passed"} else "inconclusive"

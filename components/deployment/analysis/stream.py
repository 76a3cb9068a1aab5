"""Differences between answers to the same requests, and what their mean proves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headway.components._shared.statistics.sequential import confidence_sequence, log_evidence
from headway.components.deployment.analysis.config import CONFIDENCE
from headway.components.deployment.analysis.outcome import Decision
from headway.components.deployment.record import Look

# A look is kept once there are so many times as many requests as at the one before it.
LOOKS_GROW = 1.15


@dataclass
class Stream:
    """Differences between candidate and stable, one a request to each, and how large their mean may be.

    Attributes:
        name: What is compared.
        bounds: Lowest and highest possible difference.
        limit: Largest allowed mean; None where it is only told.
        both_ways: Whether a mean below -limit is as bad.
        values: What was observed.
        looks: How the interval of the mean shrank.
    """

    name: str
    bounds: tuple[float, float]
    limit: float | None
    both_ways: bool = False
    values: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def decide(self, false_alarm: float) -> Decision:
        """`failed` once it is proven that the mean is beyond the limit, `passed` once that it is within.

        Args:
            false_alarm: Highest probability of ever failing a candidate whose mean is within the limit.
        """
        if self.limit is None:
            return "passed"
        if not self.values:
            return "inconclusive"
        limit, values, (low, high) = self.limit, np.asarray(self.values), self.bounds
        sides = [(values, (low, high)), *([(-values, (-high, -low))] if self.both_ways else [])]
        if any(log_evidence(v, limit, b) >= np.log(len(sides) / false_alarm) for v, b in sides):
            return "failed"
        enough = -np.log(1 - CONFIDENCE)
        # The mirror image: evidence that the mean is below the limit.
        if all(log_evidence(-v, -limit, (-b[1], -b[0])) >= enough for v, b in sides):
            return "passed"
        return "inconclusive"

    def look(self) -> None:
        """Keeps a look, if there is enough that is new."""
        if self.values and (not self.looks or len(self.values) >= LOOKS_GROW * self.looks[-1].requests):
            self.looks.append(self.now())

    def now(self) -> Look:
        """The mean and its interval as of now."""
        found = confidence_sequence(self.values, self.bounds, confidence=2 * CONFIDENCE - 1)
        return Look(requests=len(self.values), value=found.value, low=found.low, high=found.high)

"""How a classifier does class by class: what it takes for what, and the precision and recall of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headway.components._shared.profiles.columns import FEWEST
from headway.components._shared.statistics.blocks import MIN_BLOCKS, Blocks
from headway.components._shared.statistics.estimates import Integers, share
from headway.components._shared.statistics.intervals import Interval, interval
from headway.components._shared.statistics.metrics import Outcomes


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Attributes:
        number: In the model's order.
        support: Rows that are of it.
        predicted: Rows that are taken for it.
        precision: Share of those taken for it that are of it; None with too few of them.
        recall: Share of those of it that are taken for it; None with too few of them.
    """

    number: int
    support: int
    predicted: int
    precision: Interval | None
    recall: Interval | None


def measure_classes(outcomes: Outcomes, blocks: Blocks | None, *, confidence: float) -> list[ClassResult]:
    """Every class that occurs or is predicted, the most frequent first; each interval holds for itself."""
    if outcomes.task == "regression":
        return []
    found = []
    for number in range(outcomes.classes):
        actual, predicted = outcomes.actual == number, outcomes.predicted == number
        if actual.any() or predicted.any():
            precision = _share(predicted, actual, blocks, confidence=confidence)
            recall = _share(actual, predicted, blocks, confidence=confidence)
            found.append(ClassResult(number, int(actual.sum()), int(predicted.sum()), precision, recall))
    return sorted(found, key=lambda c: -c.support)


def confusion(outcomes: Outcomes) -> Integers:
    """Rows by actual and predicted class; shape (classes, classes)."""
    counts = np.zeros((outcomes.classes, outcomes.classes), dtype=np.int64)
    np.add.at(counts, (outcomes.actual.astype(np.int64), outcomes.predicted.astype(np.int64)), 1)
    return counts


def _share(
    among: npt.NDArray[np.bool_], event: npt.NDArray[np.bool_], blocks: Blocks | None, *, confidence: float
) -> Interval | None:
    estimate = share(among, event)
    if estimate is None or estimate.support < FEWEST:
        return None
    if blocks is None:
        return interval(estimate, confidence=confidence)
    if len(np.unique(blocks.numbers[among])) < MIN_BLOCKS:
        return None
    return interval(estimate, blocks.numbers, confidence=confidence)

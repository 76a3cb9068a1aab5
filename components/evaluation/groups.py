"""Gaps between groups of rows: how differently a model treats them, with an interval for the largest gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from headway.components._shared.statistics.blocks import Blocks
from headway.components._shared.statistics.differences import Difference, difference
from headway.components._shared.statistics.estimates import Estimate, restrict
from headway.components._shared.statistics.intervals import Interval, interval, largest
from headway.components._shared.statistics.metrics import Metric, Outcomes, Task
from headway.components._shared.statistics.slices import Slice, lacks

# Demographic parity, equal opportunity, its other half, and how well the model ranks within a group.
GAP_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("selection_rate", "recall", "false_positive_rate", "roc_auc"),
    "multiclass": ("accuracy", "balanced_accuracy"),
    "regression": ("bias", "mae"),
}


@dataclass(frozen=True)
class Gap:
    """Differences of a metric between the values of a column.

    Attributes:
        column: Whose values are compared.
        metric: Name of what is compared.
        groups: Value's slice name to (rows, interval) of the groups with support.
        widest: The two groups that look furthest apart; None if fewer than two have support.
        interval: Of the largest true difference between any two; None as before.
        left_out: Groups without support, with the reason.
    """

    column: str
    metric: str
    groups: dict[str, tuple[int, Interval]]
    widest: tuple[str, str] | None
    interval: Interval | None
    left_out: dict[str, str]


def measure_gap(
    slices: Sequence[Slice],
    metric: Metric,
    outcomes: Outcomes,
    blocks: Blocks | None,
    *,
    min_support: int,
    confidence: float,
) -> Gap:
    """Measures a metric in the groups of one column and the largest difference between them.

    The interval of the largest gap needs no adjustment above (an intersection-union test) and is adjusted for the
    number of pairs below, so it covers the true largest gap whichever pair looks largest.
    """
    numbers = None if blocks is None else blocks.numbers
    found: dict[str, tuple[Slice, Estimate]] = {}
    left_out: dict[str, str] = {}
    for piece in slices:
        estimate = metric.estimate(outcomes.take(piece.rows)) if piece.size >= min_support else None
        why = lacks(piece, estimate, blocks, min_support)
        if why is None and estimate is not None:
            found[piece.name] = piece, estimate
        else:
            left_out[piece.name] = why or "undefined there"
    groups = {
        name: (
            piece.size,
            interval(estimate, None if numbers is None else numbers[piece.rows], confidence=confidence),
        )
        for name, (piece, estimate) in found.items()
    }
    spread = {name: restrict(estimate, piece.rows) for name, (piece, estimate) in found.items()}
    pairs = list(combinations(spread, 2))
    if not pairs:
        return Gap(slices[0].column, metric.name, groups, None, None, left_out)
    single, joint = (
        [_size_of(difference(spread[a], spread[b], numbers, confidence=confidence, comparisons=n)) for a, b in pairs]
        for n in (1, len(pairs))
    )
    widest = max(zip(single, pairs, strict=True), key=lambda found: found[0].value)[1]
    return Gap(slices[0].column, metric.name, groups, widest, largest(single, joint), left_out)


def _size_of(found: Difference) -> Interval:
    """Interval of a difference's absolute value."""
    return Interval(abs(found.value), max(0.0, found.low, -found.high), max(abs(found.low), abs(found.high)))

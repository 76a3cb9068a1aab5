"""Confidence intervals: of an estimate, a proportion, a quantile, and of the smallest and largest of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headway.components._shared.statistics.distributions import normal_quantile, t_quantile
from headway.components._shared.statistics.estimates import Estimate, Floats, Integers
from headway.components._shared.statistics.spread import half_width, spread_of


@dataclass(frozen=True)
class Interval:
    """A value and the two-sided confidence interval around it."""

    value: float
    low: float
    high: float


def interval(
    estimate: Estimate, blocks: Integers | None = None, *, confidence: float = 0.95, comparisons: int = 1
) -> Interval:
    """Two-sided confidence interval of an estimate.

    The standard error comes from influences summed by block, so rows of one block may depend on each other in any
    way. The form follows the estimate's bounds: Wilson's score interval (1927) with the effective sample size of Korn
    and Graubard (1998) between two bounds, the delta method on the logarithm of the distance to a single one, and a
    symmetric t interval without any. No interval leaves the bounds.

    Args:
        estimate: What was measured.
        blocks: Shape (rows,): number of each row's block, from 0; None for independent rows.
        confidence: Coverage, 0 to 1.
        comparisons: Number of intervals that shall hold together (Bonferroni).
    """
    spread = spread_of(estimate, blocks)
    quantile = t_quantile(1 - (1 - confidence) / comparisons / 2, spread.degrees_of_freedom)
    value, error = estimate.value, spread.standard_error
    lowest, highest = estimate.bounds
    if math.isfinite(lowest) and math.isfinite(highest):
        width = highest - lowest
        share = (value - lowest) / width
        low, high = _score_bounds(share, _effective_size(share, error / width, estimate.support), quantile)
        return Interval(value, lowest + width * low, lowest + width * high)
    if math.isfinite(lowest):
        low, high = _log_bounds(value - lowest, half_width(spread, quantile))
        return Interval(value, lowest + low, lowest + high)
    if math.isfinite(highest):
        low, high = _log_bounds(highest - value, half_width(spread, quantile))
        return Interval(value, highest - high, highest - low)
    half = half_width(spread, quantile)
    return Interval(value, value - half, value + half)


def difference_of(first: Interval, second: Interval) -> Interval:
    """Interval of first minus second for two independent samples, from nothing but the intervals of both.

    MOVER, the method of variance estimates recovery (Zou and Donner 2008): each side's distance to its own limit stands
    for its error, so limits that are not symmetric stay so. Holds with the confidence of the two.
    """
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, low, high)


def wilson(successes: float, rows: float, *, confidence: float = 0.95) -> Interval:
    """Interval of a proportion of independent rows (Wilson 1927); no rows give 0 to 1."""
    if rows <= 0:
        return Interval(0.5, 0.0, 1.0)
    low, high = _score_bounds(successes / rows, rows, normal_quantile(1 - (1 - confidence) / 2))
    return Interval(successes / rows, low, high)


def quantile_interval(sample: Floats, share: float, *, confidence: float = 0.95) -> Interval:
    """Quantile of independent draws with its distribution-free interval from order statistics (binomial).

    An end that so few draws cannot bound is infinite.
    """
    from scipy.special import bdtr

    ordered = np.sort(sample)
    count = len(ordered)
    below = bdtr(np.arange(count), count, share)
    tail = (1 - confidence) / 2
    first = int(np.searchsorted(below, tail, side="left"))
    last = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    middle = float(np.quantile(ordered, share))
    return Interval(
        middle,
        float(ordered[first - 1]) if first > 0 else -math.inf,
        float(ordered[last - 1]) if last <= count else math.inf,
    )


def smallest(single: Sequence[Interval], joint: Sequence[Interval]) -> Interval:
    """Interval of the smallest of several true values.

    The lower end needs no adjustment (an intersection-union test, Berger 1982: the true smallest has its own interval
    above it), the upper end is the smallest of the joint intervals' upper ends. Both hold whichever looks smallest.

    Args:
        single: Each with its own confidence.
        joint: The same, holding together (`comparisons=len(single)`).
    """
    return Interval(min(i.value for i in single), min(i.low for i in single), min(i.high for i in joint))


def largest(single: Sequence[Interval], joint: Sequence[Interval]) -> Interval:
    """Interval of the largest of several true values; the mirror image of `smallest`."""
    return Interval(max(i.value for i in single), max(i.low for i in joint), max(i.high for i in single))


def _effective_size(share: float, error: float, support: int) -> float:
    """Number of independent rows that would give a proportion this standard error."""
    spread = share * (1 - share)
    return spread / error**2 if error > 0 and spread > 0 else float(max(support, 1))


def _score_bounds(share: float, rows: float, quantile: float) -> tuple[float, float]:
    square = quantile * quantile
    centre = (share + square / (2 * rows)) / (1 + square / rows)
    half = quantile / (1 + square / rows) * math.sqrt(max(share * (1 - share) / rows + square / (4 * rows**2), 0.0))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def _log_bounds(distance: float, half_width: float) -> tuple[float, float]:
    if distance <= 0:
        return 0.0, half_width
    factor = math.exp(min(half_width / distance, 700.0))
    return distance / factor, distance * factor

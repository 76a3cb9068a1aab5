"""Intervals and tests for what was measured on rows that may depend on each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

# The power at which an effect counts as detectable.
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """A value and the two-sided confidence interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A value together with what each row contributes to its uncertainty.

    Attributes:
        value: The statistic on all rows.
        influence: Shape (rows,): the derivative of the value by the weight of each row (the infinitesimal jackknife;
            Efron 1982, chapter 6). Sums to zero; the sum of its squares is the variance for independent rows.
        bounds: Smallest and largest value that the statistic can take; infinite where there is none.
        support: Number of rows that decide it, such as the rows of the rarer class for a ROC AUC.
    """

    value: float
    influence: Floats
    bounds: tuple[float, float]
    support: int


@dataclass(frozen=True)
class Spread:
    """How uncertain an estimate is.

    Attributes:
        standard_error: In the unit of the estimate.
        degrees_of_freedom: Of the t distribution; the effective number of independent contributions less one.
        tail: Weight of rare large contributions beyond a normal distribution's, in the unit of the estimate.
    """

    standard_error: float
    degrees_of_freedom: float
    tail: float


@dataclass(frozen=True)
class Difference:
    """A paired difference on the same rows.

    Attributes:
        value: First minus second, or the other way round where less is better: positive is always a gain.
        low: Lower end of its two-sided confidence interval.
        high: Upper end.
        p_value: Two-sided, for no difference.
        standard_error: Of the difference.
        detectable: The smallest true difference that this test would find with a power of 0.8.
    """

    value: float
    low: float
    high: float
    p_value: float
    standard_error: float
    detectable: float


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
        low, high = _log_bounds(value - lowest, _half_width(spread, quantile))
        return Interval(value, lowest + low, lowest + high)
    if math.isfinite(highest):
        low, high = _log_bounds(highest - value, _half_width(spread, quantile))
        return Interval(value, highest - high, highest - low)
    half = _half_width(spread, quantile)
    return Interval(value, value - half, value + half)


def wilson(successes: float, rows: float, *, confidence: float = 0.95) -> Interval:
    """Interval of a proportion of independent rows (Wilson 1927); no rows give 0 to 1."""
    if rows <= 0:
        return Interval(0.5, 0.0, 1.0)
    low, high = _score_bounds(successes / rows, rows, normal_quantile(1 - (1 - confidence) / 2))
    return Interval(successes / rows, low, high)


def difference(
    first: Estimate,
    second: Estimate,
    blocks: Integers | None = None,
    *,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    comparisons: int = 1,
) -> Difference:
    """Paired difference of two estimates on the same rows, oriented so that positive is a gain.

    For ROC AUC on independent rows this is the paired test of DeLong, DeLong and Clarke-Pearson (1988); with blocks
    Obuchowski's (1997). Where few rows carry the whole difference the interval is widened as Wilson's is (`tail`), so
    two models that agree on every row seen are not proven equal on the rows to come.
    """
    sign = 1.0 if higher_is_better else -1.0
    bounds = (-math.inf, math.inf)
    support = min(first.support, second.support)
    contrast = Estimate(
        sign * (first.value - second.value), sign * (first.influence - second.influence), bounds, support
    )
    spread = spread_of(contrast, blocks)
    quantile = t_quantile(1 - (1 - confidence) / comparisons / 2, spread.degrees_of_freedom)
    half = _half_width(spread, quantile)
    error = spread.standard_error
    surprise = 1 - t_probability(abs(contrast.value) / error, spread.degrees_of_freedom) if error > 0 else 0.5
    return Difference(
        contrast.value,
        contrast.value - half,
        contrast.value + half,
        2 * surprise,
        error,
        half + normal_quantile(POWER) * error,
    )


def spread_of(estimate: Estimate, blocks: Integers | None = None) -> Spread:
    """Standard error, degrees of freedom and tail weight of an estimate.

    With blocks: the sum of squared block sums, each raised by its leverage (CR2; Bell and McCaffrey 2002), and
    the effective number of blocks (Kish 1965), so that few or unequal blocks widen the interval.
    """
    if blocks is None:
        sums: Floats = estimate.influence
        effective = float(len(sums))
    else:
        sizes: Floats = np.bincount(blocks).astype(float)
        share: Floats = sizes[sizes > 0] / sizes.sum()
        if len(share) < 2:
            raise ValueError("one block tells nothing about how blocks differ")
        sums = np.bincount(blocks, weights=estimate.influence)[sizes > 0] / np.sqrt(1 - share)
        effective = 1 / float(share @ share)
    squares = sums * sums
    variance = float(squares.sum())
    freedom = max(min(effective, float(estimate.support)) - 1, 1.0)
    if variance == 0:
        return Spread(0.0, freedom, 1 / max(estimate.support, 1))
    excess = float(squares @ squares) / variance - 3 * variance / len(sums)
    return Spread(math.sqrt(variance), freedom, math.sqrt(max(excess, 0.0)))


def design_effect(estimate: Estimate, blocks: Integers | None) -> float:
    """How many times larger the variance is than if all rows were independent."""
    independent = spread_of(estimate).standard_error
    return 1.0 if independent == 0 else (spread_of(estimate, blocks).standard_error / independent) ** 2


def block_autocorrelation(estimate: Estimate, blocks: Integers) -> float:
    """Correlation of neighbouring blocks' contributions; blocks are numbered in the order of time."""
    sums = np.bincount(blocks, weights=estimate.influence)
    centred = sums - sums.mean()
    total = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / total if total > 0 else 0.0


def restrict(estimate: Estimate, rows: npt.NDArray[np.bool_]) -> Estimate:
    """Spreads an estimate from a part of the rows over all of them, so that it can be paired with other parts.

    Args:
        estimate: Measured on the rows where `rows` is true.
        rows: Shape (all rows,).
    """
    influence = np.zeros(len(rows))
    influence[rows] = estimate.influence
    return Estimate(estimate.value, influence, estimate.bounds, estimate.support)


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


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value for two models that are right equally often, from the rows where one of them is right.

    Source: McNemar (1947), exact binomial form. Rows are taken as independent.
    """
    from scipy.special import bdtr

    rows = only_first + only_second
    return 1.0 if rows == 0 else min(1.0, 2 * float(bdtr(min(only_first, only_second), rows, 0.5)))


def power(effect: float, standard_error: float, degrees_of_freedom: float, *, confidence: float = 0.95) -> float:
    """Chance that a two-sided test finds a true effect in its direction (normal approximation)."""
    from scipy.special import ndtr

    if standard_error == 0:
        return 1.0 if effect else 0.0
    quantile = t_quantile(1 - (1 - confidence) / 2, degrees_of_freedom)
    return float(ndtr(abs(effect) / standard_error - quantile))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many there are, valid under any dependence (Holm 1979)."""
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i])
    adjusted = [0.0] * count
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (count - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def quantile_interval(sample: Floats, share: float, *, confidence: float = 0.95) -> Interval:
    """Quantile of independent draws with its distribution-free interval from order statistics (binomial).

    Where the sample is too small to bound it, the end is the sample's own end, and the interval covers less.
    """
    from scipy.special import bdtr

    ordered = np.sort(sample)
    count = len(ordered)
    below = bdtr(np.arange(count), count, share)
    tail = (1 - confidence) / 2
    first = int(np.searchsorted(below, tail, side="left"))
    last = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    middle = float(np.quantile(ordered, share))
    return Interval(middle, float(ordered[max(first - 1, 0)]), float(ordered[min(last, count) - 1]))


def bootstrap(
    rows: Floats,
    statistic: Callable[[Floats], Floats],
    blocks: Integers | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Floats:
    """Draws of a statistic of column sums under resampling of blocks (Efron 1979), for what has no smooth influence.

    Blocks are drawn with replacement; independent rows are dealt into at most 1,000 random blocks first, which keeps
    the cost at `draws` x 1,000 x columns however many rows there are, and its distribution the same.

    Args:
        rows: Shape (rows, columns): what the statistic needs the sums of.
        statistic: Gives shape (draws,) for sums of shape (draws, columns).
        blocks: Shape (rows,), as for `interval`.
        draws: How many.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    if blocks is None:
        blocks = generator.permutation(len(rows)) % min(len(rows), 1000)
    sums = np.stack([np.bincount(blocks, weights=column) for column in rows.T], axis=1)
    count = len(sums)
    drawn = generator.integers(0, count, (draws, count)) + count * np.arange(draws)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)
    return statistic(weights.astype(float) @ sums)


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))


def t_probability(value: float, degrees_of_freedom: float) -> float:
    """Distribution function of Student's t distribution."""
    from scipy.special import stdtr

    return float(stdtr(degrees_of_freedom, value))


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(probability))


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


def _half_width(spread: Spread, quantile: float) -> float:
    """Half width of a symmetric interval: Wilson's for the sum of a few equal contributions, t's for many."""
    shift = quantile * spread.tail / 2
    return quantile * (shift + math.hypot(spread.standard_error, shift))

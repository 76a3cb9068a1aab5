"""How uncertain an estimate is when rows may depend on each other: standard errors by block, and the bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headway.components._shared.statistics.estimates import Estimate, Floats, Integers


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


def spread_of(estimate: Estimate, blocks: Integers | None = None) -> Spread:
    """Standard error, degrees of freedom and tail weight of an estimate.

    With blocks: the sum of squared block sums, each raised by its leverage (CR2; Bell and McCaffrey 2002), and
    the effective number of blocks (Kish 1965), so that few or unequal blocks widen the interval. The variance is never
    taken to be less than that of independent rows: where blocks seem to cancel out, that is nearly always chance.
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
    independent = float(estimate.influence @ estimate.influence)
    variance = max(float(squares.sum()), independent)
    freedom = max(min(effective, float(estimate.support)) - 1, 1.0)
    if variance == 0:
        return Spread(0.0, freedom, 1 / max(estimate.support, 1))
    excess = float(squares @ squares) / variance - 3 * variance / len(sums)
    return Spread(math.sqrt(variance), freedom, math.sqrt(max(excess, 0.0)))


def half_width(spread: Spread, quantile: float) -> float:
    """Half width of a symmetric interval: Wilson's for the sum of a few equal contributions, t's for many."""
    shift = quantile * spread.tail / 2
    return quantile * (shift + math.hypot(spread.standard_error, shift))


def standardized(value: float, spread: Spread) -> float:
    """The quantile at which an interval of this `half_width` around a value just reaches zero: its test's statistic."""
    return abs(value) / math.sqrt(spread.standard_error**2 + abs(value) * spread.tail) if value else 0.0


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

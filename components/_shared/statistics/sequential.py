"""Tests that may be looked at after every observation: betting confidence sequences of a bounded mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.statistics.intervals import Interval

# How much of what it has a bettor stakes: large stakes see large effects early, small ones small effects at last.
_STAKES = 0.999 * 0.5 ** np.arange(8)
_PRECISION = 1e-4


def log_evidence(values: Sequence[float] | Floats, mean: float, bounds: tuple[float, float]) -> float:
    """Logarithm of the evidence that the true mean is above `mean`.

    The evidence is the wealth of a bettor who starts with 1 and cannot expect to gain if the true mean is at most
    `mean`: the average over several stakes c of the product of 1 + c (x - mean) / (mean - low). By Ville's inequality
    it ever reaches 1/alpha with a probability of at most alpha, however often and whenever it is looked at. The values
    need not be independent; it is enough that each has, given those before it, a mean of at most `mean`.

    Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024), section 4,
    with a fixed grid of stakes in place of their predictable ones.

    Args:
        values: What was observed, in any order.
        mean: The mean that is doubted, above the lower bound.
        bounds: Lowest and highest possible value.
    """
    gains = (np.asarray(values, dtype=float) - mean) / (mean - bounds[0])
    # Few different values occur as a rule (a request fails or does not), so each is computed once.
    different, counts = np.unique(gains, return_counts=True)
    wealth = np.log1p(np.multiply.outer(_STAKES, different)) @ counts
    return float(np.logaddexp.reduce(wealth) - math.log(len(_STAKES)))


def confidence_sequence(
    values: Sequence[float] | Floats, bounds: tuple[float, float], *, confidence: float = 0.95
) -> Interval:
    """Interval of the true mean that holds at all times at once: it may be looked at after every observation.

    Its ends are the means that can just not be doubted (`log_evidence` below 1/alpha, half of alpha for each end), so
    one end of it alone, which is what a one-sided test looks at, errs with half of 1 - confidence.
    """
    low, high = bounds
    given = np.asarray(values, dtype=float)
    if not len(given):
        return Interval(math.nan, low, high)
    enough = math.log(2 / (1 - confidence))
    return Interval(float(given.mean()), _undoubted(given, bounds, enough), -_undoubted(-given, (-high, -low), enough))


def _undoubted(values: Floats, bounds: tuple[float, float], enough: float) -> float:
    """The largest mean that the values put in doubt from above: evidence falls as the mean that is doubted rises."""
    low, high = bounds[0], float(values.mean())
    doubted = bounds[0]
    while high - low > _PRECISION * (bounds[1] - bounds[0]):
        middle = (low + high) / 2
        if log_evidence(values, middle, bounds) >= enough:
            low = doubted = middle
        else:
            high = middle
    return doubted

"""Paired differences on the same rows: their intervals, their tests, and what those could find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headway.components._shared.statistics.distributions import normal_quantile, t_probability, t_quantile
from headway.components._shared.statistics.estimates import Estimate, Integers
from headway.components._shared.statistics.spread import half_width, spread_of, standardized

# The power at which an effect counts as detectable.
POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """A paired difference on the same rows.

    Attributes:
        value: First minus second, or the other way round where less is better: positive is always a gain.
        low: Lower end of its two-sided confidence interval.
        high: Upper end.
        p_value: Two-sided, for no difference: below 1 - confidence exactly where the interval of one comparison leaves
            out zero.
        standard_error: Of the difference.
        detectable: The smallest true difference that this test would find with a power of 0.8.
    """

    value: float
    low: float
    high: float
    p_value: float
    standard_error: float
    detectable: float


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
    half = half_width(spread, quantile)
    reached = standardized(contrast.value, spread)
    return Difference(
        contrast.value,
        contrast.value - half,
        contrast.value + half,
        2 * t_probability(-reached, spread.degrees_of_freedom),
        spread.standard_error,
        half + normal_quantile(POWER) * spread.standard_error,
    )


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

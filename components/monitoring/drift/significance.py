"""Whether a difference between two columns may be chance: p-values, each valid for what it is asked about."""

from __future__ import annotations

import math

import numpy as np

from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.profiles.comparisons import binned
from headway.components._shared.statistics.homogeneity import homogeneity
from headway.components.monitoring.drift.measures import is_spread


def of_values(reference: ColumnProfile, current: ColumnProfile, distance: float | None) -> float:
    """p-value of both columns' values coming from one distribution.

    Numbers: by Kolmogorov and Smirnov, which sees where they lie, and by chi-square over ten bins of equal size, which
    sees how they spread; the smaller one, doubled (Bonferroni). Everything else: by chi-square over the values.

    Args:
        reference: One.
        current: The other.
        distance: Of Kolmogorov and Smirnov; None where the columns hold no numbers.
    """
    over_bins = homogeneity(*binned(reference, current))
    if distance is None or not is_spread(reference):
        return over_bins
    return min(1.0, 2 * min(over_bins, ks_p_value(distance, reference.values, current.values)))


def ks_p_value(distance: float, n: int, m: int) -> float:
    """p-value of a Kolmogorov-Smirnov distance of n and m rows; conservative for values that come more than once.

    The limiting distribution with the correction of Stephens (1970) for few rows.
    """
    from scipy.special import kolmogorov

    root = math.sqrt(n * m / (n + m))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def of_missing(reference: ColumnProfile, current: ColumnProfile) -> float:
    """p-value of both columns missing values at one rate."""
    old, new = (np.array([c.nulls, c.rows - c.nulls], dtype=np.float64) for c in (reference, current))
    return homogeneity(old, new)


def of_outside(count: int, current: int, unseen: float) -> float:
    """p-value of at least so many values of the current column that the reference does not have.

    Args:
        count: Such values.
        current: All values of the current column.
        unseen: Expected share of them where nothing changed.
    """
    from scipy.special import bdtrc

    return 1.0 if count == 0 else float(bdtrc(count - 1, current, min(1.0, unseen)))


def of_lost(share: float, current: int) -> float:
    """p-value of a value with this share in the reference not coming up once in the current column."""
    return math.exp(current * math.log1p(-share)) if share < 1 else 0.0


def unseen_share(reference: ColumnProfile) -> float:
    """Share of values to come that the reference does not have, where nothing changes.

    Numbers beyond its ends: 2 / (n + 1), whatever their distribution. Categories: what came once, and one more, over
    n (Good 1953, made conservative).
    """
    n = reference.values
    if reference.numeric:
        return 2 / (n + 1)
    once = int((reference.counts["count"] == 1).sum())
    return (once + 1) / n

"""Exact arithmetic behind profiles: bins of numbers whose edges no data can move, and sums without rounding.

A float64 without its sign is, as an integer, ascending: exponent first, then mantissa. A bin holds the numbers that
agree in all but the lowest `shift` bits, so every bin of one shift lies within one bin of every larger shift, and
counts of a coarser shift follow exactly from those of a finer one. Small shifts resolve a narrow range far from zero,
large ones span many magnitudes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NO_COUNTS = pl.DataFrame(schema={"key": pl.Int64, "count": pl.Int64})
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_HALF = np.int64(27)  # bits of the lower half of a 53-bit mantissa


@dataclass(frozen=True)
class ExactSum:
    """A sum of float64 numbers as `numerator * 2**exponent`, without any rounding.

    Attributes:
        numerator: Odd, or 0.
        exponent: 0 where the numerator is 0.
    """

    numerator: int = 0
    exponent: int = 0

    def __add__(self, other: ExactSum) -> ExactSum:
        low = min(self.exponent, other.exponent)
        total = (self.numerator << (self.exponent - low)) + (other.numerator << (other.exponent - low))
        return _normalised(total, low)

    def fraction(self) -> Fraction:
        """The exact value."""
        return Fraction(self.numerator) * Fraction(2) ** self.exponent

    def over(self, count: int) -> float:
        """The correctly rounded quotient, such as a mean."""
        return float(self.fraction() / count)

    def deviation(self, squares: ExactSum, count: int) -> float:
        """The population standard deviation from this sum, the sum of squares and the count."""
        mean = self.fraction() / count
        return sqrt(max(Fraction(0), squares.fraction() / count - mean * mean))


ZERO = ExactSum()


def exact_sum(numbers: Floats, weights: Ints | None = None) -> ExactSum:
    """The exact sum of finite numbers, each counted `weights` times; at most 2**26 rows together."""
    if numbers.size == 0:
        return ZERO
    mantissas, exponents = np.frexp(numbers)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    lowest = int(exponents.min())
    position = exponents - lowest
    upper, lower = (whole >> _HALF).astype(np.float64), (whole & ((np.int64(1) << _HALF) - 1)).astype(np.float64)
    if weights is not None:
        upper, lower = upper * weights, lower * weights
    # Sums of 26- and 27-bit integers stay below 2**53, where float64 is exact.
    total = 0
    for half, offset in ((upper, int(_HALF)), (lower, 0)):
        sums = np.bincount(position, weights=half)
        for place in np.flatnonzero(sums):
            total += int(sums[place]) << (int(place) + offset)
    return _normalised(total, lowest - 53)


def _normalised(numerator: int, exponent: int) -> ExactSum:
    if numerator == 0:
        return ZERO
    zeros = (numerator & -numerator).bit_length() - 1
    return ExactSum(numerator >> zeros, exponent + zeros)


def bin_keys(numbers: Floats, shift: int) -> Ints:
    """The bin of each finite number, in ascending order of the numbers; 0 holds both signs next to zero."""
    bits = numbers.view(np.int64)
    magnitudes = (bits & _MAGNITUDE) >> np.int64(shift)
    return np.where(bits < 0, -magnitudes, magnitudes)


def edges(keys: Ints, shift: int) -> tuple[Floats, Floats]:
    """Lower and upper edge of each bin."""
    near, far = np.abs(keys), np.abs(keys) + 1
    inner, outer = _number_at(near, shift), _number_at(far, shift)
    low = np.where(keys > 0, inner, -outer)
    high = np.where(keys < 0, -inner, outer)
    return low, high


def _number_at(key: Ints, shift: int) -> Floats:
    largest = np.float64(np.finfo(np.float64).max).view(np.int64)
    too_large = key > (largest >> np.int64(shift))
    bits = np.where(too_large, largest, key << np.int64(shift))
    return bits.view(np.float64)


def counted_bins(numbers: Floats, shift: int, weights: pl.Series | None = None) -> pl.DataFrame:
    """Bins with their counts, ascending."""
    keys = bin_keys(np.ascontiguousarray(numbers), shift)
    if weights is not None:
        return merged_counts([pl.DataFrame({"key": keys, "count": weights})])
    counted = pl.Series("key", keys).value_counts(sort=False, name="count")
    return counted.select("key", pl.col("count").cast(pl.Int64)).sort("key")


def coarsened(counts: pl.DataFrame, by: int) -> pl.DataFrame:
    """The counts in bins that ignore `by` more bits."""
    if by == 0:
        return counts
    keys = _coarser(counts["key"].to_numpy(), by)
    return merged_counts([counts.with_columns(pl.Series("key", keys))])


def coarsest_needed(keys: Ints, shift: int, limit: int) -> int:
    """The smallest shift at or above the present one that needs at most `limit` bins."""
    low, high = shift, 63
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(np.diff(_coarser(keys, middle - shift))) + 1 <= limit:
            high = middle
        else:
            low = middle + 1
    return low


def _coarser(keys: Ints, by: int) -> Ints:
    magnitudes = np.abs(keys) >> np.int64(by)
    return np.where(keys < 0, -magnitudes, magnitudes)


def merged_counts(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Counts added up key by key, ascending."""
    filled = [part for part in parts if part.height] or [parts[0]]
    if len(filled) == 1 and len(parts) > 1:
        return filled[0]
    return (
        pl.concat(filled, how="vertical_relaxed")
        .group_by("key")
        .agg(pl.col("count").sum())
        .sort("key", nulls_last=True)
    )

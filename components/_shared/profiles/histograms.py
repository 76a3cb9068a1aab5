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
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NO_COUNTS = pl.DataFrame(schema={"key": pl.Int64, "count": pl.Int64})
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_MANTISSA = np.int64(0xFFFFFFFFFFFFF)
_HALF = np.int64(26)  # bits of each half of a mantissa


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


ZERO = ExactSum()


def exact_sum(numbers: Floats, weights: Ints | None = None) -> ExactSum:
    """The exact sum of finite numbers, each counted `weights` times.

    Fast for sorted numbers: those with one sign and exponent are added up as integers. At most 2**36 rows together.
    """
    if numbers.size == 0:
        return ZERO
    bits = np.ascontiguousarray(numbers).view(np.int64)
    signs_and_exponents = bits >> np.int64(52)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(signs_and_exponents)) + 1))
    mantissas = bits & _MANTISSA
    upper, lower = mantissas >> _HALF, mantissas & ((np.int64(1) << _HALF) - 1)
    if weights is None:
        rows = np.diff(np.append(starts, numbers.size))
    else:
        upper, lower, rows = upper * weights, lower * weights, np.add.reduceat(weights, starts)
    sums: dict[int, int] = {}
    runs = zip(
        signs_and_exponents[starts], np.add.reduceat(upper, starts), np.add.reduceat(lower, starts), rows, strict=True
    )
    for run, high, low, count in runs:
        exponent, total = int(run) & 0x7FF, (int(high) << int(_HALF)) + int(low)
        if exponent:  # normal numbers have a leading one that is not stored
            total += int(count) << 52
        sums[max(exponent, 1)] = sums.get(max(exponent, 1), 0) + (-total if run < 0 else total)
    lowest = min(sums)
    return _normalised(sum(total << (exponent - lowest) for exponent, total in sums.items()), lowest - 1075)


def _normalised(numerator: int, exponent: int) -> ExactSum:
    if numerator == 0:
        return ZERO
    zeros = (numerator & -numerator).bit_length() - 1
    return ExactSum(numerator >> zeros, exponent + zeros)


def bin_keys(numbers: Floats, shift: int) -> Ints:
    """The bin of each finite number, in ascending order of the numbers; 0 holds both signs next to zero."""
    bits = np.ascontiguousarray(numbers).view(np.int64)
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


def counted_bins(ascending: Floats, shift: int, weights: Ints | None = None) -> pl.DataFrame:
    """Bins of sorted numbers with their counts, ascending."""
    return counted(bin_keys(ascending, shift), weights)


def counted(ascending: npt.NDArray[Any], weights: Ints | None = None) -> pl.DataFrame:
    """Sorted values, each once, with their counts."""
    if ascending.size == 0:
        return NO_COUNTS
    starts = np.concatenate(([0], np.flatnonzero(ascending[1:] != ascending[:-1]) + 1))
    counts = np.diff(np.append(starts, ascending.size)) if weights is None else np.add.reduceat(weights, starts)
    return pl.DataFrame({"key": ascending[starts], "count": counts})


def coarsened(counts: pl.DataFrame, by: int) -> pl.DataFrame:
    """The counts in bins that ignore `by` more bits."""
    if by == 0:
        return counts
    return counted(_coarser(counts["key"].to_numpy(), by), counts["count"].to_numpy())


def coarsest_needed(keys: Ints, shift: int, limit: int) -> int:
    """The smallest shift at or above the present one that needs at most `limit` bins, for ascending keys."""
    magnitudes, negative = np.abs(keys), keys < 0
    before, after = magnitudes[:-1], magnitudes[1:]
    # Two neighbours share a bin once every bit in which they are apart is ignored.
    apart = np.where(negative[:-1] == negative[1:], before ^ after, before | after)
    low, high = shift, 63
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(apart >> np.int64(middle - shift)) + 1 <= limit:
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
    if all(part["key"].dtype in (pl.Int64, pl.Float64) for part in filled):
        keys, counts = (np.concatenate([part[name].to_numpy() for part in filled]) for name in ("key", "count"))
        order = np.argsort(keys, kind="stable")
        return counted(keys[order], counts[order])
    return pl.concat(filled, how="vertical_relaxed").group_by("key").agg(pl.col("count").sum()).sort("key")

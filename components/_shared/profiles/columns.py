"""The profile of one column: counted batch by batch, merged exactly, and read back from JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from headway.components._shared.hashing import stable_hash
from headway.components._shared.profiles.histograms import (
    NO_COUNTS,
    ZERO,
    ExactSum,
    Floats,
    coarsened,
    coarsest_needed,
    counted,
    counted_bins,
    edges,
    exact_sum,
    merged_counts,
)
from headway.components._shared.schemas import Column, Role, Type

MAX_VALUES = 65_536  # distinct values a column that are counted one by one
MAX_BINS = 8_192  # bins of a numeric column beyond that
BUCKETS = 4_096  # hash buckets of a string column beyond that
FEWEST = 10  # values of fewer rows are not named: a rare value may point to a person
MAX_TEXT_BYTES = 256  # a column with a longer string is text: its values are not kept

# Roles whose values are never kept: they name people or rows, and no model learns from them.
WITHHELD: frozenset[Role] = frozenset({"id", "entity", "subject", "personal"})

Binning = Literal["values", "bins", "buckets", "withheld"]


@dataclass(frozen=True)
class ColumnProfile:
    """Statistics of one column.

    Attributes:
        name: As in the data.
        type: As in the Schema.
        rows: Number of rows, with and without a value.
        nulls: Rows without a value.
        not_finite: Counts of NaN, infinity and minus infinity, which enter none of the figures below.
        minimum: Smallest number; times in microseconds, dates in days since 1970; None for other types and no values.
        maximum: Largest number.
        total: Exact sum of the numbers (as float64).
        binning: How values are counted: one by one, in bins of numbers, in hash buckets of strings, or not at all.
        shift: For bins: how many low bits of a float64 they ignore (see `histograms`).
        counts: Columns `key` (value, bin or bucket, ascending) and `count`.
    """

    name: str
    type: Type
    rows: int
    nulls: int
    not_finite: tuple[int, ...] = (0, 0, 0)
    minimum: float | int | None = None
    maximum: float | int | None = None
    total: ExactSum = ZERO
    binning: Binning = "values"
    shift: int = 0
    counts: pl.DataFrame = field(default_factory=lambda: NO_COUNTS)

    @property
    def numeric(self) -> bool:
        """Whether values have an order and a distance."""
        return self.type in ("integer", "number", "date", "datetime")

    @property
    def values(self) -> int:
        """Number of values that are neither missing nor infinite nor NaN."""
        return self.rows - self.nulls - sum(self.not_finite)

    @property
    def distinct(self) -> int | None:
        """Number of distinct values; None where it is beyond 65,536 or values are not kept."""
        return self.counts.height if self.binning == "values" else None

    @property
    def mean(self) -> float | None:
        """Mean of the numbers."""
        return self.total.over(self.values) if self.numeric and self.counts.height else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the numbers (population: divisor n), from the middles of bins where there are bins."""
        mean = self.mean
        if mean is None:
            return None
        low, high, counts = self.histogram()
        distances = np.abs(low / 2 + high / 2 - mean)
        furthest = float(distances.max())
        if furthest == 0:
            return 0.0
        return furthest * float(np.sqrt((counts * (distances / furthest) ** 2).sum() / counts.sum()))

    def histogram(self) -> tuple[Floats, Floats, Floats]:
        """Lower edges, upper edges and counts of a numeric column, ascending; equal edges where values are exact."""
        keys, counts = self.counts["key"], self.counts["count"].to_numpy().astype(np.float64)
        if self.binning == "values":
            values = keys.cast(pl.Float64).to_numpy()
            return values, values, counts
        low, high = edges(keys.to_numpy(), self.shift)
        return np.maximum(low, float(self.minimum or 0)), np.minimum(high, float(self.maximum or 0)), counts

    def quantile(self, share: float) -> float | None:
        """Smallest number that at least a share of the numbers does not exceed; within its bin where there are bins."""
        if not self.numeric or not self.counts.height:
            return None
        low, high, counts = self.histogram()
        reached = np.cumsum(counts)
        wanted = share * reached[-1]
        place = min(int(np.searchsorted(reached, wanted)), len(counts) - 1)
        within = 1 - (reached[place] - wanted) / counts[place]
        return float(low[place] + (high[place] - low[place]) * within)

    def value_counts(self) -> dict[str | int | float | bool, int]:
        """Value to count where values are kept one by one; empty otherwise."""
        if self.binning != "values":
            return {}
        return dict(zip(self.counts["key"].to_list(), self.counts["count"].to_list(), strict=True))


def profile_column(values: pl.Series, column: Column, before: ColumnProfile | None = None) -> ColumnProfile:
    """Counts a batch of at most 2**26 rows.

    Args:
        values: Int64 or Int128 for integers and times, Float64 for numbers, String or Boolean.
        column: Its place in the Schema.
        before: Profile of earlier batches: binning that is already given up is not tried again.
    """
    found = ColumnProfile(column.name, column.type, len(values), values.null_count())
    if WITHHELD.intersection(column.roles):
        return replace(found, binning="withheld")
    values = values.drop_nulls()
    if not found.numeric:
        found = replace(found, counts=_value_counts(values))
        return _bucketed(found) if before is not None and before.binning == "buckets" else _limited(found)
    return _profile_numbers(values, found, before)


def merge_columns(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    """The profile of both parts' rows: the bytes of one pass over them."""
    if "buckets" in (a.binning, b.binning):
        a, b = _bucketed(a), _bucketed(b)
    elif "bins" in (a.binning, b.binning):
        shift = max(a.shift, b.shift)
        a, b = _binned(a, shift), _binned(b, shift)
    merged = replace(
        a,
        rows=a.rows + b.rows,
        nulls=a.nulls + b.nulls,
        not_finite=tuple(x + y for x, y in zip(a.not_finite, b.not_finite, strict=True)),
        minimum=min((v for v in (a.minimum, b.minimum) if v is not None), default=None),
        maximum=max((v for v in (a.maximum, b.maximum) if v is not None), default=None),
        total=a.total + b.total,
        counts=merged_counts([a.counts, b.counts]),
    )
    return _limited(merged)


def column_document(column: ColumnProfile) -> dict[str, object]:
    """A column's profile as JSON values."""
    return {
        "name": column.name,
        "type": column.type,
        "rows": column.rows,
        "nulls": column.nulls,
        "not_finite": list(column.not_finite),
        "minimum": column.minimum,
        "maximum": column.maximum,
        "total": [str(column.total.numerator), column.total.exponent],
        "binning": column.binning,
        "shift": column.shift,
        "keys": column.counts["key"].to_list(),
        "counts": column.counts["count"].to_list(),
    }


def parse_column(document: dict[str, Any]) -> ColumnProfile:
    """Reads what `column_document` wrote."""
    minimum, maximum = document["minimum"], document["maximum"]
    keys: list[Any] = document["keys"]
    binning: Binning = document["binning"]
    if document["type"] == "number":
        # JSON has one kind of number; a whole float may have become an integer on its way.
        minimum, maximum = _float_or_none(minimum), _float_or_none(maximum)
        keys = [float(key) for key in keys] if binning == "values" else keys
    counts = pl.DataFrame({"key": series_of(keys), "count": pl.Series(document["counts"], dtype=pl.Int64)})
    return ColumnProfile(
        name=document["name"],
        type=document["type"],
        rows=document["rows"],
        nulls=document["nulls"],
        not_finite=tuple(document["not_finite"]),
        minimum=minimum,
        maximum=maximum,
        total=ExactSum(int(document["total"][0]), document["total"][1]),
        binning=binning,
        shift=document["shift"],
        counts=counts if keys else NO_COUNTS,
    )


def series_of(values: list[Any]) -> pl.Series:
    """A Series of JSON values; integers beyond 64 bits become Int128."""
    if values and isinstance(values[0], float):
        return pl.Series(values)
    if any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values):
        return pl.Series(values, dtype=pl.Int128)
    return pl.Series(values)


def _float_or_none(value: float | None) -> float | None:
    return None if value is None else float(value)


def _profile_numbers(values: pl.Series, found: ColumnProfile, before: ColumnProfile | None) -> ColumnProfile:
    if values.dtype == pl.Int128:
        return _profile_wide_integers(values, found)
    ascending = np.sort(values.to_numpy())
    if values.dtype == pl.Float64:
        first, last = np.searchsorted(ascending, [-np.finfo(np.float64).max, np.inf])
        nans = int(np.isnan(ascending[last:]).sum())
        found = replace(found, not_finite=(nans, ascending.size - int(last) - nans, int(first)))
        ascending = ascending[first:last]
    if ascending.size == 0:
        return found
    numbers, weights = ascending.astype(np.float64, copy=False), None
    if before is not None and before.binning == "bins":
        found = replace(found, binning="bins", shift=before.shift, counts=counted_bins(numbers, before.shift))
    else:
        found = replace(found, counts=counted(ascending))
        numbers = found.counts["key"].cast(pl.Float64).to_numpy()
        weights = found.counts["count"].to_numpy()
    total = exact_sum(numbers, weights)
    return _limited(replace(found, minimum=ascending[0].item(), maximum=ascending[-1].item(), total=total))


def _profile_wide_integers(values: pl.Series, found: ColumnProfile) -> ColumnProfile:
    if values.is_empty():
        return found
    counts = _value_counts(values)
    keys = counts["key"]
    total = exact_sum(keys.cast(pl.Float64).to_numpy(), counts["count"].to_numpy())
    return _limited(replace(found, counts=counts, minimum=keys[0], maximum=keys[-1], total=total))


def _value_counts(values: pl.Series) -> pl.DataFrame:
    counted = values.alias("key").value_counts(sort=False, name="count")
    return counted.select("key", pl.col("count").cast(pl.Int64)).sort("key")


def _limited(column: ColumnProfile) -> ColumnProfile:
    """Gives up single values, or the fineness of bins, where a column has too many.

    More rows never need fewer, so the result is the same whenever and in whatever order parts are merged.
    """
    many = column.counts.height > MAX_VALUES
    if column.type == "string" and column.binning == "values" and not many:
        longest = column.counts.select(pl.col("key").cast(pl.String).str.len_bytes().max()).item()
        many = (longest or 0) > MAX_TEXT_BYTES
    if column.binning == "values":
        if not many:
            return column
        column = _binned(column, 0) if column.numeric else _bucketed(column)
    if column.binning == "bins" and column.counts.height > MAX_BINS:
        return _binned(column, coarsest_needed(column.counts["key"].to_numpy(), column.shift, MAX_BINS))
    return column


def _bucketed(column: ColumnProfile) -> ColumnProfile:
    if column.binning == "buckets":
        return column
    buckets = stable_hash(column.counts.select("key")) % np.uint64(BUCKETS)
    counts = merged_counts([column.counts.with_columns(pl.Series("key", buckets, dtype=pl.Int64))])
    return replace(column, binning="buckets", counts=counts)


def _binned(column: ColumnProfile, shift: int) -> ColumnProfile:
    """The column in bins of an equal or coarser shift."""
    if column.binning == "values":
        numbers = column.counts["key"].cast(pl.Float64).to_numpy()
        return replace(
            column, binning="bins", shift=shift, counts=counted_bins(numbers, shift, column.counts["count"].to_numpy())
        )
    return replace(column, shift=shift, counts=coarsened(column.counts, shift - column.shift))

"""Two columns side by side: their counts over the same bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.profiles.histograms import Floats

NUMBER_BINS = 10  # of equal size in the reference
MAX_CATEGORIES = 30


def comparable(a: ColumnProfile, b: ColumnProfile) -> bool:
    """Whether two columns can be set against each other; times always move on."""
    if "withheld" in (a.binning, b.binning) or a.numeric != b.numeric or a.type in ("date", "datetime"):
        return False
    # Values of strings beyond the limit are kept as hash buckets, which compare with buckets only.
    return a.numeric or (a.type == b.type and a.binning == b.binning)


def binned(reference: ColumnProfile, current: ColumnProfile) -> tuple[Floats, Floats]:
    """Counts of both columns over the same bins.

    Numbers with more than 30 values go into ten bins of equal size in the reference; others and categories are
    counted by value, the rarest in the reference together, and values new to it together.
    """
    few = reference.counts.height <= MAX_CATEGORIES and "bins" not in (reference.binning, current.binning)
    if reference.numeric and not few:
        return _by_number(reference, current)
    return _by_key(reference, current)


def common_edges(a: ColumnProfile, b: ColumnProfile, bins: int) -> list[float]:
    """Equal-width edges from the lower 1st to the higher 99th percentile of two numeric columns."""
    low = min(column.quantile(0.01) or 0.0 for column in (a, b))
    high = max(column.quantile(0.99) or 0.0 for column in (a, b))
    return [float(edge) for edge in np.linspace(low, high if high > low else low + 1, bins + 1)]


def counts_between(column: ColumnProfile, edges: Sequence[float]) -> list[float]:
    """Rows in each bin; the lowest value belongs to the first."""
    inner = np.array([np.nextafter(edges[0], -np.inf), *edges[1:]])
    return [float(count) for count in counts_up_to(column, inner)[1:-1]]


def counts_up_to(column: ColumnProfile, inner: Floats) -> Floats:
    """Rows up to each edge and beyond the last; a bin across an edge is divided evenly."""
    low, high, counts = column.histogram()
    width = np.where(high > low, high - low, 1.0)
    parts = [np.where(high > low, np.clip((edge - low) / width, 0, 1), low <= edge) for edge in inner]
    below = [float((counts * part).sum()) for part in parts]
    return np.diff(np.array([0.0, *below, float(counts.sum())]))


def _by_number(reference: ColumnProfile, current: ColumnProfile) -> tuple[Floats, Floats]:
    quantiles = [reference.quantile(share) for share in np.linspace(0, 1, NUMBER_BINS + 1)[1:-1]]
    inner = np.unique(np.array(quantiles, dtype=np.float64))
    return counts_up_to(reference, inner), counts_up_to(current, inner)


def _by_key(reference: ColumnProfile, current: ColumnProfile) -> tuple[Floats, Floats]:
    old, new = (_keyed(column) for column in (reference, current))
    common = sorted(old, key=lambda key: (-old[key], str(key)))
    groups = [
        *([key] for key in common[:MAX_CATEGORIES]),
        common[MAX_CATEGORIES:],
        [key for key in new if key not in old],
    ]
    counted = [[sum(counts.get(key, 0) for key in group) for group in groups] for counts in (old, new)]
    table = np.array(counted, dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    return table[0], table[1]


def _keyed(column: ColumnProfile) -> dict[object, int]:
    """Key to count; hash buckets are joined until there are few."""
    counts = column.counts
    if column.binning == "buckets":
        counts = counts.group_by(pl.col("key") % MAX_CATEGORIES).agg(pl.col("count").sum())
    return dict(zip(counts["key"].to_list(), counts["count"].to_list(), strict=True))

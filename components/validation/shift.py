"""Compares a profile with the reference: shifts that are large enough to matter and not chance over all columns.

Effect size and significance answer different questions and a finding needs both: on a million rows every tiny
difference is significant, and on fifty rows chance alone looks large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components.validation.config import Checks
from headway.components.validation.findings import Draft

NUMBER_BINS = 10  # of equal size in the reference
MAX_CATEGORIES = 30
MIN_EXPECTED = 5.0  # rows expected in each cell of a chi-square test

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """How one column differs from the reference.

    Attributes:
        column: Its name.
        psi: Population stability index, the sum of (p - q) ln(p / q) over bins, less what chance adds on average.
        p_value: Of a chi-square test of homogeneity over the same bins.
        adjusted: The p-value after Benjamini and Hochberg (1995) over all columns.
    """

    column: str
    psi: float
    p_value: float
    adjusted: float = 1.0


@dataclass(frozen=True)
class NullShift:
    """How a column's share of missing values differs.

    Attributes:
        column: Its name.
        reference: Share in the reference.
        current: Share now.
        p_value: Of a chi-square test of homogeneity.
        adjusted: The p-value after Benjamini and Hochberg over all columns.
    """

    column: str
    reference: float
    current: float
    p_value: float
    adjusted: float = 1.0


def compare(reference: Profile, current: Profile) -> tuple[list[Shift], list[NullShift]]:
    """Shifts of the columns that both profiles have with one type and binning kind; withheld columns are left out."""
    pairs = [(old, new) for new in current.columns if (old := reference.column(new.name)) and _comparable(old, new)]
    shifts = [_shift(old, new) for old, new in pairs if old.values and new.values]
    nulls = [_null_shift(old, new) for old, new in pairs if old.rows and new.rows]
    return (
        [
            Shift(s.column, s.psi, s.p_value, adjusted)
            for s, adjusted in zip(shifts, benjamini_hochberg([s.p_value for s in shifts]), strict=True)
        ],
        [
            NullShift(s.column, s.reference, s.current, s.p_value, adjusted)
            for s, adjusted in zip(nulls, benjamini_hochberg([s.p_value for s in nulls]), strict=True)
        ],
    )


def drafts(shifts: Sequence[Shift], nulls: Sequence[NullShift], checks: Checks) -> Iterator[Draft]:
    """Findings out of the shifts that pass both limits."""
    for shift in shifts:
        if shift.psi >= checks.shift.min_psi and shift.adjusted <= checks.shift.false_discovery_rate:
            yield Draft(
                "shift",
                f"{shift.column!r} is distributed otherwise than in the reference: PSI {shift.psi:.3f} "
                f"(limit {checks.shift.min_psi:g}), adjusted p-value {said(shift.adjusted)}.",
                "Find out what changed; if the change is here to stay, train on newer rows.",
                column=shift.column,
            )
    for null in nulls:
        difference = null.current - null.reference
        limits = checks.null_shift
        if abs(difference) >= limits.min_difference and null.adjusted <= limits.false_discovery_rate:
            yield Draft(
                "null_shift",
                f"{null.current:.1%} of {null.column!r} is missing, against {null.reference:.1%} in the reference "
                f"(adjusted p-value {said(null.adjusted)}).",
                "Find out what changed in how the column is filled.",
                column=null.column,
                share=abs(difference),
            )


def psi(reference: Floats, current: Floats) -> float:
    """Population stability index of two vectors of counts over the same bins, without the bias of small samples.

    Empty cells count as half a row. Where nothing shifted, the expectation is about (bins - 1) (1/n + 1/m) for
    n and m rows (Yurdakul 2018); it is taken off, and what is left is at least 0.
    """
    n, m = float(reference.sum()), float(current.sum())
    p, q = (reference + 0.5) / (n + 0.5 * reference.size), (current + 0.5) / (m + 0.5 * current.size)
    index = float(((p - q) * np.log(p / q)).sum())
    return max(0.0, index - (reference.size - 1) * (1 / n + 1 / m))


def homogeneity(reference: Floats, current: Floats) -> float:
    """p-value of two vectors of counts coming from one distribution.

    Pearson's chi-square test (1900) over the bins in which at least 5 rows are expected of the smaller sample; the
    other bins, joined, by an exact binomial test; both by Bonferroni.
    """
    from scipy.special import bdtr, bdtrc, chdtrc

    n, m = reference.sum(), current.sum()
    pooled = reference + current
    small = pooled * min(n, m) / (n + m) < MIN_EXPECTED
    table = np.stack([np.append(counts[~small], counts[small].sum()) for counts in (reference, current)])
    expected = np.outer([n, m], table.sum(axis=0)) / (n + m)
    enough = expected.min(axis=0) >= 1
    statistic = ((table - expected)[:, enough] ** 2 / expected[:, enough]).sum()
    chi_square = float(chdtrc(enough.sum() - 1, statistic)) if enough.sum() > 1 else 1.0
    if not small.any():
        return chi_square
    rows, seen, share = int(pooled[small].sum()), float(current[small].sum()), m / (n + m)
    at_least = 1.0 if seen == 0 else float(bdtrc(seen - 1, rows, share))
    exact = min(1.0, 2 * min(at_least, float(bdtr(seen, rows, share))))
    return min(1.0, 2 * min(chi_square, exact))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that a limit on them bounds the expected share of false findings (1995)."""
    count = len(p_values)
    adjusted, running = [0.0] * count, 1.0
    for rank, place in sorted(enumerate(sorted(range(count), key=p_values.__getitem__), start=1), reverse=True):
        running = min(running, p_values[place] * (count / rank))
        adjusted[place] = running
    return adjusted


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
    return [float(count) for count in _counts_up_to(column, inner)[1:-1]]


def said(p_value: float) -> str:
    """A p-value for people: beyond one in a trillion digits mean nothing."""
    return "below 1e-12" if p_value < 1e-12 else f"{p_value:.2g}"


def _comparable(a: ColumnProfile, b: ColumnProfile) -> bool:
    if "withheld" in (a.binning, b.binning) or a.numeric != b.numeric or a.type in ("date", "datetime"):
        return False
    # Values of strings beyond the limit are kept as hash buckets, which compare with buckets only.
    return a.numeric or (a.type == b.type and a.binning == b.binning)


def _shift(reference: ColumnProfile, current: ColumnProfile) -> Shift:
    old, new = binned(reference, current)
    return Shift(current.name, psi(old, new), homogeneity(old, new))


def _null_shift(reference: ColumnProfile, current: ColumnProfile) -> NullShift:
    old, new = (np.array([c.nulls, c.rows - c.nulls], dtype=np.float64) for c in (reference, current))
    p_value = homogeneity(old, new)
    return NullShift(current.name, reference.nulls / reference.rows, current.nulls / current.rows, p_value)


def _by_number(reference: ColumnProfile, current: ColumnProfile) -> tuple[Floats, Floats]:
    quantiles = [reference.quantile(share) for share in np.linspace(0, 1, NUMBER_BINS + 1)[1:-1]]
    inner = np.unique(np.array(quantiles, dtype=np.float64))
    return _counts_up_to(reference, inner), _counts_up_to(current, inner)


def _counts_up_to(column: ColumnProfile, inner: Floats) -> Floats:
    """Rows up to each edge and beyond the last; a bin across an edge is divided evenly."""
    low, high, counts = column.histogram()
    width = np.where(high > low, high - low, 1.0)
    parts = [np.where(high > low, np.clip((edge - low) / width, 0, 1), low <= edge) for edge in inner]
    below = [float((counts * part).sum()) for part in parts]
    return np.diff(np.array([0.0, *below, float(counts.sum())]))


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

"""How far apart two columns are, from their profiles alone: the measures of the field, in Evidently's conventions.

Where a profile holds every value (up to 65,536 of a column) the figures are those of Evidently 0.7.23. Where it holds
bins of numbers, a bin across an edge is divided evenly; where it holds hash buckets, values of one bucket are taken
for one, which can only lower what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np

from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.profiles.comparisons import counts_up_to
from headway.components._shared.profiles.histograms import Floats

Measure = Literal[
    "psi",
    "jensen_shannon",
    "kullback_leibler",
    "wasserstein",
    "kolmogorov_smirnov",
    "total_variation",
]
MEASURES: tuple[Measure, ...] = get_args(Measure)
OF_NUMBERS: frozenset[Measure] = frozenset({"wasserstein", "kolmogorov_smirnov"})

_FEW_VALUES = 20  # of a number in the reference: up to so many are compared one by one
_SMALL = 1e-4
_LEAST_DEVIATION = 1e-3


class Shares(NamedTuple):
    """Shares of both columns' values over the same bins.

    Attributes:
        reference: Shape (bins,), sums to 1.
        current: Shape (bins,), sums to 1.
        cut: The largest share of either column that lies in bins of its profile which an edge cuts: that much may lie
            on the wrong side; 0 where profiles hold every value.
    """

    reference: Floats
    current: Floats
    cut: float = 0.0


def is_spread(reference: ColumnProfile) -> bool:
    """Whether a column holds numbers with so many values that they go into bins; all else is counted by value."""
    return reference.numeric and (reference.distinct is None or reference.distinct > _FEW_VALUES)


def shares(reference: ColumnProfile, current: ColumnProfile) -> Shares:
    """Shares over common bins.

    Numbers with more than 20 values in the reference go into bins of equal width over both columns together, as many
    as Sturges (1926) takes for their rows; everything else is counted by value.
    """
    if is_spread(reference):
        return _of_numbers(reference, current)
    keys = sorted({*reference.counts["key"], *current.counts["key"]}, key=str)
    old, new = (dict(zip(c.counts["key"], c.counts["count"], strict=True)) for c in (reference, current))
    before, now = (np.array([by.get(key, 0) for key in keys]) / sum(by.values()) for by in (old, new))
    return Shares(before, now)


class Measured(NamedTuple):
    """How far apart two columns are.

    Attributes:
        by: Measure to its value.
        cut: As in `Shares`.
    """

    by: dict[Measure, float]
    cut: float


def measures(reference: ColumnProfile, current: ColumnProfile) -> Measured:
    """Every measure that the columns' type allows; both have values.

    `psi`: sum of (p - q) ln(p / q). `kullback_leibler`: of the reference from the current one, in nats.
    `jensen_shannon`: the distance (the root of the divergence, in nats). `total_variation`: half of the sum of
    |p - q|. `wasserstein`: the first distance, in standard deviations of the reference, which count at least 0.001.
    `kolmogorov_smirnov`: the largest distance of the distribution functions (Kolmogorov 1933, Smirnov 1939).
    Empty bins count as 0.0001, or as a millionth of the smallest share if that is less, in `psi` and
    `kullback_leibler`.
    """
    both = shares(reference, current)
    found = {name: over(both) for name, over in _OVER_BINS.items()}
    if reference.numeric:
        at, old, new = _functions(reference, current)
        found["wasserstein"] = _area(at, old - new) / max(reference.deviation or 0.0, _LEAST_DEVIATION)
        found["kolmogorov_smirnov"] = float(np.abs(old - new).max())
    return Measured(found, both.cut)


def _area(at: Floats, gaps: Floats) -> float:
    """First Wasserstein distance: the area between two distribution functions.

    Within a bin of a profile they rise evenly, so that the error is at most the mean width of the bins.
    """
    # Between two places both functions are straight, so the area under |gap| is that of one or two triangles.
    left, right, width = gaps[:-1, 1], gaps[1:, 0], np.diff(at)
    crossing = left * right < 0
    total = np.abs(left) + np.abs(right)
    safe = np.where(total > 0, total, 1.0)
    mean = np.where(crossing, (left**2 + right**2) / (2 * safe), total / 2)
    return float((mean * width).sum())


def _of_numbers(reference: ColumnProfile, current: ColumnProfile) -> Shares:
    edges = _sturges(reference, current)
    exact = reference.binning == current.binning == "values"
    if exact:
        return Shares(_exactly(reference, edges), _exactly(current, edges))
    old, new = (counts_up_to(column, edges[1:-1]) / column.values for column in (reference, current))
    return Shares(old, new, max(_cut(column, edges[1:-1]) for column in (reference, current)))


def _exactly(column: ColumnProfile, edges: Floats) -> Floats:
    values, _, counts = column.histogram()
    found: Floats = np.histogram(values, edges, weights=counts)[0] / column.values
    return found


def _sturges(reference: ColumnProfile, current: ColumnProfile) -> Floats:
    """Edges as NumPy's histogram draws them by the rule of Sturges over both columns together."""
    low, high = (float(end) for end in _range(reference, current))
    if high == low:
        low, high = low - 0.5, high + 0.5
        return np.array([low, high])
    width = (high - low) / (math.log2(reference.values + current.values) + 1)
    whole = reference.type == current.type == "integer" and not reference.nulls and not current.nulls
    if whole and width < 1:
        width = 1.0
    return np.linspace(low, high, math.ceil((high - low) / width) + 1)


def _range(reference: ColumnProfile, current: ColumnProfile) -> tuple[float, float]:
    lows = [c.minimum for c in (reference, current) if c.minimum is not None]
    highs = [c.maximum for c in (reference, current) if c.maximum is not None]
    return min(lows), max(highs)


def _cut(column: ColumnProfile, inner: Floats) -> float:
    """Share of a column's values in bins of its profile that an edge cuts."""
    low, high, counts = column.histogram()
    first = np.searchsorted(inner, low, side="right")
    last = np.searchsorted(inner, high, side="left")
    return float(counts[last > first].sum()) / column.values


def _functions(reference: ColumnProfile, current: ColumnProfile) -> tuple[Floats, Floats, Floats]:
    """Both distribution functions where either of them bends: places, and shape (places, 2) before and at each."""
    ends = [column.histogram() for column in (reference, current)]
    at = np.unique(np.concatenate([edge for low, high, _ in ends for edge in (low, high)]))
    old, new = (_function(at, *each) for each in ends)
    return at, old, new


def _function(at: Floats, low: Floats, high: Floats, counts: Floats) -> Floats:
    """The share below each place, and the share up to it: values of equal edges jump, bins rise evenly."""
    total = counts.sum()
    jumps = low == high
    upto = np.zeros((len(at), 2))
    reached = np.concatenate(([0.0], np.cumsum(counts[jumps])))
    upto[:, 0] = reached[np.searchsorted(low[jumps], at, side="left")]
    upto[:, 1] = reached[np.searchsorted(low[jumps], at, side="right")]
    if not jumps.all():
        knots = np.column_stack([low[~jumps], high[~jumps]]).ravel()
        risen = np.repeat(np.concatenate(([0.0], np.cumsum(counts[~jumps]))), 2)[1:-1]
        upto += np.interp(at, knots, risen)[:, None]
    shares: Floats = upto / total
    return shares


def _filled(parts: Floats) -> Floats:
    least = parts[parts > 0].min()
    return np.where(parts > 0, parts, least / 10**6 if least <= _SMALL else _SMALL)


def _psi(both: Shares) -> float:
    p, q = _filled(both.reference), _filled(both.current)
    return float(((p - q) * np.log(p / q)).sum())


def _kullback_leibler(both: Shares) -> float:
    p, q = _filled(both.reference), _filled(both.current)
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def _jensen_shannon(both: Shares) -> float:
    p, q = both.reference, both.current
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(side > 0, side * np.log(side / middle), 0.0).sum() for side in (p, q)]
    return math.sqrt(max(0.0, float(sum(parts)) / 2))


def _total_variation(both: Shares) -> float:
    return float(np.abs(both.reference - both.current).sum()) / 2


_OVER_BINS: Mapping[Measure, Callable[[Shares], float]] = {
    "psi": _psi,
    "jensen_shannon": _jensen_shannon,
    "kullback_leibler": _kullback_leibler,
    "total_variation": _total_variation,
}

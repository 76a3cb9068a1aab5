"""Tiny distributions for tables: a few bars a column, in the page's own colours."""

from __future__ import annotations

import math

import numpy as np

from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.reports import Cell, escaped

BARS = 20
WIDTH, HEIGHT = 100, 22


def sparkline(column: ColumnProfile) -> Cell | None:
    """The column's distribution: numbers from the first to the last percentile, categories by falling share."""
    if column.binning in ("withheld", "buckets") or not column.counts.height:
        return None
    if column.numeric and column.counts.height > 2:
        return _drawn(_number_shares(column), "distribution from the 1st to the 99th percentile")
    shares = (column.counts["count"].sort(descending=True) / column.values).to_list()[:BARS]
    room = [0.0] * (BARS - len(shares))
    return _drawn([*map(float, shares), *room], f"shares of the {len(shares)} commonest values")


def _number_shares(column: ColumnProfile) -> list[float]:
    first, last = column.quantile(0.01) or 0.0, column.quantile(0.99) or 0.0
    if not last > first:
        first, last = float(column.minimum or 0), float(column.maximum or 0)
    low, high, counts = column.histogram()
    middles = low / 2 + high / 2
    inside = (middles >= first) & (middles <= last)
    bars, span = BARS, (first, last)
    if column.type in ("integer", "date"):
        # Every bar holds equally many whole numbers, else some would stay empty or be twice as high.
        width = math.ceil((last - first + 1) / BARS)
        bars = math.ceil((last - first + 1) / width)
        span = (first - 0.5, first - 0.5 + bars * width)
    shares, _ = np.histogram(middles[inside], bins=bars, range=span, weights=counts[inside])
    return [float(share) for share in shares / max(counts.sum(), 1)]


def _drawn(shares: list[float], words: str) -> Cell:
    top = max(shares) or 1.0
    step = WIDTH / len(shares)
    bars = "".join(
        f'<rect x="{number * step:.1f}" y="{HEIGHT * (1 - share / top):.1f}" width="{step - 1:.1f}" '
        f'height="{HEIGHT * share / top:.1f}"/>'
        for number, share in enumerate(shares)
        if share > 0
    )
    return Cell(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'style="fill:var(--c1);display:block"><title>{escaped(words)}, highest bar {top:.1%}</title>{bars}</svg>'
    )

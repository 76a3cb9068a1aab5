"""Two distributions of one column in one figure."""

from __future__ import annotations

from headway.components._shared.profiles.columns import FEWEST, ColumnProfile
from headway.components._shared.profiles.comparisons import common_edges, counts_between
from headway.components._shared.reports import Block, charts, figure

BINS = 30
SHOWN_CATEGORIES = 12


def shapes(old: ColumnProfile, new: ColumnProfile, words: str) -> Block:
    """A histogram of numbers, bars of categories.

    Args:
        old: The reference.
        new: What is compared with it.
        words: What one sees in it, for those who do not see it.
    """
    if new.numeric:
        edges = common_edges(old, new, BINS)
        chart = charts.histogram(edges, counts_between(new, edges), counts_between(old, edges), new.name)
    else:
        chart = charts.grouped_bars(_shares(old, new), "share of rows")
    return figure(chart, f"{new.name}, now and in the reference", words)


def _shares(old: ColumnProfile, new: ColumnProfile) -> list[tuple[str, str, float]]:
    before, after = old.value_counts(), new.value_counts()
    common = [value for value in {**after, **before} if after.get(value, 0) + before.get(value, 0) >= FEWEST]
    common.sort(key=lambda value: -max(after.get(value, 0) / new.values, before.get(value, 0) / old.values))
    return [
        (str(value), name, counts.get(value, 0) / column.values)
        for value in common[:SHOWN_CATEGORIES]
        for name, counts, column in (("current", after, new), ("reference", before, old))
    ]

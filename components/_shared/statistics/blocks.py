"""Rows that may depend on each other, such as those of a day: intervals that take no notice of that are too narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from headway.components._shared.statistics.estimates import Integers
from headway.components._shared.statistics.intervals import interval
from headway.components._shared.statistics.metrics import Metric, Outcomes

# Fewer blocks tell too little about how blocks differ.
MIN_BLOCKS = 5
_PERIODS = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month"}


@dataclass(frozen=True)
class Blocks:
    """Rows that may depend on each other.

    Attributes:
        numbers: Shape (rows,): each row's block, from 0, in the order of the column's values.
        words: What a block is, such as `day of time_hour`.
        count: Number of blocks.
        ordered: Whether neighbouring blocks are neighbours in time.
    """

    numbers: Integers
    words: str
    count: int
    ordered: bool


def blocks_by(frame: pl.DataFrame, column: str, period: str | None) -> Blocks:
    """Rows with the same value of a column, or the same period of a column of times, depend on each other.

    Args:
        frame: The rows.
        column: Whose values.
        period: `1h`, `1d`, `1w` or `1mo`, UTC; None takes the values themselves.
    """
    values = frame[column]
    in_time = values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime)
    if period is not None and values.dtype == pl.String:
        values = values.str.to_datetime(strict=False, time_zone="UTC")
        in_time = values.null_count() < len(values)
    if period is not None and in_time:
        values = values.cast(pl.Datetime("us")).dt.truncate(period)
    numbers = values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    _, numbers = np.unique(numbers, return_inverse=True)
    words = f"{_PERIODS[period]} of {column}" if period is not None and in_time else f"value of {column}"
    return Blocks(numbers.astype(np.int64), words, int(numbers.max()) + 1, in_time)


def numbers_of(blocks: Blocks | None) -> Integers | None:
    """Block numbers, or None for independent rows."""
    return None if blocks is None else blocks.numbers


def widest(outcomes: Outcomes, candidates: Sequence[Blocks], metric: Metric, *, confidence: float) -> Blocks | None:
    """Of the ways in which rows may depend, the one with the widest interval of the metric; None for independence."""
    estimate = metric.estimate(outcomes)
    if estimate is None or not candidates:
        return None

    def width(blocks: Blocks) -> float:
        around = interval(estimate, blocks.numbers, confidence=confidence)
        return around.high - around.low

    return max(candidates, key=width)

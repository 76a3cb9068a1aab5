"""Cuts rows into slices and measures each: where a model is worse than overall, and how bad its worst slice can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.profiles.columns import FEWEST
from headway.components._shared.reports.formats import counted
from headway.components._shared.schemas import Schema
from headway.components._shared.statistics.blocks import MIN_BLOCKS, Blocks
from headway.components._shared.statistics.differences import Difference, difference, holm
from headway.components._shared.statistics.estimates import Estimate, Integers, restrict
from headway.components._shared.statistics.intervals import Interval, interval, smallest
from headway.components._shared.statistics.intervals import largest as largest_of
from headway.components._shared.statistics.metrics import Metric, Outcomes

MAX_VALUES = 20
QUARTERS = 4
MISSING = "(missing)"
RARE = "(rare)"
# A rank metric on fewer rows of its rarer class is noise, whatever the slice's size.
MIN_CLASS_SUPPORT = 10


@dataclass(frozen=True)
class Slice:
    """Rows that share a value.

    Attributes:
        name: `column=value`.
        column: Whose value.
        rows: Shape (all rows,): true for its rows.
    """

    name: str
    column: str
    rows: npt.NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Number of its rows."""
        return int(self.rows.sum())


@dataclass(frozen=True)
class SliceResult:
    """A metric in one slice.

    Attributes:
        name: `column=value`.
        size: Number of rows.
        single: With its own interval; None where the slice has too little support.
        joint: With the interval that holds together with those of all other slices.
        deviation: Of the slice from all rows, positive where it is better; None for metrics without direction.
        p_value: Two-sided, for no deviation, adjusted for the number of slices (Holm).
        why_not: What support it lacks.
    """

    name: str
    size: int
    single: Interval | None = None
    joint: Interval | None = None
    deviation: Difference | None = None
    p_value: float | None = None
    why_not: str | None = None


def slice_rows(frame: pl.DataFrame, columns: Sequence[str]) -> list[Slice]:
    """The slices of columns: one a value, or one a quarter of the rows for numbers and times with many values.

    Values that fewer than 10 rows hold share one slice.
    """
    return [piece for column in columns for piece in _pieces(frame[column])]


def known_slices(frame: pl.DataFrame, schema: Schema, columns: Sequence[str]) -> set[str]:
    """Names of all slices that could be: of values that occur, however rarely, or that the schema allows."""
    known = set()
    for name in columns:
        column = schema.column(name)
        allowed = () if column is None or column.domain is None else column.domain
        known |= {f"{name}={named(value)}" for value in [*frame[name].unique().to_list(), *allowed]}
    return known


def automatic_columns(frame: pl.DataFrame, schema: Schema, target: str) -> list[str]:
    """Text and boolean columns with 2 to 20 values that may be shown."""
    forbidden = {"id", "entity", "subject", "personal", "time", "label_time", "target"}
    known = [c.name for c in schema.columns if not forbidden.intersection(c.roles) and c.name != target]
    return [
        name
        for name in known
        if name in frame.columns
        and frame[name].dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
        and 2 <= frame[name].n_unique() <= MAX_VALUES
    ]


def measure_slices(
    slices: Sequence[Slice],
    metric: Metric,
    outcomes: Outcomes,
    blocks: Blocks | None,
    *,
    min_support: int,
    confidence: float,
) -> list[SliceResult]:
    """Measures a metric in every slice that has the support for it."""
    whole = metric.estimate(outcomes)
    found: dict[str, tuple[Slice, Estimate]] = {}
    lacking: dict[str, str] = {}
    for piece in slices:
        estimate = metric.estimate(outcomes.take(piece.rows)) if piece.size >= min_support else None
        why = lacks(piece, estimate, blocks, min_support)
        if why is None and estimate is not None:
            found[piece.name] = piece, estimate
        else:
            lacking[piece.name] = why or "undefined there"
    count = max(len(found), 1)
    deviations = {
        name: difference(
            restrict(estimate, piece.rows),
            whole,
            None if blocks is None else blocks.numbers,
            higher_is_better=metric.better == "higher",
            confidence=confidence,
            comparisons=count,
        )
        for name, (piece, estimate) in found.items()
        if whole is not None and metric.better is not None
    }
    adjusted = dict(zip(deviations, holm([d.p_value for d in deviations.values()]), strict=True))
    results = []
    for piece in slices:
        if piece.name in lacking:
            results.append(SliceResult(piece.name, piece.size, why_not=lacking[piece.name]))
            continue
        estimate = found[piece.name][1]
        part = None if blocks is None else blocks.numbers[piece.rows]
        results.append(
            SliceResult(
                piece.name,
                piece.size,
                interval(estimate, part, confidence=confidence),
                interval(estimate, part, confidence=confidence, comparisons=count),
                deviations.get(piece.name),
                adjusted.get(piece.name),
            )
        )
    return results


def worst_of(results: Sequence[SliceResult], metric: Metric) -> tuple[str, Interval] | None:
    """The slice that looks worst of those with support, and the interval of the true worst value; None without any."""
    measured = [(r.name, r.single, r.joint) for r in results if r.single is not None and r.joint is not None]
    if not measured:
        return None
    names, single, joint = (list(column) for column in zip(*measured, strict=True))
    worst = largest_of(single, joint) if metric.better == "lower" else smallest(single, joint)
    return names[[found.value for found in single].index(worst.value)], worst


def lacks(piece: Slice, estimate: Estimate | None, blocks: Blocks | None, min_support: int) -> str | None:
    """What a slice lacks to be measured, in words; None if it has enough."""
    if piece.size < min_support:
        return f"{counted(piece.size, 'row')}, fewer than {min_support:,}"
    if estimate is None or estimate.support < MIN_CLASS_SUPPORT:
        return f"fewer than {MIN_CLASS_SUPPORT} rows decide the metric there"
    if blocks is not None and (found := len(np.unique(blocks.numbers[piece.rows]))) < MIN_BLOCKS:
        return f"its rows lie in {counted(found, 'block')} ({blocks.words}), fewer than {MIN_BLOCKS}"
    return None


def _pieces(values: pl.Series) -> Iterator[Slice]:
    column = values.name
    if values.n_unique() > MAX_VALUES and (values.dtype.is_numeric() or values.dtype.is_temporal()):
        values = _quarters(values)
    counts = values.value_counts().sort(column, nulls_last=True)
    shown = counts.filter(pl.col("count") >= FEWEST)[column]
    for value in shown:
        rows = (values.is_null() if value is None else values == value).fill_null(False)
        yield Slice(f"{column}={named(value)}", column, rows.to_numpy())
    rare = counts.filter(pl.col("count") < FEWEST)[column]
    if len(rare):
        yield Slice(f"{column}={RARE}", column, values.is_in(rare.implode(), nulls_equal=True).to_numpy())


def named(value: object) -> str:
    """A value as slices are named by it."""
    return MISSING if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _quarters(values: pl.Series) -> pl.Series:
    """Quarters of the rows by ascending value, named by what separates them; the ends, one row each, stay unnamed."""
    present = values.drop_nulls()
    cuts = [present.quantile(k / QUARTERS, "nearest") for k in range(1, QUARTERS)]
    number: Integers = np.zeros(len(values), dtype=np.int64)
    for cut in cuts:
        number += (values >= cut).fill_null(False).to_numpy()
    low, middle, high = (_short(cut) for cut in cuts)
    spans = [f"below {low}", f"{low} to {middle}", f"{middle} to {high}", f"{high} or more"]
    names = pl.Series(values.name, [f"{k}. quarter, {span}" for k, span in enumerate(spans, start=1)])
    return names[number].to_frame().select(pl.when(values.is_not_null()).then(pl.col(values.name)))[values.name]


def _short(value: object) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    return f"{value:.4g}" if isinstance(value, float) else str(value)

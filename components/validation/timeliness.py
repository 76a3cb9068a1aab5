"""Looks at the rows' times: fresh enough, none from the future, none outside the window, no interval missing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.reports.formats import counted
from headway.components._shared.schemas import Schema
from headway.components._shared.times import format_time, parse_duration, parse_time
from headway.components.validation.config import Checks
from headway.components.validation.findings import Draft, many
from headway.components.validation.rules import Rule

MICROSECONDS = {"datetime": 1, "date": 86_400_000_000}
FEW_ROWS = 10.0  # an interval that usually has fewer rows says nothing when it is empty
CHANCE = 4.0  # standard deviations of a Poisson count that a shortfall must exceed


@dataclass(frozen=True)
class Interval:
    """Rows of one interval of time.

    Attributes:
        start: Its first moment.
        rows: Rows in it.
        usual: Median of the rows in the intervals of the same hour of day or day of week.
    """

    start: datetime
    rows: int
    usual: float


@dataclass(frozen=True)
class Timeline:
    """How rows are spread over time.

    Attributes:
        column: The time column.
        length: Of an interval.
        intervals: From the first row to the last.
    """

    column: str
    length: timedelta
    intervals: tuple[Interval, ...]


def time_column(schema: Schema, profile: Profile) -> ColumnProfile | None:
    """The one time column, if it is there and its times are kept."""
    names = [name for name in schema.names("time") if profile.column(name) is not None]
    known = profile.column(names[0]) if len(names) == 1 else None
    return known if known is not None and known.type in MICROSECONDS and known.minimum is not None else None


def span(column: ColumnProfile) -> tuple[datetime, datetime]:
    """First and last time."""
    factor = MICROSECONDS[column.type]
    ends = pl.Series([int(value) * factor for value in (column.minimum or 0, column.maximum or 0)])
    first, last = ends.cast(pl.Datetime("us", "UTC"))
    return first, last


def rules(schema: Schema, profile: Profile, checks: Checks, as_of: datetime) -> Iterator[Rule]:
    """Rows without a time, from the future, outside the window, or labelled before they happened."""
    for name in schema.names("time"):
        known = profile.column(name)
        if known is not None and known.nulls < known.rows:
            yield Rule(
                "time_nulls",
                name,
                pl.col(name).is_null(),
                lambda count, n=name: f"{many(count, 'row')} without a time in {n!r}.",  # type: ignore[misc]
                "Fill the time at its source, or filter these rows at ingestion.",
                known=known.nulls,
            )
    column = time_column(schema, profile)
    if column is None:
        return
    first, last = span(column)
    time = _utc(column)
    yield Rule(
        "future",
        column.name,
        time > as_of,
        lambda count: f"{many(count, 'row')} later than {format_time(as_of)}; the last is of {format_time(last)}.",
        "Correct the clock or the time zone at the source.",
        known=0 if last <= as_of else None,
    )
    yield from _window(column.name, time, checks, first, last)
    for name in schema.names("label_time"):
        other = profile.column(name)
        if other is not None and other.type in MICROSECONDS:
            yield Rule(
                "label_order",
                name,
                _utc(other) < time,
                lambda count, n=name: f"{many(count, 'value', n)} earlier than the row's own time.",  # type: ignore[misc]
                "Such a label may come from another event, or a clock is wrong: correct it at the source.",
            )


def drafts(column: ColumnProfile | None, timeline: Timeline | None, checks: Checks, as_of: datetime) -> Iterator[Draft]:
    """Freshness, gaps and completeness."""
    if column is not None and checks.freshness.max_age is not None:
        last = span(column)[1]
        if as_of - last > parse_duration(checks.freshness.max_age):
            yield Draft(
                "freshness",
                f"The newest row is of {format_time(last)}, more than {checks.freshness.max_age} before "
                f"{format_time(as_of)}.",
                "Find out why no rows arrive.",
                column=column.name,
            )
    if timeline is None:
        return
    inner = timeline.intervals[1:-1]  # the first and the last may be cut
    gaps = [i for i in inner if i.rows == 0 and i.usual >= FEW_ROWS]
    short = [i for i in inner if 0 < i.rows < checks.completeness.min_share * i.usual and _unlikely(i)]
    for check, found, what in (("gaps", gaps, "no rows at all"), ("completeness", short, "too few rows")):
        if found:
            named = ", ".join(f"{format_time(i.start)} ({i.rows:,} of {i.usual:,.0f})" for i in found[:3])
            yield Draft(
                check,
                f"{len(found):,} of {counted(len(timeline.intervals), 'interval')} of {words_for(timeline.length)} "
                f"{'has' if len(found) == 1 else 'have'} {what}: "
                f"{named}{' …' if len(found) > 3 else ''}.",
                "Load the missing rows, or find out why there are none.",
                column=timeline.column,
                count=int(sum(i.usual - i.rows for i in found)),
                share=len(found) / len(timeline.intervals),
            )


def timeline_of(scan: pl.LazyFrame, column: ColumnProfile | None, checks: Checks) -> Timeline | None:
    """Counts rows by interval; None without times, or where they span fewer than three intervals."""
    if column is None or {checks.severity("gaps"), checks.severity("completeness")} == {"off"}:
        return None
    first, last = span(column)
    chosen = checks.completeness.interval
    length = parse_duration(chosen) if chosen else _interval(last - first)
    every = f"{int(length.total_seconds())}s"
    counted = scan.select(_utc(column).dt.truncate(every).alias("start")).group_by("start").len().drop_nulls()
    rows = dict(counted.collect(engine="streaming").iter_rows())
    start, end = min(rows), max(rows)
    if (end - start) / length < 2 or (end - start) / length > 1_000_000:
        return None
    starts = [start + number * length for number in range(int((end - start) / length) + 1)]
    usual: dict[int, list[int]] = {}
    for moment in starts:
        usual.setdefault(_slot(moment, length), []).append(rows.get(moment, 0))
    medians = {slot: float(pl.Series(counts).median() or 0) for slot, counts in usual.items()}  # type: ignore[arg-type]
    intervals = tuple(Interval(moment, rows.get(moment, 0), medians[_slot(moment, length)]) for moment in starts)
    return Timeline(column.name, length, intervals)


def _window(name: str, time: pl.Expr, checks: Checks, first: datetime, last: datetime) -> Iterator[Rule]:
    window = checks.window
    if window.start is not None:
        start = parse_time(window.start)
        yield Rule(
            "window",
            name,
            time < start,
            lambda count: f"{many(count, 'late row')} before the window that begins at {format_time(start)}.",
            "Judge their own window again, or filter them at ingestion.",
            known=0 if first >= start else None,
        )
    if window.end is not None:
        end = parse_time(window.end)
        yield Rule(
            "window",
            name,
            time >= end,
            lambda count: f"{many(count, 'row')} after the window that ends at {format_time(end)}.",
            "Filter them at ingestion, or correct the window.",
            known=0 if last < end else None,
        )


def _utc(column: ColumnProfile) -> pl.Expr:
    """The column as UTC, whatever its unit and zone."""
    return pl.col(column.name).dt.timestamp("us").cast(pl.Datetime("us", "UTC"))


def _interval(length: timedelta) -> timedelta:
    """Days for two weeks or more, hours for half a day or more, else minutes."""
    if length >= timedelta(days=14):
        return timedelta(days=1)
    return timedelta(hours=1) if length >= timedelta(hours=12) else timedelta(minutes=1)


def _slot(moment: datetime, length: timedelta) -> int:
    """Intervals that are usually alike: one day of the week, one hour of the day."""
    if length == timedelta(days=1):
        return moment.weekday()
    return moment.hour if length <= timedelta(hours=1) else 0


def _unlikely(interval: Interval) -> bool:
    return interval.usual - interval.rows > CHANCE * math.sqrt(max(1.0, interval.usual))


def words_for(length: timedelta) -> str:
    """`a day`, `15 minutes`."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count = length.total_seconds() / seconds
        if count >= 1:
            return f"a {unit}" if count == 1 else f"{count:g} {unit}s"
    return str(length)

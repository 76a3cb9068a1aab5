"""Decides for each row which part it belongs to, from a few columns and never from the order of rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.hashing import Hashes, stable_hash, uniform
from headway.components._shared.reports.formats import counted
from headway.components._shared.times import format_time, parse_duration, parse_time
from headway.components.splitting.config import Split

MAX_LABELS = 20

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Keys:
    """What decides about rows, one entry a row.

    Attributes:
        ids: Hash of the id.
        contents: Hash of everything but the id.
        labelled: Whether there is a label; all true without a target.
        columns: The target, time and group columns that are named; times in UTC microseconds.
    """

    ids: Hashes
    contents: Hashes
    labelled: Rows
    columns: pl.DataFrame


@dataclass(frozen=True)
class Parts:
    """Where each row went; a row in neither part was set aside.

    Attributes:
        train: Training rows.
        test: Test rows.
        embargoed: Rows left out because they lie too close before the test rows.
        repeated: Labelled rows before the test part that equal a test row in all but the id.
        test_start: First moment of the test part for a split by time.
    """

    train: Rows
    test: Rows
    embargoed: Rows
    repeated: Rows
    test_start: datetime | None


def assign(keys: Keys, split: Split, seed: int) -> Parts:
    """Parts rows by the strategy.

    Raises:
        HeadwayError: `split.time_null`, `split.group_null`, `split.too_many_labels`, `split.duplicates`,
            `split.part_empty`.
    """
    nothing = np.zeros(len(keys.labelled), dtype=np.bool_)
    embargoed, start = nothing, None
    match split.strategy:
        case "time":
            test, embargoed, start = _by_time(keys, split)
        case "group":
            test = _by_group(keys, split, seed)
        case "stratified":
            test = _stratified(keys, split, seed)
        case _:
            test = uniform(stable_hash(pl.DataFrame({"id": keys.ids}), seed)) < split.test_share
    test, embargoed = test & keys.labelled, embargoed & keys.labelled
    train = keys.labelled & ~test & ~embargoed
    repeated = train & np.isin(keys.contents, keys.contents[test])
    if split.duplicates == "drop":
        train = train & ~repeated
    elif split.duplicates == "fail" and repeated.any():
        raise HeadwayError(
            "split.duplicates",
            f"The training part has {counted(int(repeated.sum()), 'row')} with the same content as a test row.",
            remedy="Remove duplicates before, or set split.duplicates to 'drop' or 'report'.",
        )
    for name, part in (("training", train), ("test", test)):
        if not part.any():
            raise HeadwayError(
                "split.part_empty",
                f"The {name} part has no rows: of {counted(int(keys.labelled.sum()), 'labelled row')}, "
                f"{int(embargoed.sum()):,} lie in the embargo.",
                value=split.model_dump(exclude_defaults=True),
                remedy="Move test_start, change test_share or the seed, or bring more rows or groups.",
            )
    return Parts(train, test, embargoed, repeated, start)


def _by_time(keys: Keys, split: Split) -> tuple[Rows, Rows, datetime]:
    times = keys.columns[str(split.time_column)].to_numpy()
    if split.test_start is not None:
        start = parse_time(split.test_start)
        first = np.int64(pl.Series([start]).cast(pl.Datetime("us", "UTC")).to_physical()[0])
    else:
        ordered = np.sort(times[keys.labelled])
        place = min(len(ordered) - 1, int(np.ceil(len(ordered) * (1 - split.test_share))))
        first = ordered[place] if len(ordered) else np.int64(0)
        start = pl.Series([int(first)]).cast(pl.Datetime("us", "UTC"))[0]
    closed = first - np.int64(parse_duration(split.embargo).total_seconds() * 1_000_000)
    return times >= first, (times < first) & (times >= closed), start


def _by_group(keys: Keys, split: Split, seed: int) -> Rows:
    groups = keys.columns.select(str(split.group_column))
    missing = groups.to_series().null_count()
    if missing:
        raise HeadwayError(
            "split.group_null",
            f"The group column {split.group_column!r} has no value in {counted(missing, 'row')}.",
            value=split.group_column,
            remedy="Filter these rows at ingestion, or give them a group.",
        )
    return uniform(stable_hash(groups, seed)) < split.test_share


def _stratified(keys: Keys, split: Split, seed: int) -> Rows:
    """Of each label the rows with the smallest hashes, at least one of two."""
    labels = keys.columns[str(split.target)]
    distinct = labels.n_unique() - int(labels.null_count() > 0)
    if distinct > MAX_LABELS:
        raise HeadwayError(
            "split.too_many_labels",
            f"Target {split.target!r} has {distinct:,} distinct values; stratified takes at most {MAX_LABELS}.",
            value=split.target,
            remedy="Use strategy 'random' or 'time' for a numeric target.",
        )
    hashes = stable_hash(pl.DataFrame({"id": keys.ids}), seed)
    ranked = pl.DataFrame({"label": labels, "hash": hashes, "content": keys.contents}).select(
        rank=pl.struct("hash", "content").rank("ordinal").over("label"), rows=pl.len().over("label")
    )
    rows = ranked["rows"].to_numpy()
    wanted = np.minimum(np.maximum(np.round(rows * split.test_share), 1), rows - 1.0)
    chosen: Rows = ranked["rank"].to_numpy() <= wanted
    return chosen


def time_text(microseconds: float | None) -> str | None:
    """A time in UTC microseconds as ISO 8601."""
    if microseconds is None:
        return None
    return format_time(pl.Series([int(microseconds)]).cast(pl.Datetime("us", "UTC"))[0])

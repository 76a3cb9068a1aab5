"""Proves on the finished parts what a split promises: nothing in two parts, nothing learned from the future."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from headway.components._shared.config import Config
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles.columns import FEWEST
from headway.components._shared.reports.formats import counted
from headway.components.splitting.config import Split
from headway.components.splitting.parts import MAX_LABELS, Keys, Parts, Rows, time_text


class Counts(Config):
    """Where the rows went; they add up to `given`.

    Attributes:
        given: All rows.
        train: Training rows.
        test: Test rows.
        without_label: Set aside because the target is missing.
        embargoed: Set aside because they lie too close before the test rows.
        dropped_duplicates: Taken out of training because they equal a test row.
    """

    given: int
    train: int
    test: int
    without_label: int
    embargoed: int
    dropped_duplicates: int


class Disjoint(Config):
    """Distinct values of a column in each part, and in both: 0, or the split failed.

    Attributes:
        column: The column; None for the whole row.
        train: Distinct values in training.
        test: Distinct values in the test part.
        in_both: Values that are in both.
    """

    column: str | None
    train: int
    test: int
    in_both: int


class Times(Config):
    """Time spans of the parts, first and last row inclusive; ISO 8601.

    Attributes:
        column: The time column.
        train_start: First training row.
        train_end: Last training row.
        test_start: First test row.
        test_end: Last test row.
        train_before_test: Whether the last training row is earlier than the first test row.
    """

    column: str
    train_start: str
    train_end: str
    test_start: str
    test_end: str
    train_before_test: bool


class Labels(Config):
    """Labels of one part.

    Attributes:
        distinct: Number of distinct labels.
        shares: Label to share where there are at most 20; those under 10 rows together as `(rare)`.
        mean: Mean of a numeric target.
    """

    distinct: int
    shares: dict[str, float] = {}
    mean: float | None = None


class Duplicates(Config):
    """Training rows that equal a test row in every column but the id.

    Attributes:
        training_rows: How many there are (before any were dropped).
        policy: What was done.
    """

    training_rows: int
    policy: Literal["report", "drop", "fail"]


class Proofs(Config):
    """What `split_data` proves about its parts.

    Attributes:
        split: The configuration.
        seed: The seed.
        rows: Where the rows went.
        ids: Ids in the parts.
        groups: Groups in the parts, for a split by group.
        times: Time spans, where a time column is named.
        labels: Part (`train`, `test`) to its labels, where a target is named.
        duplicates: Exact duplicates across the parts.
    """

    schema_version: Literal[1] = 1
    split: Split
    seed: int
    rows: Counts
    ids: Disjoint
    groups: Disjoint | None = None
    times: Times | None = None
    labels: dict[str, Labels] = {}
    duplicates: Duplicates


def prove(keys: Keys, parts: Parts, split: Split, seed: int, id_column: str | None) -> Proofs:
    """Measures the finished parts.

    Raises:
        HeadwayError: `split.overlap` when an id or group is in both parts, `split.from_the_future` when a training
            row of a split by time is not earlier than every test row, `split.one_class` when a part has one label.
    """
    columns = keys.columns
    ids = _disjoint(id_column, pl.Series(keys.ids), parts)
    groups = _disjoint(split.group_column, columns[split.group_column], parts) if split.group_column else None
    for what, overlap in (("id", ids), ("group", groups)):
        if overlap is not None and overlap.in_both:
            raise HeadwayError(
                "split.overlap",
                f"{counted(overlap.in_both, what)} would be in both parts.",
                value=overlap.column,
                remedy="Make the ids unique, or split by group with the id as the group.",
            )
    return Proofs(
        split=split,
        seed=seed,
        rows=Counts(
            given=len(keys.labelled),
            train=int(parts.train.sum()),
            test=int(parts.test.sum()),
            without_label=int((~keys.labelled).sum()),
            embargoed=int(parts.embargoed.sum()),
            dropped_duplicates=int(parts.repeated.sum()) if split.duplicates == "drop" else 0,
        ),
        ids=ids,
        groups=groups,
        times=_times(split, columns[split.time_column], parts) if split.time_column else None,
        labels=_labels(columns[split.target], parts) if split.target else {},
        duplicates=Duplicates(training_rows=int(parts.repeated.sum()), policy=split.duplicates),
    )


def _disjoint(column: str | None, values: pl.Series, parts: Parts) -> Disjoint:
    train, test = (values.filter(pl.Series(part)).unique() for part in (parts.train, parts.test))
    return Disjoint(column=column, train=len(train), test=len(test), in_both=int(train.is_in(test.implode()).sum()))


def _times(split: Split, times: pl.Series, parts: Parts) -> Times:
    train, test = (times.filter(pl.Series(part)) for part in (parts.train, parts.test))
    span = [int(value) for value in (train.min(), train.max(), test.min(), test.max())]  # type: ignore[arg-type]
    before = span[1] < span[2]
    if split.strategy == "time" and not before:
        raise HeadwayError(
            "split.from_the_future",
            f"The last training row ({time_text(span[1])}) is not earlier than the first test row "
            f"({time_text(span[2])}).",
            remedy="Please report this: a split by time must not let it happen.",
        )
    texts = [str(time_text(value)) for value in span]
    return Times(
        column=str(split.time_column),
        train_start=texts[0],
        train_end=texts[1],
        test_start=texts[2],
        test_end=texts[3],
        train_before_test=before,
    )


def _labels(target: pl.Series, parts: Parts) -> dict[str, Labels]:
    labels = {}
    for name, part in (("train", parts.train), ("test", parts.test)):
        labels[name] = _labels_of(target, part)
        if labels[name].distinct < 2:
            raise HeadwayError(
                "split.one_class",
                f"The {'training' if name == 'train' else name} part has one label only, in "
                f"{counted(int(part.sum()), 'row')}.",
                value=target.name,
                remedy="Take more rows or another test_start, or use strategy 'stratified'.",
            )
    return labels


def _labels_of(target: pl.Series, part: Rows) -> Labels:
    values = target.filter(pl.Series(part))
    distinct = values.n_unique()
    mean = float(np.asarray(values.cast(pl.Float64).mean())) if values.dtype.is_numeric() else None
    if distinct > MAX_LABELS:
        return Labels(distinct=distinct, mean=mean)
    shares: dict[str, float] = {}
    for label, count in values.value_counts().sort(target.name).iter_rows():
        name = str(label) if count >= FEWEST else "(rare)"
        shares[name] = shares.get(name, 0.0) + count / len(values)
    return Labels(distinct=distinct, shares=shares, mean=mean)

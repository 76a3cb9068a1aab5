"""The Profile: statistics of a dataset that merge exactly, so that shards in any order give the bytes of one pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic_core import from_json

from headway.components._shared.datasets import Dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.hashing import stable_hash
from headway.components._shared.profiles.columns import (
    BUCKETS,
    MAX_BINS,
    MAX_VALUES,
    WITHHELD,
    ColumnProfile,
    column_document,
    merge_columns,
    parse_column,
    profile_column,
    series_of,
)
from headway.components._shared.schemas import Column, Schema, require_columns, type_of

SAMPLE_ROWS = 5_000
BATCH_ROWS = 125_000
BINNING = f"values to {MAX_VALUES}, bins to {MAX_BINS}, {BUCKETS} buckets"

_HASH = "__hash"


@dataclass(frozen=True)
class Profile:
    """Statistics of a dataset.

    Attributes:
        rows: Number of rows.
        columns: One a column, in the order of the Schema.
        hashed_sample: At most 5,000 rows, those with the smallest hashes (column `__hash`), without withheld columns.
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    hashed_sample: pl.DataFrame

    @property
    def sample(self) -> pl.DataFrame:
        """The sampled rows; times in microseconds, dates in days since 1970."""
        return self.hashed_sample.drop(_HASH)

    def column(self, name: str) -> ColumnProfile | None:
        """The column of that name, if there is one."""
        return next((c for c in self.columns if c.name == name), None)

    def digest(self) -> str:
        """sha256 of the profile's file."""
        return hashlib.sha256(dump_profile(self)).hexdigest()


def profile_of(scan: pl.LazyFrame, schema: Schema) -> Profile:
    """Profiles rows in one streaming pass.

    Values of columns with the role `id`, `entity`, `subject` or `personal` are not kept, not even as counts.

    Args:
        scan: Rows with at least the columns of the schema; others are ignored.
        schema: Names, types and roles. An integer column may be declared a number.

    Raises:
        HeadwayError: `data.column_missing`, or `data.type_differs` where a column is not what the schema says.
    """
    wanted = _wanted(scan, schema)
    return _profile_batches(wanted, wanted.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False), schema)


def profile_dataset(dataset: Dataset, schema: Schema) -> Profile:
    """Profiles a Dataset as `profile_of` does, with less memory: stored rows are read when their turn comes."""
    wanted = _wanted(dataset.scan(), schema)
    starts = range(0, dataset.rows, BATCH_ROWS)
    slices = (wanted.slice(start, BATCH_ROWS).collect(engine="streaming") for start in starts)
    return _profile_batches(wanted, slices, schema)


def merge(profiles: Iterable[Profile]) -> Profile:
    """The profile of all rows of several profiles, equal to one pass over them, whatever their order.

    Raises:
        HeadwayError: `profile.columns_differ`, or `profile.none` without any profile.
    """
    parts = list(profiles)
    if not parts:
        raise HeadwayError("profile.none", "There is no profile to merge.", remedy="Give at least one profile.")
    return reduce(_merge_two, parts)


def read_profile(path: str | Path) -> Profile:
    """Reads a Profile artifact (one JSON file).

    Raises:
        HeadwayError: `profile.unreadable`.
    """
    try:
        document: dict[str, Any] = from_json(Path(path).read_bytes())
        if document["kind"] != "profile" or document["schema_version"] != 1:
            raise ValueError("another kind of document")
        columns = tuple(parse_column(column) for column in document["columns"])
        return Profile(document["rows"], columns, _parse_sample(document["sample"], columns))
    except (OSError, ValueError, KeyError, TypeError, IndexError, pl.exceptions.PolarsError) as error:
        raise HeadwayError(
            "profile.unreadable",
            f"This is not a profile of ours ({type(error).__name__}).",
            value=str(path),
            remedy="Give the profile of validate_data, or the profile.json of a model.",
        ) from None


def write_profile(profile: Profile, path: str | Path) -> None:
    """Writes a Profile artifact (one JSON file)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(dump_profile(profile))


def dump_profile(profile: Profile) -> bytes:
    """The bytes of a profile's file: the same for the same rows in any order."""
    document = {
        "schema_version": 1,
        "kind": "profile",
        "binning": BINNING,
        "rows": profile.rows,
        "columns": [column_document(column) for column in profile.columns],
        "sample": {
            "hashes": profile.hashed_sample[_HASH].to_list(),
            "columns": {column.name: _encoded(column) for column in profile.sample},
        },
    }
    return (json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _wanted(scan: pl.LazyFrame, schema: Schema) -> pl.LazyFrame:
    names = [column.name for column in schema.columns]
    require_columns(scan.collect_schema().names(), names, what="The data")
    return scan.select(names)


def _profile_batches(wanted: pl.LazyFrame, batches: Iterable[pl.DataFrame], schema: Schema) -> Profile:
    have = wanted.collect_schema()
    # Typed batch by batch: inside the scan this would make the engine read far ahead.
    exprs = [_typed(column, have[column.name]) for column in schema.columns]
    profile = _profile_batch(wanted.head(0).collect().select(exprs), schema, None)
    for batch in batches:
        profile = _merge_two(profile, _profile_batch(batch.select(exprs), schema, profile))
    return profile


def _typed(column: Column, dtype: pl.DataType) -> pl.Expr:
    """Int64 (wider only for unsigned data), Float64, String or Boolean; dates in days, times in UTC microseconds."""
    have = type_of(dtype)
    if have != column.type and (have, column.type) != ("integer", "number"):
        raise HeadwayError(
            "data.type_differs",
            f"Column {column.name!r} is declared {column.type} but holds {have}.",
            value=str(dtype),
            remedy="Correct the schema, or cast the column at ingestion.",
        )
    expr = pl.col(column.name)
    match column.type:
        case "number":
            number = expr.cast(pl.Float64)
            return pl.when(number == 0).then(0.0).otherwise(number).alias(column.name)  # minus zero becomes zero
        case "integer":
            return expr.cast(pl.Int128 if dtype in (pl.UInt64, pl.UInt128, pl.Int128) else pl.Int64)
        case "string":
            return expr.cast(pl.String)
        case "date":
            return expr.cast(pl.Int32).cast(pl.Int64)
        case "datetime":
            return expr.dt.cast_time_unit("us").cast(pl.Int64)
        case _:
            return expr


def _profile_batch(batch: pl.DataFrame, schema: Schema, before: Profile | None) -> Profile:
    columns = tuple(
        profile_column(batch[column.name], column, before.columns[position] if before else None)
        for position, column in enumerate(schema.columns)
    )
    return Profile(batch.height, columns, _sample(batch, schema, before))


def _sample(batch: pl.DataFrame, schema: Schema, before: Profile | None) -> pl.DataFrame:
    """The rows of a batch that may be among the smallest hashes, by the id where it may be kept, else by the row."""
    shown = batch.select(c.name for c in schema.columns if not WITHHELD.intersection(c.roles))
    ids = [c.name for c in schema.columns if "id" in c.roles and "personal" not in c.roles]
    hashes = stable_hash(batch.select(ids) if ids else shown)
    limit = hashes.max(initial=0)
    if before is not None and before.hashed_sample.height == SAMPLE_ROWS:
        limit = before.hashed_sample[_HASH][-1]
    elif batch.height > SAMPLE_ROWS:
        limit = np.partition(hashes, SAMPLE_ROWS - 1)[SAMPLE_ROWS - 1]
    rows = np.flatnonzero(hashes <= limit)
    return _smallest(shown[rows].with_columns(pl.Series(_HASH, hashes[rows], dtype=pl.UInt64)))


def _smallest(rows: pl.DataFrame) -> pl.DataFrame:
    """The sample out of its candidates; rows of one hash are told apart by their values."""
    return rows.sort([_HASH, *(name for name in rows.columns if name != _HASH)]).head(SAMPLE_ROWS)


def _merge_two(a: Profile, b: Profile) -> Profile:
    different = [
        f"{_what(left)} / {_what(right)}"
        for left, right in zip_longest(a.columns, b.columns)
        if _what(left) != _what(right)
    ]
    if different:
        raise HeadwayError(
            "profile.columns_differ",
            "Profiles of different columns cannot be merged.",
            value=different[:5],
            remedy="Profile all parts with the same schema.",
        )
    columns = tuple(merge_columns(left, right) for left, right in zip(a.columns, b.columns, strict=True))
    sample = _smallest(pl.concat([a.hashed_sample, b.hashed_sample], how="vertical_relaxed"))
    return Profile(a.rows + b.rows, columns, sample)


def _what(column: ColumnProfile | None) -> str:
    if column is None:
        return "no column"
    return f"{column.name} ({column.type}{', withheld' if column.binning == 'withheld' else ''})"


def _encoded(column: pl.Series) -> list[object]:
    """JSON values; NaN and the infinities become text."""
    values = column.to_list()
    if column.dtype == pl.Float64 and not column.is_finite().all():
        return [str(v) if isinstance(v, float) and not np.isfinite(v) else v for v in values]
    return values


def _parse_sample(document: dict[str, Any], columns: tuple[ColumnProfile, ...]) -> pl.DataFrame:
    types = {"string": pl.String, "boolean": pl.Boolean}
    parsed = []
    for column in columns:
        if column.name not in document["columns"]:
            continue
        values = document["columns"][column.name]
        if column.type == "number":
            series = pl.Series(column.name, [None if v is None else float(v) for v in values], dtype=pl.Float64)
        elif column.type in types:
            series = pl.Series(column.name, values, dtype=types[column.type])
        else:
            series = series_of(values).cast(pl.Int64, strict=False) if not values else series_of(values)
            series = (series if series.dtype == pl.Int128 else series.cast(pl.Int64)).alias(column.name)
        parsed.append(series)
    return pl.DataFrame([*parsed, pl.Series(_HASH, document["hashes"], dtype=pl.UInt64)])

"""Chooses rows and columns of one piece of a raw table: filter, window, ids, sample."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.times import parse_time
from headway.components.ingestion.config import Source
from headway.components.ingestion.ids import made_ids, sampled

_ROW, _TIME = "__row", "__time"


@dataclass
class Counts:
    """What became of the rows that were read; the four reasons are exclusive.

    Attributes:
        read: All rows of all files.
        filtered: Left out by the row filter.
        without_time: Left out of a window because they have no time.
        outside_window: Left out because their time is outside.
        unsampled: Left out by the sample.
        repeated: Kept, though equal to an earlier row in every raw column.
    """

    read: int = 0
    filtered: int = 0
    without_time: int = 0
    outside_window: int = 0
    unsampled: int = 0
    repeated: int = 0


@dataclass
class Chooser:
    """Applies a source's choices to piece after piece and counts what they leave out.

    Args:
        source: The choices.
        seed: Of the sample.
        raw: Names of all raw columns, in order.
    """

    source: Source
    seed: int
    raw: Sequence[str]
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        source = self.source
        self._require_raw(source.id_columns, "id_columns")
        self._require_raw(source.types, "types")
        # Where a name stands in an expression only as part of a longer word, a column is read in vain, no harm.
        text = " ".join((*source.columns, source.row_filter or "", source.time_column or "", source.id_column or ""))
        typed = [name for name in self.raw if not source.columns or name.lower() in text.lower()]
        self.typed = typed or list(self.raw[:1])
        self.hashed = [] if source.id_column else list(source.id_columns or self.raw)

    @property
    def needed(self) -> list[str]:
        """The raw columns that must be read."""
        return [name for name in self.raw if name in self.typed or name in self.hashed]

    def choose(self, typed: pl.DataFrame, untyped: pl.DataFrame, place: Callable[[int], str]) -> pl.DataFrame:
        """The rows and columns that are wanted of one piece.

        Args:
            typed: The columns `typed`, with their types.
            untyped: The columns `hashed`, as they stand in the file; the same rows.
            place: Where a row of the piece stands, for an error.
        """
        self.counts.read += len(typed)
        rows = self._select(typed, place)
        self.counts.filtered += len(typed) - len(rows)
        rows = self._inside_window(rows)
        if self.source.id_column:
            ids = rows[self.source.id_column].cast(pl.String)
        else:
            ids = made_ids(untyped[rows[_ROW]])
            rows = rows.insert_column(0, ids)
        if self.source.sample < 1:
            kept = rows.filter(sampled(ids, self.source.sample, self.seed))
            self.counts.unsampled += len(rows) - len(kept)
            rows = kept
        return rows.drop(_ROW, _TIME, strict=False).cast({pl.Null: pl.String})

    def _select(self, typed: pl.DataFrame, place: Callable[[int], str]) -> pl.DataFrame:
        columns = [*(self.source.columns or map(_quoted, self.raw)), f"{_quoted(_ROW)}"]
        frame = typed.with_row_index(_ROW)
        names = [name for name in (self.source.id_column, self.source.time_column) if name]
        try:
            selected = self._query(frame, columns)
            missing = [name for name in names if name not in selected.columns and name in self.raw]
            if missing:
                extra = [_quoted(n) if n == self.source.id_column else f"{_quoted(n)} AS {_TIME}" for n in missing]
                selected = self._query(frame, [*columns, *extra])
        except pl.exceptions.PolarsError as error:
            row = self._first_failing(frame, columns)
            raise self._bad_expression(error, "" if row is None else f" in {place(row)}") from None
        for name in names:
            if name not in selected.columns and name not in self.raw:
                have = [*selected.drop(_ROW).columns, *self.raw]
                raise _column_missing(name, "source.id_column or source.time_column", have)
        if "id" in selected.columns and self.source.id_column != "id":
            raise HeadwayError(
                "data.id_taken",
                "The data has a column 'id' of its own, where the made id goes.",
                value="id",
                remedy="Set source.id_column to 'id' if it identifies a row, else select it as `id AS other`.",
            )
        return selected

    def _query(self, frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        condition = f" WHERE ({self.source.row_filter})" if self.source.row_filter else ""
        return frame.sql(f"SELECT {', '.join(columns)} FROM self{condition}")

    def _first_failing(self, frame: pl.DataFrame, columns: Sequence[str]) -> int | None:
        """The row that an expression fails on; None where it fails without any row."""

        def fails(rows: int) -> bool:
            try:
                self._query(frame.head(rows), columns)
            except pl.exceptions.PolarsError:
                return True
            return False

        return None if fails(0) else bisect.bisect_left(range(len(frame)), True, key=lambda row: fails(row + 1))

    def _inside_window(self, rows: pl.DataFrame) -> pl.DataFrame:
        source = self.source
        if not source.time_column:
            return rows
        name = source.time_column if source.time_column in rows.columns else _TIME
        kind = rows.schema[name]
        if not isinstance(kind, pl.Datetime | pl.Date | pl.Null):
            raise HeadwayError(
                "data.not_a_time",
                f"Column {source.time_column!r} holds {kind}, not times.",
                value=source.time_column,
                remedy="Parse it in source.columns, such as STRPTIME(day, '%d.%m.%Y') AS day, and name that.",
            )
        if not (source.start or source.end):
            return rows
        time = pl.col(name).cast(pl.Datetime("us", "UTC"))
        inside = pl.lit(True)
        if source.start:
            inside = inside & (time >= parse_time(source.start))
        if source.end:
            inside = inside & (time < parse_time(source.end))
        self.counts.without_time += rows[name].null_count()
        kept = rows.filter(inside)
        self.counts.outside_window += len(rows) - rows[name].null_count() - len(kept)
        return kept

    def _require_raw(self, names: Iterable[str], field_name: str) -> None:
        for name in names:
            if name not in self.raw:
                raise _column_missing(name, f"source.{field_name}", self.raw)

    def _bad_expression(self, error: pl.exceptions.PolarsError, where: str) -> HeadwayError:
        # What follows a bracket may be values of the data.
        reason = str(error).partition("\n")[0].partition("[")[0].rstrip(" :")
        return HeadwayError(
            "source.bad_expression",
            f"source.columns or source.row_filter does not fit the data{where}: {reason}.",
            value=[*self.source.columns, *([self.source.row_filter] if self.source.row_filter else [])],
            remedy=f"The raw columns are {', '.join(self.raw[:40])}.",
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _column_missing(name: str, where: str, have: Sequence[str]) -> HeadwayError:
    known = list(dict.fromkeys(have))
    return HeadwayError(
        "data.column_missing",
        f"The data has no column {name!r} ({where}).",
        value=name,
        remedy=f"Name one of {', '.join(known[:40])}.",
    )

"""The parameter `source` of `ingest_data`: where raw rows lie, and which rows and columns become the Dataset."""

from __future__ import annotations

import re
from typing import Literal

import polars as pl
from pydantic import Field, field_validator, model_validator

from headway.components._shared.config import Config, readable
from headway.components._shared.errors import HeadwayError, raise_together
from headway.components._shared.schemas import Type
from headway.components._shared.times import parse_time


class Source(Config):
    """What to ingest.

    Attributes:
        uris: Files, folders (everything below with a known ending) and globs (`*`, `**`, `?`): local paths, `gs://`, `s3://`.
        format: `auto` goes by the ending: `.csv` and `.tsv` (also with `.gz` or in a `.zip`), `.parquet`, `.jsonl` or
            `.ndjson` (also with `.gz`).
        delimiter: One character between the fields of a CSV file; a `.tsv` has tabs anyway.
        null_values: Texts in CSV that mean a missing value, quoted or not.
        types: Raw column to `integer`, `number`, `string`, `boolean`, `date` or `datetime`, where inference errs.
        columns: SQL expressions over the raw columns, each on one row at a time, such as `arr_delay > 15 AS late`;
            empty takes every raw column.
        row_filter: SQL condition over the raw columns; rows where it is false or null are left out.
        time_column: Output or raw column that the window goes by.
        start: First time of the window, ISO 8601; a time without a zone is UTC.
        end: First time after the window.
        id_column: Output column that identifies a row, where the data has one.
        id_columns: Raw columns that together identify a row; `id` becomes a hash of them. With neither, `id` is a hash
            of the whole raw row, and exact duplicates keep ids of their own.
        sample: Share of the rows to keep, by hash of the id and the seed: the same rows every time.
        data_uri: Place (folder, `gs://`, `s3://`) for the shards of a large dataset; the artifact then is only its
            manifest.
    """

    uris: tuple[str, ...] = Field(min_length=1)
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    null_values: tuple[str, ...] = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")
    types: dict[str, Type] = {}
    columns: tuple[str, ...] = ()
    row_filter: str | None = None
    time_column: str | None = None
    start: str | None = None
    end: str | None = None
    id_column: str | None = None
    id_columns: tuple[str, ...] = ()
    sample: float = Field(default=1.0, gt=0, le=1)
    data_uri: str | None = None

    @field_validator("start", "end")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return readable(parse_time, value)

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        if (self.start or self.end) and not self.time_column:
            raise ValueError("start and end need time_column")
        start, end = (parse_time(text) if text else None for text in (self.start, self.end))
        if start and end and start >= end:
            raise ValueError("start must be before end")
        if self.id_column and self.id_columns:
            raise ValueError("give id_column or id_columns, not both")
        return self

    @model_validator(mode="after")
    def _expressions_are_rowwise(self) -> Source:
        faults, names = [], []
        for expression in (*self.columns, *([self.row_filter] if self.row_filter else [])):
            try:
                names.append(output_name(expression))
            except HeadwayError as error:
                faults.append(error)
        raise_together("source.bad_expression", faults)
        made = names[: len(self.columns)]
        if twice := sorted({name for name in made if made.count(name) > 1}):
            raise HeadwayError(
                "source.bad_expression",
                f"source.columns makes duplicate columns: {', '.join(map(repr, twice))}.",
                value=list(self.columns),
                remedy="Give each expression a name of its own with AS.",
            )
        return self

    def made_columns(self) -> list[str] | None:
        """Names of the Dataset's columns; None where every raw column is taken, which only the files know."""
        if not self.columns:
            return None
        return list(dict.fromkeys([self.id_column or "id", *map(output_name, self.columns)]))


def output_name(expression: str) -> str:
    """The name of an expression's column. It sees one piece of the data at a time, so a sum over rows is refused.

    Raises:
        HeadwayError: `source.bad_expression`, `source.not_rowwise`.
    """
    # polars reads IN lists only beside a frame; for this question they are like any other test of a column.
    alone = re.sub(r"(?i)\bIN\s*\([^()]*\)", "IS NULL", expression)
    try:
        parsed = pl.sql_expr(alone)
    except pl.exceptions.PolarsError as error:
        raise HeadwayError(
            "source.bad_expression",
            f"This is not an SQL expression: {str(error).partition(chr(10))[0]}.",
            value=expression,
            remedy="Write a column's name, or an expression with a name such as arr_delay > 15 AS late.",
        ) from None
    if not _is_rowwise(parsed):
        raise HeadwayError(
            "source.not_rowwise",
            "The expression needs more than one row.",
            value=expression,
            remedy="Use what stands in the row itself; sums, ranks and the like belong in a feature step.",
        )
    return parsed.meta.output_name()


def _is_rowwise(expression: pl.Expr) -> bool:
    plain = expression.meta.undo_aliases()
    return plain.meta.is_row_separable() and all(_is_rowwise(part) for part in plain.meta.pop())

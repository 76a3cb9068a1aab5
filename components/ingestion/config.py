"""The parameter `source` of `ingest_data`: where raw rows lie, and which rows and columns become the Dataset."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headway.components._shared.config import Config
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

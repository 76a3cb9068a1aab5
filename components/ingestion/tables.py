"""Raw files as streams of Arrow tables, whatever their format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from headway.components.ingestion.config import Source
from headway.components.ingestion.csv_table import CsvTable
from headway.components.ingestion.json_lines_table import JsonLinesTable
from headway.components.ingestion.parquet_table import ParquetTable


class RawTable(Protocol):
    """A raw file as a stream of tables."""

    @property
    def uri(self) -> str:
        """Where it came from."""

    def columns(self) -> list[str]:
        """Names of all its columns, in order."""

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Its rows in order, some columns of them; text that has no type yet comes as strings."""

    def infer(self, column: pa.ChunkedArray) -> pa.DataType:
        """The type of a column, from its first piece."""

    def place(self, row: int) -> str:
        """Where a row stands, for people: `line 12`."""


def open_table(path: Path, file_format: str, source: Source, uri: str) -> RawTable:
    """A raw file's reader.

    Args:
        path: Where it lies here.
        file_format: `csv`, `parquet` or `jsonl`.
        source: Delimiter and missing values.
        uri: Where it came from, for its ending and for errors.
    """
    if file_format == "parquet":
        return ParquetTable(path, uri)
    if file_format == "jsonl":
        return JsonLinesTable(path, uri)
    tabs = ".tsv" in Path(uri).name.lower()
    return CsvTable(path, uri, "\t" if tabs else source.delimiter, source.null_values)

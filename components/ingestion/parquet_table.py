"""Reads Parquet in pieces, with times in UTC and dictionaries as their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headway.components.ingestion import column_types, raw_files
from headway.components.ingestion.raw_files import require_distinct, unreadable


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file. Times come in UTC and in microseconds, dictionaries as their values."""

    path: Path
    uri: str

    def columns(self) -> list[str]:
        with self._open() as file:
            names = list(file.schema_arrow.names)
        require_distinct(names, self.uri)
        return names

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        with self._open() as file:
            cells = raw_files.CHUNK_BLOCKS * raw_files.BLOCK_BYTES // 8
            rows = max(1024, cells // max(1, len(file.schema_arrow.names)))
            batches = file.iter_batches(batch_size=rows, columns=list(columns))
            try:
                for batch in batches:
                    for name in columns:
                        batch.column(name).validate(full=True)  # texts that are not UTF-8 break what comes after
                    yield _plain(pa.Table.from_batches([batch]).select(list(columns)))
            except (OSError, pa.ArrowException) as error:
                raise unreadable(self.uri, f"It is damaged: {_first_line(error)}.") from None

    def infer(self, column: pa.ChunkedArray) -> pa.DataType:
        return column.type

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.uri, f"It is truncated or not Parquet: {_first_line(error)}.") from None
        with file:
            yield file


def _plain(table: pa.Table) -> pa.Table:
    for position, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            kind = pa.string()
        elif pa.types.is_timestamp(kind):
            kind = column_types.INSTANT
        if kind != field.type:
            column = table.column(position).cast(kind, safe=not pa.types.is_timestamp(kind))
            table = table.set_column(position, field.name, column)
    return table


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")

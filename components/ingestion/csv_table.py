"""Reads CSV as strings, strictly: every row has the header's width, and what is wrong is named with its line."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv

from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted
from headway.components.ingestion import column_types, raw_files
from headway.components.ingestion.raw_files import not_utf8, require_distinct, unpacked, unreadable


@dataclass(frozen=True)
class CsvTable:
    """A CSV file, plain, gzipped, or alone in a zip. Every value comes as a string or null."""

    path: Path
    uri: str
    delimiter: str
    null_values: tuple[str, ...]

    def columns(self) -> list[str]:
        with _text(self.path, self.uri) as stream:
            header = next((row for row in csv.reader(stream, delimiter=self.delimiter) if row), None)
        if header is None:
            raise unreadable(self.uri, "It is empty: not even a header.")
        names = [name or f"column_{n}" for n, name in enumerate(header, start=1)]
        require_distinct(names, self.uri)
        return names

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        names = self.columns()
        with unpacked(self.path, self.uri) as stream:
            counted = _QuotesCounted(stream)
            try:
                blocks = pyarrow.csv.open_csv(
                    counted,
                    read_options=pyarrow.csv.ReadOptions(
                        block_size=raw_files.BLOCK_BYTES, column_names=names, skip_rows_after_names=1
                    ),
                    parse_options=pyarrow.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                    convert_options=pyarrow.csv.ConvertOptions(
                        include_columns=list(columns),
                        column_types=dict.fromkeys(names, pa.string()),
                        null_values=self.null_values,
                        strings_can_be_null=True,
                    ),
                )
                while batches := list(itertools.islice(blocks, raw_files.CHUNK_BLOCKS)):
                    yield pa.Table.from_batches(batches)
            except pa.ArrowInvalid:
                raise self._broken(len(names)) from None
            if counted.quotes % 2:
                self._require_closed_quotes()

    def infer(self, column: pa.ChunkedArray) -> pa.DataType:
        return column_types.infer(column)

    def place(self, row: int) -> str:
        with _text(self.path, self.uri) as stream:
            line, _ = next(itertools.islice(self._records(stream), row + 1, None))
        return f"line {line}"

    def _records(self, stream: IO[str]) -> Iterator[tuple[int, int]]:
        """First line and width of every record, the header too; empty lines are none."""
        reader, line = csv.reader(stream, delimiter=self.delimiter), 1
        for row in reader:
            if row:
                yield line, len(row)
            line = reader.line_num + 1

    def _broken(self, width: int) -> HeadwayError:
        """Reads the file again, slowly, to say which line is at fault; never shows what stands there."""
        try:
            with _text(self.path, self.uri) as stream:
                for line, found in self._records(stream):
                    if found != width:
                        self._require_undamaged()
                        return HeadwayError(
                            "data.broken_row",
                            f"Line {line} of {self.uri} has {counted(found, 'field')} where the header has {width}.",
                            value=f"{self.uri}:{line}",
                            remedy="Repair or remove it; fields with a delimiter or a line break inside need quotes.",
                        )
        except HeadwayError as found_instead:
            return found_instead
        return unreadable(
            self.uri,
            f"A record is longer than {raw_files.BLOCK_BYTES:,} bytes; is a quote never closed?",
            "Close the quote, or leave such long values out of the file.",
        )

    def _require_undamaged(self) -> None:
        """A packed file tells only at its end that what came out of it was wrong."""
        if self.uri.lower().endswith((".gz", ".zip")):
            with unpacked(self.path, self.uri) as stream:
                while stream.read(raw_files.BLOCK_BYTES):
                    pass

    def _require_closed_quotes(self) -> None:
        """A quote left open swallows all rows after it into one value, which Arrow takes for a good one."""
        with _text(self.path, self.uri) as stream:
            start = max(line for line, _ in self._records(stream))
        with _text(self.path, self.uri) as stream:
            try:
                list(csv.reader(itertools.islice(stream, start - 1, None), delimiter=self.delimiter, strict=True))
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise HeadwayError(
                        "data.broken_row",
                        f"A quote that opens in line {start} of {self.uri} is never closed.",
                        value=f"{self.uri}:{start}",
                        remedy="Close it, or write a quote that belongs to a value twice.",
                    ) from None


class _QuotesCounted(io.BufferedIOBase):
    """A stream that counts the quotes which pass through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self.quotes += data.count(b'"')
        return data


@contextmanager
def _text(path: Path, uri: str) -> Iterator[IO[str]]:
    csv.field_size_limit(2**31 - 1)
    with unpacked(path, uri) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            yield text
        except UnicodeDecodeError:
            raise not_utf8(path, uri) from None
        except csv.Error as error:
            raise unreadable(uri, f"It is not CSV: {error}.") from None

"""Reads raw files as streams of Arrow tables, and finds the line of a row that is at fault."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from headway.components._shared.errors import HeadwayError
from headway.components.ingestion import column_types
from headway.components.ingestion.config import Source

BLOCK_BYTES = 2 * 2**20
# Rows come in pieces of this much text (or about as much Parquet), cut at the same rows every time.
CHUNK_BLOCKS = 4
CHUNK_BYTES = CHUNK_BLOCKS * BLOCK_BYTES


class RawTable(Protocol):
    """A raw file as a stream of tables."""

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
            raise _unreadable(self.uri, "It is empty: not even a header.")
        names = [name or f"column_{n}" for n, name in enumerate(header, start=1)]
        _require_distinct(names, self.uri)
        return names

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        names = self.columns()
        with _bytes(self.path, self.uri) as stream:
            counted = _QuotesCounted(stream)
            try:
                blocks = pyarrow.csv.open_csv(
                    counted,
                    read_options=pyarrow.csv.ReadOptions(
                        block_size=BLOCK_BYTES, column_names=names, skip_rows_after_names=1
                    ),
                    parse_options=pyarrow.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                    convert_options=pyarrow.csv.ConvertOptions(
                        include_columns=list(columns),
                        column_types=dict.fromkeys(names, pa.string()),
                        null_values=self.null_values,
                        strings_can_be_null=True,
                    ),
                )
                while batches := list(itertools.islice(blocks, CHUNK_BLOCKS)):
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
                            f"Line {line} of {self.uri} has {found} fields where the header has {width}.",
                            value=f"{self.uri}:{line}",
                            remedy="Repair or remove it; a field with a delimiter or a line break inside needs quotes.",
                        )
        except HeadwayError as found_instead:
            return found_instead
        return _unreadable(self.uri, f"A record is longer than {BLOCK_BYTES:,} bytes, or a quote is never closed.")

    def _require_undamaged(self) -> None:
        """A packed file tells only at its end that what came out of it was wrong."""
        if self.uri.lower().endswith((".gz", ".zip")):
            with _bytes(self.path, self.uri) as stream:
                while stream.read(BLOCK_BYTES):
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


@dataclass(frozen=True)
class JsonLinesTable:
    """A file of one JSON object a line, plain or gzipped. Keys may be absent: the value then is missing."""

    path: Path
    uri: str

    def columns(self) -> list[str]:
        with _bytes(self.path, self.uri) as stream:
            first = next(_line_blocks(stream, self.uri), b"")
        if not first.strip():
            raise _unreadable(self.uri, "It is empty.")
        return list(self._parse(first, 0).column_names)

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        known, line = self.columns(), 0
        with _bytes(self.path, self.uri) as stream:
            for block in _line_blocks(stream, self.uri):
                table = self._parse(block, line)
                for name in table.column_names:
                    if name not in known:
                        raise self._appeared(name, block, line)
                absent = [name for name in columns if name not in table.column_names]
                for name in absent:
                    table = table.append_column(name, pa.nulls(len(table)))
                yield table.select(list(columns))
                line += block.count(b"\n")

    def infer(self, column: pa.ChunkedArray) -> pa.DataType:
        return column_types.infer_time(column) if pa.types.is_string(column.type) else column.type

    def place(self, row: int) -> str:
        with _bytes(self.path, self.uri) as stream:
            filled = (number for number, line in enumerate(stream, start=1) if line.strip())
            return f"line {next(itertools.islice(filled, row, None))}"

    def _parse(self, block: bytes, lines_before: int) -> pa.Table:
        options = pyarrow.json.ReadOptions(block_size=len(block) + 1)
        try:
            table = pyarrow.json.read_json(io.BytesIO(block), read_options=options)
            times = [f.name for f in table.schema if pa.types.is_timestamp(f.type)]
            if not times:
                return table
            text = pa.schema([(name, pa.string()) for name in times])
            parse = pyarrow.json.ParseOptions(explicit_schema=text)
            read = pyarrow.json.read_json(io.BytesIO(block), read_options=options, parse_options=parse)
            return read.select(table.column_names)
        except pa.ArrowInvalid as error:
            raise self._broken(block, lines_before, error) from None

    def _broken(self, block: bytes, lines_before: int, error: pa.ArrowInvalid) -> HeadwayError:
        kinds: dict[str, tuple[str, int]] = {}
        for line, text in enumerate(block.split(b"\n"), start=lines_before + 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError:
                return self._broken_line(line, "is not valid JSON")
            if not isinstance(row, dict):
                return self._broken_line(line, "is not a JSON object")
            for name, value in row.items():
                kind = _json_kind(value)
                before, first = kinds.setdefault(name, (kind, line)) if kind else (kind, line)
                if kind != before:
                    return HeadwayError(
                        "data.mixed_types",
                        f"Column {name!r} of {self.uri} holds a {before} in line {first} and a {kind} in line {line}.",
                        value=f"{self.uri}:{line}",
                        remedy="Repair the file so that the column holds values of one type.",
                    )
        return _unreadable(self.uri, str(error).partition(":")[2].strip() or "It is not JSON lines.")

    def _broken_line(self, line: int, what: str) -> HeadwayError:
        return HeadwayError(
            "data.broken_row",
            f"Line {line} of {self.uri} {what}.",
            value=f"{self.uri}:{line}",
            remedy="Repair or remove the line; the file needs one JSON object on each.",
        )

    def _appeared(self, name: str, block: bytes, lines_before: int) -> HeadwayError:
        lines = enumerate(block.split(b"\n"), start=lines_before + 1)
        line = next(number for number, text in lines if text.strip() and name in json.loads(text))
        return HeadwayError(
            "data.columns_differ",
            f"Column {name!r} first appears in line {line} of {self.uri}, after the part of the file that its columns "
            "are taken from.",
            value=name,
            remedy="Write the key into the first line too, as null.",
        )


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file. Times come in UTC and in microseconds, dictionaries as their values."""

    path: Path
    uri: str

    def columns(self) -> list[str]:
        with self._open() as file:
            names = list(file.schema_arrow.names)
        _require_distinct(names, self.uri)
        return names

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        with self._open() as file:
            cells = max(1, len(file.schema_arrow.names))
            batches = file.iter_batches(batch_size=max(1024, CHUNK_BYTES // 8 // cells), columns=list(columns))
            try:
                for batch in batches:
                    yield _plain(pa.Table.from_batches([batch]).select(list(columns)))
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(self.uri, f"It is damaged: {_first_line(error)}.") from None

    def infer(self, column: pa.ChunkedArray) -> pa.DataType:
        return column.type

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.uri, f"It is truncated or not Parquet: {_first_line(error)}.") from None
        with file:
            yield file


@contextmanager
def _bytes(path: Path, uri: str) -> Iterator[IO[bytes]]:
    """The file's content, unpacked. Reads give as much as is asked for, so that chunks are cut at the same rows."""
    name = uri.rpartition("/")[2].lower()
    with ExitStack() as stack:
        try:
            if name.endswith(".gz"):
                yield cast("IO[bytes]", stack.enter_context(gzip.open(path)))
            elif name.endswith(".zip"):
                archive = stack.enter_context(zipfile.ZipFile(path))
                yield stack.enter_context(archive.open(_only_member(archive, uri)))
            else:
                yield stack.enter_context(path.open("rb"))
        except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise _unreadable(uri, f"Its compression is damaged or not supported: {error}.") from None


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
    with _bytes(path, uri) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            yield text
        except UnicodeDecodeError:
            raise _unreadable(uri, "It is not UTF-8 text.") from None
        except csv.Error as error:
            raise _unreadable(uri, f"It is not CSV: {error}.") from None


def _only_member(archive: zipfile.ZipFile, uri: str) -> str:
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if len(names) != 1:
        raise HeadwayError(
            "source.zip_members",
            f"The zip holds {len(names)} files; it must hold exactly one.",
            value=uri,
            remedy="Unpack it and name the files, or zip each file by itself.",
        )
    if archive.getinfo(names[0]).flag_bits & 1:
        raise _unreadable(uri, "It is encrypted.")
    return names[0]


def _line_blocks(stream: IO[bytes], uri: str) -> Iterator[bytes]:
    """Whole lines of about `CHUNK_BYTES` at a time."""
    rest = b""
    while data := stream.read(CHUNK_BYTES):
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            yield rest + head + newline
            rest = tail
        elif len(rest := rest + data) > 4 * CHUNK_BYTES:
            raise _unreadable(uri, "A line is longer than 64 MiB.")
    if rest.strip():
        yield rest


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


def _json_kind(value: object) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}
    return kinds.get(type(value), "")


def _require_distinct(names: Sequence[str], uri: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HeadwayError(
            "data.duplicate_columns",
            f"{uri} has several columns named {', '.join(map(repr, twice))}.",
            value=twice,
            remedy="Give every column a name of its own.",
        )


def _unreadable(uri: str, why: str) -> HeadwayError:
    return HeadwayError(
        "data.unreadable", f"The file cannot be read. {why}", value=uri, remedy="Write or copy the file again."
    )

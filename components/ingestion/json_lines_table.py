"""Reads JSON lines: one object a line, keys may be absent, values of a key are of one type."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.json

from headway.components._shared.errors import HeadwayError
from headway.components.ingestion import column_types, raw_files
from headway.components.ingestion.raw_files import is_utf8, not_utf8, unpacked, unreadable


@dataclass(frozen=True)
class JsonLinesTable:
    """A file of one JSON object a line, plain or gzipped. Keys may be absent: the value then is missing."""

    path: Path
    uri: str

    def columns(self) -> list[str]:
        with unpacked(self.path, self.uri) as stream:
            first = next(_line_blocks(stream, self.uri), b"")
        if not first.strip():
            raise unreadable(self.uri, "It is empty.")
        return list(self._parse(first, 0).column_names)

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        known, line = self.columns(), 0
        with unpacked(self.path, self.uri) as stream:
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
        with unpacked(self.path, self.uri) as stream:
            filled = (number for number, line in enumerate(stream, start=1) if line.strip())
            return f"line {next(itertools.islice(filled, row, None))}"

    def _parse(self, block: bytes, lines_before: int) -> pa.Table:
        if not is_utf8(block):  # Arrow does not look
            raise not_utf8(self.path, self.uri)
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
        return unreadable(self.uri, str(error).partition(":")[2].strip() or "It is not JSON lines.")

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


def _line_blocks(stream: IO[bytes], uri: str) -> Iterator[bytes]:
    """Whole lines of about a piece."""
    rest, size = b"", raw_files.CHUNK_BLOCKS * raw_files.BLOCK_BYTES
    while data := stream.read(size):
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            yield rest + head + newline
            rest = tail
        elif len(rest := rest + data) > 8 * size:
            raise unreadable(uri, "A line is longer than 64 MiB.")
    if rest.strip():
        yield rest


def _json_kind(value: object) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}
    return kinds.get(type(value), "")

"""Turns raw files into Parquet shards, piece by piece, in bounded memory; types must agree over all files."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from headway.components._shared.datasets import write_shard
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import type_of
from headway.components.ingestion import column_types
from headway.components.ingestion.column_types import Misfit, name_of
from headway.components.ingestion.config import Source
from headway.components.ingestion.ids import ID, Repeats, renumbered
from headway.components.ingestion.rows import Chooser, Counts
from headway.components.ingestion.sources import SourceFile, at_hand, format_of
from headway.components.ingestion.tables import RawTable, open_table

# A shard is closed once it holds this much, counting 8 bytes a number and the bytes of each text.
SHARD_BYTES = 32 * 2**20


class _Widened(Exception):  # noqa: N818 - not a failure: reading begins again
    """The type of a column must be another one than its first values showed."""

    def __init__(self, column: str, kind: pa.DataType) -> None:
        super().__init__(column)
        self.column, self.kind = column, kind


def convert(files: Sequence[SourceFile], source: Source, seed: int, folder: Path) -> Counts:
    """Writes the chosen rows and columns of all files as shards, none of which holds rows of two files.

    Args:
        files: In order.
        source: What to choose, and how to read.
        seed: Of the sample.
        folder: An empty folder for the shards.

    Raises:
        HeadwayError: Whatever is wrong with the files; with file, and line and column where there is one.
    """
    types = {name: column_types.NAMED[word] for name, word in source.types.items()}
    while True:
        try:
            return _Conversion(files, source, seed, folder, dict(types)).run()
        except _Widened as wider:
            types[wider.column] = wider.kind
            for shard in folder.glob("*.parquet"):
                shard.unlink()


@dataclass
class _Conversion:
    """One pass over all files with what is known of their types.

    Attributes:
        types: Raw column to type, given or found; `origin` names the file of a found one.
    """

    files: Sequence[SourceFile]
    source: Source
    seed: int
    folder: Path
    types: dict[str, pa.DataType]
    origin: dict[str, str] = field(default_factory=dict)

    def run(self) -> Counts:
        raw: list[str] = []
        chooser: Chooser | None = None
        writer = _Writer(self.folder)
        with tempfile.TemporaryDirectory(dir=self.folder) as spill, ExitStack() as stack:
            repeats = None if self.source.id_column or self.source.id_columns else Repeats(Path(spill))
            if repeats:
                stack.enter_context(repeats)
            for file in self.files:
                with at_hand(file) as path:
                    table = open_table(path, format_of(file, self.source.format), self.source, file.uri)
                    names = table.columns()
                    if chooser is None:
                        raw, chooser = names, Chooser(self.source, self.seed, names)
                    _require_same_columns(names, raw, file.uri, self.files[0].uri)
                    for rows in self._rows(table, file, chooser):
                        if repeats:
                            repeats.add(rows[ID])
                        writer.add(rows, file)
                writer.close_shard()
            stack.close()
            counts = chooser.counts if chooser else Counts()
            if repeats:
                counts.repeated = _renumber(writer.shards, repeats.ids())
        return counts

    def _rows(self, table: RawTable, file: SourceFile, chooser: Chooser) -> Iterator[pl.DataFrame]:
        before = 0
        for chunk in table.chunks(chooser.needed):
            if before == 0:
                self._settle_types(chunk.select(chooser.typed), table, file)
            typed = pa.table({name: self._cast(chunk, name, table, file, before) for name in chooser.typed})
            before += len(chunk)
            frame, untyped = pl.from_arrow(typed), pl.from_arrow(chunk.select(chooser.hashed))
            assert isinstance(frame, pl.DataFrame)
            assert isinstance(untyped, pl.DataFrame)
            yield chooser.choose(frame, untyped)

    def _settle_types(self, first: pa.Table, table: RawTable, file: SourceFile) -> None:
        """Takes the types of a file from its first piece and compares them with those of the files before it."""
        for name in first.column_names:
            if name in self.source.types or (name in self.types and name not in self.origin):
                continue
            kind = self._infer(first, name, table, file)
            known = self.types.get(name, pa.null())
            if pa.types.is_null(known):
                self.types[name], self.origin[name] = kind, file.uri
            elif not pa.types.is_null(kind) and kind != known:
                raise _types_differ(name, file.uri, kind, self.origin[name], known)

    def _infer(self, first: pa.Table, name: str, table: RawTable, file: SourceFile) -> pa.DataType:
        try:
            return table.infer(first[name])
        except Misfit as misfit:
            raise _mixed(name, file.uri, table.place(misfit.row)) from None

    def _cast(self, chunk: pa.Table, name: str, table: RawTable, file: SourceFile, before: int) -> pa.ChunkedArray:
        column, kind = chunk[name], self.types[name]
        if pa.types.is_null(kind):
            if column.null_count == len(column):
                return pa.chunked_array([pa.nulls(len(column), pa.string())])
            raise _Widened(name, self._infer(chunk, name, table, file))
        try:
            return column_types.cast(column, kind)
        except Misfit as misfit:
            widens = kind == pa.int64() and self.origin.get(name) == self.files[0].uri and len(self.files) == 1
            if widens and _holds(column, pa.float64()):
                raise _Widened(name, pa.float64()) from None
            raise self._does_not_fit(name, table.place(before + misfit.row), file) from None

    def _does_not_fit(self, name: str, place: str, file: SourceFile) -> HeadwayError:
        origin = self.origin.get(name)
        whose = "its beginning" if origin == file.uri else origin
        reason = f"the type of {whose}" if origin else "the type asked for"
        return HeadwayError(
            "data.mixed_types",
            f"The value of column {name!r} in {place} of {file.uri} is no {name_of(self.types[name])}, {reason}.",
            value=f"{file.uri}, {place}, column {name}",
            remedy=f"Repair it, list it in source.null_values if it means missing, or set source.types for {name!r}.",
        )


@dataclass
class _Writer:
    """Gathers rows into shards of bounded size."""

    folder: Path
    shards: list[tuple[Path, dict[str, object]]] = field(default_factory=list)
    _pieces: list[pl.DataFrame] = field(default_factory=list)
    _bytes: int = 0
    _footer: dict[str, object] = field(default_factory=dict)
    _number: Iterator[int] = field(default_factory=itertools.count)

    def add(self, rows: pl.DataFrame, file: SourceFile) -> None:
        if len(rows) == 0:
            return
        if not self.shards and not self._pieces:
            _require_supported(rows)
        self._footer = {"schema_version": 1, "source": file.record()}
        self._pieces.append(rows)
        self._bytes += _content_bytes(rows)
        if self._bytes >= SHARD_BYTES:
            self.close_shard()

    def close_shard(self) -> None:
        if not self._pieces:
            return
        path = self.folder / f"part-{next(self._number):05d}.parquet"
        write_shard(pl.concat(self._pieces, rechunk=True), path, self._footer)
        self.shards.append((path, self._footer))
        self._pieces, self._bytes = [], 0


def _renumber(shards: Sequence[tuple[Path, dict[str, object]]], repeats: npt.NDArray[np.uint64]) -> int:
    """Gives exact duplicates ids of their own, in the order of the files."""
    if len(repeats) == 0:
        return 0
    seen, changed = np.zeros(len(repeats), dtype=np.int64), 0
    for path, footer in shards:
        rows = pl.read_parquet(path)
        ids, here = renumbered(rows[ID], repeats, seen)
        if here:
            write_shard(rows.with_columns(ids), path, footer)
        changed += here
    return changed


def _content_bytes(rows: pl.DataFrame) -> int:
    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    text_bytes = rows.select(pl.sum_horizontal(pl.col(texts).str.len_bytes().sum())).item() if texts else 0
    return int(text_bytes or 0) + 8 * len(rows) * (rows.width - len(texts))


def _holds(column: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        column_types.cast(column, kind)
    except Misfit:
        return False
    return True


def _require_supported(rows: pl.DataFrame) -> None:
    for name, kind in rows.schema.items():
        try:
            type_of(kind)
        except HeadwayError:
            raise HeadwayError(
                "data.type_unsupported",
                f"Column {name!r} holds {kind}, which has no place in a table of numbers, texts and times.",
                value=name,
                remedy="Leave it out of source.columns, or take a part of it there.",
            ) from None


def _require_same_columns(names: Sequence[str], raw: Sequence[str], uri: str, first: str) -> None:
    for name in [*raw, *names]:
        if name not in names or name not in raw:
            lacking, having = (uri, first) if name not in names else (first, uri)
            raise HeadwayError(
                "data.columns_differ",
                f"{lacking} has no column {name!r}, {having} has one.",
                value=name,
                remedy="One set needs one set of columns: repair the odd ones, or ingest them by themselves.",
            )


def _types_differ(name: str, uri: str, kind: pa.DataType, first: str, known: pa.DataType) -> HeadwayError:
    return HeadwayError(
        "data.types_differ",
        f"Column {name!r} holds {name_of(kind)} in {uri} but {name_of(known)} in {first}.",
        value={"column": name, uri: name_of(kind), first: name_of(known)},
        remedy=f"Repair the file, or say which it is with source.types: {{{name!r}: ...}}.",
    )


def _mixed(name: str, uri: str, place: str) -> HeadwayError:
    return HeadwayError(
        "data.mixed_types",
        f"Column {name!r} of {uri} holds numbers or times nearly everywhere, but not in {place}.",
        value=f"{uri}, {place}, column {name}",
        remedy=f"Repair it, list it in source.null_values if it is a missing value, or set source.types for {name!r}.",
    )

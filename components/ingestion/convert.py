"""Turns raw files into Parquet shards, piece by piece, in bounded memory; types must agree over all files."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.datasets import write_shard
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import type_of
from headway.components.ingestion.agreement import Agreement, Widened, require_same_columns
from headway.components.ingestion.config import Source
from headway.components.ingestion.ids import ID, Repeats, renumbered
from headway.components.ingestion.rows import Chooser, Counts
from headway.components.ingestion.sources import SourceFile, at_hand, format_of
from headway.components.ingestion.tables import RawTable, open_table

# A shard is closed once it holds this much, counting 8 bytes a number and the bytes of each text.
SHARD_BYTES = 32 * 2**20


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
    agreement = Agreement.of(source, len(files))
    while True:
        with tempfile.TemporaryDirectory(dir=folder) as spill:
            try:
                return _pass(files, source, seed, folder, agreement, Path(spill))
            except Widened:
                for shard in folder.glob("*.parquet"):
                    shard.unlink()


def _pass(
    files: Sequence[SourceFile], source: Source, seed: int, folder: Path, agreement: Agreement, spill: Path
) -> Counts:
    """Reads all files once."""
    raw: list[str] = []
    counts = Counts()
    writer = _Writer(folder)
    repeats = None if source.id_column or source.id_columns else Repeats(spill)
    with repeats or nullcontext():
        for file in files:
            with at_hand(file) as path:
                table = open_table(path, format_of(file, source.format), source, file.uri)
                names = table.columns()
                raw = raw or names
                require_same_columns(names, raw, file.uri, files[0].uri)
                for rows in _chosen(table, Chooser(source, seed, raw, counts), agreement):
                    if repeats:
                        repeats.add(rows[ID])
                    writer.add(rows, file)
            writer.close_shard()
    if repeats:
        counts.repeated = _renumber(writer.shards, repeats.ids())
    return counts


def _chosen(table: RawTable, chooser: Chooser, agreement: Agreement) -> Iterator[pl.DataFrame]:
    before = 0
    for piece in table.chunks(chooser.needed):
        wanted = piece.select(chooser.typed)
        if before == 0:
            agreement.meet(wanted, table)
        typed = pl.from_arrow(agreement.cast(wanted, table, before))
        untyped = pl.from_arrow(piece.select(chooser.hashed))
        assert isinstance(typed, pl.DataFrame)
        assert isinstance(untyped, pl.DataFrame)
        yield chooser.choose(typed, untyped, _places(table, before))
        before += len(piece)


def _places(table: RawTable, before: int) -> Callable[[int], str]:
    return lambda row: f"{table.place(before + row)} of {table.uri}"


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
            _require_supported(rows, file.uri)
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


def _require_supported(rows: pl.DataFrame, uri: str) -> None:
    for name, kind in rows.schema.items():
        try:
            type_of(kind)
        except HeadwayError:
            raise HeadwayError(
                "data.type_unsupported",
                f"Column {name!r} of {uri} holds {kind}, which has no place in a table of numbers, texts and times.",
                value=name,
                remedy="Leave it out of source.columns, or take a part of it there.",
            ) from None

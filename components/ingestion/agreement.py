"""The types of a set's columns: found file by file, kept over all of them, never guessed against a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from headway.components._shared.errors import HeadwayError
from headway.components.ingestion import column_types
from headway.components.ingestion.column_types import Misfit, name_of
from headway.components.ingestion.config import Source
from headway.components.ingestion.tables import RawTable


class Widened(Exception):  # noqa: N818 - not a failure: reading begins again
    """A column's type must be another one than its first values showed; the agreement knows it by now."""


@dataclass
class Agreement:
    """What is known of the types of a set of files; what one pass over them learns, the next one knows.

    Attributes:
        types: Raw column to type; `null` while no value was seen.
        origin: Raw column to the file that its type was found in; absent where the source gives the type.
        settled: Columns whose type no first piece of a file decides.
        alone: Whether the set is one file.
    """

    types: dict[str, pa.DataType]
    origin: dict[str, str] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    alone: bool = False

    @classmethod
    def of(cls, source: Source, files: int) -> Agreement:
        """What is known before any file is read."""
        types = {name: column_types.NAMED[word] for name, word in source.types.items()}
        return cls(types, settled=set(types), alone=files == 1)

    def meet(self, first: pa.Table, table: RawTable) -> None:
        """Takes the types of a file from its first piece and compares them with those of the files before it.

        Raises:
            Widened: A column had no value in the files before.
            HeadwayError: `data.types_differ`, `data.mixed_types`.
        """
        for name in first.column_names:
            if name in self.settled:
                continue
            kind = self._infer(first, name, table, 0)
            known = self.types.setdefault(name, kind)
            origin = self.origin.setdefault(name, table.uri)
            if kind != known and pa.types.is_null(known):
                self._widen(name, kind, table)
            if kind != known and not pa.types.is_null(kind):
                raise _types_differ(name, table.uri, kind, origin, known)

    def cast(self, piece: pa.Table, table: RawTable, rows_before: int) -> pa.Table:
        """A piece of a file with the types of the set; columns without any value so far stay null.

        Raises:
            Widened: Once for a column; the set must be read again from its beginning.
            HeadwayError: `data.mixed_types` with file, line and column.
        """
        return pa.table({name: self._cast(piece, name, table, rows_before) for name in piece.column_names})

    def _cast(self, piece: pa.Table, name: str, table: RawTable, before: int) -> pa.ChunkedArray:
        column, kind = piece[name], self.types[name]
        if pa.types.is_null(kind):
            if column.null_count == len(column):
                return pa.chunked_array([pa.nulls(len(column))])
            self._widen(name, self._infer(piece, name, table, before), table)
        try:
            return column_types.cast(column, kind)
        except Misfit as misfit:
            found_here = kind == pa.int64() and self.alone and name in self.origin
            if found_here and column_types.holds(column, pa.float64()):
                self._widen(name, pa.float64(), table)
            raise self._does_not_fit(name, table, table.place(before + misfit.row)) from None

    def _widen(self, name: str, kind: pa.DataType, table: RawTable) -> None:
        self.types[name], self.origin[name] = kind, table.uri
        self.settled.add(name)
        raise Widened(name)

    def _infer(self, piece: pa.Table, name: str, table: RawTable, before: int) -> pa.DataType:
        try:
            return table.infer(piece[name])
        except Misfit as misfit:
            raise _mixed(name, table, table.place(before + misfit.row)) from None

    def _does_not_fit(self, name: str, table: RawTable, place: str) -> HeadwayError:
        origin = self.origin.get(name)
        whose = "its beginning" if origin == table.uri else origin
        reason = f"the type of {whose}" if origin else "the type asked for"
        return HeadwayError(
            "data.mixed_types",
            f"The value of column {name!r} in {place} of {table.uri} is no {name_of(self.types[name])}, {reason}.",
            value=f"{table.uri}, {place}, column {name}",
            remedy=f"Repair it, list it in source.null_values if it means missing, or set source.types for {name!r}.",
        )


def require_same_columns(names: Sequence[str], raw: Sequence[str], uri: str, first: str) -> None:
    """Raises `data.columns_differ` when a file has other columns than the first one of its set; their order is free."""
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
        remedy=f"Repair the file, or say which it is with source.types for {name!r}.",
    )


def _mixed(name: str, table: RawTable, place: str) -> HeadwayError:
    return HeadwayError(
        "data.mixed_types",
        f"Column {name!r} of {table.uri} holds numbers or times nearly everywhere, but not in {place}.",
        value=f"{table.uri}, {place}, column {name}",
        remedy=f"Repair it, list it in source.null_values if it means missing, or set source.types for {name!r}.",
    )

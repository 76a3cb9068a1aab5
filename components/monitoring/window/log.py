"""Reads a window out of an inference log, part by part, and counts what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ID, LATENCY, MODEL, REQUEST, STATUS, TIME, log_columns
from headway.components.monitoring.window.files import ParquetFiles
from headway.components.monitoring.window.kserve import PREFIX, KServeObjects
from headway.components.monitoring.window.span import Counted, Span

_KEYS = (ID, TIME, MODEL, STATUS)


class Source(Protocol):
    """Where the rows of a window come from."""

    def batches(self) -> Iterator[list[str]]:
        """Files to read together, in the order of time."""

    def read(self, files: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """The rows of such files that lie within the window."""


class Log:
    """An inference log, for one window.

    Args:
        uri: Folder, or `gs://` or `s3://` prefix; with `kserve+` before it, where KServe's logger writes.
        manifest: Of the model whose rows are wanted.
        span: The window.
        columns: What is wanted of a row, with types; by default all that the model's log has.

    Attributes:
        counted: What was found beside the rows that were given.
    """

    def __init__(
        self, uri: str, manifest: ModelManifest, span: Span, columns: Mapping[str, pl.DataType] | None = None
    ) -> None:
        self.uri = uri
        self.span = span
        self.model_digest = manifest.model_digest
        self.columns = dict(columns or log_columns(manifest))
        self.counted = Counted()
        self._source: Source = (
            KServeObjects(uri.removeprefix(PREFIX), self.columns, manifest, span, self.counted)
            if uri.startswith(PREFIX)
            else ParquetFiles(uri, self.columns, manifest.model_digest, span, self.counted)
        )

    def parts(self) -> Iterator[pl.DataFrame]:
        """The answered rows by time and id, of one unit or of several small ones together; each id comes once.

        The memory that this takes is that of the largest part, and eight bytes a row of the window.
        """
        batches = list(self._source.batches())
        twice = self._repeated(batches)
        seen = twice.clear()
        for files in batches:
            rows = self._answered(self._source.read(files, tuple(self.columns))).sort(TIME, ID)
            self.counted.requests += rows.select(pl.col(TIME).dt.truncate("1h"), REQUEST).n_unique()
            new = rows.unique(ID, keep="first", maintain_order=True)
            hashes = _hashed(new)
            new = new.filter(~hashes.is_in(seen.implode()))
            seen = pl.concat([seen, hashes.filter(hashes.is_in(twice.implode()))])
            self.counted.duplicates += rows.height - new.height
            if new.height:
                yield new

    def requests(self) -> pl.DataFrame:
        """One row a request of the model, with `_time`, `_status` and `_latency_ms`, by time."""
        columns = (REQUEST, TIME, MODEL, STATUS, LATENCY)
        frames = [
            self._source.read(files, columns).filter(pl.col(MODEL) == self.model_digest).drop(MODEL).unique(REQUEST)
            for files in self._source.batches()
        ]
        every = pl.concat([pl.DataFrame(schema={name: self.columns[name] for name in columns}).drop(MODEL), *frames])
        return every.sort(TIME, REQUEST).unique(REQUEST, keep="first", maintain_order=True).drop(REQUEST)

    def everything(self) -> pl.DataFrame:
        """The rows of every version, answered or refused, by time and id; each id comes once."""
        frames = [self._source.read(files, tuple(self.columns)) for files in self._source.batches()]
        every = pl.concat([pl.DataFrame(schema=self.columns), *frames])
        return every.sort(TIME, ID).unique(ID, keep="first", maintain_order=True)

    def _repeated(self, batches: Sequence[Sequence[str]]) -> pl.Series:
        """Hashes of the ids that come more than once."""
        hashes = [_hashed(self._mine(self._source.read(files, _KEYS))) for files in batches]
        every = pl.concat([pl.Series(dtype=pl.UInt64), *hashes])
        return every.filter(every.is_duplicated()).unique()

    def _answered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the model answered; what else is there is counted."""
        others = rows.filter(pl.col(MODEL) != self.model_digest)
        self.counted.other_models.update(dict(others[MODEL].value_counts().iter_rows()))
        refused = rows.filter((pl.col(MODEL) == self.model_digest) & (pl.col(STATUS) != 200))
        self.counted.refused.update(dict(refused[STATUS].value_counts().iter_rows()))
        return self._mine(rows)

    def _mine(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter((pl.col(MODEL) == self.model_digest) & (pl.col(STATUS) == 200))


def _hashed(rows: pl.DataFrame) -> pl.Series:
    return rows[ID].hash(seed=0)


def require_rows(counted: Counted, rows: int, uri: str) -> None:
    """Refuses a window without rows, with what is in the log instead.

    Raises:
        HeadwayError: `window.empty`.
    """
    if rows:
        return
    others = sum(counted.other_models.values())
    there = [
        f"{others:,} rows of other versions" if others else "",
        f"{sum(counted.refused.values()):,} refused requests" if counted.refused else "",
        f"{len(counted.damaged)} files that cannot be read" if counted.damaged else "",
        f"{len(counted.foreign)} files with other columns" if counted.foreign else "",
    ]
    raise HeadwayError(
        "window.empty",
        f"The log has no answered row of this model in the window, but {', '.join(filter(None, there)) or 'nothing'}.",
        value=uri,
        remedy="Check the address and the window (UTC), whether the endpoint had traffic, and whether `serving.log` is "
        "set where it is deployed.",
    )

"""Reads a window out of an inference log, part by part, and counts what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ID, LATENCY, MODEL, REQUEST, STATUS, TIME, day_folder, hour_folder
from headway.components._shared.storage import Stat, cloud_options, open_storage

# Units are read together up to this size of their files.
_BATCH_BYTES = 32 * 2**20
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_KEYS = (ID, TIME, MODEL, STATUS)


@dataclass
class Counted:
    """What was found in the log beside the rows that are given.

    Attributes:
        damaged: Files that cannot be read: half-written, or no Parquet.
        foreign: Files that have other columns or types than the model's log.
        requests: Answered by the model.
        refused: Status to requests that the model's server refused.
        duplicates: Rows left out, since an earlier one has the same id.
        other_models: Digest to rows that other versions answered.
    """

    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    requests: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    other_models: Counter[str] = field(default_factory=Counter)


@dataclass
class Log:
    """An inference log, for one window.

    Args:
        uri: Folder, or `gs://` or `s3://` prefix.
        columns: What the model's log has, with types.
        model_digest: Whose rows are wanted.
        start: Of the window, inclusive.
        end: Of the window, exclusive.
    """

    uri: str
    columns: Mapping[str, pl.DataType]
    model_digest: str
    start: datetime
    end: datetime
    counted: Counted = field(default_factory=Counted)
    _ours: dict[str, bool] = field(default_factory=dict, repr=False)

    @property
    def unit(self) -> timedelta:
        """What belongs together: hours in a window of up to two days, days in a longer one."""
        return _HOUR if self.end - self.start <= 2 * _DAY else _DAY

    def parts(self) -> Iterator[pl.DataFrame]:
        """The answered rows by time and id, of one unit or of several small ones together; each id comes once.

        The memory that this takes is that of the largest part, and eight bytes a row of the window.
        """
        batches = list(self._batches())
        twice = self._repeated(batches)
        seen = twice.clear()
        for files in batches:
            rows = self._answered(self._read(files, tuple(self.columns))).sort(TIME, ID)
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
            self._read(files, columns).filter(pl.col(MODEL) == self.model_digest).drop(MODEL).unique(REQUEST)
            for files in self._batches()
        ]
        every = pl.concat([pl.DataFrame(schema={name: self.columns[name] for name in columns}).drop(MODEL), *frames])
        return every.sort(TIME, REQUEST).unique(REQUEST, keep="first", maintain_order=True).drop(REQUEST)

    def everything(self) -> pl.DataFrame:
        """The rows of every version, answered or refused, by time and id; each id comes once."""
        frames = [self._read(files, tuple(self.columns)) for files in self._batches()]
        every = pl.concat([pl.DataFrame(schema=dict(self.columns)), *frames])
        return every.sort(TIME, ID).unique(ID, keep="first", maintain_order=True)

    def _batches(self) -> Iterator[list[str]]:
        """The files of the window in the order of time, those of small units together."""
        root, batch, size = open_storage(self.uri).uri, list[str](), 0
        for files in self._units():
            more = sum(stat.size_bytes for stat in files)
            if batch and size + more > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch += [f"{root}/{stat.key}" for stat in files]
            size += more
        if batch:
            yield batch

    def _units(self) -> Iterator[list[Stat]]:
        """The files of each unit of the window, listed a day at a time."""
        storage, day = open_storage(self.uri), self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < self.end:
            by_hour: dict[str, list[Stat]] = {}
            for stat in storage.list(day_folder(day)):
                if stat.key.endswith(".parquet"):
                    by_hour.setdefault(stat.key.rpartition("/")[0], []).append(stat)
            hours = [day + hour * _HOUR for hour in range(24)]
            within = [hour for hour in hours if hour < self.end and hour + _HOUR > self.start]
            files = [by_hour.get(hour_folder(hour), []) for hour in within]
            yield from files if self.unit == _HOUR else [[stat for each in files for stat in each]]
            day += _DAY

    def _repeated(self, batches: Sequence[Sequence[str]]) -> pl.Series:
        """Hashes of the ids that come more than once."""
        hashes = [_hashed(self._mine(self._read(files, _KEYS))) for files in batches]
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

    def _read(self, files: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """The rows of files that lie within the window: all at once and, where one does not fit, one by one."""
        wanted = {name: self.columns[name] for name in columns}
        left = [file for file in files if self._ours.get(file, True)]
        frame = self._all_of(left, wanted)
        if frame is None:
            ours = [file for file in left if self._is_ours(file)]
            frames = [each for file in ours if (each := self._one_of(file, wanted)) is not None]
            frame = pl.concat([pl.DataFrame(schema=wanted), *frames])
        return frame.filter(pl.col(TIME).is_between(self.start, self.end, closed="left"))

    def _all_of(self, files: Sequence[str], wanted: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
        if not files:
            return pl.DataFrame(schema=wanted)
        options = cloud_options(files[0])
        try:
            frame = pl.read_parquet(list(files), columns=list(wanted), hive_partitioning=False, storage_options=options)
        except (pl.exceptions.PolarsError, OSError):
            return None
        return frame.select(*wanted) if dict(frame.schema) == dict(wanted) else None

    def _one_of(self, file: str, wanted: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
        """A file that turns out to be damaged is left out."""
        frame = self._all_of([file], wanted)
        if frame is None:
            self._ours[file] = False
            self.counted.damaged.append(file)
        return frame

    def _is_ours(self, file: str) -> bool:
        """Whether a file is of this model's log; looked at once."""
        if file not in self._ours:
            self._ours[file] = self._look_at(file)
        return self._ours[file]

    def _look_at(self, file: str) -> bool:
        options = cloud_options(file)
        try:
            schema = pl.scan_parquet(file, hive_partitioning=False, storage_options=options).collect_schema()
            if all(schema.get(name) == dtype for name, dtype in self.columns.items()):
                return True
            models = pl.read_parquet(file, columns=[MODEL, TIME], hive_partitioning=False, storage_options=options)
        except pl.exceptions.ColumnNotFoundError:
            self.counted.foreign.append(file)
            return False
        except (pl.exceptions.PolarsError, OSError):
            self.counted.damaged.append(file)
            return False
        # Another version may have other features: its rows are counted, and no more.
        if self.model_digest in models[MODEL]:
            self.counted.foreign.append(file)
        else:
            within = models.filter(pl.col(TIME).is_between(self.start, self.end, closed="left"))
            self.counted.other_models.update(dict(within[MODEL].value_counts().iter_rows()))
        return False


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

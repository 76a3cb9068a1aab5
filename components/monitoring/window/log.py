"""Reads a window out of an inference log, hour by hour, and counts what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ID, MODEL, REQUEST, STATUS, TIME, hour_folder
from headway.components._shared.storage import cloud_options, open_storage

_HOUR = timedelta(hours=1)
_KEYS = (ID, TIME, MODEL, STATUS)


@dataclass
class Counted:
    """What was found in the log beside the rows that are given.

    Attributes:
        files: That were read.
        damaged: That could not be: half-written, or no Parquet.
        foreign: That have other columns or types than the model's log.
        requests: Answered by the model.
        refused: Status to requests that the model's server refused.
        duplicates: Rows left out, since an earlier one has the same id.
        other_models: Digest to rows that other versions answered.
    """

    files: int = 0
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

    def hours(self) -> Iterator[tuple[datetime, pl.DataFrame]]:
        """The answered rows, one frame an hour that has any, by time and id; each id comes once.

        The memory that this takes is that of one hour, and eight bytes a row of the window.
        """
        files = {hour: found for hour in self._each_hour() if (found := self._files(hour))}
        twice = self._repeated(files)
        seen = twice.clear()
        for hour, addresses in files.items():
            rows = self._answered(self._read(addresses, tuple(self.columns)))
            self.counted.requests += rows[REQUEST].n_unique()
            new = rows.sort(TIME, ID).unique(ID, keep="first", maintain_order=True)
            hashes = _hashed(new)
            new = new.filter(~hashes.is_in(seen.implode()))
            seen = pl.concat([seen, hashes.filter(hashes.is_in(twice.implode()))])
            self.counted.duplicates += rows.height - new.height
            if new.height:
                yield hour, new

    def _each_hour(self) -> Iterator[datetime]:
        hour = self.start.replace(minute=0, second=0, microsecond=0)
        while hour < self.end:
            yield hour
            hour += _HOUR

    def _repeated(self, files: Mapping[datetime, Sequence[str]]) -> pl.Series:
        """Hashes of the ids that come more than once."""
        hashes = [_hashed(self._mine(self._read(addresses, _KEYS))) for addresses in files.values()]
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

    def _read(self, addresses: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """The rows of files that lie within the window; a file that turns out to be damaged is left out."""
        frames = [pl.DataFrame(schema={name: self.columns[name] for name in columns})]
        for address in addresses:
            if address in self.counted.damaged:
                continue
            try:
                frame = pl.read_parquet(
                    address, columns=list(columns), hive_partitioning=False, storage_options=cloud_options(address)
                )
            except (pl.exceptions.PolarsError, OSError):
                self.counted.damaged.append(address)
                continue
            frames.append(frame.select(columns))
        return pl.concat(frames).filter(pl.col(TIME).is_between(self.start, self.end, closed="left"))

    def _files(self, hour: datetime) -> list[str]:
        """The files of an hour that are of this model's log."""
        storage = open_storage(self.uri)
        addresses = [f"{storage.uri}/{s.key}" for s in storage.list(hour_folder(hour)) if s.key.endswith(".parquet")]
        return [address for address in addresses if self._is_ours(address)]

    def _is_ours(self, address: str) -> bool:
        options = cloud_options(address)
        try:
            schema = pl.scan_parquet(address, hive_partitioning=False, storage_options=options).collect_schema()
            if all(schema.get(name) == dtype for name, dtype in self.columns.items()):
                self.counted.files += 1
                return True
            models = pl.read_parquet(address, columns=[MODEL, TIME], hive_partitioning=False, storage_options=options)
        except pl.exceptions.ColumnNotFoundError:
            self.counted.foreign.append(address)
            return False
        except (pl.exceptions.PolarsError, OSError):
            self.counted.damaged.append(address)
            return False
        # Another version may have other features: its rows are counted, and no more.
        if self.model_digest in models[MODEL]:
            self.counted.foreign.append(address)
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

"""Reads the files that our model server writes: Parquet in folders by hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from headway.components._shared.inference_logs import MODEL, TIME, day_folder, hour_folder
from headway.components._shared.storage import Stat, cloud_options, open_storage
from headway.components.monitoring.window.span import DAY, HOUR, Counted, Span

# Units are read together up to this size of their files.
_BATCH_BYTES = 32 * 2**20


class ParquetFiles:
    """The part of a log that lies in a window.

    Args:
        uri: Folder, or `gs://` or `s3://` prefix.
        columns: What the model's log has, with types.
        model_digest: Whose rows are wanted.
        span: The window.
        counted: Where files that cannot be read are counted, and rows of other versions in files with other columns.
    """

    def __init__(
        self, uri: str, columns: Mapping[str, pl.DataType], model_digest: str, span: Span, counted: Counted
    ) -> None:
        self._storage = open_storage(uri)
        self._columns = columns
        self._model_digest = model_digest
        self._span = span
        self._counted = counted
        self._ours: dict[str, bool] = {}

    def batches(self) -> Iterator[list[str]]:
        """The files of the window in the order of time, those of small units together."""
        batch, size = list[str](), 0
        for files in self._units():
            more = sum(stat.size_bytes for stat in files)
            if batch and size + more > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch += [f"{self._storage.uri}/{stat.key}" for stat in files]
            size += more
        if batch:
            yield batch

    def read(self, files: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """The rows of files that lie within the window: all at once and, where one does not fit, one by one."""
        wanted = {name: self._columns[name] for name in columns}
        left = [file for file in files if self._ours.get(file, True)]
        frame = self._all_of(left, wanted)
        if frame is None:
            ours = [file for file in left if self._is_ours(file)]
            frames = [each for file in ours if (each := self._one_of(file, wanted)) is not None]
            frame = pl.concat([pl.DataFrame(schema=wanted), *frames])
        return self._span.within(frame)

    def _units(self) -> Iterator[list[Stat]]:
        """The files of each unit of the window, listed a day at a time."""
        span = self._span
        day = span.start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < span.end:
            by_hour: dict[str, list[Stat]] = {}
            for stat in self._storage.list(day_folder(day)):
                if stat.key.endswith(".parquet"):
                    by_hour.setdefault(stat.key.rpartition("/")[0], []).append(stat)
            hours = [day + hour * HOUR for hour in range(24)]
            within = [hour for hour in hours if hour < span.end and hour + HOUR > span.start]
            files = [by_hour.get(hour_folder(hour), []) for hour in within]
            yield from files if span.unit == HOUR else [[stat for each in files for stat in each]]
            day += DAY

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
            self._counted.damaged.append(file)
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
            if all(schema.get(name) == dtype for name, dtype in self._columns.items()):
                return True
            models = pl.read_parquet(file, columns=[MODEL, TIME], hive_partitioning=False, storage_options=options)
        except pl.exceptions.ColumnNotFoundError:
            self._counted.foreign.append(file)
            return False
        except (pl.exceptions.PolarsError, OSError):
            self._counted.damaged.append(file)
            return False
        # Another version may have other features: its rows are counted, and no more.
        if self._model_digest in models[MODEL]:
            self._counted.foreign.append(file)
        else:
            within = self._span.within(models)
            self._counted.other_models.update(dict(within[MODEL].value_counts().iter_rows()))
        return False

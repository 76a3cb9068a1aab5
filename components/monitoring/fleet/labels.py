"""Labels as files that somebody else writes: Parquet or CSV, below one address or many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.datasets import Dataset, open_dataset, write_shard
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import id_column
from headway.components._shared.schemas import require_columns
from headway.components._shared.storage import cloud_options
from headway.components.monitoring.config import Labels


def label_dataset(labels: Labels, manifest: ModelManifest, folder: Path) -> Dataset:
    """Brings labels under the names of the model's schema.

    Args:
        labels: Where they are.
        manifest: Of the model.
        folder: For the dataset.

    Raises:
        HeadwayError: `labels.unreadable`, `data.column_missing`.
    """
    by = id_column(manifest)
    times = manifest.schema_.names("label_time")
    wanted = [*([by.name] if by else []), manifest.target]
    frames = []
    for uri, frame in _scanned(labels):
        there = {labels.columns.get(name, name): name for name in (*wanted, *times)}
        columns = frame.collect_schema().names()
        require_columns(columns, [labels.columns.get(name, name) for name in wanted], what=f"The labels in {uri}")
        frames.append(frame.select(pl.col(name).alias(ours) for name, ours in there.items() if name in columns))
    try:
        rows = pl.concat(frames, how="vertical_relaxed").collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(", ".join(labels.uris), error) from None
    folder.mkdir(parents=True)
    write_shard(rows, folder / "labels.parquet", {})
    return open_dataset(folder)


def _scanned(labels: Labels) -> Iterator[tuple[str, pl.LazyFrame]]:
    for uri in labels.uris:
        options = cloud_options(uri)
        try:
            if uri.endswith(".csv"):
                frame = pl.scan_csv(uri, try_parse_dates=True, storage_options=options)
            else:
                frame = pl.scan_parquet(uri, hive_partitioning=False, storage_options=options)
            frame.collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(uri, error) from None
        yield uri, frame


def _unreadable(uri: str, error: Exception) -> HeadwayError:
    return HeadwayError(
        "labels.unreadable",
        f"The labels cannot be read: {str(error).splitlines()[0]}",
        value=uri,
        remedy="Give files that are there, in Parquet or CSV, all with the same columns; `*` stands for many.",
    )

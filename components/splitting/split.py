"""Parts a dataset into training and test rows, and writes down the proofs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from headway.components._shared.artifacts import Artifact, describe, write_document
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset, write_shard
from headway.components._shared.errors import HeadwayError
from headway.components._shared.hashing import stable_hash
from headway.components._shared.reports.formats import counted
from headway.components._shared.schemas import require_columns
from headway.components._shared.steps import decided, step
from headway.components._shared.storage.folders import whole_folder
from headway.components.splitting.config import Split
from headway.components.splitting.parts import Keys, assign
from headway.components.splitting.proofs import Proofs, prove


@step("split_data")
def split_data(
    data: Artifact,
    train_data: Artifact,
    test_data: Artifact,
    proofs: Artifact,
    *,
    split: Mapping[str, object],
    seed: int = 0,
    state_uri: str | None = None,  # noqa: ARG001 - read by the step
) -> None:
    """The step: opens the data, decides, proves, writes both parts shard by shard."""
    asked = parse(Split, split, parameter="split")
    dataset = open_dataset(data.path)
    id_column = asked.id_column or ("id" if "id" in dataset.columns else None)
    named = [asked.time_column, asked.group_column, asked.target, asked.id_column]
    require_columns(dataset.columns, [name for name in named if name], what="The data")
    shards = [replace(dataset, shards=(shard,)) for shard in dataset.shards]
    pieces = [_keys(shard.read(), asked, id_column) for shard in shards]
    keys = _joined(pieces)
    if asked.time_column:
        _require_times(keys.columns[asked.time_column])
    parts = assign(keys, asked, seed)
    proven = prove(keys, parts, asked, seed, id_column)
    ends = np.cumsum([len(piece.labelled) for piece in pieces])[:-1]
    for artifact, rows, part in ((train_data, parts.train, "train"), (test_data, parts.test, "test")):
        with whole_folder(artifact.path) as aside:
            for number, (shard, chosen) in enumerate(zip(shards, np.split(rows, ends), strict=True)):
                if chosen.any():
                    footer = {**dataset.footers[number], "part": part}
                    write_shard(shard.read().filter(pl.Series(chosen)), aside / f"part-{number:05}.parquet", footer)
        _describe(artifact, open_dataset(artifact.path), proven, part)
    write_document(proofs, proven)
    describe(proofs, rows=proven.rows.given, decision=_summary(proven))
    decided(_summary(proven), rows=proven.rows.given, **proven.rows.model_dump())


def _keys(frame: pl.DataFrame, split: Split, id_column: str | None) -> Keys:
    content = stable_hash(frame.drop(id_column) if id_column else frame)
    ids = stable_hash(frame.select(id_column)) if id_column else content
    named = {name for name in (split.target, split.group_column, split.time_column) if name}
    columns = frame.select(sorted(named))
    if split.time_column:
        columns = columns.with_columns(_times(frame[split.time_column]))
    labelled = np.ones(frame.height, dtype=np.bool_)
    if split.target:
        labels = frame[split.target]
        labelled = (labels.fill_nan(None) if labels.dtype.is_float() else labels).is_not_null().to_numpy()
    return Keys(ids, content, labelled, columns)


def _times(column: pl.Series) -> pl.Series:
    """UTC microseconds."""
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        raise HeadwayError(
            "split.time_type",
            f"Time column {column.name!r} holds {column.dtype}, not dates or times.",
            value=column.name,
            remedy="Parse it at ingestion.",
        )
    return column.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None))).to_physical()


def _require_times(column: pl.Series) -> None:
    missing = column.null_count()
    if missing:
        raise HeadwayError(
            "split.time_null",
            f"Without a time in {column.name!r}, {counted(missing, 'row')} cannot be put before or after anything.",
            value=column.name,
            remedy="Filter these rows at ingestion, or name another time column.",
        )


def _joined(pieces: list[Keys]) -> Keys:
    return Keys(
        np.concatenate([piece.ids for piece in pieces]),
        np.concatenate([piece.contents for piece in pieces]),
        np.concatenate([piece.labelled for piece in pieces]),
        pl.concat([piece.columns for piece in pieces], how="vertical"),
    )


def _describe(artifact: Artifact, written: Dataset, proven: Proofs, part: str) -> None:
    times = proven.times.model_dump() if proven.times else {}
    describe(
        artifact,
        rows=written.rows,
        columns=len(written.columns),
        size_bytes=written.size_bytes,
        fingerprint=written.fingerprint,
        time_start=times.get(f"{part}_start"),
        time_end=times.get(f"{part}_end"),
    )


def _summary(proven: Proofs) -> str:
    rows = proven.rows
    parts = [f"{rows.train:,} training and {rows.test:,} test rows"]
    if proven.split.strategy == "time" and proven.times:
        parts.append(f"the test part begins at {proven.times.test_start}")
    if rows.without_label:
        parts.append(f"{counted(rows.without_label, 'row')} without a label set aside")
    if rows.embargoed:
        parts.append(
            f"{counted(rows.embargoed, 'row')} left out, less than {proven.split.embargo} before the test part"
        )
    if proven.duplicates.training_rows:
        done = "dropped" if proven.split.duplicates == "drop" else "kept"
        repeated = counted(proven.duplicates.training_rows, "training row")
        parts.append(f"{repeated} with the same content as a test row {done}")
    return "; ".join(parts)

"""The step `ingest_data`: finds the sources, and converts them or adopts what was made of the same ones before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import Artifact, describe
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset, publish, read_manifest, write_manifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted
from headway.components._shared.steps import decided, step
from headway.components._shared.storage.folders import (
    folder_aside,
    put_in_place,
    scratch_folder,
    whole_folder,
    write_failed,
)
from headway.components._shared.times import format_time
from headway.components.ingestion.config import Source
from headway.components.ingestion.convert import convert
from headway.components.ingestion.recall import Recall, source_key
from headway.components.ingestion.rows import Counts
from headway.components.ingestion.sources import SourceFile, find_files

# A folder that outlives runs: `headway run` sets it, and datasets are then kept there once, by their content.
HOME_VARIABLE = "HEADWAY_ARTIFACTS"


@step("ingest_data")
def ingest(data: Artifact, *, source: Mapping[str, object], seed: int = 0, state_uri: str | None = None) -> None:  # noqa: ARG001 - read by the step
    """Writes the chosen rows of raw files as a Dataset artifact.

    Args:
        data: The artifact to write; with `HEADWAY_ARTIFACTS` set it is pointed at the dataset's folder there.
        source: See `config.Source`.
        seed: Of the sample.
        state_uri: For the step's record.

    Raises:
        HeadwayError: `source.*` for what was asked, `data.*` for what the files hold, `storage.*` for where they lie.
    """
    config = parse(Source, source, parameter="source")
    files = find_files(config.uris, config.format)
    key = source_key(files, config, seed)
    home = os.environ.get(HOME_VARIABLE)
    if config.data_uri:
        dataset, counts, adopted = _ingest_to_manifest(data, config, files, seed, key, home)
    elif home:
        dataset, counts, adopted = _ingest_to_home(data, config, files, seed, key, Path(home) / "datasets")
    else:
        with whole_folder(data.path) as folder:
            counts = _convert(files, config, seed, folder)
        dataset, adopted = open_dataset(data.path), False
    _describe(data, dataset, files, config.time_column)
    decided(_story(dataset, files, counts, adopted), rows=dataset.rows, adopted=adopted, left_out=vars(counts))


def _ingest_to_home(
    data: Artifact, config: Source, files: Sequence[SourceFile], seed: int, key: str, datasets: Path
) -> tuple[Dataset, Counts, bool]:
    """Keeps the dataset once by its content, so that its address, and with it every later cache key, stays the same."""
    recall = Recall(str(datasets))
    if known := recall.find(key):
        folder = datasets / str(known["fingerprint"])
        if _is_whole(folder, str(known["fingerprint"])):
            data.path = str(folder)
            return open_dataset(folder), Counts(**known["counts"]), True
    try:
        with folder_aside(datasets / "ingest") as aside:
            counts = _convert(files, config, seed, aside)
            fingerprint = open_dataset(aside).fingerprint
            if not _is_whole(datasets / fingerprint, fingerprint):
                put_in_place(aside, datasets / fingerprint)
    except OSError as error:
        raise write_failed(datasets, error) from error
    recall.keep(key, {"fingerprint": fingerprint, "counts": vars(counts)})
    data.path = str(datasets / fingerprint)
    return open_dataset(data.path), counts, False


def _ingest_to_manifest(
    data: Artifact, config: Source, files: Sequence[SourceFile], seed: int, key: str, home: str | None
) -> tuple[Dataset, Counts, bool]:
    """Keeps the shards at `data_uri`; the artifact is only their manifest."""
    recall = Recall(str(config.data_uri))
    known = recall.find(key)
    manifest, counts = (known["manifest"], Counts(**known["counts"])) if known else ({}, Counts())
    adopted = bool(manifest) and _is_there(manifest)
    if not adopted:
        with scratch_folder() as folder:
            counts = _convert(files, config, seed, folder)
            manifest = publish(open_dataset(folder), str(config.data_uri))
        recall.keep(key, {"manifest": manifest, "counts": vars(counts)})
    if home:
        data.path = str(Path(home) / "manifests" / source_key(files, config, seed))
    write_manifest(manifest, data.path)
    return open_dataset(data.path), counts, adopted


def _convert(files: Sequence[SourceFile], config: Source, seed: int, folder: Path) -> Counts:
    try:
        counts = convert(files, config, seed, folder)
    except OSError as error:
        raise write_failed(folder, error) from error
    if not any(folder.glob("*.parquet")):
        raise HeadwayError(
            "data.empty",
            f"No row is left of {counts.read:,}{_left_out(counts)}." if counts.read else "The files hold no row.",
            value=[file.uri for file in files[:5]],
            remedy="Widen the window or the row filter, raise the sample, or check the files.",
        )
    return counts


def _is_whole(folder: Path, fingerprint: str) -> bool:
    try:
        return open_dataset(folder).fingerprint == fingerprint
    except HeadwayError:
        return False


def _is_there(manifest: Mapping[str, object]) -> bool:
    try:
        read_manifest(manifest)
    except HeadwayError as error:
        if error.code == "data.shard_missing":
            return False
        raise
    return True


def _describe(data: Artifact, dataset: Dataset, files: Sequence[SourceFile], time_column: str | None) -> None:
    low = high = None
    if time_column and isinstance(dataset.columns.get(time_column), pl.Datetime | pl.Date):
        low, high = dataset.time_span(time_column)
    shown = ", ".join(file.label for file in files[:5])
    describe(
        data,
        rows=dataset.rows,
        columns=len(dataset.columns),
        size_bytes=dataset.size_bytes,
        fingerprint=dataset.fingerprint,
        sources=shown if len(files) <= 5 else f"{shown} and {len(files) - 5} more",
        time_start=format_time(low) if low else None,
        time_end=format_time(high) if high else None,
    )


def _story(dataset: Dataset, files: Sequence[SourceFile], counts: Counts, adopted: bool) -> str:
    columns = counted(len(dataset.columns), "column")
    what = f"{dataset.rows:,} of {counted(counts.read, 'row')}, {columns}, {counted(len(files), 'file')}"
    what += _left_out(counts)
    if counts.repeated:
        what += f"; {counted(counts.repeated, 'row')} exactly like an earlier one"
    return f"{what}; adopted, the sources did not change" if adopted else what


def _left_out(counts: Counts) -> str:
    reasons = {
        "by the filter": counts.filtered,
        "outside the window": counts.outside_window,
        "without a time": counts.without_time,
        "by the sample": counts.unsampled,
    }
    said = [f"{number:,} {reason}" for reason, number in reasons.items() if number]
    return f"; left out: {', '.join(said)}" if said else ""

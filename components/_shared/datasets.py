"""Opens and writes Datasets, the one place that knows their form: Parquet shards in a folder, or a manifest of URIs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import dump_json
from headway.components._shared.storage import cloud_options, open_storage
from headway.components._shared.storage.folders import whole_folder, write_failed

FOOTER = "headway"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Dataset:
    """A dataset that is there: where its shards are and what is known without reading their rows.

    Attributes:
        shards: Paths or URIs of the Parquet files, in order.
        columns: Name to polars type, in order.
        rows: Number of rows.
        size_bytes: Of all shards.
        fingerprint: sha256 over the sorted content hashes of the shards, so independent of their order.
        footers: What the writer left in each shard's Parquet footer under `headway`, one a shard.
    """

    shards: tuple[str, ...]
    columns: Mapping[str, pl.DataType]
    rows: int
    size_bytes: int
    fingerprint: str
    footers: tuple[Mapping[str, object], ...] = field(repr=False)

    def scan(self) -> pl.LazyFrame:
        """All rows, lazily, shard by shard."""
        return _scan(self.shards)

    def read(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows in memory, of some columns or of all."""
        frame = self.scan()
        return (frame if columns is None else frame.select(columns)).collect()

    def time_span(self, column: str) -> tuple[datetime | None, datetime | None]:
        """Earliest and latest time of a column of dates or times, in UTC; None where it has no value."""
        time = pl.col(column).cast(pl.Datetime("us", "UTC"))
        low, high = self.scan().select(low=time.min(), high=time.max()).collect().row(0)
        return low, high

    def sources(self) -> list[Mapping[str, object]]:
        """The files that the rows came from, each once and by uri: uri, size_bytes, modified, generation, checksum."""
        found = {str(f["source"]): f["source"] for f in self.footers if isinstance(f.get("source"), dict)}
        return sorted((s for s in found.values() if isinstance(s, dict)), key=lambda s: (str(s["uri"]), str(s)))


def open_dataset(path: str | Path) -> Dataset:
    """Opens a Dataset artifact: a folder of Parquet shards, or one whose only file is the manifest of shards elsewhere.

    Raises:
        HeadwayError: `data.missing`, `data.empty`, `data.unreadable`, `data.shards_differ`, `data.shard_missing`.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file():
        return read_manifest(json.loads((folder / MANIFEST).read_text()))
    shards = sorted(str(p) for p in folder.glob("*.parquet")) if folder.is_dir() else []
    if not shards:
        raise HeadwayError(
            "data.missing", "There is no dataset here.", value=str(path), remedy="Give a folder of Parquet shards."
        )
    schemas = {shard: _shard_schema(shard) for shard in shards}
    first = schemas[shards[0]]
    for shard, schema in schemas.items():
        if schema != first:
            raise HeadwayError(
                "data.shards_differ",
                f"Shard {Path(shard).name} has other columns or types than {Path(shards[0]).name}.",
                value=sorted({str(item) for item in set(schema.items()) ^ set(first.items())}),
                remedy="Write the dataset again with one set of columns.",
            )
    rows = _rows(shards)
    if rows == 0:
        raise HeadwayError(
            "data.empty", "The dataset has no rows.", value=str(path), remedy="Widen the window or the row filter."
        )
    hashes = [content_sha256(Path(shard)) for shard in shards]
    size = sum(Path(shard).stat().st_size for shard in shards)
    return Dataset(tuple(shards), first, rows, size, fingerprint(hashes), tuple(_footer(shard) for shard in shards))


def write_dataset(
    frames: Mapping[str, pl.DataFrame], path: str | Path, footer: Mapping[str, object] | None = None
) -> Dataset:
    """Writes frames as shards and opens the result; the folder appears whole or not at all.

    Args:
        frames: Shard name (without ending) to rows; all of the same columns and types.
        path: The artifact's folder; replaced if it is there.
        footer: JSON values for each shard's Parquet footer.

    Raises:
        HeadwayError: `data.write_failed`, and whatever `open_dataset` finds wrong.
    """
    with whole_folder(path) as aside:
        for name, frame in frames.items():
            write_shard(frame, aside / f"{name}.parquet", footer or {})
    return open_dataset(path)


def write_shard(frame: pl.DataFrame, path: Path, footer: Mapping[str, object]) -> None:
    """Writes one Parquet shard with our footer; the same rows and footer give the same bytes.

    Raises:
        HeadwayError: `data.write_failed`.
    """
    try:
        frame.write_parquet(path, compression="zstd", metadata={FOOTER: json.dumps(footer, sort_keys=True)})
    except (OSError, pl.exceptions.ComputeError) as error:
        raise write_failed(path, error) from error


def publish(dataset: Dataset, data_uri: str) -> dict[str, object]:
    """Copies a dataset's shards to a folder, `gs://` or `s3://` place, each only if absent, and gives their manifest.

    Shards are named by their content, so that a second try, another writer or another dataset with the same shard
    finds it there.
    """
    storage = open_storage(data_uri)
    shards = []
    for shard, footer in zip(dataset.shards, dataset.footers, strict=True):
        digest = content_sha256(Path(shard))
        key = f"{digest}.parquet"
        storage.upload(Path(shard), key)
        stat = storage.stat(key)
        shards.append(
            {
                "uri": f"{storage.uri}/{key}",
                "rows": _rows([shard]),
                "size_bytes": stat.size_bytes if stat else 0,
                "content_sha256": digest,
                "footer": footer,
            }
        )
    return {"schema_version": 1, "kind": "dataset", "fingerprint": dataset.fingerprint, "shards": shards}


def write_manifest(manifest: Mapping[str, object], path: str | Path) -> None:
    """Writes the manifest form of a Dataset artifact: a folder whose only file is `manifest.json`."""
    with whole_folder(path) as aside:
        (aside / MANIFEST).write_bytes(dump_json(manifest))


def read_manifest(manifest: Mapping[str, object]) -> Dataset:
    """The dataset that a manifest describes; looks whether every shard is there, reads none of their rows.

    Raises:
        HeadwayError: `data.manifest_unreadable`, `data.shard_missing`, `data.unreadable`.
    """
    shards = manifest.get("shards")
    if manifest.get("schema_version") != 1 or not isinstance(shards, list) or not shards:
        raise HeadwayError(
            "data.manifest_unreadable",
            f"{MANIFEST} is not a dataset's manifest that this version reads.",
            value=manifest.get("schema_version"),
            remedy="Ingest the data again with this version of the suite.",
        )
    uris = tuple(str(shard["uri"]) for shard in shards)
    _require_shards({str(shard["uri"]): int(shard["size_bytes"]) for shard in shards})
    return Dataset(
        shards=uris,
        columns=_shard_schema(uris[0]),
        rows=sum(int(shard["rows"]) for shard in shards),
        size_bytes=sum(int(shard["size_bytes"]) for shard in shards),
        fingerprint=fingerprint([str(shard["content_sha256"]) for shard in shards]),
        footers=tuple(shard["footer"] for shard in shards),
    )


def fingerprint(shard_hashes: Sequence[str]) -> str:
    """sha256 over the sorted content hashes of the shards."""
    return hashlib.sha256("\n".join(sorted(shard_hashes)).encode()).hexdigest()


def content_sha256(shard: Path) -> str:
    """sha256 over a shard's columns, types and data, without its footer: where rows came from is not what they are."""
    digest = hashlib.sha256(repr([(n, str(t)) for n, t in _shard_schema(str(shard)).items()]).encode())
    with shard.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        data = file.tell() - int.from_bytes(file.read(4), "little")
        file.seek(0)
        while data > 0 and (block := file.read(min(data, 1 << 20))):
            digest.update(block)
            data -= len(block)
    return digest.hexdigest()


def _scan(shards: Sequence[str]) -> pl.LazyFrame:
    return pl.scan_parquet(list(shards), glob=False, storage_options=cloud_options(shards[0]))


def _rows(shards: Sequence[str]) -> int:
    return int(_scan(shards).select(pl.len()).collect().item())


def _footer(shard: str) -> dict[str, object]:
    footer: dict[str, object] = json.loads(pl.read_parquet_metadata(shard).get(FOOTER, "{}"))
    return footer


def _shard_schema(shard: str) -> dict[str, pl.DataType]:
    try:
        return dict(_scan([shard]).collect_schema())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise HeadwayError(
            "data.unreadable",
            f"Shard {Path(shard).name} is not a readable Parquet file: {error}.",
            value=shard,
            remedy="Write the dataset again; the file is truncated or not Parquet.",
        ) from None


def _require_shards(sizes: Mapping[str, int]) -> None:
    """Every shard of a manifest lies where it says, in its size."""
    for place in sorted({uri.rpartition("/")[0] for uri in sizes}):
        there = {f"{place}/{stat.key}": stat.size_bytes for stat in open_storage(place).list()}
        lost = [u for u, size in sizes.items() if u.rpartition("/")[0] == place and there.get(u) != size]
        if lost:
            raise HeadwayError(
                "data.shard_missing",
                f"{len(lost)} of {len(sizes)} shards of the dataset are gone or were changed.",
                value=lost[0],
                remedy="Ingest the data again, and keep lifecycle rules away from data_uri.",
            )

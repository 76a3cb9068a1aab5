"""Opens and writes Datasets, the one place that knows their form: a folder of Parquet shards, or a manifest of shard URIs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from headway.components._shared.errors import HeadwayError

FOOTER = "headway"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Dataset:
    """A dataset that is there: where its shards are and what is known without reading their rows.

    Attributes:
        shards: Paths or URIs of the Parquet files, sorted.
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
        return pl.scan_parquet(list(self.shards))

    def read(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows in memory, of some columns or of all."""
        frame = self.scan()
        return (frame if columns is None else frame.select(columns)).collect()


def open_dataset(path: str | Path) -> Dataset:
    """Opens a Dataset artifact.

    Raises:
        HeadwayError: `data.missing`, `data.empty`, `data.unreadable`, `data.shards_differ`.
    """
    folder = Path(path)
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
    rows = int(pl.scan_parquet(shards).select(pl.len()).collect().item())
    if rows == 0:
        raise HeadwayError(
            "data.empty", "The dataset has no rows.", value=str(path), remedy="Widen the window or the row filter."
        )
    hashes = [_sha256(Path(shard)) for shard in shards]
    footers = tuple(json.loads(pl.read_parquet_metadata(shard).get(FOOTER, "{}")) for shard in shards)
    size = sum(Path(shard).stat().st_size for shard in shards)
    return Dataset(tuple(shards), first, rows, size, fingerprint(hashes), footers)


def write_dataset(
    frames: Mapping[str, pl.DataFrame], path: str | Path, footer: Mapping[str, object] | None = None
) -> Dataset:
    """Writes frames as shards and opens the result; the folder appears whole or not at all.

    Args:
        frames: Shard name (without ending) to rows; all of the same columns and types.
        path: The artifact's folder; replaced if it is there.
        footer: JSON values for each shard's Parquet footer.
    """
    target = Path(path)
    aside = target.with_name(f".aside-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        for name, frame in frames.items():
            write_shard(frame, aside / f"{name}.parquet", footer or {})
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    except OSError as error:
        raise HeadwayError(
            "data.write_failed",
            f"The dataset could not be written: {error.strerror or error}.",
            value=str(target),
            remedy="Free space or choose another place; nothing half-written was left.",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return open_dataset(target)


def write_shard(frame: pl.DataFrame, path: Path, footer: Mapping[str, object]) -> None:
    """Writes one Parquet shard with our footer; the same rows and footer give the same bytes."""
    frame.write_parquet(path, compression="zstd", metadata={FOOTER: json.dumps(footer, sort_keys=True)})


def fingerprint(shard_hashes: Sequence[str]) -> str:
    """sha256 over the sorted content hashes of the shards."""
    return hashlib.sha256("\n".join(sorted(shard_hashes)).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shard_schema(shard: str) -> dict[str, pl.DataType]:
    try:
        return dict(pl.read_parquet_schema(shard))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise HeadwayError(
            "data.unreadable",
            f"Shard {Path(shard).name} is not a readable Parquet file: {error}.",
            value=shard,
            remedy="Write the dataset again; the file is truncated or not Parquet.",
        ) from None

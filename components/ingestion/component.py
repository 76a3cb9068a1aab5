"""The KFP interface of ingestion."""

from typing import Any, Optional

from kfp.dsl import Dataset, Output

from headway.components._shared.component import component


@component(image="tabular")
def ingest_data(
    data: Output[Dataset],
    source: dict[str, Any],
    seed: int = 0,
    state_uri: Optional[str] = None,
) -> None:
    """Reads raw files into one typed Dataset whose rows have ids and whose sources are known.

    Reads CSV (also zipped or gzipped), Parquet and JSON lines as a stream, in bounded memory. Values are never changed
    silently: a broken row, a value that does not fit its column, or files that disagree are errors that name file, line
    and column. Never cached: it looks at the outside world. Unchanged sources are not parsed again where earlier
    datasets are at hand (`data_uri`, or a run of `headway run`).

    Args:
        source: What to read. Keys: `uris` (list of files, folders, globs; local, `gs://`, `s3://`; required), `format`
            (`auto`, `csv`, `parquet`, `jsonl`), `delimiter`, `null_values`, `types` (raw column to `integer`, `number`,
            `string`, `boolean`, `date`, `datetime`), `columns` (SQL expressions; empty takes all), `row_filter` (SQL
            condition), `time_column` with `start` and `end` (window [start, end), ISO 8601, UTC), `id_column` or
            `id_columns` (default: a hash of the raw row), `sample` (share above 0, at most 1), `data_uri` (place for
            the shards of a large dataset). See the JSON Schema of `Source`.
        seed: Chooses the rows of `sample`; nothing else depends on it.
        state_uri: Folder, `gs://` or `s3://` place for the run's records; none are kept without it.

    Returns:
        data: Parquet shards, or their manifest when `source.data_uri` is given. Metadata: rows, columns, size_bytes,
            fingerprint, sources, and time_start and time_end when there is a time column.
    """
    from headway.components.ingestion.ingest import ingest

    ingest(data, source=source, seed=seed, state_uri=state_uri)

"""The layout of an inference log, which a model server writes and monitoring reads: Parquet in folders by hour, UTC.

`date=2013-07-01/hour=06/<server>-<number>.parquet`: rows whose request arrived in that hour, one row per row that was
predicted, and one per request that was refused. Features stand under their own names, everything else with `_` before
its name. A file appears whole, and is never changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.endpoints.inference import PREDICTION, PROBABILITY
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import DTYPES, Column

ID, REQUEST, TIME, MODEL = "_id", "_request", "_time", "_model"
STATUS, LATENCY = "_status", "_latency_ms"
PREDICTED, PROBABILITIES = f"_{PREDICTION}", f"_{PROBABILITY}"

# What every row has, whether it was predicted or refused.
ALWAYS: Mapping[str, pl.DataType] = {
    ID: pl.String(),
    REQUEST: pl.String(),
    TIME: pl.Datetime("us", "UTC"),
    MODEL: pl.String(),
    STATUS: pl.Int16(),
    LATENCY: pl.Float64(),
}


def log_columns(manifest: ModelManifest) -> dict[str, pl.DataType]:
    """The columns of a model's log with their types; a column marked personal is none of them.

    Raises:
        HeadwayError: `log.name_taken`: a feature is called as a column of the log.
    """
    personal = set(manifest.schema_.names("personal"))
    features = {f.name: DTYPES[f.type] for f in manifest.features if f.name not in personal}
    answers = {PREDICTED: pl.String() if manifest.classes else pl.Float64()}
    answers |= {f"{PROBABILITIES}{label}": pl.Float64() for label in manifest.classes}
    taken = sorted(set(features) & {*ALWAYS, *answers})
    if taken:
        raise HeadwayError(
            "log.name_taken",
            "The inference log has a column of its own that is called like a feature.",
            value=taken,
            remedy="Rename the feature at ingestion; names that begin with _ are the log's.",
        )
    return {**ALWAYS, **features, **answers}


def id_column(manifest: ModelManifest) -> Column | None:
    """The column by which rows and their labels find each other: the one with the role `id`, if there is just one."""
    names = manifest.schema_.names("id")
    return manifest.schema_.column(names[0]) if len(names) == 1 else None


def logged_ids(ids: Iterable[object], column: Column | None) -> Sequence[str]:
    """Ids as they stand in a log: as text, or its sha256 where the column is marked personal."""
    text = [str(value) for value in ids]
    if column is not None and "personal" in column.roles:
        return [hashlib.sha256(value.encode()).hexdigest() for value in text]
    return text


def day_folder(time: datetime) -> str:
    """The folder of the hours of a day, such as `date=2013-07-01`."""
    return f"date={time:%Y-%m-%d}"


def hour_folder(time: datetime) -> str:
    """The folder of the rows of an hour, such as `date=2013-07-01/hour=06`."""
    return f"{day_folder(time)}/hour={time:%H}"

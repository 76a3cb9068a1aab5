"""One request that a model has answered or refused, and how requests become the rows of an inference log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from headway.components._shared import inference_logs as layout
from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.times import now


@dataclass
class Served:
    """One request, filled in where each thing is known.

    Attributes:
        time: When it arrived, UTC.
        request_id: The caller's, or one that was made up.
        frame: Its rows; None where it was refused.
        values: What was predicted, one a row.
        probabilities: Of shape (rows, classes); None for regressions.
        status: Of the answer.
        seconds: From the request's arrival to the answer; None where nobody has measured it.
    """

    time: datetime = field(default_factory=now)
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    frame: pl.DataFrame | None = None
    values: Sequence[Any] = ()
    probabilities: np.ndarray[Any, Any] | None = None
    status: int = 200
    seconds: float | None = 0.0

    @property
    def rows(self) -> int:
        """Rows that it has in the log."""
        return 1 if self.frame is None else self.frame.height


def log_rows(requests: Sequence[Served], manifest: ModelManifest) -> pl.DataFrame:
    """Requests of a model as rows of its log: the answered ones first, each in their order.

    Raises:
        HeadwayError: `log.name_taken`.
    """
    columns = layout.log_columns(manifest)
    answered = [served for served in requests if served.frame is not None]
    frames = [served.frame for served in answered if served.frame is not None]
    logged = [name for name in columns if frames and name in frames[0].columns]
    parts = [_head(answered, manifest, refused=False)]
    if frames:
        parts.append(pl.concat([frame.select(logged) for frame in frames], rechunk=True))
        parts.append(_answers(answered, manifest, columns))
    refused = _head([served for served in requests if served.frame is None], manifest, refused=True)
    whole = pl.concat([pl.concat(parts, how="horizontal"), refused], how="diagonal")
    missing = [pl.lit(None, dtype).alias(n) for n, dtype in columns.items() if n not in whole.columns]
    return whole.with_columns(missing).select(*columns)


def _head(requests: Sequence[Served], manifest: ModelManifest, *, refused: bool) -> pl.DataFrame:
    counts = np.array([served.rows for served in requests], dtype=np.int64)

    def each(values: Sequence[object], name: str) -> pl.Series:
        short = pl.Series(name, values, dtype=layout.ALWAYS[name])
        return short.gather(np.repeat(np.arange(len(values)), counts))

    ids: list[str] = []
    for served in requests:
        ids += [served.request_id] if refused else _ids(served, manifest)
    latencies = [None if served.seconds is None else round(1000 * served.seconds, 3) for served in requests]
    return pl.DataFrame(
        [
            pl.Series(layout.ID, ids, dtype=pl.String()),
            each([served.request_id for served in requests], layout.REQUEST),
            each([served.time for served in requests], layout.TIME),
            each([manifest.model_digest for _ in requests], layout.MODEL),
            each([served.status for served in requests], layout.STATUS),
            each(latencies, layout.LATENCY),
        ]
    )


def _ids(served: Served, manifest: ModelManifest) -> Sequence[str]:
    """Of the rows: the caller's, or else made of the request's."""
    assert served.frame is not None
    by = layout.id_column(manifest)
    if by and by.name in served.frame.columns:
        return layout.logged_ids(served.frame[by.name], by)
    request = served.request_id
    return [request] if served.rows == 1 else [f"{request}/{row}" for row in range(served.rows)]


def _answers(requests: Sequence[Served], manifest: ModelManifest, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    classes = manifest.classes
    values = [str(v) if classes else v for served in requests for v in served.values]
    found = [pl.Series(layout.PREDICTED, values, dtype=columns[layout.PREDICTED])]
    given = [served.probabilities for served in requests if served.probabilities is not None]
    if given:
        stacked = np.concatenate(given)
        names = [f"{layout.PROBABILITIES}{label}" for label in classes]
        found += [pl.Series(name, stacked[:, i]) for i, name in enumerate(names)]
    return pl.DataFrame(found)

"""Reads what KServe's own logger writes to a bucket, for endpoints whose model server writes no log of ours.

The logger (KServe 0.16 on) puts each request and each answer of status 200 into an object, alone or in batches, as
JSON, CSV or Parquet; the bodies are base64. Which request an answer belongs to is said by `id`. Only JSON has the time
of a record, and only since KServe 0.19; elsewhere an object's time of writing stands for it.
"""

from __future__ import annotations

import base64
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.endpoints.inference import DIGEST_ANNOTATION, PREDICTION, PROBABILITY, PROBE_HEADER
from headway.components._shared.endpoints.requests import Inputs, Tensor
from headway.components._shared.endpoints.served import Served, log_rows
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ALWAYS, ID, LATENCY, MODEL, PREDICTED, REQUEST, STATUS, TIME
from headway.components._shared.storage import Stat, open_storage
from headway.components._shared.times import parse_time
from headway.components.monitoring.window.span import HOUR, Counted, Span

PREFIX = "kserve+"
UNANSWERED = 0  # the status of a request without an answer: refused, failed, or the logger lost it
UNKNOWN = "unknown"
_REQUEST, _RESPONSE = "org.kubeflow.serving.inference.request", "org.kubeflow.serving.inference.response"
_ANY_ROWS = 2**31


class KServeObjects:
    """The part of such a log that lies in a window; all of it is in memory at once.

    Args:
        uri: Folder, or `gs://` or `s3://` prefix, below which the objects of one InferenceService are.
        columns: What is wanted of a row, with types.
        manifest: Of the model whose rows are wanted; of other versions' rows no feature is known.
        span: The window.
        counted: Where objects that cannot be read are counted.
    """

    def __init__(
        self, uri: str, columns: Mapping[str, pl.DataType], manifest: ModelManifest, span: Span, counted: Counted
    ) -> None:
        self._storage = open_storage(uri)
        self._columns = columns
        self._manifest = manifest
        self._inputs = Inputs(manifest, _ANY_ROWS)
        self._span = span
        self._counted = counted
        self._rows: pl.DataFrame | None = None

    def batches(self) -> Iterator[list[str]]:
        """One batch: a request and its answer may be in different objects."""
        yield []

    def read(self, files: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:  # noqa: ARG002 - there is one batch
        """The rows of the requests that arrived in the window."""
        if self._rows is None:
            self._rows = self._span.within(self._all())
        return self._rows.select(*columns)

    def _all(self) -> pl.DataFrame:
        requests: dict[str, list[_Record]] = defaultdict(list)
        answers: dict[str, list[_Record]] = defaultdict(list)
        for record in self._records():
            if record.kind == _REQUEST:
                requests[record.id].append(record)
            elif record.kind == _RESPONSE:
                answers[record.id].append(record)
        ours: list[Served] = []
        others: list[pl.DataFrame] = []
        for each, asked in requests.items():
            # Callers may name requests, and may use a name again.
            answered = [*answers[each], *[None] * len(asked)]
            for request, answer in zip(asked, answered, strict=False):
                self._take(request, answer, ours, others)
        frames = [_only(frame, self._columns) for frame in (log_rows(ours, self._manifest), *others)]
        return pl.concat(frames)

    def _take(self, request: _Record, answer: _Record | None, ours: list[Served], others: list[pl.DataFrame]) -> None:
        """Adds a request to those of our model, or the rows of another version to the others'."""
        try:
            asked = json.loads(request.body)
            told = _Answer.of(json.loads(answer.body)) if answer else None
        except (ValueError, TypeError, KeyError, AttributeError):
            self._counted.foreign.append(request.place)
            return
        if request.probe:
            return
        seconds = (answer.time - request.time).total_seconds() if answer and answer.timed and request.timed else None
        name = _name(asked, told, request)
        served = Served(request.time, name, status=200 if told else UNANSWERED, seconds=seconds)
        digest = (told.digest if told else None) or request.digest or UNKNOWN
        if digest != self._manifest.model_digest:
            others.append(_rows_of_another(digest, served, told))
            return
        if told:
            try:
                served.frame = self._frame(asked)
                served.values = told.values
                served.probabilities = told.probabilities(self._manifest.classes)
                if len(served.values) != served.frame.height:
                    raise KeyError(PREDICTION)
            except (HeadwayError, KeyError, TypeError, AttributeError):
                # The caller has asked for some of the outputs alone, or the model is another server's.
                self._counted.foreign.append(request.place)
                return
        ours.append(served)

    def _frame(self, asked: Mapping[str, Any]) -> pl.DataFrame:
        if "instances" in asked:
            return self._inputs.read_instances(asked["instances"])
        tensors = [Tensor(each["name"], each["datatype"], each["shape"], each["data"]) for each in asked["inputs"]]
        return self._inputs.read_tensors(tensors)

    def _records(self) -> Iterator[_Record]:
        """The records of the objects that were written from the window's start to an hour after its end, by time."""
        stats = [each for each in self._storage.list() if self._span.start <= each.modified < self._span.end + HOUR]
        for stat in sorted(stats, key=lambda each: (each.modified, each.key)):
            place = f"{self._storage.uri}/{stat.key}"
            try:
                content = self._storage.read(stat.key)
                yield from [_record(each, stat, place) for each in _READERS[stat.key.rpartition(".")[2]](content)]
            except (KeyError, ValueError, TypeError, AttributeError, pl.exceptions.PolarsError):
                self._counted.damaged.append(place)


@dataclass(frozen=True)
class _Record:
    """One record of the logger."""

    kind: str
    id: str
    body: bytes
    time: datetime
    timed: bool
    digest: str | None
    probe: bool
    place: str
    header_id: str | None


@dataclass(frozen=True)
class _Answer:
    """What a model of ours has answered, over v1 or v2."""

    values: Sequence[Any]
    by_class: Mapping[str, Sequence[float]]
    digest: str | None
    id: str | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> _Answer:
        if "outputs" in body:
            outputs = {each["name"]: each["data"] for each in body["outputs"]}
            by_class = {n.removeprefix(PROBABILITY): p for n, p in outputs.items() if n.startswith(PROBABILITY)}
            digest = (body.get("parameters") or {}).get("model_digest")
            return cls(outputs.get(PREDICTION, ()), by_class, digest, body.get("id"))
        classes, table = body.get("classes") or (), body.get("probabilities") or ()
        by_class = {str(label): [row[i] for row in table] for i, label in enumerate(classes)}
        return cls(body["predictions"], by_class, body.get("model_digest"), None)

    def probabilities(self, classes: Sequence[object]) -> np.ndarray[Any, Any] | None:
        return np.column_stack([self.by_class[str(label)] for label in classes]) if classes else None


def _record(found: Mapping[str, Any], stat: Stat, place: str) -> _Record:
    said = found.get("occurrenceTime") or ""
    timed = bool(said) and not said.startswith("0001-")  # Go's time of nothing
    annotations, headers = _mapping(found.get("annotations")), _mapping(found.get("metadata"))
    by_header = {name.lower(): values for name, values in headers.items()}
    given = by_header.get("x-request-id") or [None]
    return _Record(
        kind=found["reqType"],
        id=found["id"],
        body=base64.b64decode(found.get("bytes") or "", validate=True),
        time=parse_time(said) if timed else stat.modified,
        timed=timed,
        digest=annotations.get(DIGEST_ANNOTATION),
        probe=PROBE_HEADER in by_header,
        place=place,
        header_id=given[0],
    )


def _mapping(value: object) -> Mapping[str, Any]:
    """A mapping, which CSV and Parquet have as JSON."""
    found = json.loads(value) if isinstance(value, str) and value else value
    return found if isinstance(found, Mapping) else {}


def _name(asked: Mapping[str, Any], told: _Answer | None, request: _Record) -> str:
    """What our server would call the request: as the caller does, else as the logger does."""
    return str(asked.get("id") or request.header_id or (told and told.id) or request.id)[:200]


def _rows_of_another(digest: str, served: Served, told: _Answer | None) -> pl.DataFrame:
    """The rows of another version, or of nobody knows which."""
    count = len(told.values) if told else 1
    names = [served.request_id] if count == 1 else [f"{served.request_id}/{row}" for row in range(count)]
    values = [None if not told else str(value) for value in (told.values if told else [None])]
    latency = None if served.seconds is None else 1000 * served.seconds
    columns: dict[str, object] = {
        ID: names,
        REQUEST: served.request_id,
        TIME: served.time,
        MODEL: digest,
        STATUS: served.status,
        LATENCY: latency,
        PREDICTED: values,
    }
    return pl.DataFrame(columns, schema={**ALWAYS, PREDICTED: pl.String()}, strict=False)


def _only(frame: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The wanted columns in their types; null where a version has none."""
    return frame.select(
        frame[name].cast(dtype).alias(name) if name in frame.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in columns.items()
    )


def _from_json(content: bytes) -> Sequence[Mapping[str, Any]]:
    found = json.loads(content)
    return found if isinstance(found, list) else [found]


_READERS: Mapping[str, Callable[[bytes], Sequence[Mapping[str, Any]]]] = {
    "json": _from_json,
    "csv": lambda content: pl.read_csv(io.BytesIO(content), infer_schema=False).to_dicts(),
    "parquet": lambda content: pl.read_parquet(io.BytesIO(content)).to_dicts(),
}

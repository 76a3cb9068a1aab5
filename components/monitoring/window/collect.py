"""The step `collect_window`: one window of an inference log as a Dataset, with the labels that have arrived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    ModelManifest,
    describe,
    read_manifest,
    show_metrics,
    write_document,
)
from headway.components._shared.datasets import Dataset, open_dataset, write_shard
from headway.components._shared.endpoints.log import log_key
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ID, MODEL, STATUS, TIME
from headway.components._shared.releases import has_release
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State, checked_model_name, dump_json
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.storage.folders import whole_folder
from headway.components._shared.times import format_time, in_a_name, parse_time
from headway.components.monitoring.window.labels import LABEL_TIME, Labels, read_labels
from headway.components.monitoring.window.log import Log, require_rows
from headway.components.monitoring.window.report import write_report
from headway.components.monitoring.window.result import LabelCounts, WindowResult
from headway.components.monitoring.window.span import Span

_DELAYS = (0.5, 0.9, 0.99)


@step("collect_window")
def collect_window(
    model: Artifact,
    window: Artifact,
    summary: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    model_name: str,
    start: str,
    end: str,
    labels: Artifact | None = None,
    label_cutoff: str | None = None,
    log_uri: str | None = None,
    state_uri: str | None = None,
) -> None:
    """Reads a window of a log, joins the labels, and writes both down with what was left out."""
    manifest = read_manifest(model.path)
    span = window_span(start, end)
    cutoff = parse_time(label_cutoff) if label_cutoff else None
    state = State(state_uri) if state_uri else None
    log = Log(log_place(log_uri, state, model_name), manifest, span)
    known = read_labels(open_dataset(labels.path), manifest, cutoff) if labels is not None else None

    result = collect(log, manifest, window.path, model_name, known, state)
    result = result.model_copy(update={"label_cutoff": format_time(cutoff) if cutoff else None})
    if state:
        result = _beside_the_first(state, result)
    write_document(summary, result)
    write_report(report.path, result)
    keep_report(report.path)
    describe(window, rows=result.rows, fingerprint=result.fingerprint, model_digest=result.model_digest)
    describe(window, time_start=result.start, time_end=result.end)
    describe(summary, rows=result.rows, model_digest=result.model_digest, decision=told(result))
    shown = {"rows": result.rows, "requests": result.requests, "labelled": result.labelled, "coverage": result.coverage}
    show_metrics(metrics, shown)
    decided(told(result), rows=result.rows, labelled=result.labelled)


def collect(
    log: Log, manifest: ModelManifest, folder: str | Path, model_name: str, labels: Labels | None, state: State | None
) -> WindowResult:
    """Writes the window's rows as shards by hour or day, so that the same rows give the same bytes.

    Args:
        log: For the window.
        manifest: Of the model.
        folder: Where the Dataset is written; it appears whole or not at all.
        model_name: The endpoint.
        labels: Known labels.
        state: Where releases are, by which versions are known.

    Raises:
        HeadwayError: `window.empty`, `data.write_failed`.
    """
    join = _Join(manifest, labels)
    hourly: dict[str, tuple[int, int]] = {}
    with whole_folder(folder) as aside:
        for part in log.parts():
            joined = join.with_labels(part)
            hourly |= _hourly(joined, manifest.target)
            for (unit,), rows in joined.group_by(pl.col(TIME).dt.truncate(log.span.unit), maintain_order=True):
                write_shard(rows, aside / f"{unit:%Y-%m-%dT%H}.parquet", {"begin": format_time(unit)})
        require_rows(log.counted, sum(rows for rows, _ in hourly.values()), log.uri)
    dataset = open_dataset(folder)
    return _result(log, manifest, model_name, state).model_copy(
        update={
            "rows": dataset.rows,
            "fingerprint": dataset.fingerprint,
            "labelled": sum(labelled for _, labelled in hourly.values()),
            "hourly": hourly,
            "labels": join.counts(dataset) if labels else None,
        }
    )


def _hourly(rows: pl.DataFrame, target: str) -> dict[str, tuple[int, int]]:
    """Hour to rows and rows with a label."""
    hours = rows.group_by(pl.col(TIME).dt.truncate("1h"), maintain_order=True)
    counts = hours.agg(rows=pl.len(), labelled=pl.col(target).count())
    return {format_time(hour): (total, labelled) for hour, total, labelled in counts.iter_rows()}


def empty_window(log: Log, manifest: ModelManifest, model_name: str, state: State | None) -> WindowResult:
    """What there is to say of a window in which `collect` found no row of this model: what was there instead."""
    return _result(log, manifest, model_name, state)


def _result(log: Log, manifest: ModelManifest, model_name: str, state: State | None) -> WindowResult:
    """What was counted in the log."""
    found = log.counted
    others = sorted(found.other_models)
    unknown = [digest for digest in others if state and not is_released(state, model_name, digest)]
    return WindowResult(
        model_name=checked_model_name(model_name),
        model_digest=manifest.model_digest,
        start=format_time(log.span.start),
        end=format_time(log.span.end),
        rows=0,
        requests=found.requests,
        fingerprint="",
        refused={str(status): count for status, count in sorted(found.refused.items())},
        other_models={digest[:12]: found.other_models[digest] for digest in others},
        unregistered=tuple(digest[:12] for digest in unknown),
        duplicates=found.duplicates,
        damaged=tuple(sorted(found.damaged)),
        foreign=tuple(sorted(found.foreign)),
    )


def told(result: WindowResult) -> str:
    """The result in one line."""
    said = f"{counted(result.rows, 'row')} of {counted(result.requests, 'request')}"
    if result.coverage is not None:
        said += f", {result.coverage:.1%} with a label"
    if result.changed:
        said += "; another window than when it was collected first"
    return said


class _Join:
    """Gives rows their labels, and keeps count.

    Args:
        manifest: Of the model.
        labels: Known labels; None leaves the column of the target empty.
    """

    def __init__(self, manifest: ModelManifest, labels: Labels | None) -> None:
        self.target = manifest.target
        self.dtype = pl.String() if manifest.classes else pl.Float64()
        self.labels = labels

    def with_labels(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with a column of the target, and when each label was known where that is known."""
        rows = rows.drop(MODEL, STATUS)
        if self.labels is None:
            return rows.with_columns(pl.lit(None, self.dtype).alias(self.target))
        return rows.join(self.labels.frame, on=ID, how="left", maintain_order="left")

    def counts(self, window: Dataset) -> LabelCounts:
        """What became of the labels."""
        labels = self.labels
        assert labels is not None
        labelled = window.scan().filter(pl.col(self.target).is_not_null())
        found = labelled.select(pl.len()).collect().item()
        told = {
            "given": labels.given,
            "later": labels.later,
            "missing": labels.missing,
            "unknown_class": labels.unknown_class,
            "repeated": labels.repeated,
            "conflicts": labels.conflicts,
            "other_windows": labels.frame.height - found,
        }
        if LABEL_TIME not in labels.frame.columns or not found:
            return LabelCounts(**told)
        delay = (pl.col(LABEL_TIME) - pl.col(TIME)).dt.total_microseconds() / 1e6
        delays = labelled.select(delay.alias("s")).collect()["s"]
        quantiles = tuple(float(delays.quantile(q, "linear") or 0.0) for q in _DELAYS)
        return LabelCounts(**told, before_prediction=int((delays < 0).sum()), delay_s=quantiles)


def window_span(start: str, end: str) -> Span:
    """The window between two times.

    Raises:
        HeadwayError: `time.unreadable`, `window.backwards`.
    """
    first, last = parse_time(start), parse_time(end)
    if first >= last:
        raise HeadwayError(
            "window.backwards",
            "The window ends before it begins.",
            value=f"{start} to {end}",
            remedy="Give start and end as half-open [start, end), in UTC.",
        )
    return Span(first, last)


def log_place(log_uri: str | None, state: State | None, model_name: str) -> str:
    """Where an endpoint's log is.

    Raises:
        HeadwayError: `window.no_log`.
    """
    if log_uri:
        return log_uri.rstrip("/")
    if state:
        return state.uri_of(log_key(checked_model_name(model_name)))
    raise HeadwayError(
        "window.no_log",
        "Neither log_uri nor state_uri is given.",
        remedy="Give log_uri, or the state_uri below which the endpoint writes its log.",
    )


def is_released(state: State, model_name: str, digest: str) -> bool:
    """Whether the state folder has a release of this model."""
    return has_release(state.uri_of(state.release_key(model_name, digest)))


def _beside_the_first(state: State, result: WindowResult) -> WindowResult:
    """Keeps what was found when this window was first collected, and says what is another now."""
    times = "_".join(in_a_name(t) for t in (result.start, result.end, result.label_cutoff) if t)
    key = state.history_key(result.model_name, f"windows/{result.model_digest[:12]}_{times}.json")
    if state.storage.create(key, dump_json(result.model_dump(mode="json"))):
        return result
    first = WindowResult.model_validate(state.read_json(key))
    if first.fingerprint == result.fingerprint:
        return result
    return result.model_copy(update={"changed": dict(_differences(first, result))})


def _differences(first: WindowResult, now: WindowResult) -> Iterator[tuple[str, tuple[int, int]]]:
    counts: Mapping[str, tuple[int, int]] = {
        "rows": (first.rows, now.rows),
        "labelled rows": (first.labelled, now.labelled),
        "duplicates": (first.duplicates, now.duplicates),
        "damaged files": (len(first.damaged), len(now.damaged)),
    }
    different = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
    yield from (different or {"values": (first.rows, now.rows)}).items()

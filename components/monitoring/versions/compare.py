"""The step `compare_versions`: an A/B readout from the inference log, which may be looked at every hour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

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
from headway.components._shared.config import parse
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ALWAYS, ID, LATENCY, MODEL, PREDICTED, REQUEST, STATUS, TIME
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State
from headway.components._shared.statistics.two_samples import (
    Evidence,
    Window,
    difference_sequence,
    mean_evidence,
    means_needed,
    requests_needed,
    share_evidence,
)
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.times import format_time
from headway.components.monitoring.config import Outcome, Versions
from headway.components.monitoring.performance.measures import Span
from headway.components.monitoring.versions.report import write_report
from headway.components.monitoring.versions.result import Compared, VersionsResult
from headway.components.monitoring.window.collect import log_place, window_span
from headway.components.monitoring.window.labels import read_labels
from headway.components.monitoring.window.log import Log

_LOOKS = 24
_VALUE = "_value"


@step("compare_versions")
def compare_versions(
    model: Artifact,
    findings: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    model_name: str,
    start: str,
    end: str,
    comparison: Mapping[str, Any],
    labels: Artifact | None = None,
    log_uri: str | None = None,
    state_uri: str | None = None,
) -> None:
    """Compares two versions by the rows that both have answered in the same hours."""
    settings, manifest = parse(Versions, comparison, parameter="comparison"), read_manifest(model.path)
    uri = log_place(log_uri, State(state_uri) if state_uri else None, model_name)
    rows = _answers(uri, manifest, start, end)
    known = read_labels(open_dataset(labels.path), manifest, None).frame if labels is not None else None
    first, second = _both(rows, settings)
    result = VersionsResult(
        model_name=model_name,
        first=first,
        second=second,
        start=start,
        end=end,
        requests=(_count(rows, first), _count(rows, second)),
        metrics=tuple(
            compared(outcome, _valued(outcome, rows, known, manifest), first, second, settings)
            for outcome in settings.metrics
        ),
    )
    write_document(findings, result)
    write_report(report.path, result, settings)
    keep_report(report.path)
    describe(findings, rows=sum(result.requests), decision=told(result))
    shown = {f"difference_{each.name}": each.difference.value for each in result.metrics if each.difference}
    show_metrics(metrics, {"rows_first": result.requests[0], "rows_second": result.requests[1], **shown})
    decided(told(result), rows=sum(result.requests))


def compared(outcome: Outcome, rows: pl.DataFrame, first: str, second: str, settings: Versions) -> Compared:
    """One metric.

    Args:
        outcome: The metric.
        rows: With `_model`, `_time` and `_value`: 0 or 1 for shares, a number for means.
        first: Digest of the version that is compared with.
        second: Digest of the other one.
        settings: Confidence, and the effect that matters.
    """
    windows = _windows(rows, first, second, settings.window)
    values = {digest: rows.filter(pl.col(MODEL) == digest)[_VALUE] for digest in (first, second)}
    head = Compared(
        name=outcome.name,
        words=outcome.words,
        better=outcome.better,
        first=_mean(values[first]),
        second=_mean(values[second]),
        rows=(len(values[first]), len(values[second])),
    )
    evidence, windows = _evidence(outcome, windows)
    if not windows:
        return head
    looks = []
    for count in _looked_at(len(windows)):
        given = [window for _, window in windows[:count]]
        found = difference_sequence(given, evidence, outcome.width, confidence=settings.confidence)
        looks.append((format_time(windows[count - 1][0]), found.value, found.low, found.high))
    _, value, low, high = looks[-1]
    ahead = "second" if low > 0 else "first" if high < 0 else None
    if ahead and outcome.better == "lower":
        ahead = "first" if ahead == "second" else "second"
    return head.model_copy(
        update={
            "difference": Span(value=value, low=low, high=high),
            "proven": ahead,
            "needed": _needed(outcome, head, settings),
            "looks": tuple(looks),
        }
    )


def told(result: VersionsResult) -> str:
    """The result in one line."""
    named = {"first": result.first[:12], "second": result.second[:12]}
    said = [
        f"{each.name}: "
        + (f"{named[each.proven]} is better" if each.proven else "no difference is proven")
        + (
            f" ({each.difference.value:+.3g} [{each.difference.low:+.3g}, {each.difference.high:+.3g}])"
            if each.difference
            else ""
        )
        for each in result.metrics
    ]
    return f"{counted(sum(result.requests), 'row')} of {named['first']} and {named['second']}; {'; '.join(said)}"


def _answers(uri: str, manifest: ModelManifest, start: str, end: str) -> pl.DataFrame:
    """What every version was asked and answered, each id once."""
    columns = {**ALWAYS, PREDICTED: pl.String() if manifest.classes else pl.Float64()}
    rows = Log(uri, manifest, window_span(start, end), columns).everything()
    if not rows.height:
        raise HeadwayError(
            "versions.no_rows",
            "The log has no row in the window.",
            value=uri,
            remedy="Check the address and the window (UTC), and whether `serving.log` is set where it is deployed.",
        )
    return rows


def _both(rows: pl.DataFrame, settings: Versions) -> tuple[str, str]:
    """The two versions that are meant; by default those that answered most, in the order in which they came."""
    counts = rows.group_by(MODEL).agg(pl.len(), pl.col(TIME).min()).sort("len", descending=True)
    known = counts[MODEL].to_list()
    if settings.versions is None:
        if len(known) < 2:
            raise HeadwayError(
                "versions.only_one",
                "Only one version has answered in the window.",
                value=[each[:12] for each in known],
                remedy="Give a window in which two versions shared the traffic, as in a rollout or an A/B test.",
            )
        first, second = counts.head(2).sort(TIME)[MODEL].to_list()
        return first, second
    found = [next((digest for digest in known if digest.startswith(name)), None) for name in settings.versions]
    if None in found:
        raise HeadwayError(
            "versions.unknown",
            "A version that is to be compared has answered nothing in the window.",
            value=list(settings.versions),
            remedy=f"Give the first characters of two of {', '.join(each[:12] for each in known)}.",
        )
    return str(found[0]), str(found[1])


def _valued(outcome: Outcome, rows: pl.DataFrame, labels: pl.DataFrame | None, manifest: ModelManifest) -> pl.DataFrame:
    """The rows that a metric rests on, with its value in each."""
    requests = rows.unique([MODEL, REQUEST], keep="first", maintain_order=True)
    if outcome.kind == "errors":
        return requests.with_columns((pl.col(STATUS) >= 500).cast(pl.Float64).alias(_VALUE))
    if outcome.kind == "slow":
        return requests.filter(pl.col(STATUS) == 200, pl.col(LATENCY).is_not_null()).with_columns(
            (pl.col(LATENCY) > outcome.above_ms).cast(pl.Float64).alias(_VALUE)
        )
    if labels is None:
        raise HeadwayError(
            "versions.no_labels",
            f"The metric {outcome.name} is of labels, and none are given.",
            value=outcome.name,
            remedy="Give the input `labels`, or compare by errors and slow alone.",
        )
    target = manifest.target
    joined = rows.filter(pl.col(STATUS) == 200).join(labels.select(ID, target), on=ID, how="inner")
    truth = {
        "correct": (pl.col(target) == pl.col(PREDICTED)).cast(pl.Float64),
        "label": (pl.col(target).cast(pl.String) == outcome.label).cast(pl.Float64),
        "value": pl.col(target).cast(pl.Float64).clip(*outcome.range),
    }
    return joined.with_columns(truth[outcome.kind].alias(_VALUE))


def _windows(rows: pl.DataFrame, first: str, second: str, every: str) -> list[tuple[Any, Window]]:
    """What both did in each window in which both were asked; an open one goes on until both have been."""
    both = rows.filter(pl.col(MODEL).is_in([first, second]))
    sums = (
        both.group_by(pl.col(TIME).dt.truncate(every).alias("at"), MODEL)
        .agg(pl.col(_VALUE).sum().alias("sum"), pl.len().alias("count"))
        .sort("at")
    )
    found: list[tuple[Any, Window]] = []
    pending = Window(0, 0, 0, 0)
    for (at,), part in sums.group_by("at", maintain_order=True):
        by = {digest: (total, count) for digest, total, count in part.select(MODEL, "sum", "count").iter_rows()}
        ours, theirs = by.get(second, (0.0, 0)), by.get(first, (0.0, 0))
        pending = Window(*(a + b for a, b in zip(pending, (*ours, *theirs), strict=True)))
        if pending.our_count and pending.their_count:
            found.append((at, pending))
            pending = Window(0, 0, 0, 0)
    return found


def _evidence(outcome: Outcome, windows: list[tuple[Any, Window]]) -> tuple[Evidence, list[tuple[Any, Window]]]:
    """What is to be proven by which windows: of shares the first one only says about where they are.

    A wager on windows of many rows that begins far from the truth is lost before it has learned anything.
    """
    if outcome.kind == "value":
        return mean_evidence(outcome.width), windows
    if not windows:
        return share_evidence, windows
    first = windows[0][1]
    about = (first.ours + first.theirs + 0.5) / (first.our_count + first.their_count + 1)
    return partial(share_evidence, guess=about), windows[1:]


def _looked_at(count: int) -> Sequence[int]:
    """After which windows the interval is drawn: all, or evenly many of them, and after the last one."""
    every = max(1, math.ceil(count / _LOOKS))
    return [*range(every, count, every), count]


def _needed(outcome: Outcome, head: Compared, settings: Versions) -> int | None:
    """Rows of the second version that an effect of this size takes, where it gets the part that it has here."""
    if head.first is None or not settings.min_effect or not all(head.rows):
        return None
    weight = head.rows[1] / sum(head.rows)
    confidence = 1 - (1 - settings.confidence) / 2
    if outcome.kind == "value":
        return means_needed(outcome.width, settings.min_effect, 0.0, weight=weight, confidence=confidence)
    bad = head.first if outcome.better == "lower" else 1 - head.first
    if bad <= 0:
        return None
    effect = min(settings.min_effect, bad)
    return requests_needed(bad, effect, 0.0, weight=weight, confidence=confidence)


def _mean(values: pl.Series) -> float | None:
    return float(values.mean()) if len(values) else None  # type: ignore[arg-type]


def _count(rows: pl.DataFrame, digest: str) -> int:
    return rows.filter(pl.col(MODEL) == digest).height

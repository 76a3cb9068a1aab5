"""The step `measure_service`: latency, throughput and errors of a window, out of the inference log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    describe,
    read_manifest,
    show_metrics,
    write_document,
)
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import LATENCY, STATUS, TIME
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State
from headway.components._shared.statistics.estimates import UNIT, Estimate
from headway.components._shared.statistics.intervals import interval, wilson
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.times import format_time
from headway.components.monitoring.config import Service, ServiceMetrics
from headway.components.monitoring.performance.measures import Span
from headway.components.monitoring.service.metrics import ask
from headway.components.monitoring.service.report import write_report
from headway.components.monitoring.service.result import Level, ServiceResult
from headway.components.monitoring.window.collect import log_place, window_span
from headway.components.monitoring.window.log import Log

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
# Requests of one slot may depend on each other: a slow minute is slow for all.
_SLOT = "5m"


@step("measure_service")
def measure_service(
    model: Artifact,
    findings: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    model_name: str,
    start: str,
    end: str,
    service: Mapping[str, Any],
    log_uri: str | None = None,
    state_uri: str | None = None,
) -> None:
    """Measures a window, and says what is beyond its limit."""
    settings, manifest = parse(Service, service, parameter="service"), read_manifest(model.path)
    uri = log_place(log_uri, State(state_uri) if state_uri else None, model_name)
    log = Log(uri, manifest, window_span(start, end))
    result = judge(log, settings, model_name)
    if not result.requests:
        raise HeadwayError(
            "service.no_requests",
            "The log has no request of this model in the window.",
            value=uri,
            remedy="Check the address and the window (UTC), and whether `serving.log` is set where it is deployed.",
        )
    write_document(findings, result)
    write_report(report.path, result, settings)
    keep_report(report.path)
    describe(findings, rows=result.requests, model_digest=result.model_digest, decision=told(result))
    shares = {"errors": result.errors, "refused": result.refused, "slower": result.slower}
    shown = {f"share_{name}": level.share.value for name, level in shares.items() if level}
    quantiles = {f"latency_{name}_ms": value for name, value in result.latency_ms.items()}
    show_metrics(metrics, {"requests": result.requests, "per_second": result.per_second, **quantiles, **shown})
    decided(told(result), rows=result.requests)


def judge(log: Log, settings: Service, model_name: str = "") -> ServiceResult:
    """Measures a window of a log, and holds it against the limits.

    Args:
        log: The window.
        settings: Limits; each is held against the lower end of an interval, so that what exceeds it is proven to.
        model_name: The endpoint, by which Prometheus knows it.

    Raises:
        HeadwayError: `prometheus.*`, where it is to be asked.
    """
    rows, start, end = log.requests(), log.span.start, log.span.end
    known = {"model_digest": log.model_digest, "start": format_time(start), "end": format_time(end)}
    head = ServiceResult(**known, requests=rows.height)
    if settings.prometheus:
        head = head.model_copy(update=_beside(log, settings, settings.prometheus, model_name))
    if not rows.height:
        return head
    answered = rows.filter(pl.col(STATUS) == 200, pl.col(LATENCY).is_not_null())
    slow = level(answered, answered[LATENCY] > settings.p99_ms, 0.01, settings)
    minutes = rows.group_by(pl.col(TIME).dt.truncate("1m")).agg(pl.len())["len"]
    counts = rows[STATUS].value_counts(sort=True)
    return head.model_copy(
        update={
            "per_second": rows.height / (end - start).total_seconds(),
            "busiest_minute": float(minutes.max() or 0) / 60,  # type: ignore[arg-type]
            "latency_ms": {
                name: float(answered[LATENCY].quantile(share, "linear") or 0.0)
                for name, share in _QUANTILES.items()
                if answered.height
            },
            "slower": slow,
            "errors": level(rows, rows[STATUS] >= 500, settings.errors, settings),
            "refused": level(rows, rows[STATUS].is_between(400, 499), settings.refused, settings),
            "statuses": {str(status): count for status, count in counts.iter_rows()},
            "hourly": _hourly(answered),
            "enough": rows.height >= settings.min_requests,
        }
    )


def told(result: ServiceResult) -> str:
    """The result in one line."""
    latency = f", p99 {result.latency_ms['p99']:.3g} ms" if "p99" in result.latency_ms else ""
    said = f"{counted(result.requests, 'request')}{latency}"
    beyond = {"slower than allowed": result.slower, "errors": result.errors, "refused": result.refused}
    named = [f"{level.share.value:.2%} {name}" for name, level in beyond.items() if level and level.exceeded]
    return f"{said}; too many: {', '.join(named)}" if named else said


def _beside(log: Log, settings: Service, prometheus: ServiceMetrics, model_name: str) -> dict[str, Any]:
    """What Prometheus knows of the window, and what of that has a limit."""
    found = ask(prometheus, model_name, log.span.start, log.span.end)
    kubernetes = found.get("kubernetes", {})
    restarts, memory = kubernetes.get("restarts"), kubernetes.get("memory_share")
    return {
        "metrics": found,
        # Prometheus extrapolates to the ends of a window, so a restart may count for a little more or less than one.
        "restarts": None if restarts is None else (float(round(restarts)), settings.restarts),
        "memory": None if memory is None else (memory, settings.memory),
    }


def level(rows: pl.DataFrame, found: pl.Series, limit: float, settings: Service) -> Level | None:
    """The share of requests that something was found of, held against a limit.

    Args:
        rows: The requests, with `_time`: those of one slot may depend on each other.
        found: Whether it was found, of each.
        limit: Largest share that is fine.
        settings: Confidence, and of how few requests nothing is judged.
    """
    if not rows.height:
        return None
    hits = found.fill_null(value=False).to_numpy().astype(float)
    share = float(hits.mean())
    slots = rows[TIME].dt.truncate(_SLOT).rank("dense").to_numpy().astype(np.int64) - 1
    if slots.max() == 0:
        span = wilson(hits.sum(), len(hits), confidence=settings.confidence)
        # Of a single slot nobody knows how much its requests depend on each other.
        return Level(share=Span(value=share, low=span.low, high=span.high), limit=limit)
    rarer = int(min(hits.sum(), len(hits) - hits.sum()))
    # Where all or none are, the slots are what is known to be independent.
    estimate = Estimate(share, (hits - share) / len(hits), UNIT, rarer or int(slots.max()) + 1)
    span = interval(estimate, slots, confidence=settings.confidence)
    exceeded = rows.height >= settings.min_requests and span.low > limit
    return Level(share=Span(value=share, low=span.low, high=span.high), limit=limit, exceeded=exceeded)


def _hourly(answered: pl.DataFrame) -> dict[str, tuple[int, float, float]]:
    latency = pl.col(LATENCY)
    found = answered.group_by(pl.col(TIME).dt.truncate("1h"), maintain_order=True).agg(
        requests=pl.len(), p50=latency.quantile(0.5, "linear"), p99=latency.quantile(0.99, "linear")
    )
    return {format_time(hour): (requests, p50, p99) for hour, requests, p50, p99 in found.iter_rows()}

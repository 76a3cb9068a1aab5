"""The report of measure_service: how fast, how much, how often not, and when."""

from __future__ import annotations

from headway.components._shared.reports import (
    Block,
    Page,
    Value,
    badge,
    charts,
    figure,
    interval,
    mono,
    percent,
    table,
    text,
)
from headway.components._shared.reports.formats import counted
from headway.components._shared.times import parse_time
from headway.components.monitoring.config import Service
from headway.components.monitoring.service.result import Level, ServiceResult


def write_report(path: str, result: ServiceResult, settings: Service) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        result: What was found.
        settings: The limits.
    """
    beyond = [level for level in (result.slower, result.errors, result.refused) if level and level.exceeded]
    status = "Too few requests" if not result.enough else "Beyond its limits" if beyond else "Within its limits"
    tone = "neutral" if not result.enough else "bad" if beyond else "good"
    lead = f"{counted(result.requests, 'request')} from {result.start} to {result.end}."
    page = Page("Service", lead, tone=tone, status=status, kind="measure_service", facts=_facts(result))  # type: ignore[arg-type]
    page.section("Limits", _limits(result, settings))
    page.section("Over time", *_over_time(result, settings))
    if result.metrics is not None:
        page.section("What Prometheus knows", *_beside(result))
    rows: list[tuple[Value, ...]] = [
        (code, count, percent(count / result.requests)) for code, count in result.statuses.items()
    ]
    page.section("Statuses", table(["Status", "Requests", "Share"], rows))
    page.write(path)


def _facts(result: ServiceResult) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "Model": mono(result.model_digest[:12]),
        "Requests a second": round(result.per_second, 3),
        "In the busiest minute": round(result.busiest_minute, 3),
    }
    return facts | {
        f"{name.replace('p999', 'p99.9')} in ms": round(value, 2) for name, value in result.latency_ms.items()
    }


def _limits(result: ServiceResult, settings: Service) -> Block:
    named: list[tuple[str, Level | None]] = [
        (f"answered in more than {settings.p99_ms:g} ms", result.slower),
        ("failed (status 500 and above)", result.errors),
        ("refused (status 400 to 499)", result.refused),
    ]
    rows: list[tuple[Value, ...]] = [
        (
            name,
            badge("too many", "bad") if level.exceeded else badge("fine", "good"),
            interval(level.share.value, level.share.low, level.share.high),
            level.limit,
        )
        for name, level in named
        if level
    ]
    return table(["Requests", "State", "Share", "At most"], rows)


_NAMES = {
    "requests": "requests",
    "failed": "requests that failed",
    "p50_ms": "median latency in ms",
    "p99_ms": "99th percentile of latency in ms",
    "restarts": "restarts of containers",
    "memory_share": "largest share of its memory limit that a pod used",
    "throttled_share": "share of the time in which the processor was throttled",
}


def _beside(result: ServiceResult) -> list[Block]:
    rows: list[tuple[Value, ...]] = [
        (name, _NAMES[figure_name], round(value, 4))
        for name, figures in (result.metrics or {}).items()
        for figure_name, value in figures.items()
    ]
    return [
        table(["Metrics of", "What", "Value"], rows) if rows else text("Nothing: it has no series of this endpoint.")
    ]


def _over_time(result: ServiceResult, settings: Service) -> list[Block]:
    if not result.hourly:
        return []
    points = {parse_time(hour).timestamp() * 1000: found for hour, found in result.hourly.items()}
    latency = charts.line(
        {
            "median": [(at, p50) for at, (_, p50, _) in points.items()],
            "p99": [(at, p99) for at, (*_, p99) in points.items()],
        },
        "time (UTC)",
        "ms",
        reference=settings.p99_ms,
        reference_label="limit of p99",
        over_time=True,
    )
    amount = charts.line(
        {"requests": [(at, float(n)) for at, (n, *_) in points.items()]},
        "time (UTC)",
        "requests an hour",
        over_time=True,
    )
    many = counted(len(points), "hour")
    return [
        figure(latency, "Latency by the hour", f"Median and 99th percentile over {many}."),
        figure(amount, "Requests by the hour", f"{result.requests:,} requests over {many}."),
    ]

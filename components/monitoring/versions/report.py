"""The report of compare_versions: which version is better by what, how surely, and how that came about."""

from __future__ import annotations

from headway.components._shared.reports import (
    Block,
    Cell,
    Page,
    Value,
    badge,
    charts,
    figure,
    interval,
    mono,
    table,
    text,
)
from headway.components._shared.times import parse_time
from headway.components.monitoring.config import Versions
from headway.components.monitoring.versions.result import Compared, VersionsResult


def write_report(path: str, result: VersionsResult, settings: Versions) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        result: What was found.
        settings: Confidence and effect.
    """
    proven = [each for each in result.metrics if each.proven]
    status = "A difference is proven" if proven else "No difference is proven"
    facts: dict[str, Value] = {
        "First": mono(result.first[:12]),
        "Second": mono(result.second[:12]),
        "From": result.start,
        "To": result.end,
        "Rows of the first": result.requests[0],
        "Rows of the second": result.requests[1],
    }
    page = Page("Two versions", _lead(result), tone="neutral", status=status, kind="compare_versions", facts=facts)
    page.section("What was compared", _metrics(result))
    page.section("How the intervals shrank", *[_over_time(each) for each in result.metrics if each.looks])
    page.section("How it was judged", text(_method(settings)))
    page.write(path)


def _lead(result: VersionsResult) -> str:
    leading = result.metrics[0]
    if leading.proven is None:
        return f"By `{leading.name}` neither version is proven to be better yet."
    digest = result.first if leading.proven == "first" else result.second
    return f"By `{leading.name}` the {leading.proven} version, `{digest[:12]}`, is better."


def _metrics(result: VersionsResult) -> Block:
    rows: list[tuple[Value, ...]] = [
        (
            each.words,
            each.first,
            each.second,
            interval(each.difference.value, each.difference.low, each.difference.high) if each.difference else None,
            _proven(each),
            f"{each.rows[0]:,} and {each.rows[1]:,}",
            each.needed,
        )
        for each in result.metrics
    ]
    heads = ["Metric", "First", "Second", "Second less first", "Better", "Rows", "Rows of the second for min_effect"]
    return table(heads, rows)


def _proven(each: Compared) -> Cell:
    return badge(each.proven, "good") if each.proven else badge("not proven")


def _over_time(each: Compared) -> Block:
    points = [(parse_time(at).timestamp() * 1000, value, low, high) for at, value, low, high in each.looks]
    chart = charts.line(
        {each.name: [(at, value) for at, value, *_ in points]},
        "time (UTC)",
        "second less first",
        band=[(at, low, high) for at, _, low, high in points],
        reference=0.0,
        over_time=True,
        small=True,
    )
    assert each.difference
    said = f"{each.difference.value:+.3g} [{each.difference.low:+.3g}, {each.difference.high:+.3g}]"
    return figure(chart, each.words, f"At the end {said}.")


def _method(settings: Versions) -> str:
    return (
        f"Rows are counted in windows of {settings.window}, so what happens to both versions alike, such as a night, "
        "is no evidence; the first one only says about where shares are. The intervals hold with "
        f"{settings.confidence:.0%} at all times at once: they may be looked at after every window, and a test may end "
        "when it has been decided."
    )

"""The report of collect_window: how many rows and labels there are, when they came, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator

from headway.components._shared.reports import (
    Block,
    Page,
    Tone,
    Value,
    charts,
    duration,
    figure,
    listing,
    mono,
    percent,
    table,
    text,
)
from headway.components._shared.reports.formats import counted
from headway.components._shared.times import parse_time
from headway.components.monitoring.window.result import WindowResult


def write_report(path: str, result: WindowResult) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        result: What was found.
    """
    problems = list(_problems(result))
    tone: Tone = "warn" if problems else "good"
    status = counted(len(problems), "remark") if problems else "Complete"
    page = Page("Window", _lead(result), tone=tone, status=status, kind="collect_window", facts=_facts(result))
    if problems:
        page.section("What to look at", listing(problems))
    page.section("Over time", _over_time(result))
    page.section("What was left out", *_left_out(result))
    page.write(path)


def _lead(result: WindowResult) -> str:
    said = f"{counted(result.rows, 'row')} of {counted(result.requests, 'request')} from {result.start} to {result.end}"
    if result.coverage is None:
        return f"{said}; no labels were given."
    cutoff = f" by {result.label_cutoff}" if result.label_cutoff else ""
    return f"{said}; {counted(result.labelled, 'of them has', 'of them have')} a label{cutoff}."


def _facts(result: WindowResult) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "Endpoint": result.model_name,
        "Model": mono(result.model_digest[:12]),
        "Rows": result.rows,
        "Requests": result.requests,
    }
    if result.coverage is not None:
        facts["With a label"] = percent(result.coverage)
    if result.labels and result.labels.delay_s:
        facts["Median label delay"] = duration(result.labels.delay_s[0])
    return facts | {"Window fingerprint": mono(result.fingerprint[:12])}


def _problems(result: WindowResult) -> Iterator[str]:
    if result.changed:
        named = ", ".join(f"{name} {before:,} then, {now:,} now" for name, (before, now) in result.changed.items())
        yield f"The window was collected before and was another one: {named}."
    if result.damaged:
        yield f"{counted(len(result.damaged), 'file')} of the log cannot be read, such as `{result.damaged[0]}`."
    if result.foreign:
        yield f"{counted(len(result.foreign), 'file')} of the log has other columns, such as `{result.foreign[0]}`."
    if result.unregistered:
        yield f"Versions that no release is known of answered requests: {', '.join(result.unregistered)}."
    labels = result.labels
    if labels and labels.conflicts:
        yield f"{counted(labels.conflicts, 'id')} came with different labels."
    if labels and labels.unknown_class:
        yield f"{counted(labels.unknown_class, 'label')} named a class that the model does not have."
    if labels and labels.before_prediction:
        many = counted(labels.before_prediction, "label was", "labels were")
        yield f"{many} known before the prediction: a clock is wrong, or an id is not unique."


def _over_time(result: WindowResult) -> Block:
    points = {parse_time(hour).timestamp() * 1000: counts for hour, counts in result.hourly.items()}
    series = {"rows": [(at, float(rows)) for at, (rows, _) in points.items()]}
    if result.labels:
        series["with a label"] = [(at, float(labelled)) for at, (_, labelled) in points.items()]
    chart = charts.line(series, "time (UTC)", "rows an hour", over_time=True)
    return figure(chart, "Rows by the hour", f"{result.rows:,} rows over {counted(len(points), 'hour')} that had any.")


def _left_out(result: WindowResult) -> list[Block]:
    rows: list[tuple[Value, ...]] = [("rows", "an earlier row has the same id", result.duplicates)]
    rows += [("requests", f"refused with status {status}", count) for status, count in result.refused.items()]
    rows += [("rows", f"answered by version {version}", count) for version, count in result.other_models.items()]
    labels = result.labels
    if labels:
        rows += [
            ("labels", "for rows that this window does not have", labels.other_windows),
            ("labels", "known after the cutoff", labels.later),
            ("labels", "without a value", labels.missing),
            ("labels", "of a class that the model does not have", labels.unknown_class),
            ("labels", "the same label for the same id once more", labels.repeated),
            ("ids", "with different labels: the last one counts, none where times do not tell", labels.conflicts),
        ]
    shown = [row for row in rows if row[-1]]
    return [table(("what", "why", "count"), shown) if shown else text("Nothing.")]

"""The report of measure_performance: what came out against what was promised, and what explains it."""

from __future__ import annotations

from collections.abc import Iterator

from headway.components._shared.reports import (
    Block,
    Page,
    Tone,
    Value,
    badge,
    charts,
    details,
    figure,
    interval,
    listing,
    mono,
    note,
    percent,
    table,
    text,
)
from headway.components._shared.reports.formats import counted, number
from headway.components._shared.statistics.calibration import Calibration
from headway.components._shared.statistics.homogeneity import said
from headway.components.monitoring.config import Performance
from headway.components.monitoring.performance.measures import MetricResult, Span
from headway.components.monitoring.performance.result import PerformanceResult

_TONES: dict[str | None, Tone] = {"worse": "bad", "unclear": "warn", "held": "good", None: "neutral"}
_STATUS = {
    "worse": "Worse than promised",
    "unclear": "The rows do not tell",
    "held": "As promised",
    None: "Nothing can be said",
}
_SHOWN = 12


def write_report(path: str, result: PerformanceResult, calibration: Calibration | None, settings: Performance) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        result: What was found out.
        calibration: Of the labelled rows; None where there are too few, or no probabilities.
        settings: What decides.
    """
    state = result.state
    page = Page(
        "Performance",
        _lead(result, settings),
        tone=_TONES[state],
        status=_STATUS[state],
        kind="measure_performance",
        facts=_facts(result),
    )
    if result.enough:
        page.section("Against the promise", *_against_promise(result))
    if result.estimates:
        page.section("Without labels", *_estimates(result))
    if result.slices:
        page.section("Where it deviates", _slices(result))
    if result.importance:
        page.section("What the model looks at", _importance(result))
    if calibration is not None and calibration.ece is not None:
        page.section("Calibration", _calibration(calibration))
    page.section("How it was judged", *_method(result, settings))
    page.write(path)


def _importance(result: PerformanceResult) -> Block:
    """The features of most importance, then and now."""
    rows: list[tuple[Value, ...]] = [
        (each.name, percent(each.share), None if each.trained is None else percent(each.trained), number(each.loss))
        for each in result.importance[:_SHOWN]
    ]
    return table(["Feature", "Share of the importance", "In training", f"{result.primary} lost without it"], rows)


def _lead(result: PerformanceResult, settings: Performance) -> str:
    rows = f"{counted(result.labelled, 'row')} of {result.rows:,} have a label"
    if not result.enough:
        return f"{rows}; of fewer than {settings.min_rows:,} nothing is measured."
    named = [f"`{metric.name}` is {_words(metric)}" for metric in result.judged]
    return f"{rows}; {', '.join(named)}."


def _words(metric: MetricResult) -> str:
    if metric.now is None:
        return "undefined on them"
    promised = f", {number(metric.promised.value)} was promised" if metric.promised else ""
    return f"{number(metric.now.value)}{promised}"


def _facts(result: PerformanceResult) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "From": result.start,
        "To": result.end,
        "Rows": result.rows,
        "With a label": percent(result.labelled / result.rows),
        "Rows depend within": result.blocks or "no block",
    }
    if result.calibration_error:
        facts["Calibration error (ECE)"] = _around(result.calibration_error)
    return facts | {"Model": mono(result.model_digest[:12]), "Window fingerprint": mono(result.fingerprint[:12])}


def _against_promise(result: PerformanceResult) -> Iterator[Block]:
    judged = result.judged
    compared = [metric for metric in judged if metric.gain]
    if compared:
        rows = [
            (metric.label, g.value / t, g.low / t, g.high / t)
            for metric in compared
            if (g := metric.gain) and (t := metric.tolerance)
        ]
        yield figure(
            charts.intervals(rows, -1, "gain over the promise, in tolerances", "limit"),
            "Judged metrics against the promise",
            "; ".join(f"{label} {value:.2g} tolerances" for label, value, *_ in rows),
        )
    yield table(["Metric", "State", "Now", "Promised", "Gain", "Tolerance"], [_judged(metric) for metric in judged])
    if result.since_before:
        labels = {metric.name: metric.label for metric in result.metrics}
        gains = [(labels[name], _around(gain)) for name, gain in result.since_before.items() if name in labels]
        yield details("Since the window before", table(["Metric", "Gain"], gains))
    others = [(m.label, _around(m.now), _around(m.promised)) for m in result.metrics if m not in judged]
    if others:
        yield details("Metrics that do not decide", table(["Metric", "Now", "Promised"], others))


def _judged(metric: MetricResult) -> tuple[Value, ...]:
    return (
        metric.label,
        badge(metric.state, _TONES[metric.state]) if metric.state else None,
        _around(metric.now),
        _around(metric.promised),
        _around(metric.gain),
        metric.tolerance,
    )


def _around(span: Span | None) -> Value:
    return None if span is None else interval(span.value, span.low, span.high)


def _estimates(result: PerformanceResult) -> Iterator[Block]:
    wrong = [estimate.label for estimate in result.estimates if estimate.surprise]
    if wrong:
        yield note(
            f"On the rows with a label {', '.join(wrong)} came out as the model's probabilities said it would not: "
            "they are not right, and neither is the estimate over all rows.",
            "warn",
        )
    yield table(
        ["Metric", "Estimate over all rows", "Estimate over rows with a label", "What these came out as"],
        [(e.label, _around(e.all_rows), _around(e.of_labelled), e.truth) for e in result.estimates],
    )
    yield text(
        "An estimate takes the model's probabilities for true: it draws the labels from them, 200 times. It does not "
        "see that a probability has become wrong; the labels show that once they are there."
    )


def _slices(result: PerformanceResult) -> Block:
    rows: list[tuple[Value, ...]] = [
        (
            each.slice,
            each.rows,
            interval(each.now.value, each.now.low or each.now.value, each.now.high or each.now.value),
            each.promised.value if each.promised else None,
            said(each.p_value),
        )
        for each in result.slices[:_SHOWN]
    ]
    return table(["Slice", "Rows", result.primary, "Promised", "No deviation (p)"], rows)


def _calibration(found: Calibration) -> Block:
    points = [(each.predicted, each.observed.value) for each in found.bins]
    worst = max(found.bins, key=lambda each: abs(each.predicted - each.observed.value))
    return figure(
        charts.calibration(points, [each.rows for each in found.bins]),
        "Mean prediction against what happened",
        f"Furthest apart: predicted {number(worst.predicted)}, happened {number(worst.observed.value)}.",
    )


def _method(result: PerformanceResult, settings: Performance) -> Iterator[Block]:
    yield listing(
        [
            "`worse`: the loss against the promise is more than what does not matter, and zero lies outside of its "
            "interval. `held`: a loss of more than that lies outside of it. `unclear`: neither.",
            f"Intervals hold with {settings.confidence:.0%}, those of the judged metrics together; the promise's own "
            "uncertainty counts (MOVER, Zou and Donner 2008).",
            f"Rows of one {result.blocks} may depend on each other."
            if result.blocks
            else "Rows count as independent: there are too few hours for anything else.",
        ]
    )
    if result.selection and not result.selection.low <= 0 <= result.selection.high:
        yield note(
            f"Rows with a label were predicted {number(result.selection.value)} "
            f"[{number(result.selection.low)}, {number(result.selection.high)}] higher in the mean than the others: "
            "they do not stand for the whole window.",
            "warn",
        )

"""The validation report: what was looked at, what was found, how good the data is, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headway.components._shared.datasets import Dataset
from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import FEWEST, ColumnProfile
from headway.components._shared.reports import (
    Block,
    Page,
    Tone,
    Value,
    badge,
    charts,
    details,
    figure,
    listing,
    mono,
    note,
    percent,
    table,
    text,
)
from headway.components._shared.reports.formats import counted
from headway.components._shared.reports.shapes import shapes
from headway.components._shared.statistics.homogeneity import said
from headway.components._shared.times import format_time
from headway.components.validation.config import Checks
from headway.components.validation.findings import Finding
from headway.components.validation.infer_report import expectations
from headway.components.validation.judge import Validation
from headway.components.validation.score import FORMULA, PastScore
from headway.components.validation.sparklines import sparkline
from headway.components.validation.timeliness import Timeline, span, time_column, words_for

TONES: dict[str, Tone] = {"error": "bad", "warning": "warn", "info": "neutral", "off": "neutral"}
SHOWN_SHIFTS = 6


def write_report(
    path: str,
    result: Validation,
    dataset: Dataset,
    history: Sequence[PastScore],
    reference: Profile | None,
    schema_file: str,
) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        result: What the validation saw.
        dataset: What was validated.
        history: Scores of this and earlier data, oldest first.
        reference: Profile that the data was compared with.
        schema_file: Where the Schema lies that was used.
    """
    errors, warnings = result.of("error"), result.of("warning")
    page = Page(
        "Data validation",
        _lead(result),
        tone="bad" if errors else "warn" if warnings else "good",
        status="Stops the pipeline" if errors else "Passed with warnings" if warnings else "Passed",
        kind="validate_data",
        facts=_facts(result, dataset),
    )
    if errors or warnings:
        page.section("What to do", listing(_advice([*errors, *warnings])))
    page.section("Findings", _findings(result.findings))
    page.section("Quality score", text(FORMULA), *_history(history))
    page.section("Columns", text(f"The schema that was used lies at {schema_file}."), *_columns(result))
    if reference is not None:
        page.section("Compared with the reference", *_shifts(result), *_shapes(result, reference))
    if result.timeline is not None:
        page.section("Rows over time", _timeline(result.timeline))
    page.section("What was checked", _checks(result, reference is not None))
    page.write(path)


def _lead(result: Validation) -> str:
    errors, warnings = len(result.of("error")), len(result.of("warning"))
    what = f"{counted(result.profile.rows, 'row')} {'was' if result.profile.rows == 1 else 'were'} held against "
    what += "a schema inferred from these very rows" if result.inferred else "their contract"
    if errors:
        first = result.findings[0].message
        rest = f" and {counted(errors - 1, 'more error')}" if errors > 1 else ""
        return f"{what}. They are not fit for training: {first.rstrip('.')}{rest}."
    if warnings:
        return f"{what}. They may go on; {counted(warnings, 'finding')} should be looked at."
    return f"{what}. Nothing stands against going on."


def _facts(result: Validation, dataset: Dataset) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "Quality score": f"{result.score:.3f} of 1",
        "Errors": len(result.of("error")),
        "Warnings": len(result.of("warning")),
        "Rows": result.profile.rows,
        "Columns": len(dataset.columns),
    }
    times = time_column(result.schema, result.profile)
    if times is not None:
        first, last = span(times)
        facts |= {"First row": format_time(first), "Last row": format_time(last)}
    facts["Contract"] = "inferred" if result.inferred else f"version {result.schema.version}"
    facts["Curated by"] = result.schema.curated_by or "nobody yet"
    facts["Contract digest"] = mono(result.schema.digest()[:12])
    facts["Data fingerprint"] = mono(dataset.fingerprint[:12])
    return facts


def _advice(findings: Sequence[Finding]) -> list[str]:
    """Each remedy once, with the columns that it is about."""
    columns: dict[str, list[str]] = {}
    for finding in findings:
        columns.setdefault(finding.remedy, []).extend([finding.column] if finding.column else [])
    return [f"{', '.join(named[:6])}: {remedy}" if named else remedy for remedy, named in columns.items()]


def _findings(findings: Sequence[Finding]) -> Block:
    rows = [
        (
            badge(finding.severity, TONES[finding.severity]),
            f"{finding.column}: {finding.check}" if finding.column else finding.check,
            finding.message,
            finding.count,
            ", ".join(f"{row:,}" for row in finding.rows) or None,
        )
        for finding in findings
    ]
    headings = ("Severity", "Where and which check", "What was found", "Rows", "At positions")
    return table(headings, rows, "Findings; positions count from 0 in the order of the dataset's rows")


def _history(history: Sequence[PastScore]) -> list[Block]:
    rows = [
        (
            score.data_end or score.time,
            score.score,
            score.errors,
            score.warnings,
            score.rows,
            mono(score.fingerprint[:12]),
        )
        for score in reversed(history)
    ]
    headings = ("Data up to", "Score", "Errors", "Warnings", "Rows", "Fingerprint")
    shown = [table(headings, rows, "This data and what was judged for the same model before, latest first")]
    if len(history) > 2:
        points = [(float(number), score.score) for number, score in enumerate(history, start=1)]
        low, high = min(score for _, score in points), max(score for _, score in points)
        chart = charts.line({"quality": points}, "validation, oldest first", "quality score")
        words = f"{len(points)} scores between {low:.3f} and {high:.3f}; the latest is {points[-1][1]:.3f}."
        shown.insert(0, figure(chart, "Quality over time", words))
    return shown


def _columns(result: Validation) -> list[Block]:
    worst: dict[str | None, str] = {}
    for finding in result.findings:  # the most severe come first
        worst.setdefault(finding.column, finding.severity)
    rows: list[tuple[Value, ...]] = []
    for column in result.schema.columns:
        known = result.profile.column(column.name)
        state = worst.get(column.name)
        rows.append(
            (
                column.name,
                f"{column.type}{', ' + ', '.join(column.roles) if column.roles else ''}",
                badge(state, TONES[state]) if state else badge("ok", "good"),
                percent(known.nulls / known.rows) if known else None,
                _distinct(known) if known else None,
                _values(known) if known else None,
                sparkline(known) if known else None,
            )
        )
    headings = ("Column", "Type and role", "State", "Missing", "Distinct", "Values", "Distribution")
    expected = [(column.name, expectations(column), column.description or None) for column in result.schema.columns]
    return [
        table(headings, rows, "The contract's columns; values of identifiers and personal columns are not kept"),
        details("What the contract expects of them", table(("Column", "Expected", "What it is"), expected)),
    ]


def _distinct(known: ColumnProfile) -> Value:
    if known.binning == "withheld":
        return None
    return f"{known.distinct:,}" if known.distinct is not None else "over 65,536"


def _values(known: ColumnProfile) -> str | None:
    if known.type in ("integer", "number") and known.mean is not None:
        return f"{known.minimum:,.5g} to {known.maximum:,.5g}, mean {known.mean:,.5g}"
    if known.type in ("date", "datetime") and known.minimum is not None:
        first, last = span(known)
        return f"{format_time(first)} to {format_time(last)}"
    common = [(value, rows) for value, rows in known.value_counts().items() if rows >= FEWEST]
    common.sort(key=lambda pair: (-pair[1], str(pair[0])))
    return ", ".join(f"{value} {rows / known.rows:.0%}" for value, rows in common[:3]) or None


def _shifts(result: Validation) -> list[Block]:
    if not result.shifts:
        return [note("The reference has no column in common with this data that could be compared.", "warn")]
    found = {finding.column for finding in result.findings if finding.check == "shift"}
    missing = {shift.column: shift for shift in result.null_shifts}
    rows = [
        (
            shift.column,
            badge("shifted", "warn") if shift.column in found else badge("as before", "good"),
            shift.psi,
            said(shift.adjusted),
            percent(missing[shift.column].reference) if shift.column in missing else None,
            percent(missing[shift.column].current) if shift.column in missing else None,
        )
        for shift in sorted(result.shifts, key=lambda shift: -shift.psi)
    ]
    limits = result.checks.shift
    return [
        text(
            f"A column counts as shifted when its population stability index is at least {limits.min_psi:g} and the "
            f"shift is not chance: an adjusted p-value of at most {limits.false_discovery_rate:g} over all columns "
            "(Benjamini and Hochberg). What chance adds to the index on average is taken off."
        ),
        table(
            ("Column", "Distribution", "PSI", "Adjusted p", "Missing before", "Missing now"),
            rows,
            "Columns that both have, the largest shift first",
        ),
    ]


def _shapes(result: Validation, reference: Profile) -> list[Block]:
    """Both distributions of the columns that shifted most."""
    found = {finding.column for finding in result.findings if finding.check == "shift"}
    blocks: list[Block] = []
    for shift in sorted(result.shifts, key=lambda shift: -shift.psi):
        old, new = reference.column(shift.column), result.profile.column(shift.column)
        if shift.column not in found or old is None or new is None or len(blocks) == SHOWN_SHIFTS:
            continue
        blocks.append(shapes(old, new, f"Population stability index {shift.psi:.3f}."))
    return blocks


def _timeline(timeline: Timeline) -> Block:
    points = [(1000 * interval.start.timestamp(), float(interval.rows)) for interval in timeline.intervals]
    usual = [(1000 * interval.start.timestamp(), interval.usual) for interval in timeline.intervals]
    first, last = (timeline.intervals[end].start.date() for end in (0, -1))
    axes = f"{timeline.column}, {first} to {last}, UTC", f"rows in {words_for(timeline.length)}"
    chart = charts.line({"rows": points, "usual": usual}, *axes, over_time=True)
    least = min(timeline.intervals, key=lambda interval: interval.rows)
    words = f"{counted(len(points), 'interval')}; the fewest rows, {least.rows:,}, are at {format_time(least.start)}."
    return figure(chart, f"Rows by time in {timeline.column}, beside what is usual for the slot", words)


def _checks(result: Validation, compared: bool) -> Block:
    found: dict[str, int] = {}
    for finding in result.findings:
        found[finding.check] = found.get(finding.check, 0) + 1
    needs_time = {"time_nulls", "freshness", "future", "window", "gaps", "completeness", "label_order"}
    needs_reference = {"shift", "null_shift"}
    rows: list[tuple[Value, ...]] = []
    for name, words in _descriptions().items():
        severity = result.checks.severity(name)
        limits = getattr(result.checks, name).model_dump(exclude={"severity"}, exclude_none=True)
        outcome: Value = badge(f"{found[name]} found", TONES[severity]) if name in found else "nothing found"
        if severity == "off":
            outcome = "not looked at"
        elif (name in needs_reference and not compared) or (name in needs_time and not result.schema.names("time")):
            outcome = "no reference" if name in needs_reference else "no time column"
        said = ", ".join(f"{field.replace('_', ' ')} {value}" for field, value in limits.items())
        rows.append((name, words, severity, said or None, outcome))
    headings = ("Check", "Finds", "Severity of a finding", "Limits", "Outcome")
    return table(headings, rows, "Severities and limits are set in `checks`")


def _descriptions() -> dict[str, str]:
    """Each check's description out of the one place where it stands, the docstring of `Checks`."""
    found = re.findall(r"^\s{8}(\w+): (.+)$", Checks.__doc__ or "", re.MULTILINE)
    return {name: words.rstrip(".").replace("`", "") for name, words in found if name not in ("as_of", "examples")}

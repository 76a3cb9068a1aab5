"""The report of detect_drift: what differs, by how much, whether it may be chance, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence

from headway.components._shared.profiles import Profile
from headway.components._shared.reports import (
    Block,
    Page,
    Tone,
    Value,
    badge,
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
from headway.components.monitoring.config import Drift
from headway.components.monitoring.drift.columns import ColumnResult, Finding
from headway.components.monitoring.drift.result import DriftResult

SHOWN = 8
_WORDS = {
    "values": "distribution",
    "missing": "missing values",
    "new": "new values",
    "lost": "values that came up no more",
    "range": "numbers outside of the range",
}


def write_report(path: str, result: DriftResult, reference: Profile, current: Profile, settings: Drift) -> None:
    """Writes the report.

    Args:
        path: Of the HTML file.
        result: What was found out.
        reference: What the window was compared with.
        current: The window.
        settings: Measures and limits.
    """
    drifted = bool(result.drifted) or bool(result.separation and result.separation.found)
    tone: Tone = "neutral" if not result.enough else "warn" if drifted or result.not_compared else "good"
    status = "Nothing can be said" if not result.enough else "Drift" if drifted else "No drift"
    page = Page("Drift", _lead(result, settings), tone=tone, status=status, kind="detect_drift", facts=_facts(result))
    if result.enough:
        if result.drifted:
            page.section("What differs", _findings(result.drifted), *_shapes(result.drifted, reference, current))
        if result.not_compared:
            page.section("What could not be compared", _not_compared(result.not_compared))
        if result.predictions:
            page.section("What the model says", _columns(_of_predictions(result)))
        page.section("All features at once", _separation(result, settings))
        page.section("All columns", _columns(result))
        page.section("How it was judged", *_method(settings))
    page.write(path)


def _lead(result: DriftResult, settings: Drift) -> str:
    rows = counted(result.rows, "row")
    if not result.enough:
        return f"The window has {rows}; of fewer than {settings.min_rows:,} nothing is said."
    compared = len(result.columns) - len(result.not_compared)
    if not result.drifted:
        return (
            f"{rows} were held against {result.reference_rows:,} of the reference: none of {compared} columns differs."
        )
    names = ", ".join(f"`{column.name}`" for column in result.drifted[:5])
    more = f" and {len(result.drifted) - 5} more" if len(result.drifted) > 5 else ""
    share = f" They carry {result.drifted_share:.0%} of the importance." if result.by_importance else ""
    return (
        f"{rows} were held against {result.reference_rows:,} of the reference: {len(result.drifted)} of {compared} "
        f"columns differ, {names}{more}.{share}"
    )


def _facts(result: DriftResult) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "Rows": result.rows,
        "Rows of the reference": result.reference_rows,
        "Drifted columns": len(result.drifted),
    }
    if result.drifted_share is not None:
        facts["Drifted share" + (", by importance" if result.by_importance else "")] = percent(result.drifted_share)
    if result.separation:
        facts["Separation (AUC)"] = f"{result.separation.auc:.3f}"
    if result.since_before is not None:
        facts["Differ from the window before"] = len(result.since_before)
    if result.model_digest:
        facts["Model"] = mono(result.model_digest[:12])
    if result.fingerprint:
        facts["Window fingerprint"] = mono(result.fingerprint[:12])
    return facts


def _findings(columns: Sequence[ColumnResult]) -> Block:
    rows: list[tuple[Value, ...]] = [
        (
            column.name,
            _WORDS[finding.what] + (f" ({column.measure})" if finding.what == "values" else ""),
            finding.value,
            finding.limit,
            said(finding.adjusted),
            ", ".join(finding.examples) or None,
            None if column.importance is None else percent(column.importance),
        )
        for column in columns
        for finding in column.findings
        if finding.found
    ]
    headings = ("Column", "What differs", "By how much", "Limit", "Adjusted p-value", "Such as", "Importance")
    return table(headings, rows, "What reaches its limit and is not chance")


def _shapes(columns: Sequence[ColumnResult], reference: Profile, current: Profile) -> list[Block]:
    blocks = []
    for column in columns[:SHOWN]:
        old, new = reference.column(column.name), current.column(column.name)
        if old and new and old.values and new.values and new.binning != "buckets":
            blocks.append(shapes(old, new, _seen(column)))
    return blocks


def _seen(column: ColumnResult) -> str:
    found = column.finding("values")
    return f"{column.measure} {found.value:.3f}." if found else "It has no value in the window."


def _not_compared(columns: Sequence[ColumnResult]) -> Block:
    return listing([f"`{column.name}`: {column.not_compared}." for column in columns])


def _separation(result: DriftResult, settings: Drift) -> Block:
    if settings.classifier is None:
        return text("It was not looked at.")
    if result.separation is None:
        return text(f"There are fewer than {settings.classifier.min_rows} rows of a side, or no column to compare.")
    found = result.separation
    sides = f"{found.rows[0]:,} sampled rows of the reference and {found.rows[1]:,} of the window"
    words = (
        f"A classifier tells {sides} apart with an area under the ROC curve of {found.auc:.3f} on rows that it has "
        f"not learned from (at least {found.low:.3f} with {settings.classifier.confidence:.0%} confidence; 0.5 is "
        "guessing)."
    )
    if found.found:
        return note(f"{words} That reaches {settings.classifier.min_auc:g}, and is not chance.", "warn")
    return text(words)


def _of_predictions(result: DriftResult) -> DriftResult:
    return result.model_copy(update={"columns": result.predictions, "since_before": None})


def _columns(result: DriftResult) -> Block:
    names = list(dict.fromkeys(name for column in result.columns for name in column.measures))
    since = result.since_before or ()
    rows: list[tuple[Value, ...]] = [
        (
            column.name,
            badge("drifted", "warn") if column.drifted else "not compared" if column.not_compared else "as before",
            *(column.measures.get(name) for name in names),
            _share(column.finding("missing")),
            _share(column.finding("range") or column.finding("new")),
            *(["yes" if column.name in since else "no"] if result.since_before is not None else []),
        )
        for column in result.columns
    ]
    last = ["Since the window before"] if result.since_before is not None else []
    headings = ["Column", "Outcome", *(n.replace("_", " ") for n in names), "Missing, more", "New or outside", *last]
    return table(headings, rows, "Every measure of every column")


def _share(finding: Finding | None) -> Value:
    return None if finding is None else percent(finding.value)


def _method(settings: Drift) -> list[Block]:
    return [
        text(
            f"A column has drifted when a difference reaches its limit and its p-value, adjusted over everything that "
            f"was tested in this window (Benjamini and Hochberg), is at most {settings.false_discovery_rate:g}: on a "
            "million rows every tiny difference is significant, and on fifty rows chance alone looks large."
        ),
        text(
            "Measures are those of Evidently: over bins of equal width by the rule of Sturges for numbers with more "
            "than 20 values in the reference, over the values of everything else; the Wasserstein distance is in "
            "standard deviations of the reference."
        ),
    ]

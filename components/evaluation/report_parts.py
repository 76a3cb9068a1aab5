"""The sections of the evaluation report about parts of the rows: classes, slices and gaps between groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headway.components._shared.profiles.columns import FEWEST
from headway.components._shared.reports import Block, Cell, Value, badge, charts, details, figure, table, text
from headway.components._shared.reports.formats import number, percent
from headway.components._shared.statistics.blocks import MIN_BLOCKS
from headway.components._shared.statistics.metrics import LABELS
from headway.components._shared.statistics.slices import SliceResult
from headway.components.evaluation.classes import confusion
from headway.components.evaluation.report_cells import FOREST_ROWS, around, p_value
from headway.components.evaluation.result import Result

SHOWN_CLASSES = 10


def classes(result: Result) -> Iterator[Block]:
    """Precision and recall of each class, and what is taken for what."""
    labels = [str(label) for label in result.manifest.classes]
    at = "" if result.threshold is None else f" at the threshold {number(result.threshold.value)}"
    rows = [
        (
            labels[c.number],
            c.support,
            c.predicted,
            None if c.precision is None else around(c.precision),
            None if c.recall is None else around(c.recall),
        )
        for c in result.classes
    ]
    yield table(["Class", "Rows of it", "Taken for it", "Precision", "Recall"], rows, f"Each class{at}")
    kept = [c.number for c in result.classes[:SHOWN_CLASSES]]
    rest = [c.number for c in result.classes[SHOWN_CLASSES:]]
    groups = {labels[k]: [k] for k in kept} | ({f"{len(rest)} others": rest} if rest else {})
    counts = confusion(result.outcomes)
    shown: list[Sequence[Value]] = [
        (name, *(_count(counts[np.ix_(actual, taken)].sum(), counts[actual].sum()) for taken in groups.values()))
        for name, actual in groups.items()
    ]
    columns = [result.manifest.target, *(f"taken for {name}" for name in groups)]
    yield table(columns, shown, f"What is taken for what{at}: rows, and their share of the class")
    yield text(
        "Precision is the share of the rows taken for a class that are of it, recall the share of the rows of a class "
        "that are taken for it. Each interval holds for itself; a dash stands where fewer than "
        f"{FEWEST} rows decide{'' if result.blocks is None else f', or rows of fewer than {MIN_BLOCKS} blocks'}."
    )


def _count(rows: int, of: int) -> Cell:
    part = f' <span class="bounds">{percent(rows / of, 0)}</span>' if of else ""
    return Cell(f"{number(int(rows))}{part}", numeric=True)


def slices(result: Result) -> Iterator[Block]:
    """The primary metric in every slice."""
    results = result.slices[result.primary.name]
    measured = [s for s in results if s.joint is not None]
    if not measured:
        yield text("No slice has the support to be measured.")
        return
    sign = -1 if result.primary.better == "lower" else 1
    ordered = sorted(measured, key=lambda s: sign * s.joint.value if s.joint else 0.0)
    overall = result.measured.get(result.primary.name)
    yield figure(
        charts.intervals(
            [(s.name, s.joint.value, s.joint.low, s.joint.high) for s in ordered[:FOREST_ROWS] if s.joint],
            None if overall is None else overall.estimate.value,
            result.primary.label,
            "all rows",
        ),
        f"{result.primary.label} by slice, worst first",
        f"The worst is {ordered[0].name}, the best {ordered[-1].name}, of {len(ordered)}.",
    )
    rows = [
        (
            s.name,
            s.size,
            None if s.joint is None else around(s.joint),
            None if s.deviation is None else s.deviation.value,
            None if s.p_value is None else p_value(s.p_value),
            _slice_word(s, 1 - result.settings.confidence),
        )
        for s in [*ordered, *(s for s in results if s.joint is None)]
    ]
    columns = ["Slice", "Rows", result.primary.label, "Better than overall by", "p (Holm)", ""]
    yield table(columns, rows, "Slices")
    if len(measured) > 1:
        yield text(
            f"The {len(measured)} intervals hold together with {100 * result.settings.confidence:g} % confidence, so "
            "each is wider than one for its slice alone, which a gate on a named slice takes. A gate on the worst "
            "slice takes an interval of the true worst value, whichever slice has it: its end towards better values is "
            "the least good of the joint ends, the other that of the single intervals, which need no correction there."
        )


def _slice_word(found: SliceResult, alpha: float) -> Value:
    if found.why_not is not None:
        return f"not measured: {found.why_not}"
    if found.deviation is None or found.p_value is None or found.p_value >= alpha:
        return "not shown to differ"
    return badge("better", "good") if found.deviation.value > 0 else badge("worse", "warn")


def gaps(result: Result) -> Iterator[Block]:
    """Differences between groups."""
    yield text(
        "The interval of a largest gap covers the true largest gap between any two groups, whichever pair looks "
        "furthest apart."
    )
    rows = [
        (
            gap.column,
            LABELS[gap.metric],
            None if gap.interval is None else around(gap.interval),
            "fewer than two groups with support" if gap.widest is None else " and ".join(gap.widest),
        )
        for gap in result.gaps
    ]
    yield table(["Column", "Metric", "Largest gap", "Between"], rows)
    groups = [
        (name, LABELS[gap.metric], size, around(found))
        for gap in result.gaps
        for name, (size, found) in gap.groups.items()
    ]
    left_out = [(name, LABELS[gap.metric], None, why) for gap in result.gaps for name, why in gap.left_out.items()]
    yield details("Every group", table(["Group", "Metric", "Rows", "Value"], [*groups, *left_out]))

"""Our exact figures as metrics of Evidently, beside its own presets on samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evidently._pydantic_compat import PrivateAttr
from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
from evidently.legacy.renderers.html_widgets import CounterData, counter, table_data

from headway.components.monitoring.drift.columns import ColumnResult
from headway.components.monitoring.drift.result import DriftResult


class HeadwayFigure(SingleValueMetric):  # type: ignore[misc]
    """One figure of detect_drift, of all rows of the window.

    Attributes:
        what: Such as `wasserstein`, `missing` or `drifted_share`.
        column: Of which column; empty where it is of the whole window.
    """

    what: str
    column: str = ""
    # No fields: Evidently draws a line for each combination of a metric's fields.
    _value: float = PrivateAttr(0.0)
    _shown: list[Any] = PrivateAttr(default_factory=list)

    @classmethod
    def of(cls, what: str, value: float, column: str = "") -> HeadwayFigure:
        """A figure with its value, which is in the history and not on the page."""
        figure = cls(what=what, column=column)
        figure._value = value
        return figure

    def showing(self, shown: Sequence[Any]) -> HeadwayFigure:
        """The same with widgets on the page."""
        self._shown = [*shown]
        return self


class HeadwayFigureCalculation(SingleValueCalculation[HeadwayFigure]):  # type: ignore[misc]
    """Gives the value that is already known."""

    def calculate(self, *_: Any) -> SingleValue:
        """The figure."""
        result = self.result(self.metric._value)
        result.widget = self.metric._shown
        return result

    def display_name(self) -> str:
        """What it is called in Evidently's UI."""
        return f"{self.metric.column}: {self.metric.what}" if self.metric.column else str(self.metric.what)


def figures_of(result: DriftResult) -> Iterator[HeadwayFigure]:
    """The figures of a window: those of the whole, and of each column those that were tested."""
    rows = HeadwayFigure.of("rows", result.rows)
    yield rows.showing([_summary(result), *([_table(result)] if result.columns else [])])
    yield HeadwayFigure.of("drifted_columns", len(result.drifted))
    if result.drifted_share is not None:
        yield HeadwayFigure.of("drifted_share", result.drifted_share)
    if result.separation:
        yield HeadwayFigure.of("separation_auc", result.separation.auc)
    for column in (*result.columns, *result.predictions):
        for finding in column.findings:
            yield HeadwayFigure.of(_named(column, finding.what), finding.value, column.name)


def _summary(result: DriftResult) -> Any:
    said = [("rows", f"{result.rows:,}"), ("drifted columns", f"{len(result.drifted)} of {len(result.columns)}")]
    if result.drifted_share is not None:
        said.append(("drifted share", f"{result.drifted_share:.2f}"))
    if result.separation:
        said.append(("separation (AUC)", f"{result.separation.auc:.3f}"))
    return counter(title="Headway: all rows of the window", counters=[CounterData(*each) for each in said])


def _table(result: DriftResult) -> Any:
    """Every column, those that drifted first, with what decided."""
    tested = [(column, each) for column in (*result.columns, *result.predictions) for each in column.findings]
    rows = [
        (
            column.name,
            _named(column, each.what),
            f"{each.value:.4g}",
            f"{each.limit:g}",
            f"{each.adjusted:.2g}",
            "yes" if each.found else "no",
        )
        for column, each in tested
    ]
    names = ("column", "what was tested", "value", "limit", "p-value, adjusted", "drifted")
    return table_data(title="Headway: what was tested of each column", column_names=names, data=rows)


def _named(column: ColumnResult, what: str) -> str:
    return str(column.measure) if what == "values" else what

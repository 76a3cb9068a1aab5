"""Figures as the cells of the evaluation report's tables."""

from __future__ import annotations

from headway.components._shared.reports import Cell, interval
from headway.components._shared.reports.formats import number
from headway.components._shared.statistics.differences import Difference
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.verdicts import GateOutcome

# Rows of a chart with one row for each name.
FOREST_ROWS = 30


def p_value(value: float) -> Cell:
    """A p-value; tiny ones only as tiny."""
    return Cell("&lt; 0.0001" if value < 0.0001 else number(round(value, 4)), numeric=True)


def around(found: Interval | Difference | GateOutcome) -> Cell:
    """A value with its interval, as a cell."""
    return interval(float(found.value or 0.0), float(found.low or 0.0), float(found.high or 0.0))

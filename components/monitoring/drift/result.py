"""What detect_drift finds out about a window."""

from __future__ import annotations

from typing import Literal

from headway.components._shared.config import Config
from headway.components.monitoring.drift.classifier import Separation
from headway.components.monitoring.drift.columns import ColumnResult


class DriftResult(Config):
    """The document of the output `findings`.

    Attributes:
        rows: Of the window.
        fingerprint: Of the window.
        reference_rows: What it was compared with.
        model_digest: The model whose training data that was; None where a profile was given.
        enough: Whether the window has the rows that the settings ask for; else nothing is said of any column.
        columns: What was found out about each, the drifted ones first.
        drifted_share: Share of the compared columns that drifted, weighed by importance where that is known.
        by_importance: Whether it was.
        separation: Of all features at once; None where it was not looked at.
        predictions: The same of what the model said, against its evaluation; empty where that is not known.
        since_before: Columns that differ from the window before; None without one.
    """

    schema_version: Literal[1] = 1
    kind: Literal["drift"] = "drift"
    rows: int
    fingerprint: str
    reference_rows: int
    model_digest: str | None = None
    enough: bool = True
    columns: tuple[ColumnResult, ...] = ()
    drifted_share: float | None = None
    by_importance: bool = False
    separation: Separation | None = None
    predictions: tuple[ColumnResult, ...] = ()
    since_before: tuple[str, ...] | None = None

    @property
    def drifted(self) -> list[ColumnResult]:
        """The columns in which anything was found."""
        return [column for column in self.columns if column.drifted]

    @property
    def not_compared(self) -> list[ColumnResult]:
        """The columns that could not be."""
        return [column for column in self.columns if column.not_compared]

"""Findings: what a check saw, how severe it is, where it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from headway.components._shared.config import Config
from headway.components._shared.reports.formats import counted
from headway.components.validation.config import Checks

_ORDER = {"error": 0, "warning": 1, "info": 2}
_ROW = "__row"


class Finding(Config):
    """What one check found in one column.

    Attributes:
        check: Name of the check, as in the configuration.
        severity: `error` stops the pipeline, `warning` and `info` do not.
        column: The column, or None for the dataset as a whole.
        count: Rows concerned, where rows can be counted.
        share: Part of the column (or dataset) concerned, 0 to 1.
        rows: Positions of the first rows concerned, counted from 0 in the order of the shards.
        message: What was found; never a value of a personal column.
        remedy: What to do about it.
    """

    check: str
    severity: Literal["error", "warning", "info"]
    column: str | None = None
    count: int | None = None
    share: float = 1.0
    rows: tuple[int, ...] = ()
    message: str
    remedy: str


@dataclass(frozen=True)
class Draft:
    """A finding whose rows have not been looked up.

    Attributes:
        check: Name of the check.
        message: What was found.
        remedy: What to do about it.
        column: The column.
        count: Rows concerned.
        share: Part of the column concerned.
        where: True for the rows concerned.
    """

    check: str
    message: str
    remedy: str
    column: str | None = None
    count: int | None = None
    share: float = 1.0
    where: pl.Expr | None = None


def complete(drafts: Sequence[Draft], scan: pl.LazyFrame, checks: Checks) -> list[Finding]:
    """Looks up example rows and severities; the most severe come first, checks that are off not at all."""
    wanted = [draft for draft in drafts if checks.severity(draft.check) != "off"]
    searched = [(draft, draft.where) for draft in wanted if draft.where is not None and checks.examples]
    numbered = scan.with_row_index(_ROW)
    queries = [numbered.filter(where).select(_ROW).head(checks.examples) for _, where in searched]
    found = pl.collect_all(queries, engine="streaming")
    positions = {id(draft): tuple(rows[_ROW].to_list()) for (draft, _), rows in zip(searched, found, strict=True)}
    findings = [
        _finding(draft, severity, positions.get(id(draft), ()))
        for draft in wanted
        if (severity := checks.severity(draft.check)) != "off"
    ]
    return sorted(findings, key=lambda f: (_ORDER[f.severity], f.column is not None, f.check, f.column or ""))


def many(count: int, noun: str, column: str | None = None) -> str:
    """`2 values of 'fare' are`, `1 row is`: the beginning of a message."""
    return f"{counted(count, noun)}{'' if column is None else f' of {column!r}'} {'is' if count == 1 else 'are'}"


def _finding(draft: Draft, severity: Literal["error", "warning", "info"], rows: tuple[int, ...]) -> Finding:
    return Finding(
        check=draft.check,
        severity=severity,
        column=draft.column,
        count=draft.count,
        share=min(1.0, max(0.0, draft.share)),
        rows=rows,
        message=draft.message,
        remedy=draft.remedy,
    )

"""Rules: what makes a single row faulty, as one polars expression, counted in the profile where that is exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from headway.components._shared.profiles import Profile
from headway.components.validation.config import Checks
from headway.components.validation.findings import Draft


@dataclass(frozen=True)
class Rule:
    """What makes a row faulty.

    Attributes:
        check: Name of the check.
        column: The column that it is about; None for the rows as a whole.
        where: True for faulty rows.
        message: Number of faulty rows to what is said about them.
        remedy: What to do about it.
        known: The number of faulty rows, where it is known already.
        by_value: Whether `where` looks at nothing but the column's own value, which is then judged once for all rows
            that have it.
        suspected: A cheaper count that is never too small; only if it is positive `where` is counted.
    """

    check: str
    column: str | None
    where: pl.Expr
    message: Callable[[int], str]
    remedy: str
    known: int | None = None
    by_value: bool = False
    suspected: pl.Expr | None = None


def apply(rules: Sequence[Rule], scan: pl.LazyFrame, profile: Profile, checks: Checks) -> list[Draft]:
    """Counts every rule's faulty rows, all of them in one pass, and drafts the findings."""
    active = [rule for rule in rules if checks.severity(rule.check) != "off"]
    counts = [_counted_in_profile(rule, profile) for rule in active]
    open_ones = [number for number, count in enumerate(counts) if count is None]
    for number, count in _counted(scan, {n: _cheapest(active[n]) for n in open_ones}).items():
        counts[number] = count
    suspicious = [n for n in open_ones if counts[n] and active[n].suspected is not None]
    for number, count in _counted(scan, {n: active[n].where.sum() for n in suspicious}).items():
        counts[number] = count
    return [_draft(rule, count, profile.rows) for rule, count in zip(active, counts, strict=True) if count]


def _counted_in_profile(rule: Rule, profile: Profile) -> int | None:
    column = profile.column(rule.column) if rule.column else None
    if rule.known is not None or column is None or not rule.by_value or column.binning != "values":
        return rule.known
    counts = column.counts.rename({"key": column.name, "count": "__count"})
    return int(counts.filter(rule.where)["__count"].sum())


def _counted(scan: pl.LazyFrame, exprs: Mapping[int, pl.Expr]) -> dict[int, int]:
    """Values of several counts in one streaming pass."""
    if not exprs:
        return {}
    named = [expr.cast(pl.Int64).alias(str(number)) for number, expr in exprs.items()]
    row = scan.select(named).collect(engine="streaming").row(0, named=True)
    return {number: row[str(number)] or 0 for number in exprs}


def _cheapest(rule: Rule) -> pl.Expr:
    return rule.where.sum() if rule.suspected is None else rule.suspected


def _draft(rule: Rule, count: int, rows: int) -> Draft:
    return Draft(
        rule.check,
        rule.message(count),
        rule.remedy,
        column=rule.column,
        count=count,
        share=count / rows if rows else 0.0,
        where=rule.where,
    )

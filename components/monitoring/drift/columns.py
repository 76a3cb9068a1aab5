"""Judges each column of a window against a reference: large enough to matter, and not chance over all columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from headway.components._shared.config import Config
from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import FEWEST, ColumnProfile
from headway.components._shared.profiles.comparisons import comparable
from headway.components._shared.statistics.homogeneity import benjamini_hochberg
from headway.components.monitoring.config import ColumnDrift, Drift
from headway.components.monitoring.drift import significance
from headway.components.monitoring.drift.measures import OF_NUMBERS, Measure, is_spread, measures

What = Literal["values", "missing", "new", "lost", "range"]


class Finding(Config):
    """One way in which a column differs.

    Attributes:
        what: `values`: their distribution; `missing`: share of missing ones; `new`: values that the reference does
            not have; `lost`: values that it has, and that came up no more; `range`: numbers beyond its ends.
        value: How much: the measure, the difference of the shares, or the share.
        limit: What it must reach.
        p_value: Of it being chance.
        adjusted: The p-value after Benjamini and Hochberg over everything that was tested in this window.
        found: Whether it reaches the limit and is not chance.
        examples: Values, such as new ones, that at least 10 rows have.
    """

    what: What
    value: float
    limit: float
    p_value: float
    adjusted: float = 1.0
    found: bool = False
    examples: tuple[str, ...] = ()


class ColumnResult(Config):
    """One column.

    Attributes:
        name: Its name.
        type: Its type.
        importance: Its share of the importance of all features, 0 to 1; None where the model does not know it.
        measure: What decides about its values.
        measures: Every measure that its type allows.
        cut: Share of its values that may be counted in the bin beside their own; 0 where profiles hold every value.
        findings: What was tested.
        drifted: Whether anything was found.
        not_compared: Why it was not compared.
    """

    name: str
    type: str
    importance: float | None = None
    measure: Measure | None = None
    measures: Mapping[str, float] = {}
    cut: float = 0.0
    findings: tuple[Finding, ...] = ()
    drifted: bool = False
    not_compared: str | None = None

    def finding(self, what: What) -> Finding | None:
        """What was tested of this kind."""
        return next((each for each in self.findings if each.what == what), None)


@dataclass(frozen=True)
class _Tested:
    column: ColumnResult
    findings: list[Finding] = field(default_factory=list)


def judge_columns(
    reference: Profile, current: Profile, settings: Drift, importance: Mapping[str, float] | None = None
) -> tuple[ColumnResult, ...]:
    """Judges the columns that both profiles have; times and withheld columns are left out.

    Args:
        reference: Profile of what the model has learned from.
        current: Profile of the window.
        settings: Measures and limits.
        importance: Feature to its share of all importance.
    """
    known = importance or {}
    tested = []
    for old in reference.columns:
        new, own = current.column(old.name), settings.columns.get(old.name, ColumnDrift())
        head = ColumnResult(name=old.name, type=old.type, importance=known.get(old.name))
        if own.ignore or "withheld" in (old.binning, *([new.binning] if new else [])):
            continue
        if old.type in ("date", "datetime"):
            continue
        if why := _why_not(old, new):
            tested.append(_Tested(head.model_copy(update={"not_compared": why})))
            continue
        assert new is not None
        tested.append(_tested(head, old, new, settings, own))
    adjusted = benjamini_hochberg([finding.p_value for each in tested for finding in each.findings])
    return tuple(_judged(tested, adjusted, settings.false_discovery_rate))


def drifted_share(columns: Sequence[ColumnResult]) -> float | None:
    """Share of the compared columns that drifted, each weighed by its importance where that is known."""
    compared = [column for column in columns if column.not_compared is None]
    if not compared:
        return None
    weights = [column.importance for column in compared]
    known = [weight for weight in weights if weight is not None]
    if len(known) < len(compared) or not sum(known):
        return sum(column.drifted for column in compared) / len(compared)
    return sum(weight for column, weight in zip(compared, known, strict=True) if column.drifted) / sum(known)


def _why_not(old: ColumnProfile, new: ColumnProfile | None) -> str | None:
    if new is None:
        return "it is not in the window"
    if not comparable(old, new):
        return f"it is {new.type} in the window and {old.type} in the reference, or they are counted otherwise"
    if not old.values:
        return "it has no value in the reference"
    return None


def _tested(head: ColumnResult, old: ColumnProfile, new: ColumnProfile, settings: Drift, own: ColumnDrift) -> _Tested:
    findings = [_missing(old, new, settings)]
    if not new.values:
        return _Tested(head, findings)
    name: Measure = own.measure or (settings.numbers if is_spread(old) else settings.categories)
    if name in OF_NUMBERS and not old.numeric:
        name = settings.categories
    found = measures(old, new)
    limit = own.limit or getattr(settings.limits, name)
    p_value = significance.of_values(old, new, found.by.get("kolmogorov_smirnov"))
    findings.append(Finding(what="values", value=found.by[name], limit=limit, p_value=p_value))
    findings += _range(old, new, settings) if old.numeric else _categories(old, new, settings)
    return _Tested(head.model_copy(update={"measure": name, "measures": found.by, "cut": found.cut}), findings)


def _missing(old: ColumnProfile, new: ColumnProfile, settings: Drift) -> Finding:
    before, now = old.nulls / old.rows, new.nulls / new.rows
    return Finding(
        what="missing", value=now - before, limit=settings.missing, p_value=significance.of_missing(old, new)
    )


def _range(old: ColumnProfile, new: ColumnProfile, settings: Drift) -> Iterator[Finding]:
    assert old.minimum is not None
    assert old.maximum is not None
    low, high, counts = new.histogram()
    outside = int(counts[(high < old.minimum) | (low > old.maximum)].sum()) + sum(new.not_finite[1:])
    yield Finding(
        what="range",
        value=outside / new.values if new.values else 0.0,
        limit=settings.outside,
        p_value=significance.of_outside(min(outside, new.values), new.values, significance.unseen_share(old)),
    )


def _categories(old: ColumnProfile, new: ColumnProfile, settings: Drift) -> Iterator[Finding]:
    if old.binning != "values" or new.binning != "values":
        return
    fresh = new.counts.join(old.counts, on="key", how="anti").sort("count", descending=True)
    count = int(fresh["count"].sum())
    yield Finding(
        what="new",
        value=count / new.values,
        limit=settings.outside,
        p_value=significance.of_outside(count, new.values, significance.unseen_share(old)),
        examples=_examples(fresh),
    )
    lost = old.counts.join(new.counts, on="key", how="anti").sort("count", descending=True)
    if lost.height:
        largest = float(lost["count"][0]) / old.values
        yield Finding(
            what="lost",
            value=float(lost["count"].sum()) / old.values,
            limit=settings.outside,
            # The most frequent of them, out of as many as could have been the one.
            p_value=min(1.0, significance.of_lost(largest, new.values) * old.counts.height),
            examples=_examples(lost),
        )


def _examples(counts: pl.DataFrame) -> tuple[str, ...]:
    return tuple(str(key) for key in counts.filter(pl.col("count") >= FEWEST)["key"].head(5))


def _judged(tested: Sequence[_Tested], adjusted: Sequence[float], rate: float) -> Iterator[ColumnResult]:
    rest = iter(adjusted)
    for each in tested:
        findings = []
        for finding in each.findings:
            p_value = next(rest)
            found = abs(finding.value) >= finding.limit and p_value <= rate
            findings.append(finding.model_copy(update={"adjusted": p_value, "found": found}))
        yield each.column.model_copy(
            update={"findings": tuple(findings), "drifted": any(finding.found for finding in findings)}
        )

"""Looks at each column's own distribution: infinite or no values, one value only, outliers, mixed types, labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import polars as pl

from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import FEWEST, ColumnProfile
from headway.components._shared.schemas import Column
from headway.components.validation.config import Checks
from headway.components.validation.findings import Draft, many
from headway.components.validation.rules import Rule

MAX_CLASSES = 20  # a numeric target with more values is a quantity


def is_class(column: ColumnProfile) -> bool:
    """Whether a target's values are labels and not quantities."""
    if column.type in ("boolean", "string"):
        return True
    return column.type == "integer" and column.distinct is not None and column.distinct <= MAX_CLASSES


def rules(columns: Sequence[Column], profile: Profile, checks: Checks) -> Iterator[Rule]:
    """Repeated rows, infinite values and outliers."""
    yield from _duplicate_rows(columns, profile, checks.duplicate_rows.max_share)
    for column in columns:
        known = profile.column(column.name)
        if known is None or known.binning == "withheld":
            continue
        value = pl.col(column.name)
        if column.type == "number":
            yield Rule(
                "infinite",
                column.name,
                value.is_nan() | value.is_infinite(),
                lambda count, c=column: f"{many(count, 'value', c.name)} infinite or NaN.",  # type: ignore[misc]
                "Make them missing at ingestion, or correct the division or overflow that made them.",
                known=sum(known.not_finite),
            )
        if column.type in ("integer", "number") and "target" not in column.roles:
            yield from _outliers(column, known, checks.outliers.fence)


def drafts(columns: Sequence[Column], profile: Profile, scan: pl.LazyFrame, checks: Checks) -> Iterator[Draft]:
    """What concerns a column, or the dataset, as a whole."""
    if profile.rows < checks.rows.minimum:
        yield Draft(
            "rows",
            f"{many(profile.rows, 'row')} too few; at least {checks.rows.minimum:,} are needed.",
            "Widen the window or the row filter at ingestion.",
            count=profile.rows,
        )
    for column in columns:
        known = profile.column(column.name)
        if known is None:
            continue
        if known.nulls == known.rows:
            yield Draft(
                "all_null",
                f"Column {column.name!r} has no value in any of {known.rows:,} rows.",
                "Find out what stopped filling it, or leave it out.",
                column=column.name,
                count=known.rows,
            )
        elif known.distinct == 1 and not column.roles:
            yield Draft(
                "constant",
                f"Column {column.name!r} has one value only; nothing can be learned from it.",
                "Leave it out, or find out why it does not vary.",
                column=column.name,
                count=known.rows,
            )
        if column.type == "string":
            yield from _mixed_types(known)
        if "target" in column.roles:
            yield from _labels(known, checks)
    yield from _duplicate_columns(columns, profile, scan)


def _duplicate_rows(columns: Sequence[Column], profile: Profile, max_share: float) -> Iterator[Rule]:
    """Rows are told apart by 64-bit hashes, but compared only if not even the most varied column tells them apart."""
    names = [column.name for column in columns if "id" not in column.roles and profile.column(column.name)]
    if not names:
        return
    varied = pl.col(max(names, key=lambda name: _variety(profile.column(name)))).hash()  # type: ignore[arg-type]
    repeated = ~pl.struct(names).hash().is_first_distinct()
    yield Rule(
        "duplicate_rows",
        None,
        repeated & (repeated.mean() > max_share),
        lambda count: f"{many(count, 'row')} equal to an earlier one in everything but the id.",
        "Look whether a source was read twice; remove the repeats at ingestion, or raise max_share.",
        suspected=pl.len() - varied.n_unique() > max_share * pl.len(),
    )


def _variety(known: ColumnProfile) -> int:
    """At least about so many different values."""
    distinct = {"values": known.distinct or 0, "withheld": 0}.get(known.binning, known.rows)
    return distinct - known.nulls


def _outliers(column: Column, known: ColumnProfile, fence: float) -> Iterator[Rule]:
    low, high = known.quantile(0.25), known.quantile(0.75)
    if low is None or high is None or high == low:
        return
    first, last = low - fence * (high - low), high + fence * (high - low)
    value = pl.col(column.name)
    none = known.minimum is not None and known.minimum >= first and known.maximum is not None and known.maximum <= last
    outside = (value < first) | (value > last)
    yield Rule(
        "outliers",
        column.name,
        outside & value.is_finite() if column.type == "number" else outside,
        lambda count: (
            f"{many(count, 'value', column.name)} more than {fence:g} interquartile ranges outside the quartiles "
            f"({low:,.6g} to {high:,.6g}); the furthest are {known.minimum:,.6g} and {known.maximum:,.6g}."
        ),
        "Look whether they are errors, such as a code for `unknown`, and make those missing.",
        known=0 if none else None,
        by_value=True,
    )


def _mixed_types(known: ColumnProfile) -> Iterator[Draft]:
    if known.binning != "values" or not known.counts.height:
        return
    reads = known.counts.select(
        "count", number=pl.col("key").cast(pl.String).cast(pl.Float64, strict=False).is_not_null()
    )
    numbers = int(reads.filter("number")["count"].sum())
    others = known.values - numbers
    if others and numbers > others:
        yield Draft(
            "mixed_types",
            f"Column {known.name!r} is text, but {numbers / known.values:.1%} of its values are numbers; "
            f"{others:,} are not.",
            "Name the texts that mean a missing value at ingestion and read it as numbers, if it is a quantity.",
            column=known.name,
            count=others,
            share=others / known.rows,
            where=pl.col(known.name).cast(pl.String).cast(pl.Float64, strict=False).is_null()
            & pl.col(known.name).is_not_null(),
        )


def _labels(known: ColumnProfile, checks: Checks) -> Iterator[Draft]:
    labelled = known.rows - known.nulls
    if known.nulls:
        yield Draft(
            "missing_labels",
            f"{many(known.nulls, 'row')} without a label and set aside when the data is split.",
            "Nothing, if their outcome is not known yet; otherwise find out where labels get lost.",
            column=known.name,
            count=known.nulls,
            share=known.nulls / known.rows,
            where=pl.col(known.name).is_null(),
        )
    if labelled and known.distinct == 1:
        yield Draft(
            "one_class",
            f"All {labelled:,} labelled rows have the same label in {known.name!r}.",
            "Take a longer time span, or correct how the label is made.",
            column=known.name,
            count=labelled,
        )
    if not is_class(known) or known.binning != "values" or (known.distinct or 0) < 2:
        return
    rare = {
        label: count
        for label, count in known.value_counts().items()
        if count < checks.label_balance.min_rows or count < checks.label_balance.min_share * labelled
    }
    if rare:
        named = [f"{label!r} ({count:,} rows)" for label, count in sorted(rare.items(), key=str) if count >= FEWEST]
        hidden = len(rare) - len(named)
        if hidden:
            named.append(f"{hidden} with fewer than {FEWEST} rows")
        yield Draft(
            "label_balance",
            f"Of {known.distinct} labels in {known.name!r}, these are rare among {labelled:,} labelled rows: "
            f"{', '.join(named)}.",
            "Take a longer time span, weigh the classes in training, or join rare labels.",
            column=known.name,
            count=sum(rare.values()),
            share=sum(rare.values()) / known.rows,
            where=pl.col(known.name).is_in(list(rare)),
        )


def _duplicate_columns(columns: Sequence[Column], profile: Profile, scan: pl.LazyFrame) -> Iterator[Draft]:
    """Pairs of features, or with the target, whose profiles are equal are compared row by row."""
    learned = [column for column in columns if not {*column.roles} - {"target"}]
    kept = [known for column in learned if (known := profile.column(column.name)) and known.binning != "withheld"]
    pairs = [(a.name, b.name) for a, b in combinations(kept, 2) if _looks_alike(a, b)]
    if not pairs:
        return
    exprs = [pl.col(a).eq_missing(pl.col(b)).all().alias(str(number)) for number, (a, b) in enumerate(pairs)]
    equal = scan.select(exprs).collect(engine="streaming").row(0)
    for (a, b), same in zip(pairs, equal, strict=True):
        if same:
            yield Draft(
                "duplicate_columns",
                f"Column {b!r} equals column {a!r} in every row.",
                "Leave one of them out.",
                column=b,
                count=profile.rows,
            )


def _looks_alike(a: ColumnProfile, b: ColumnProfile) -> bool:
    same = (a.type, a.nulls, a.minimum, a.maximum, a.total, a.binning, a.shift) == (
        b.type,
        b.nulls,
        b.minimum,
        b.maximum,
        b.total,
        b.binning,
        b.shift,
    )
    varies = a.counts.height > 1
    return same and varies and a.counts.equals(b.counts)

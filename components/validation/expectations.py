"""Holds data against its contract: columns, types, missing values, domains, ranges, patterns, uniqueness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import FEWEST, ColumnProfile
from headway.components._shared.schemas import Column, Schema, type_or_none
from headway.components.validation.findings import Draft, many
from headway.components.validation.rules import Rule


def column_drafts(contract: Schema, have: Mapping[str, pl.DataType]) -> Iterator[Draft]:
    """Missing and extra columns, and other types."""
    for column in contract.columns:
        if column.name not in have:
            yield Draft(
                "missing_column",
                f"Column {column.name!r} is missing.",
                "Add it at ingestion, or take it out of the contract.",
                column=column.name,
            )
            continue
        found = type_or_none(have[column.name])
        if found != column.type and (found, column.type) != ("integer", "number"):
            yield Draft(
                "type",
                f"Column {column.name!r} holds {found or have[column.name]} where the contract says {column.type}.",
                "Cast it at ingestion, or correct the contract.",
                column=column.name,
            )
    known = {column.name for column in contract.columns}
    for name in have:
        if name not in known:
            yield Draft(
                "extra_column",
                f"Column {name!r} stands in no contract; no model will learn from it.",
                "Leave it out at ingestion, or add it to the contract.",
                column=name,
                share=0.0,
            )


def rules(columns: tuple[Column, ...], profile: Profile) -> Iterator[Rule]:
    """What the contract expects of single values."""
    for column in columns:
        known = profile.column(column.name)
        if known is None:
            continue
        value = pl.col(column.name).cast(pl.String) if column.type == "string" else pl.col(column.name)
        yield from _nulls(column, known)
        if column.domain is not None:
            outside = ~value.is_in(list(column.domain))
            yield Rule(
                "domain",
                column.name,
                outside,
                lambda count, c=column, k=known, w=outside: _about_domain(c, k, w, count),  # type: ignore[misc]
                "Correct the values at their source, or add them to the domain.",
                by_value=True,
            )
        if column.minimum is not None or column.maximum is not None:
            yield _range(column, known)
        if column.pattern is not None:
            yield Rule(
                "pattern",
                column.name,
                ~value.str.contains(whole(column.pattern)),
                lambda count, c=column: (  # type: ignore[misc]
                    f"{many(count, 'value', c.name)} not of the form {c.pattern!r}."
                ),
                "Correct the values at their source, or the pattern in the contract.",
                by_value=True,
            )
        if column.unique:
            yield _unique(column, known)


def _nulls(column: Column, known: ColumnProfile) -> Iterator[Rule]:
    share = known.nulls / known.rows if known.rows else 0.0
    where = pl.col(column.name).is_null()
    if not column.nullable:
        yield Rule(
            "nulls",
            column.name,
            where,
            lambda count: f"{many(count, 'value', column.name)} missing ({share:.2%}); none may be.",
            "Fill or filter them at ingestion, or allow missing values in the contract.",
            known=known.nulls,
        )
    elif column.max_null_share is not None and share > column.max_null_share:
        yield Rule(
            "nulls",
            column.name,
            where,
            lambda count: (
                f"{share:.2%} of the values of {column.name!r} are missing ({count:,}); the contract allows "
                f"{column.max_null_share:.2%}."
            ),
            "Find out what stopped filling it, or raise max_null_share in the contract.",
            known=known.nulls,
        )


def _about_domain(column: Column, known: ColumnProfile, outside: pl.Expr, count: int) -> str:
    said = f"{many(count, 'value', column.name)} outside its domain of {len(column.domain or ())}"
    if known.binning != "values":
        return f"{said}."
    strange = known.counts.rename({"key": column.name}).filter(outside).sort("count", descending=True)
    common = strange.filter(pl.col("count") >= FEWEST).head(5)
    named = [f"{value!r} ({rows:,} rows)" for value, rows in common.iter_rows()]
    rest = strange.height - common.height
    if rest:
        named.append(f"{rest} {'more' if named else ('values' if rest > 1 else 'value')} in few rows")
    return f"{said}: {', '.join(named)}."


def _range(column: Column, known: ColumnProfile) -> Rule:
    value = pl.col(column.name)
    low, high = column.minimum, column.maximum
    where = (pl.lit(False) if low is None else value < low) | (pl.lit(False) if high is None else value > high)
    if column.type == "number":
        where = where & value.is_finite()
    withheld = known.binning == "withheld"
    kept = not withheld and known.minimum is not None and known.maximum is not None
    inside = kept and (low is None or known.minimum >= low) and (high is None or known.maximum <= high)  # type: ignore[operator]
    seen = f" (found {_plain(known.minimum)} to {_plain(known.maximum)})" if kept else ""
    bounds = f"{'-∞' if low is None else _plain(low)} to {'∞' if high is None else _plain(high)}"
    return Rule(
        "range",
        column.name,
        where,
        lambda count: f"{many(count, 'value', column.name)} outside {bounds}{seen}.",
        "Correct the values at their source, or the range in the contract.",
        known=0 if inside else None,
        by_value=True,
    )


def _unique(column: Column, known: ColumnProfile) -> Rule:
    value = pl.col(column.name)
    repeated = known.values - known.distinct if known.distinct is not None else None
    return Rule(
        "unique",
        column.name,
        value.is_not_null() & ~value.is_first_distinct(),
        lambda count: f"{many(count, 'value', column.name)} repeated though each may occur once.",
        "Remove the repeated rows at ingestion, or make the identifier unique.",
        known=repeated,
        # Hashes may collide, so that too many values seem to occur again, but never too few.
        suspected=value.count() - value.drop_nulls().hash().n_unique(),
    )


def whole(pattern: str) -> str:
    """The regular expression that matches where a pattern matches a whole string."""
    return f"^(?:{pattern})$"


def _plain(value: float | None) -> str:
    return f"{value:,.6g}" if value is not None else "nothing"

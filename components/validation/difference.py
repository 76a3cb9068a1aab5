"""Compares a curated Schema with what the data shows, and proposes its next version."""

from __future__ import annotations

from typing import Any, Literal

from headway.components._shared.config import Config
from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.columns import FEWEST, ColumnProfile
from headway.components._shared.schemas import Column, Schema
from headway.components.validation.expectations import whole


class Change(Config):
    """One thing that a schema would have to say otherwise.

    Attributes:
        kind: Whether a column comes, goes, or is expected to be otherwise.
        column: Its name.
        field: What is otherwise, such as `domain`; None for a whole column.
        current: What the schema says.
        proposed: What the data needs.
    """

    kind: Literal["added", "removed", "changed"]
    column: str
    field: str | None = None
    current: Any = None
    proposed: Any = None


def differences(current: Schema, proposal: Schema, profile: Profile) -> list[Change]:
    """What the data needs otherwise; expectations that it meets stay as they are.

    Args:
        current: The curated schema.
        proposal: What was inferred from the data.
        profile: Of the data.
    """
    changes = []
    for column in current.columns:
        needed = _needed(column, proposal, profile)
        if needed is None:
            changes.append(Change(kind="removed", column=column.name))
        else:
            changes += [
                Change(kind="changed", column=column.name, field=name, current=getattr(column, name), proposed=value)
                for name, value in needed.items()
            ]
    known = {column.name for column in current.columns}
    changes += [
        Change(kind="added", column=column.name, proposed=column.model_dump(mode="json", exclude_defaults=True))
        for column in proposal.columns
        if column.name not in known
    ]
    return changes


def updated(current: Schema, proposal: Schema, profile: Profile) -> Schema:
    """The current schema with those changes: its next version, which nobody stands for yet."""
    if not differences(current, proposal, profile):
        return current
    columns = []
    for seen in proposal.columns:
        column = current.column(seen.name)
        if column is None:
            columns.append(seen)
            continue
        needed = _needed(column, proposal, profile) or {}
        columns.append(seen if "type" in needed else Column.model_validate(column.model_dump() | needed))
    return Schema(version=current.version + 1, curated_by=None, columns=tuple(columns))


def _needed(column: Column, proposal: Schema, profile: Profile) -> dict[str, Any] | None:
    """Fields to change so that the data meets the column; None if the data has no such column."""
    seen, known = proposal.column(column.name), profile.column(column.name)
    if seen is None or known is None:
        return None
    if column.type != seen.type and (seen.type, column.type) != ("integer", "number"):
        return {"type": seen.type}
    needed: dict[str, Any] = {}
    if column.roles != seen.roles:
        needed["roles"] = seen.roles
    if known.nulls and not column.nullable:
        needed |= {"nullable": True, "max_null_share": seen.max_null_share}
    elif column.max_null_share is not None and known.nulls > column.max_null_share * known.rows:
        needed["max_null_share"] = seen.max_null_share
    needed |= _range_needed(column, seen, known)
    if known.binning == "values":
        needed |= _values_needed(column, known)
    return needed


def _range_needed(column: Column, seen: Column, known: ColumnProfile) -> dict[str, Any]:
    needed: dict[str, Any] = {}
    if column.minimum is not None and known.minimum is not None and known.minimum < column.minimum:
        needed["minimum"] = seen.minimum
    if column.maximum is not None and known.maximum is not None and known.maximum > column.maximum:
        needed["maximum"] = seen.maximum
    return needed


def _values_needed(column: Column, known: ColumnProfile) -> dict[str, Any]:
    needed: dict[str, Any] = {}
    if column.domain is not None:
        common = [value for value, rows in known.value_counts().items() if rows >= FEWEST]
        new = [value for value in common if value not in column.domain]
        if new:
            needed["domain"] = tuple(sorted((*column.domain, *new), key=str))
    if column.pattern is not None:
        matches = known.counts["key"].str.contains(whole(column.pattern))
        if not matches.all():
            needed["pattern"] = None
    if column.unique and known.counts["count"].max() != 1:
        needed["unique"] = False
    return needed

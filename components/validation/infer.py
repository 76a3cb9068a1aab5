"""Infers a Schema from data, as a proposal for people to review, and the difference to one that is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headway.components._shared.artifacts import Artifact, describe, write_document
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.profiles import Profile, profile_dataset
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.schemas import Column, Schema, require_columns, type_of, write_schema
from headway.components._shared.steps import decided, keep_report, step
from headway.components.validation.config import Roles
from headway.components.validation.difference import differences, updated
from headway.components.validation.infer_report import write_report

MAX_DOMAIN = 20  # a string column with more values is open
MIN_ROWS_A_VALUE = 10  # a rarer value may be a slip, or point to a person


@step("infer_schema")
def infer_schema(
    data: Artifact,
    schema: Artifact,
    difference: Artifact,
    report: Artifact,
    *,
    roles: Mapping[str, Any],
    current: Mapping[str, Any],
    state_uri: str | None = None,  # noqa: ARG001 - read by the step
) -> None:
    """The step: proposes a Schema, or what to change in the current one."""
    dataset = open_dataset(data.path)
    before = parse(Schema, current, parameter="current") if current else None
    given = parse(Roles, roles, parameter="roles")
    proposal, profile = _proposed(dataset, given, before)
    changes = differences(before, proposal, profile) if before else []
    result = updated(before, proposal, profile) if before else proposal
    write_schema(result, schema.path)
    describe(schema, digest=result.digest(), curated_by=result.curated_by or "inferred", columns=len(result.columns))
    document = {"schema_version": 1, "changes": [change.model_dump(mode="json") for change in changes]}
    write_document(difference, document)
    said = _summary(result, before, len(changes))
    describe(difference, decision=said)
    write_report(report.path, result, before, changes, profile, said)
    keep_report(report.path)
    decided(said, rows=dataset.rows, changes=len(changes))


def propose(dataset: Dataset, roles: Roles) -> Schema:
    """A Schema that the data meets, with the given roles and expectations that are loose enough for its successors."""
    return _proposed(dataset, roles, None)[0]


def _proposed(dataset: Dataset, roles: Roles, before: Schema | None) -> tuple[Schema, Profile]:
    by_column = roles.by_column()
    require_columns(dataset.columns, by_column, what="The data")
    kept = {column.name: column.roles for column in before.columns} if before else {}
    if "id" in dataset.columns and not any("id" in names for names in (*by_column.values(), *kept.values())):
        by_column.setdefault("id", []).append("id")
    bare = tuple(
        Column.model_validate({"name": name, "type": type_of(dtype), "roles": by_column.get(name, kept.get(name, ()))})
        for name, dtype in dataset.columns.items()
    )
    profile = profile_dataset(dataset, Schema(columns=bare))
    columns = tuple(_column(column, profile) for column in bare)
    return Schema(columns=columns), profile


def _column(column: Column, profile: Profile) -> Column:
    known = profile.column(column.name)
    if known is None or known.rows == 0:
        return column
    share = known.nulls / known.rows
    found: dict[str, object] = {"nullable": known.nulls > 0}
    if known.nulls:
        found["max_null_share"] = min(1.0, round(share + max(0.01, share / 2), 3))
    if "id" in column.roles:
        found["unique"] = True
    if known.binning != "withheld":
        found |= _domain(known) | _range(known)
    return Column.model_validate(column.model_dump() | found)


def _domain(known: ColumnProfile) -> dict[str, object]:
    counts = known.value_counts()
    if known.type != "string" or not 0 < len(counts) <= MAX_DOMAIN or min(counts.values()) < MIN_ROWS_A_VALUE:
        return {}
    return {"domain": tuple(sorted(map(str, counts)))}


def _range(known: ColumnProfile) -> dict[str, object]:
    """The range seen, widened on both sides by half of its width, but not below zero where nothing was."""
    if known.type not in ("integer", "number") or known.minimum is None or known.maximum is None:
        return {}
    low, high = float(known.minimum), float(known.maximum)
    margin = (high - low) / 2
    if not margin > 0 or math.isinf(margin):
        return {}
    lower = 0.0 if low >= 0 else _rounded(low - margin)
    return {"minimum": lower, "maximum": _rounded(high + margin)}


def _rounded(value: float) -> float:
    """Two significant digits, away from zero."""
    if value == 0:
        return 0.0
    exponent = math.floor(math.log10(abs(value))) - 1
    digits = math.ceil(round(abs(value) / 10.0**exponent, 6))
    return math.copysign(float(f"{digits}e{exponent}"), value)


def _summary(result: Schema, before: Schema | None, changes: int) -> str:
    if before is None:
        return f"proposes a schema of {len(result.columns)} columns; nobody stands for it yet"
    if not changes:
        return f"the current schema (version {before.version}) fits"
    return f"proposes {changes} change{'s' if changes > 1 else ''} to version {before.version} of the schema"

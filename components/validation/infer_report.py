"""The report of `infer_schema`: what is proposed, and what would change, for a person to review."""

from __future__ import annotations

from collections.abc import Sequence

from headway.components._shared.profiles import Profile
from headway.components._shared.reports import Block, Page, Tone, Value, badge, code, mono, percent, table, text
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.state import dump_json
from headway.components.validation.difference import Change
from headway.components.validation.sparklines import sparkline

REVIEW = (
    "A schema is a contract: what it says, data must meet, or the pipeline stops. Correct what was only chance in this "
    "data, set `curated_by` to who stands for it, and give it to validate_data as `contract`. Ranges were widened by "
    "half of their width, so that ordinary new data stays inside."
)


def write_report(
    path: str, schema: Schema, before: Schema | None, changes: Sequence[Change], profile: Profile, said: str
) -> None:
    """Writes the report."""
    page = Page(
        "Schema proposal",
        f"The step {said}.",
        tone="warn" if changes or before is None else "good",
        status="To be reviewed" if changes or before is None else "Nothing to change",
        kind="infer_schema",
        facts={
            "Rows looked at": profile.rows,
            "Columns": len(schema.columns),
            "Version": schema.version,
            "Curated by": schema.curated_by or "nobody yet",
            "Digest": schema.digest()[:12],
        },
    )
    if before is not None:
        page.section("Changes", _changes(changes))
    page.section("Columns", _columns(schema, profile))
    page.section(
        "Next step", text(REVIEW), code(dump_json(schema.model_dump(mode="json", exclude_defaults=True)).decode())
    )
    page.write(path)


def _changes(changes: Sequence[Change]) -> Block:
    tones: dict[str, Tone] = {"added": "good", "removed": "bad", "changed": "warn"}
    rows = [(badge(c.kind, tones[c.kind]), c.column, c.field, _short(c.current), _short(c.proposed)) for c in changes]
    return table(("Change", "Column", "What", "Schema says", "Data needs"), rows, "Differences to the current schema")


def _columns(schema: Schema, profile: Profile) -> Block:
    rows: list[tuple[Value, ...]] = []
    for column in schema.columns:
        known = profile.column(column.name)
        missing = percent(known.nulls / known.rows) if known and known.rows else None
        shape = sparkline(known) if known else None
        roles = ", ".join(column.roles) or "feature"
        rows.append((mono(column.name), column.type, roles, missing, expectations(column), shape))
    return table(("Column", "Type", "Role", "Missing", "Expected", "Distribution"), rows)


def expectations(column: Column) -> str:
    """What a column expects of its values, in words."""
    words = [] if column.nullable else ["no missing values"]
    if column.max_null_share is not None:
        words.append(f"at most {column.max_null_share:.1%} missing")
    if column.unique:
        words.append("each value once")
    if column.domain is not None:
        shown = ", ".join(map(str, column.domain[:8]))
        words.append(f"one of {shown}{' …' if len(column.domain) > 8 else ''}")
    if column.minimum is not None or column.maximum is not None:
        low = "−∞" if column.minimum is None else f"{column.minimum:,.6g}"
        high = "∞" if column.maximum is None else f"{column.maximum:,.6g}"
        words.append(f"{low} to {high}")
    if column.pattern is not None:
        words.append(f"of the form {column.pattern}")
    return "; ".join(words) or "anything"


def _short(value: object) -> str | None:
    if value is None:
        return None
    said = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return said if len(said) <= 80 else f"{said[:79]}…"

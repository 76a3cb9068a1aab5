"""The Schema: what the columns of a dataset are, what they may hold, and which role each one plays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, model_validator

from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import dump_json

Type = Literal["integer", "number", "string", "boolean", "date", "datetime"]
# The type that each has in memory and in Parquet.
DTYPES: Mapping[str, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us", "UTC"),
}
Role = Literal["id", "time", "label_time", "target", "group", "entity", "subject", "personal"]


class Column(Config):
    """One column and what is expected of it.

    Attributes:
        name: As in the data.
        type: `integer`, `number`, `string`, `boolean`, `date` or `datetime` (UTC).
        roles: What the column is for; a column without a role is a feature, one with any role is not. A column can be
            sliced by without a role; one that keeps rows together (`group`) and is a feature too is taken twice at
            ingestion, such as `store, store AS store_group`.
        nullable: Whether a value may be missing.
        max_null_share: Largest allowed share of missing values, 0 to 1.
        unique: Whether a value may occur only once.
        domain: The allowed values; None means any.
        minimum: Smallest allowed value, inclusive.
        maximum: Largest allowed value, inclusive.
        pattern: Regular expression that each whole string must match.
        description: For people.
    """

    name: str
    type: Type
    roles: tuple[Role, ...] = ()
    nullable: bool = True
    max_null_share: float | None = Field(default=None, ge=0, le=1)
    unique: bool = False
    domain: tuple[str | int | bool, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _can_be_met(self) -> Column:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} lies above maximum {self.maximum}")
        if self.domain is not None and not self.domain:
            raise ValueError("an empty domain allows no value; leave it out to allow any")
        if (self.minimum, self.maximum) != (None, None) and self.type not in ("integer", "number"):
            raise ValueError("minimum and maximum belong to integer and number columns")
        if self.pattern is not None:
            if self.type != "string":
                raise ValueError("pattern belongs to string columns")
            _check_pattern(self.pattern)
        return self


class Schema(Config):
    """The contract of a dataset.

    Attributes:
        schema_version: Format of this file.
        version: Counts the curated revisions.
        curated_by: Who stands for it; None means inferred and not yet reviewed.
        columns: In the order of the data.
    """

    schema_version: Literal[1] = 1
    version: int = 1
    curated_by: str | None = None
    columns: tuple[Column, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_each_column_once(self) -> Schema:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns stand twice: {', '.join(twice)}")
        return self

    def names(self, role: Role) -> list[str]:
        """Names of the columns that have a role."""
        return [c.name for c in self.columns if role in c.roles]

    def one(self, role: Role) -> str:
        """Name of the one column that has a role.

        Raises:
            HeadwayError: `schema.role_missing` or `schema.role_ambiguous`.
        """
        names = self.names(role)
        if len(names) == 1:
            return names[0]
        missing = not names
        raise HeadwayError(
            "schema.role_missing" if missing else "schema.role_ambiguous",
            f"The schema has {'no column' if missing else 'several columns'} with the role {role!r}.",
            value=names or None,
            remedy=f"Give exactly one column the role {role!r} in the schema.",
        )

    def features(self) -> list[Column]:
        """The columns that a model may learn from, in order: those without a role.

        Roles say whose a row is, when it was and how it ended; what is learned from that does not hold for others.
        """
        return [c for c in self.columns if not c.roles]

    def column(self, name: str) -> Column | None:
        """The column of that name, if there is one."""
        return next((c for c in self.columns if c.name == name), None)

    def digest(self) -> str:
        """sha256 over the canonical JSON, without who curated it."""
        return hashlib.sha256(dump_json(self.model_dump(mode="json", exclude={"curated_by"}))).hexdigest()


def read_schema(path: str | Path) -> Schema:
    """Reads a Schema artifact (one JSON file).

    Raises:
        HeadwayError: `schema.unreadable`, or `config.invalid` that names the field.
    """
    try:
        document = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        raise HeadwayError(
            "schema.unreadable",
            "There is no readable JSON file here.",
            value=str(path),
            remedy="Give the schema of infer_schema or validate_data, or a curated one in the same form.",
        ) from None
    return parse(Schema, document if isinstance(document, dict) else {}, parameter="schema")


def write_schema(schema: Schema, path: str | Path) -> None:
    """Writes a Schema artifact (one JSON file)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(dump_json(schema.model_dump(mode="json", exclude_defaults=True)))


def type_of(dtype: pl.DataType) -> Type:
    """The schema's type of a polars type.

    Raises:
        HeadwayError: `schema.type_unsupported` for nested, binary and duration columns.
    """
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Date:
        return "date"
    if isinstance(dtype, pl.Datetime):
        return "datetime"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "string"
    raise HeadwayError(
        "schema.type_unsupported",
        "Columns of this type are not supported.",
        value=str(dtype),
        remedy="Select, cast or split the column at ingestion.",
    )


def type_or_none(dtype: pl.DataType) -> str | None:
    try:
        return type_of(dtype)
    except HeadwayError:
        return None


def columns_in(contract: Schema, have: Mapping[str, pl.DataType]) -> tuple[Column, ...]:
    """The contract's columns that are there, each with the type that it really has."""
    columns = []
    for column in contract.columns:
        found = type_or_none(have[column.name]) if column.name in have else None
        if found is None:
            continue
        if (found, column.type) in ((column.type, column.type), ("integer", "number")):
            columns.append(column)
        else:
            # Its expectations are written for another type and cannot be held against this one.
            columns.append(Column(name=column.name, type=found, roles=column.roles, nullable=column.nullable))
    return tuple(columns)


def require_columns(have: Iterable[str], want: Iterable[str], *, what: str) -> None:
    """Raises `data.column_missing` that names what is missing and what is there."""
    have = list(have)
    missing = [name for name in want if name not in have]
    if missing:
        raise HeadwayError(
            "data.column_missing",
            f"{what} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}.",
            value=missing,
            remedy=f"Name one of the columns that are there ({', '.join(have[:40])}), or add it at ingestion.",
        )


def _check_pattern(pattern: str) -> None:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        reason = str(error).split("This error occurred")[0].strip().splitlines()[-1]
        raise ValueError(f"pattern is not a regular expression: {reason}") from None

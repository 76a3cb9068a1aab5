"""Inferring a schema: a proposal that its own data meets, and only the differences that data needs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import open_dataset, write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Schema, read_schema
from headway.components.validation.config import Checks
from headway.components.validation.infer import infer_schema
from headway.components.validation.judge import validate

ROLES = {"target": "late", "time": "at", "personal": ["mail"]}
SECRET = "planted.address@example.org"


def trips(rows: int = 400) -> pl.DataFrame:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "id": [f"t{n}" for n in range(rows)],
            "at": [start + timedelta(hours=n) for n in range(rows)],
            "late": [n % 4 == 0 for n in range(rows)],
            "carrier": [("AA", "UA", "DL")[n % 3] for n in range(rows)],
            "plane": [f"N{n}" for n in range(rows)],
            "distance": [100 + n for n in range(rows)],
            "fare": [None if n % 10 == 0 else n - 150.5 for n in range(rows)],
            "mail": [SECRET] * rows,
        }
    )


class Inferred:
    """Runs the step on a frame."""

    def __init__(self, tmp_path: Path, frame: pl.DataFrame, roles: Any = ROLES, current: Schema | None = None) -> None:
        self.dataset = write_dataset({"a": frame}, tmp_path / "data")
        outputs = {name: LocalArtifact(str(tmp_path / name)) for name in ("schema", "difference", "report")}
        infer_schema(
            LocalArtifact(str(tmp_path / "data")),
            *outputs.values(),
            roles=roles,
            current=current.model_dump(mode="json") if current else {},
        )
        self.schema = read_schema(outputs["schema"].path)
        self.metadata = outputs["schema"].metadata
        self.changes = json.loads((tmp_path / "difference").read_text())["changes"]
        self.report = (tmp_path / "report").read_text()


def test_types_roles_nulls_domains_and_ranges_are_proposed(tmp_path):
    inferred = Inferred(tmp_path, trips())
    proposal = {c.name: c.model_dump(exclude_defaults=True, exclude={"name"}) for c in inferred.schema.columns}
    assert proposal == {
        "id": {"type": "string", "roles": ("id",), "nullable": False, "unique": True},
        "at": {"type": "datetime", "roles": ("time",), "nullable": False},
        "late": {"type": "boolean", "roles": ("target",), "nullable": False},
        "carrier": {"type": "string", "nullable": False, "domain": ("AA", "DL", "UA")},
        "plane": {"type": "string", "nullable": False},
        "distance": {"type": "integer", "nullable": False, "minimum": 0.0, "maximum": 700.0},
        "fare": {"type": "number", "max_null_share": 0.15, "minimum": -350.0, "maximum": 450.0},
        "mail": {"type": "string", "roles": ("personal",), "nullable": False},
    }
    assert inferred.schema.curated_by is None
    assert inferred.metadata["curated_by"] == "inferred"
    assert inferred.changes == []


def test_the_data_meets_what_was_inferred_from_it(tmp_path):
    inferred = Inferred(tmp_path, trips())
    result = validate(open_dataset(tmp_path / "data"), inferred.schema, Checks(as_of="2014-01-01"))
    assert result.findings == ()


def test_no_personal_value_is_in_a_proposal(tmp_path):
    inferred = Inferred(tmp_path, trips())
    for path in (tmp_path / "schema", tmp_path / "report"):
        assert SECRET not in path.read_text()
    assert "To be reviewed" in inferred.report


def test_a_rare_value_keeps_a_column_open(tmp_path):
    frame = trips().with_columns(carrier=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("odd")).otherwise("carrier"))
    column = Inferred(tmp_path, frame).schema.column("carrier")
    assert column is not None
    assert column.domain is None


def test_a_current_schema_that_fits_stays_as_it_is(tmp_path):
    current = Inferred(tmp_path / "a", trips()).schema.model_copy(update={"curated_by": "data team"})
    again = Inferred(tmp_path / "b", trips(300), current=current)
    assert again.schema == current
    assert again.changes == []
    assert "Nothing to change" in again.report


def test_only_what_the_data_needs_otherwise_is_changed(tmp_path):
    first = Inferred(tmp_path / "a", trips()).schema
    current = first.model_copy(
        update={
            "curated_by": "data team",
            "version": 3,
            "columns": tuple(
                column.model_copy(update={"pattern": "N1.*", "description": "Tail number"})
                if column.name == "plane"
                else column
                for column in first.columns
            ),
        }
    )
    frame = (
        trips()
        .with_columns(
            carrier=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("WN")).otherwise("carrier"),
            distance=pl.when(pl.int_range(pl.len()) < 20).then(None).otherwise(pl.col("distance") * 10),
            fare=pl.col("fare").cast(pl.String),
            gate=pl.lit(4),
        )
        .drop("at")
    )
    changed = Inferred(tmp_path / "b", frame, {"target": "late", "personal": "mail"}, current)
    assert {(c["kind"], c["column"], c["field"]) for c in changed.changes} == {
        ("changed", "carrier", "domain"),
        ("changed", "plane", "pattern"),
        ("changed", "distance", "nullable"),
        ("changed", "distance", "max_null_share"),
        ("changed", "distance", "maximum"),
        ("changed", "fare", "type"),
        ("added", "gate", None),
        ("removed", "at", None),
    }
    schema = changed.schema
    assert (schema.version, schema.curated_by) == (4, None)
    plane = schema.column("plane")
    assert plane is not None
    assert (plane.pattern, plane.description) == (None, "Tail number")
    assert schema.column("carrier").domain == ("AA", "DL", "UA", "WN")  # type: ignore[union-attr]
    assert "Differences to the current schema" in changed.report


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"target": "label"}, r"\[data.column_missing\] The data lacks the column 'label'"),
        ({"label": "late"}, "roles.label: there is no such field"),
    ],
)
def test_roles_that_cannot_be_given_are_refused(tmp_path, roles, message):
    with pytest.raises(HeadwayError, match=message):
        Inferred(tmp_path, trips(), roles)


def test_nested_columns_cannot_be_inferred(tmp_path):
    with pytest.raises(HeadwayError, match=r"\[schema.type_unsupported\]"):
        Inferred(tmp_path, trips().with_columns(pl.concat_list("distance").alias("nested")))

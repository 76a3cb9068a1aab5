"""Schemas: what cannot be met is refused where it is written, and a digest names the contract."""

from __future__ import annotations

from typing import get_args

import polars as pl
import pytest

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Column, Role, Schema, read_schema, require_columns, type_of, write_schema

SCHEMA = Schema(
    curated_by="data team",
    columns=(
        Column(name="id", type="string", roles=("id",), nullable=False, unique=True),
        Column(name="late", type="boolean", roles=("target",)),
        Column(name="carrier", type="string", domain=("AA", "UA")),
        Column(name="mail", type="string", roles=("personal",)),
        Column(name="group", type="integer", roles=("group",), minimum=0),
    ),
)


def test_a_schema_read_back_is_the_schema_written(tmp_path):
    write_schema(SCHEMA, tmp_path / "schema.json")
    assert read_schema(tmp_path / "schema.json") == SCHEMA


def test_the_digest_names_the_contract_and_not_who_stands_for_it():
    assert SCHEMA.model_copy(update={"curated_by": "someone else"}).digest() == SCHEMA.digest()
    assert SCHEMA.model_copy(update={"version": 2}).digest() != SCHEMA.digest()


def test_features_are_the_columns_without_a_role():
    assert [column.name for column in SCHEMA.features()] == ["carrier"]


@pytest.mark.parametrize("role", get_args(Role))
def test_whose_a_row_is_when_it_was_and_how_it_ended_is_no_feature(role):
    schema = Schema(columns=(Column(name="a", type="string"), Column(name="b", type="string", roles=(role,))))
    assert [column.name for column in schema.features()] == ["a"]


def test_a_role_that_one_column_must_have_is_asked_for_by_name():
    with pytest.raises(HeadwayError, match=r"\[schema.role_missing\] The schema has no column with the role 'time'"):
        SCHEMA.one("time")
    twice = Schema(columns=(*SCHEMA.columns, Column(name="other", type="string", roles=("id",))))
    with pytest.raises(HeadwayError, match=r"\[schema.role_ambiguous\].*Given: \['id', 'other'\]"):
        twice.one("id")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"type": "integer", "minimum": 2, "maximum": 1}, "minimum 2.0 lies above maximum 1.0"),
        ({"type": "string", "domain": []}, "an empty domain allows no value"),
        ({"type": "string", "minimum": 1}, "minimum and maximum belong to integer and number columns"),
        ({"type": "integer", "pattern": "a"}, "pattern belongs to string columns"),
        ({"type": "string", "pattern": "("}, "pattern is not a regular expression: error: unclosed group"),
        ({"type": "text"}, "schema.columns.0.type: must be 'integer'"),
        ({"type": "string", "roles": ["label"]}, "schema.columns.0.roles.0: must be 'id'"),
        ({"type": "string", "max_null_share": 2}, "less than or equal to 1"),
    ],
)
def test_an_expectation_that_cannot_be_met_is_refused(column, message):
    with pytest.raises(HeadwayError, match=message):
        parse(Schema, {"columns": [{"name": "a", **column}]}, parameter="schema")


def test_a_column_that_stands_twice_is_refused():
    twice = {"columns": [{"name": "a", "type": "string"}, {"name": "a", "type": "integer"}]}
    with pytest.raises(HeadwayError, match="columns stand twice: a"):
        parse(Schema, twice, parameter="schema")


def test_numbers_that_kfp_turned_into_floats_stay_in_the_domain():
    column = parse(Column, {"name": "a", "type": "integer", "domain": [1.0, 2.0]}, parameter="column")
    assert column.domain == (1, 2)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_is_no_schema_is_named(tmp_path, content):
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(HeadwayError, match=r"\[(schema.unreadable|config.invalid)\]"):
        read_schema(path)


def test_missing_columns_are_named_with_those_that_are_there():
    with pytest.raises(HeadwayError, match=r"The data lacks the columns 'b', 'c'.*that are there \(a\)"):
        require_columns(["a"], ["a", "b", "c"], what="The data")


def test_nested_columns_are_refused():
    with pytest.raises(HeadwayError, match=r"\[schema.type_unsupported\].*List\(Int64\)"):
        type_of(pl.List(pl.Int64))
    assert [type_of(t) for t in (pl.UInt8(), pl.Decimal(10, 2), pl.Categorical(), pl.Datetime("ms"))] == [
        "integer",
        "number",
        "string",
        "datetime",
    ]

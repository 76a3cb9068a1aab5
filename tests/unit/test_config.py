"""Structured parameters: an error names the field, what was given, what is allowed, and the JSON Schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.components._shared.config import PUBLISHED, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Schema
from headway.components.evaluation.config import Evaluation, GainGate, GapGate, Gates, MetricGate, SliceGate
from headway.components.ingestion.config import Source
from headway.components.tuning.config import SearchSpace, Study

COMPILED = Path(__file__).resolve().parents[2] / "compiled/schemas"


def refused(model, given, parameter):
    with pytest.raises(HeadwayError) as caught:
        parse(model, given, parameter=parameter)
    assert caught.value.code == "config.invalid"
    return caught.value


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"at_least": 0.5}, MetricGate),
        ({"at_least": 0.5, "slice": "worst"}, SliceGate),
        ({"at_most": 0.5, "column": "region"}, GapGate),
        ({"margin": 0.1}, GainGate),
        ({"test": "superiority"}, GainGate),
        ({"without_champion": "fail", "margin": 0.1}, GainGate),
    ],
)
def test_a_gate_without_a_kind_has_the_one_that_its_fields_tell(fields, kind):
    (gate,) = parse(Gates, {"g": {"metric": "recall", **fields}}, parameter="gates").root.values()
    assert type(gate) is kind


def test_a_gate_that_could_be_of_two_kinds_is_refused_with_the_kinds_there_are():
    error = refused(Gates, {"g": {"metric": "recall", "at_most": 1, "column": "a", "slice": "b=1"}}, "gates")
    assert error.message == (
        "Parameter 'gates' is not valid: gates.g.kind: is missing; it is 'metric' or 'slice' or 'gap' or 'gain'."
    )


@pytest.mark.parametrize(
    ("model", "parameter", "given", "problem"),
    [
        (Gates, "gates", {"metric": {"kind": "metric", "at_most": 1}}, "gates.metric.metric: is missing"),
        (Gates, "gates", {"g": "roc_auc > 0.7"}, "gates.g: must be a mapping (given 'roc_auc > 0.7')"),
        (Source, "source", {"uris": "a.csv"}, "source.uris: must be a list (given 'a.csv')"),
        (Source, "source", ["a.csv"], "source: must be a mapping (given ['a.csv'])"),
        (Evaluation, "evaluation", {"slices": 5}, "evaluation.slices: must be a list, or must be 'auto' (given 5)"),
        (
            Evaluation,
            "evaluation",
            {"dependence": {"column": ""}},
            "evaluation.dependence.column: must have at least 1 character (given '')",
        ),
        (SearchSpace, "search_space", {"list": {"max": 1}}, "search_space.list.type: is missing"),
        (
            Study,
            "study",
            {"timeout": "soon"},
            "study.timeout: This is not a duration. Write a number and a unit out of s, m, h, d, w, such as 1h or 7d "
            "(given 'soon')",
        ),
        (
            Schema,
            "contract",
            {"columns": [{"name": "a", "type": "text"}]},
            "contract.columns.0.type: must be 'integer', 'number', 'string', 'boolean', 'date' or 'datetime' "
            "(given 'text')",
        ),
    ],
)
def test_a_bad_field_is_told_once_by_its_path_in_what_was_given(model, parameter, given, problem):
    assert refused(model, given, parameter).message == f"Parameter {parameter!r} is not valid: {problem}."


def test_an_unknown_field_is_told_with_those_of_its_place_and_the_file_that_describes_them():
    error = refused(Gates, {"g": {"metric": "recall", "at_lest": 1, "at_most": 1}}, "gates")
    assert "gates.g.at_lest: there is no such field; did you mean 'at_least'? (given 1)" in error.message
    assert error.remedy == (
        "Fields of gates.g: metric, when_unmeasurable, at_least, at_most, on, kind. "
        "The JSON Schema is compiled/schemas/gates.json."
    )


def test_every_schema_that_an_error_may_name_is_there():
    assert sorted(path.stem for path in COMPILED.glob("*.json")) == sorted(PUBLISHED)

"""What `headway check` finds between parameters each of which is valid: columns, target, metrics, weights, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from headway.components._shared.errors import HeadwayError
from headway.pipelines.cli import headway
from headway.pipelines.cli.check import check_parameters

CHURNED = {"name": "churned", "type": "boolean", "roles": ["target"]}
SPENT = {"name": "spent", "type": "number", "roles": ["target"]}
OTHERS = [
    {"name": "id", "type": "string", "roles": ["id"]},
    {"name": "email", "type": "string", "roles": ["personal"]},
    {"name": "region", "type": "string"},
]
GATE = {"kind": "metric", "metric": "roc_auc", "at_least": 0.5}
REGRESSOR = "sklearn.ensemble.HistGradientBoostingRegressor"


@pytest.fixture
def good(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "a.csv").write_text("id,email,region,churned\n")
    return {
        "state_uri": str(tmp_path / "state"),
        "model_name": "churn",
        "source": {"uris": [str(tmp_path / "a.csv")], "id_column": "id"},
        "split": {},
        "contract": {"columns": [*OTHERS, CHURNED]},
        "gates": {"g": GATE},
    }


def refused(parameters):
    with pytest.raises(HeadwayError) as caught:
        check_parameters("delivery", parameters)
    return str(caught.value)


def source(good, **changes):
    return {"source": {**good["source"], **changes}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"gates": {"g": {**GATE, "metric": "rmse"}}},
            "[gate.metric_unknown] Gate 'g' is a metric gate on a metric that",
        ),
        ({"estimator": REGRESSOR}, "[training.target_not_numeric] The target 'churned' is of type boolean, and"),
        (
            {"estimator": REGRESSOR, "contract": {"columns": [*OTHERS, SPENT]}},
            "[gate.metric_unknown] Gate 'g' is a metric gate on a metric that a regression model does not have. "
            "Given: 'roc_auc'. Remedy: Metrics of regression models for such a gate: mae, rmse, r2, bias",
        ),
        (
            {"estimator": REGRESSOR, "contract": {"roles": {"target": "spent"}}},
            "on a metric that a regression model does not have",
        ),
        (
            {
                "contract": {"columns": [*OTHERS, {**CHURNED, "type": "string"}]},
                "gates": {"g": {**GATE, "metric": "mae"}},
            },
            "that a binary or multiclass model does not have",
        ),
        ({"gates": {"g": {"metric": "ece", "column": "region", "at_most": 1}}}, "Gate 'g' is a gap gate on a metric"),
        ({"gates": {"g": {"metric": "bias", "margin": 1}}}, "[gate.metric_not_comparable] Gate 'g' compares by a"),
        ({"gates": {"g": {"metric": "cost", "at_most": 1}}}, "[gate.costs_unstated] Gate 'g' limits the cost"),
        ({"evaluation": {"primary_metric": "rmse"}}, "[evaluation.metric_unknown] The primary metric is none that a"),
        (
            {
                "estimator": REGRESSOR,
                "contract": {"columns": [*OTHERS, SPENT]},
                "evaluation": {"threshold": 0.5},
                "gates": {},
            },
            "[evaluation.binary_only] `costs` and `threshold` belong to binary tasks, and the model's is regression",
        ),
        ({"evaluation": {"groups": ["email"]}}, "[evaluation.column_personal] evaluation.groups names a column whose"),
        ({"study": {"objective": "roc_acu"}}, "[objective.unknown] There is no objective 'roc_acu'"),
        ({"study": {"objective": "rmse"}}, "[objective.unfit] The objective 'rmse' cannot judge a binary model"),
        ({"class_weight": {"True": -1, "False": 1}}, "[training.class_weight_invalid] class_weight does not fit the"),
        ({"class_weight": {"True": "much"}}, "a positive number for each of 'False', 'True'"),
        ({"class_weight": {"true": 2, "false": 1}}, "a positive number for each of 'False', 'True'"),
        ({"study": {"class_weight": {"True": 0}}}, "study.class_weight does not fit the target"),
        (
            {"contract": {"roles": {"id": "id"}}},
            "[schema.role_missing] The contract has no column with the role 'target'",
        ),
        ({"contract": {}}, "or `contract: {roles: {target: COLUMN}}`."),
        ({"contract": {"roles": {"target": ["a", "b"]}}}, "[schema.role_ambiguous] The contract has several columns"),
        (
            {"contract": {"roles": {"target": "a"}}, "split": {"target": "b"}},
            "[parameters.target_differs] split.target",
        ),
        ({"class_weight": {True: 2, False: 1}}, "a positive number for each of 'False', 'True'"),
        (
            {"params": {"max_leaf_nodes": None}, "split": {"embargo": "0s", "test_share": float("nan")}},
            "[parameters.value_empty] KFP passes no empty or infinite value to a step: split.test_share, params.max_",
        ),
        ({"search_space": {"max_depth": {"type": "categorical", "list": [None, 3]}}}, "search_space.max_depth.list.0"),
        ({"environment": "test"}, "[registry.environment_unknown] There is no such environment. Given: 'test'"),
        (
            {"serving_engine": "k8s"},
            "serving_engine is no engine that there is. Given: 'k8s'. Remedy: Use auto, local or",
        ),
    ],
)
def test_parameters_that_cannot_go_together_are_told_before_anything_runs(good, changes, message):
    assert message in refused({**good, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": ["churned", "region AS"]},
            "[source.bad_expression] This is not an SQL expression: unable to parse",
        ),
        ({"columns": ["SUM(region) AS n"]}, "[source.not_rowwise] The expression needs more than one row"),
        ({"row_filter": "region = "}, "Given: 'region = '"),
        (
            {"columns": ["region", "email", "churnt AS churn"]},
            "source.columns makes no such column: contract names 'churned'",
        ),
        ({"start": "soon", "time_column": "a"}, "source.start: This is not an ISO 8601 time"),
    ],
)
def test_a_faulty_source_is_told_without_reading_it(good, changes, message):
    assert message in refused({**good, **source(good, **changes)})


def test_every_faulty_expression_is_told(good):
    said = refused({**good, **source(good, columns=["a +", "b"], row_filter="c >")})
    assert "Given: 'a +'" in said
    assert "Given: 'c >'" in said


def test_columns_that_the_source_makes_are_all_that_roles_may_name(good):
    changed = {**source(good, columns=["churned"]), "contract": {"roles": {"target": "churned", "group": "regoin"}}}
    assert "source.columns makes no such column: contract.roles names 'regoin'" in refused({**good, **changed})


def test_a_pattern_that_nothing_matches_is_told(good, tmp_path):
    assert "[parameters.file_missing] No file matches." in refused({**good, **source(good, uris=[f"{tmp_path}/*.tsv"])})
    check_parameters("delivery", {**good, **source(good, uris=[f"{tmp_path}/*.csv", "gs://bucket/*.csv"])})


def test_valid_parameters_of_other_kinds_pass(good):
    check_parameters("delivery", {**good, "class_weight": {"True": 2, "False": 1.5}})
    digits = {**CHURNED, "type": "integer", "domain": [0, 1]}
    check_parameters("delivery", {**good, "contract": {"columns": [*OTHERS, digits]}, "class_weight": {0: 1, 1: 3}})
    check_parameters("delivery", {**good, "class_weight": {"mode": "balanced"}, "study": {"objective": "f1"}})
    numbers = {"columns": [*OTHERS, SPENT]}
    gates = {"g": {"metric": "rmse", "at_most": 3}, "h": {"metric": "mae", "margin": 0}}
    check_parameters("delivery", {**good, "estimator": REGRESSOR, "contract": numbers, "gates": gates})
    check_parameters("delivery", {**good, "contract": {"uri": "gs://bucket/schema.yaml"}})


def test_several_problems_are_told_at_once_with_their_remedies(good):
    said = refused(
        {**good, "modle_name": "x", "class_weight": {"True": -1}, "gates": {"g": {**GATE, "metric": "rmse"}}}
    )
    assert said.startswith(
        "[parameters.invalid] There are 3 problems:\n  1. [parameters.invalid] The parameters do not"
    )
    assert "\n  2. [gate.metric_unknown] Gate 'g'" in said
    assert "\n  3. [training.class_weight_invalid] class_weight" in said


def invoked(tmp_path, parameters, command="delivery", **more):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"parameters": parameters, **more}))
    return CliRunner().invoke(headway, ["check", command, "--params", str(file), "--home", str(tmp_path)])


def test_without_gates_a_warning_says_that_nothing_will_be_registered(good, tmp_path):
    parameters = {name: value for name, value in good.items() if name != "gates"}
    ended = invoked(tmp_path, parameters)
    assert ended.exit_code == 0
    assert "warning: there are no gates, so nothing will be blessed or registered" in ended.stderr
    assert "is a valid set of parameters" in ended.stdout
    assert "warning:" not in invoked(tmp_path, good).output


def test_a_file_for_another_pipeline_is_not_checked_as_this_one(good, tmp_path):
    error = invoked(tmp_path, good, command="training", pipeline="delivery").exception
    assert "[parameters.other_pipeline] The file is for the pipeline 'delivery', not for 'training'." in str(error)

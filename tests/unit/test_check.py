"""The command line: what `headway check` finds before anything runs, and what the other commands say."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.pipelines.cli import headway
from headway.pipelines.cli.check import check_parameters
from headway.pipelines.cli.local import LocalRun, StepEnd
from headway.pipelines.cli.parameters import read_parameters
from headway.pipelines.cli.summary import say_step, say_summary

DEMOS = Path(__file__).resolve().parents[2] / "pipelines/demos"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return {"state_uri": str(home), **read_parameters(DEMOS / "churn/delivery.yaml", home).parameters}


@pytest.mark.parametrize("demo", ["flights", "churn"])
def test_the_parameters_of_a_demo_are_valid(demo, tmp_path):
    file = DEMOS / demo / "delivery.yaml"
    said = CliRunner().invoke(headway, ["check", "delivery", "--params", str(file), "--home", str(tmp_path)])
    assert said.output.endswith("is a valid set of parameters for the pipeline delivery\n"), said.exception


GATE = {"kind": "metric", "metric": "roc_auc", "at_least": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"modle_name": "x"},
            "[parameters.invalid] The parameters do not fit the pipeline 'delivery': unknown parameter",
        ),
        ({"source": {"uris": ["absent.csv"]}}, "There is no such file or folder. Given: ['absent.csv']"),
        ({"gates": [GATE]}, "parameter 'gates' must be Dict, not list"),
        ({"model_name": 7}, "parameter 'model_name' must be String, not int"),
        ({"model_name": "My Model"}, "[model.name_invalid] This cannot be a model's name. Given: 'My Model'."),
        (
            {"search_space": {"learning_rate": {"type": "double", "min": 0.5, "max": 0.1}}},
            "search_space.learning_rate: min 0.5 is over max 0.1",
        ),
        ({"gates": {"g": {**GATE, "metric": "auc"}}}, "[gate.metric_unknown] Gate 'g' is a metric gate on a metric"),
        (
            {"estimator": "sklearn.ensemble.HistGradient"},
            "[estimator.unknown] There is no estimator 'sklearn.ensemble.HistGradient'",
        ),
        ({"params": {"max_itr": 5}}, "no parameter 'max_itr'. Given: ['max_itr']. Remedy: Did you mean 'max_iter'?"),
        ({"search_space": {"depth": {"type": "int", "min": 1, "max": 5}}}, "has no parameter 'depth'"),
        (
            {"evaluation": {"slices": ["colour"]}},
            "[parameters.column_unknown] The contract has no such column: evaluation",
        ),
        ({"evaluation": {"dependence": {"column": "colour"}}}, "evaluation.dependence names 'colour'"),
        ({"gates": {"g": {**GATE, "kind": "gap", "column": "colour"}}}, "gates.g names 'colour'"),
        ({"gates": {"g": {**GATE, "kind": "slice", "slice": "colour=red"}}}, "gates.g names 'colour'"),
        ({"split": {"target": "colour"}}, "split.target is 'colour', but the contract's target is"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(good, changes, message):
    with pytest.raises(HeadwayError) as caught:
        check_parameters("delivery", {**good, **changes})
    assert message in str(caught.value)


def test_an_estimator_of_a_package_that_only_the_image_has_is_left_to_it(good):
    check_parameters("delivery", {**good, "estimator": "catboost.CatBoostClassifier"})


def test_a_missing_parameter_is_named(good):
    with pytest.raises(HeadwayError, match="missing parameter 'source'"):
        check_parameters("delivery", {name: value for name, value in good.items() if name != "source"})


def test_faults_of_several_parameters_are_told_together(good):
    with pytest.raises(HeadwayError, match=r"(?s)There are 2 problems:\n  1. .*split\.strategy.*\n  2. .*gates\.g"):
        check_parameters("delivery", {**good, "split": {"strategy": "times"}, "gates": {"g": {"kind": "wish"}}})


def test_a_contract_without_a_target_is_named(good):
    columns = [{**column, "roles": []} for column in good["contract"]["columns"]]
    with pytest.raises(HeadwayError, match=r"schema\.role_missing.*target"):
        check_parameters("delivery", {**good, "contract": {"columns": columns}})


def test_an_unknown_pipeline_is_named_with_those_there_are(good):
    with pytest.raises(HeadwayError, match="delivery"):
        check_parameters("deliver", good)


def test_the_command_ends_with_the_message_and_no_traceback(tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump({"parameters": {"model_name": "x1", "gate": {}}}))
    command = [
        sys.executable,
        "-m",
        "headway.pipelines.cli",
        "run",
        "training",
        "--params",
        file,
        "--home",
        tmp_path / "h",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error [parameters.invalid] ")
    assert "The parameters do not fit the pipeline 'training'" in ran.stderr
    assert "unknown parameter 'gate'" in ran.stderr
    assert "Remedy: The pipeline takes" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_catalogue_is_listed_and_a_component_explained():
    listed = CliRunner().invoke(headway, ["components"]).output
    assert "train_model        training" in listed
    shown = CliRunner().invoke(headway, ["components", "train_model"]).output
    assert "inputs\n  train_data (Dataset)\n" in shown
    assert "outputs\n  model (Model)\n" in shown
    error = CliRunner().invoke(headway, ["components", "train"]).exception
    assert "[component.unknown]" in str(error)


def test_an_unknown_demo_is_named_with_those_there_are():
    error = CliRunner().invoke(headway, ["demo", "flight"]).exception
    assert str(error).endswith("Remedy: Use one of churn, flights.")


def test_the_summary_ends_with_a_command_that_asks_the_endpoint(tmp_path, capsys):
    ends = [
        StepEnd(
            "evaluate_model",
            "succeeded",
            1.5,
            {"decision": "blessed", "details": {"headline": "ROC AUC 0.7 [0.6, 0.8]"}},
        ),
        StepEnd(
            "deploy_model", "succeeded", 2.0, {"details": {"endpoint": "http://x:1", "example_request": "curl -s x"}}
        ),
    ]
    run = LocalRun("r1", tmp_path, State(str(tmp_path / "state")), ends, ok=True)
    say_summary(run, "delivery", {})
    lines = capsys.readouterr().out.splitlines()
    assert "metric     ROC AUC 0.7 [0.6, 0.8]" in lines
    assert "endpoint   http://x:1" in lines
    assert any(line.startswith("report") and Path(line.split()[1]).is_file() for line in lines)
    assert lines[-1] == "curl -s x"


def test_a_failed_step_is_told_with_its_remedy_and_no_command_follows(tmp_path, capsys):
    failed = StepEnd(
        "ingest_data", "failed", 0.5, {"message": "There is no such file.", "remedy": "Check the address."}
    )
    say_step(failed)
    say_summary(LocalRun("r1", tmp_path, State(str(tmp_path / "state")), [failed]), "training", {})
    said = capsys.readouterr().out
    assert "FAIL  ingest_data" in said
    assert "There is no such file.\n      remedy: Check the address.\n" in said
    assert "curl" not in said

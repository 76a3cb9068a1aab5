"""The pipelines through kfp.local on real input: they run, adopt what is there, fail with a reason, and come apart."""

import json
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.times import format_time, now
from headway.pipelines.cli.local import run_locally
from headway.pipelines.cli.parameters import read_parameters

ROOT = Path(__file__).resolve().parents[2]
CHURN = ROOT / "pipelines/demos/churn/delivery.yaml"
LOGGED = {"serving": {"log": {"flush_s": 1}}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    place = tmp_path_factory.mktemp("home")
    yield place
    subprocess.run(
        [sys.executable, "-m", "headway.pipelines.cli", "endpoint", "stop", "--all", "--state", place / "state"],
        check=False,
    )


def churn(home, **changes):
    parameters = read_parameters(CHURN, home / "data").parameters
    return {**parameters, "study": {**parameters["study"], "trials": 2}, **changes}


@pytest.fixture(scope="module")
def first(home):
    return run_locally("delivery", churn(home, **LOGGED), home, lambda end: None)


@pytest.fixture(scope="module")
def second(home, first):
    return run_locally("delivery", churn(home, **LOGGED), home, lambda end: None)


def statuses(run):
    return {end.step: end.status for end in run.ends}


def test_delivery_takes_raw_data_to_an_endpoint_that_answers(first):
    assert first.ok, first.log.read_text()[-3000:]
    assert set(statuses(first).values()) == {"succeeded"}
    request = first.details("deploy_model")["example_request"]
    answer = json.loads(subprocess.run(shlex.split(request), capture_output=True, check=True).stdout)
    assert answer["outputs"]


def test_the_endpoint_is_watched_by_what_it_was_asked(home, first):
    request = shlex.split(first.details("deploy_model")["example_request"])
    for _ in range(3):
        subprocess.run(request, capture_output=True, check=True)
    until(lambda: list((home / "state/logs/churn").rglob("*.parquet")))
    day = now().replace(hour=0, minute=0, second=0, microsecond=0)
    window = {"start": format_time(day), "end": format_time(day + timedelta(days=2))}
    run = run_locally("monitoring", {"models": {"churn": {}}, **window}, home, lambda end: None)
    assert run.ok, run.log.read_text()[-3000:]
    assert statuses(run) == dict.fromkeys(("monitor_models", "send_alert", "trigger_retraining"), "succeeded")
    assert run.details("monitor_models")["models"] == {"churn": "ok"}
    (kept,) = (home / "state/history/churn/findings").glob("*.json")
    assert json.loads(kept.read_text())["window"]["requests"] >= 3
    again = run_locally("monitoring", {"models": {"churn": {}}, **window}, home, lambda end: None)
    assert again.ok
    assert len(list((home / "state/history/churn/decisions").glob("*.json"))) == 1, "judged once"


def until(done, timeout_s=30):
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_second_run_adopts_what_did_not_change_and_meets_its_own_model(second):
    assert second.ok, second.log.read_text()[-3000:]
    kept = {step for step, status in statuses(second).items() if status == "adopted"}
    assert {"validate_data", "split_data", "tune_model", "train_model"} <= kept
    assert second.details("register_model")["outcome"] == "unchanged"
    assert second.details("deploy_model")["outcome"] == "unchanged"


def test_no_value_of_a_personal_column_is_anywhere_in_the_state(home, second):
    planted = b"@example.org"
    found = [p for p in (home / "state").rglob("*") if p.is_file() and planted in p.read_bytes()]
    assert not found
    outputs = [p for p in (home / "artifacts").rglob("*") if p.is_file() and p.suffix != ".parquet"]
    assert outputs
    assert not [p for p in outputs if planted in p.read_bytes()]


def test_a_failed_step_names_cause_and_remedy_and_reaches_the_exit_handler(home):
    parameters = churn(home, source={"uris": [str(home / "absent.csv")]}, model_name="absent-data")
    run = run_locally("training", parameters, home, lambda end: None)
    assert not run.ok
    (failed,) = [end for end in run.ends if end.status == "failed"]
    assert failed.step == "ingest_data"
    assert "absent.csv" in json.dumps(failed.record)
    assert failed.record["remedy"]
    assert statuses(run)["notify"] == "succeeded"
    assert failed.record["code"] in run.log.read_text()


FOREIGN = """
from kfp import dsl, local, components
from kfp.dsl import Dataset, Input

@dsl.component(base_image="python:3.11", install_kfp_package=False)
def count(data: Input[Dataset]) -> int:
    import pathlib
    return len(list(pathlib.Path(data.path).glob("*.parquet")))

ingest_data = components.load_component_from_file({ingest!r})

@dsl.pipeline(name="foreign")
def foreign() -> int:
    return count(data=ingest_data(source={source!r}).outputs["data"]).output

local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root={root!r})
print("shards:", foreign().output)
"""


def test_a_compiled_component_works_in_a_pipeline_of_somebody_else(tmp_path, home):
    source = churn(home)["source"]
    script = tmp_path / "foreign.py"
    script.write_text(
        FOREIGN.format(ingest=str(ROOT / "compiled/components/ingest_data.yaml"), source=source, root=str(tmp_path))
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "shards: 1" in ran.stdout, ran.stdout[-2000:] + ran.stderr[-2000:]


def test_two_runs_at_the_same_time_leave_one_version_and_one_endpoint(home, second):
    with ThreadPoolExecutor(2) as pool:
        runs = list(
            pool.map(lambda _: run_locally("delivery", churn(home, **LOGGED), home, lambda end: None), range(2))
        )
    assert all(run.ok for run in runs), [run.log.read_text()[-3000:] for run in runs]
    assert {run.details("register_model")["version"] for run in runs} == {second.details("register_model")["version"]}
    assert {run.details("deploy_model")["outcome"] for run in runs} == {"unchanged"}


def test_a_run_killed_in_the_middle_goes_on_when_it_is_run_again(home):
    parameters = churn(home, model_name="interrupted")
    stopped = []

    def stop(end):
        stopped.append(end.step)
        if end.step == "train_model":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_locally("delivery", parameters, home, stop)
    again = run_locally("delivery", parameters, home, lambda end: None)
    assert again.ok, again.log.read_text()[-3000:]
    assert statuses(again)["tune_model"] == statuses(again)["train_model"] == "adopted"
    assert again.details("deploy_model")["outcome"] == "deployed"


def test_a_folder_whose_path_kfp_would_rewrite_is_refused(tmp_path):
    with pytest.raises(HeadwayError, match="rewrites in every argument"):
        run_locally("training", {"model_name": "x1"}, tmp_path / "python3.11", lambda end: None)


def test_a_damaged_result_of_an_earlier_run_is_refused_once_and_then_computed_anew(home, second):
    models = list((home / "artifacts").glob("*/delivery-*/train-model/model/model.skops"))
    for model in models:
        model.write_bytes(model.read_bytes() + b"x")
    assert models
    refused = run_locally("delivery", churn(home, **LOGGED), home, lambda end: None)
    assert not refused.ok
    assert refused.met_damage
    assert "train_model" in {end.step for end in refused.ends if end.status == "adopted"}
    again = run_locally("delivery", churn(home, **LOGGED), home, lambda end: None)
    assert again.ok, again.log.read_text()[-3000:]
    assert statuses(again)["train_model"] == "succeeded"

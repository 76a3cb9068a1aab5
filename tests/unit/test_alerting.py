"""notify: what is said about a run, from the records that its steps left."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.steps import decided, keep_report, step
from headway.components.alerting.messages import Run, message_about
from headway.components.alerting.notify import notify
from headway.components.alerting.run_history import Streak, remember

FAILED = PipelineTaskFinalStatus("FAILED", "runs/abc", "exit-handler-1", None, None)
COMPLETE = PipelineTaskFinalStatus("COMPLETE", "runs/abc", "exit-handler-1", None, None)
SUCCEEDED = PipelineTaskFinalStatus("SUCCEEDED", "local-run", "exit-handler-1", None, None)
DAY = timedelta(days=1)


@step("ingest_data")
def ingest(state_uri: str) -> None:
    decided("read 3 files", rows=27_000)


@step("register_model")
def refuse(state_uri: str) -> None:
    decided("refused: AUC below its limit", outcome="refused")


@step("train_model")
def train(state_uri: str, report: Path) -> None:
    report.write_text("<!doctype html>")
    keep_report(report)
    raise HeadwayError("data.target_missing", "There is no column for the target.", value="late", remedy="Name it.")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    return State(str(tmp_path / "state"))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    log = logging.getLogger("headway")
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    log.setLevel(logging.INFO)
    return caplog


def failing_run(state: State, tmp_path: Path) -> None:
    ingest(state_uri=state.uri)
    with pytest.raises(HeadwayError):
        train(state_uri=state.uri, report=tmp_path / "report.html")


def told(state: State) -> dict[str, Any]:
    return dict(json.loads(state.storage.read("runs/run-1/steps/notify.json")))


def test_a_failure_is_told_with_its_cause_its_remedy_and_where_to_look(
    state: State, said: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    failing_run(state, tmp_path)
    notify(FAILED, "flights", alerts={}, state_uri=state.uri)

    assert "flights: run run-1 failed in train_model." in said.text
    assert "train_model [data.target_missing]: There is no column for the target. Given: late." in said.text
    assert "Remedy: Name it." in said.text
    assert "the first time; last success: never." in said.text
    assert f"Report of train_model: {state.uri}/runs/run-1/reports/train_model.html" in said.text
    assert f"All about this run: {state.uri}/runs/run-1/index.html" in said.text
    assert told(state)["details"] == {"event": "failure", "webhook": None}


@pytest.mark.parametrize("status", [COMPLETE, SUCCEEDED])
def test_both_words_for_a_good_end_are_understood(
    state: State, said: pytest.LogCaptureFixture, status: PipelineTaskFinalStatus
) -> None:
    ingest(state_uri=state.uri)
    notify(status, "flights", alerts={}, state_uri=state.uri)

    assert "flights: run run-1 succeeded." in said.text
    assert "ingest_data: read 3 files" in said.text


def test_a_refused_model_is_an_event_of_its_own(state: State, said: pytest.LogCaptureFixture) -> None:
    refuse(state_uri=state.uri)
    notify(COMPLETE, "flights", alerts={}, state_uri=state.uri)

    assert told(state)["details"]["event"] == "refusal"
    assert "register_model: refused: AUC below its limit" in said.text


def test_without_a_state_folder_it_says_what_kfp_knows(said: pytest.LogCaptureFixture) -> None:
    status = PipelineTaskFinalStatus("FAILED", "runs/abc", "exit-handler-1", 1, "Task train-model failed.")
    notify(status, "flights", alerts={}, state_uri=None)

    assert "flights: run runs/abc failed." in said.text
    assert "no step left a record of why. KFP says: Task train-model failed." in said.text


def test_a_record_that_cannot_be_read_costs_the_details_only(state: State, said: pytest.LogCaptureFixture) -> None:
    state.storage.write("runs/run-1/failures/train_model.json", b"{ not JSON")
    notify(FAILED, "flights", alerts={}, state_uri=state.uri)

    assert "The run's records could not be read" in said.text
    assert "flights: run run-1 failed." in said.text


def test_the_log_is_told_before_bad_alerts_are_refused(state: State, said: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HeadwayError, match=r"alerts.webhook.url: there is no such field"):
        notify(FAILED, "flights", alerts={"webhook": {"url": "https://example.org"}}, state_uri=state.uri)

    assert "flights: run run-1 failed." in said.text


def test_a_webhook_that_is_not_there_is_a_warning_and_a_record(
    state: State, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/secret-token")
    notify(FAILED, "flights", alerts={"webhook": {"url_env": "HOOK", "attempts": 1}}, state_uri=state.uri)

    assert "The webhook in HOOK was not told: no connection." in said.text
    assert told(state)["details"]["webhook"] == {"delivered": False, "attempts": 1, "problem": "no connection"}
    assert "secret-token" not in said.text + json.dumps(told(state))


def test_an_ending_that_nobody_asked_for_is_not_sent(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/")
    notify(COMPLETE, "flights", alerts={"webhook": {"url_env": "HOOK", "attempts": 1}}, state_uri=state.uri)

    assert told(state)["details"] == {"event": "success", "webhook": None}


def test_the_payload_has_the_text_and_the_same_as_fields(state: State, tmp_path: Path) -> None:
    from headway.components._shared.reports.run_records import read_run

    failing_run(state, tmp_path)
    began = datetime(2026, 11, 24, 6, tzinfo=UTC)
    run = Run("flights", succeeded=False, state="FAILED", job="runs/abc", run_id="run-1").enriched(
        tuple(read_run(state, "run-1")), Streak(3, began, began - DAY), "/index.html", root="/runs/run-1/"
    )
    payload = message_about(run).payload()

    assert payload["event"] == "failure"
    assert payload["failing_since"] == "2026-11-24T06:00:00Z"
    assert payload["failed_in_a_row"] == 3
    assert payload["last_success"] == "2026-11-23T06:00:00Z"
    assert payload["decisions"] == {"ingest_data": "read 3 files"}
    assert payload["reports"] == {"train_model": "/runs/run-1/reports/train_model.html"}
    [failure] = list(payload["failures"])  # type: ignore[call-overload]
    assert (failure["code"], failure["value"]) == ("data.target_missing", "late")
    assert str(payload["text"]).startswith("flights: run run-1 failed in train_model.")
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


def test_nothing_in_an_error_can_call_a_whole_channel() -> None:
    run = Run("flights", succeeded=False, state="FAILED", job="j", said="<!channel> & <https://example.org|click>")
    text = str(message_about(run).payload()["text"])

    assert "<" not in text
    assert "&lt;!channel&gt; &amp; " in text


def test_a_streak_of_failures_is_counted_back_to_the_last_good_run(tmp_path: Path) -> None:
    state, day = State(str(tmp_path)), datetime(2026, 11, 1, tzinfo=UTC)

    def end(number: int, succeeded: bool) -> Streak:
        return remember(state, "flights", f"r{number}", succeeded=succeeded, began=day + number * DAY)

    assert end(1, succeeded=False) == Streak(1, day + DAY, None)
    assert end(2, succeeded=True) == Streak(0, day + 2 * DAY, None)
    assert end(3, succeeded=False) == Streak(1, day + 3 * DAY, day + 2 * DAY)
    assert end(4, succeeded=False) == Streak(2, day + 3 * DAY, day + 2 * DAY)
    assert end(4, succeeded=False) == Streak(2, day + 3 * DAY, day + 2 * DAY)  # told again: counted once
    assert end(5, succeeded=True) == Streak(0, day + 5 * DAY, day + 2 * DAY)


def test_other_models_do_not_count(tmp_path: Path) -> None:
    state, day = State(str(tmp_path)), datetime(2026, 11, 1, tzinfo=UTC)
    remember(state, "churn", "a", succeeded=False, began=day)

    assert remember(state, "flights", "b", succeeded=False, began=day + DAY).failed == 1


def test_a_step_that_failed_and_then_succeeded_in_the_same_run_is_no_failure(
    state: State, said: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    failing_run(state, tmp_path)

    @step("train_model")
    def again(state_uri: str) -> None:
        decided("trained")

    again(state_uri=state.uri)
    notify(COMPLETE, "flights", alerts={}, state_uri=state.uri)

    assert "train_model: trained" in said.text
    assert "data.target_missing" not in said.text

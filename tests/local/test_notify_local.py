"""notify as the exit handler of a real pipeline under kfp.local."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local

from headway.components._shared.component import component
from headway.components._shared.state import RUN_ID_VARIABLE
from headway.components.alerting.component import notify


@component(image="base")
def count_rows(rows: int, state_uri: str) -> None:
    """Fails on an empty set, as a step of ours does."""
    from headway.components._shared.errors import HeadwayError
    from headway.components._shared.steps import decided, step

    @step("count_rows")
    def count(state_uri: str) -> None:
        if rows == 0:
            raise HeadwayError("data.empty", "The set has no rows.", value="flights", remedy="Widen the window.")
        decided("counted", rows=rows)

    count(state_uri=state_uri)


@dsl.pipeline(name="guarded")  # type: ignore[untyped-decorator]
def guarded(rows: int, model_name: str, state_uri: str, alerts: dict = {}):  # type: ignore[type-arg, no-untyped-def]  # noqa: B006
    """One step and the exit handler."""
    with dsl.ExitHandler(notify(model_name=model_name, alerts=alerts, state_uri=state_uri)):
        count_rows(rows=rows, state_uri=state_uri)


@pytest.fixture
def state_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    return str(tmp_path / "state")


def record(state_uri: str, name: str) -> dict[str, Any]:
    return dict(json.loads((Path(state_uri) / "runs" / "run-1" / name).read_text()))


def test_a_failing_step_reaches_the_log_with_its_cause(state_uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="FAILURE"):
        guarded(rows=0, model_name="flights", state_uri=state_uri)

    said = capfd.readouterr().out
    assert "failed in count_rows" in said
    assert "count_rows [data.empty]: The set has no rows. Given: flights." in said
    assert "Remedy: Widen the window." in said
    assert record(state_uri, "steps/notify.json")["details"]["event"] == "failure"
    page = (Path(state_uri) / "runs" / "run-1" / "index.html").read_text()
    assert "The set has no rows." in page
    assert "Widen the window." in page


def test_a_good_run_is_told_as_a_success(state_uri: str) -> None:
    guarded(rows=3, model_name="flights", state_uri=state_uri)

    told = record(state_uri, "steps/notify.json")
    assert told["details"]["event"] == "success"
    assert "Succeeded" in (Path(state_uri) / "runs" / "run-1" / "index.html").read_text()


def test_a_dead_webhook_does_not_fail_the_run(
    state_uri: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", "http://127.0.0.1:9/secret-token")
    alerts = {"events": ["success"], "webhook": {"url_env": "ALERT_WEBHOOK", "attempts": 1}}

    guarded(rows=3, model_name="flights", state_uri=state_uri, alerts=alerts)

    told = record(state_uri, "steps/notify.json")["details"]["webhook"]
    assert told == {"delivered": False, "attempts": 1, "problem": "no connection"}
    said = capfd.readouterr().out
    assert "The webhook in ALERT_WEBHOOK was not told: no connection." in said
    assert "secret-token" not in said

"""The index page of a run, from the records that its steps left."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.run_index import write_run_index
from headway.components._shared.reports.run_records import failures, read_run
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.steps import decided, keep_report, step


@step("ingest_data")
def ingest(state_uri: str) -> None:
    decided("read 3 files", rows=27_000, files=["a.csv"], share=0.12345)


@step("evaluate_model")
def evaluate(state_uri: str, report: Path, refuse: bool = False) -> None:
    report.write_text("<!doctype html>")
    keep_report(report)
    decided("not blessed: AUC 0.61", outcome="refused" if refuse else "measured")


@step("train_model")
def train(state_uri: str) -> None:
    raise HeadwayError("data.one_class", "The target has one <b>class</b>.", value="late", remedy="Widen the window.")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    return State(str(tmp_path / "state"))


def page_of(state: State, **options: object) -> str:
    given = {"pipeline": "training", "parameters": {"seed": 0, "gates": {"auc": 0.7}}, **options}
    address = write_run_index(state, "run-1", **given)  # type: ignore[arg-type]
    assert address == f"{state.uri}/runs/run-1/index.html"
    return Path(address).read_text(encoding="utf-8")


def test_a_good_run_shows_what_each_step_decided_and_links_its_report(state: State, tmp_path: Path) -> None:
    ingest(state_uri=state.uri)
    evaluate(state_uri=state.uri, report=tmp_path / "report.html")
    page = page_of(state, summary={"metric": "AUC 0.61"})

    assert '<p class="status">Succeeded</p><p>All 2 steps ended well.</p>' in page
    assert '<a href="reports/evaluate_model.html">evaluate_model</a>' in page
    assert "read 3 files" in page
    assert '<td class="num">27,000</td>' in page
    assert "<dt>Metric</dt><dd>AUC 0.61</dd>" in page
    assert "<code>{&quot;auc&quot;: 0.7}</code>" in page
    assert "<dt>share</dt><dd>0.1235</dd>" in page


def test_a_failed_run_says_what_failed_why_and_what_to_do(state: State) -> None:
    ingest(state_uri=state.uri)
    with pytest.raises(HeadwayError):
        train(state_uri=state.uri)
    page = page_of(state)

    assert '<p class="status">Failed</p>' in page
    assert "train_model failed: The target has one &lt;b&gt;class&lt;/b&gt;. Widen the window." in page
    assert "<code>data.one_class</code>" in page
    assert "<code>late</code>" in page
    assert "<li>train_model: Widen the window.</li>" in page


def test_a_refused_model_is_neither_a_failure_nor_passed_off_as_good(state: State, tmp_path: Path) -> None:
    evaluate(state_uri=state.uri, report=tmp_path / "report.html", refuse=True)
    page = page_of(state)

    assert '<div class="verdict warn">' in page
    assert "Finished, and the model was refused" in page
    assert "evaluate_model: not blessed: AUC 0.61" in page


def test_an_adopted_step_names_the_run_it_was_taken_from(state: State) -> None:
    ingest(state_uri=state.uri)
    key = state.run_key("run-1", "steps/ingest_data.json")
    state.write_json(key, {**state.read_json(key), "status": "adopted", "adopted_from": "run-0"})
    page = page_of(state)

    assert "read 3 files (from run run-0)" in page
    assert "1 step ended well; 1 adopted from an earlier run." in page


def test_steps_stand_in_the_given_order_and_the_others_behind(state: State, tmp_path: Path) -> None:
    ingest(state_uri=state.uri)
    evaluate(state_uri=state.uri, report=tmp_path / "report.html")

    assert [end.step for end in read_run(state, "run-1")] == ["ingest_data", "evaluate_model"]
    assert [end.step for end in read_run(state, "run-1", ["evaluate_model"])] == ["evaluate_model", "ingest_data"]


def test_of_a_step_that_was_tried_again_the_last_attempt_counts(state: State) -> None:
    with pytest.raises(HeadwayError):
        train(state_uri=state.uri)

    @step("train_model")
    def again(state_uri: str) -> None:
        decided("trained")

    again(state_uri=state.uri)
    [end] = read_run(state, "run-1")
    assert (end.status, end.decision) == ("succeeded", "trained")

    with pytest.raises(HeadwayError):
        train(state_uri=state.uri)
    [(end, cause)] = failures(read_run(state, "run-1"))
    assert cause.code == "data.one_class"


def test_a_run_without_records_says_so(state: State) -> None:
    assert "No step of this run has left a record yet." in page_of(state, parameters={})


def test_the_same_records_give_the_same_page(state: State) -> None:
    ingest(state_uri=state.uri)

    assert page_of(state) == page_of(state)


def test_another_runs_records_are_not_mixed_in(state: State) -> None:
    ingest(state_uri=state.uri)
    state.write_json("runs/run-10/steps/other.json", {"step": "other", "status": "succeeded", "started": "2026-01-01"})

    assert [end.step for end in read_run(state, "run-1")] == ["ingest_data"]

"""The index page of a run, from the records that its steps left."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headway.components._shared import reports
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.run_index import write_run_index
from headway.components._shared.reports.run_records import failures, read_run
from headway.components._shared.reports.structures import yaml_text
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.steps import decided, keep_report, step


@step("ingest_data")
def ingest(state_uri: str) -> None:
    decided("read 3 files", rows=27_000, files=["a.csv"], share=0.12345)


@step("evaluate_model")
def evaluate(state_uri: str, report: Path, refuse: bool = False) -> None:
    report.write_text("<!doctype html>")
    keep_report(report)
    reason = "1 of 2 gates failed: auc is 0.61, not at least 0.7."
    failed = {"failed_gates": ["auc is 0.61, not at least 0.7."], "reason": reason} if refuse else {}
    decided(
        f"not blessed: {reason}" if refuse else "blessed: AUC 0.61",
        headline="AUC 0.61",
        gates="1 of 2 passed",
        blessed=not refuse,
        **failed,
    )


@step("register_model")
def register(state_uri: str, outcome: str, reason: str = "") -> None:
    decided(f"{outcome}: {reason or 'dev.flights version 1'}", outcome=outcome)


@step("deploy_model")
def deploy(state_uri: str, engine: str = "local") -> None:
    about = {"endpoint": "http://127.0.0.1:1", "example_request": "curl -d '{}' http://127.0.0.1:1", "engine": engine}
    decided("deployed: it passed; http://127.0.0.1:1", outcome="deployed", **about)


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
    page = page_of(state)

    assert '<p class="status">Succeeded</p><p>All 2 steps ended well.</p>' in page
    assert '<a href="reports/evaluate_model.html">evaluate_model</a>' in page
    assert "read 3 files" in page
    assert '<td class="num">27,000</td>' in page
    assert "<td><pre>0.1235</pre></td>" in page


def test_a_failed_run_says_what_failed_why_and_what_to_do(state: State) -> None:
    ingest(state_uri=state.uri)
    with pytest.raises(HeadwayError):
        train(state_uri=state.uri)
    page = page_of(state)

    assert '<p class="status">Failed</p>' in page
    assert "<p>train_model failed: The target has one &lt;b&gt;class&lt;/b&gt;.</p>" in page
    assert "<code>data.one_class</code>" in page
    assert "<code>late</code>" in page
    assert "<li>train_model: Widen the window.</li>" in page


def test_a_refused_model_is_neither_a_failure_nor_passed_off_as_good(state: State, tmp_path: Path) -> None:
    evaluate(state_uri=state.uri, report=tmp_path / "report.html", refuse=True)
    reason = "1 of 2 gates failed: auc is 0.61, not at least 0.7."
    register(state_uri=state.uri, outcome="refused", reason=reason)
    page = page_of(state)

    assert '<div class="verdict warn">' in page
    assert "Finished, and the model was refused" in page
    assert "<p>AUC 0.61: the model was not blessed, so register_model let it go no further.</p>" in page
    assert "<li>auc is 0.61, not at least 0.7.</li>" in page, "what stands against it"
    assert "<li>Where the limit asks too much, change it in <code>gates</code>" in page, "what to try"
    assert '<li><a href="reports/evaluate_model.html">Read the report of evaluate_model</a></li>' in page
    assert "refused: see evaluate_model" in page
    assert page.partition("What evaluate_model recorded")[0].count(reason) == 1, "the reason is told once"
    assert "not blessed</span>" in page


def test_a_refusal_without_a_verdict_in_the_run_says_who_refused_and_why(state: State) -> None:
    register(state_uri=state.uri, outcome="refused", reason="the verdict is negative")
    page = page_of(state)

    assert "<p>register_model: refused: the verdict is negative</p>" in page
    assert "<li>register_model: refused: the verdict is negative</li>" in page


def test_a_deployed_model_can_be_asked_and_looked_after_from_the_page(state: State, tmp_path: Path) -> None:
    evaluate(state_uri=state.uri, report=tmp_path / "report.html")
    register(state_uri=state.uri, outcome="registered")
    deploy(state_uri=state.uri)
    page = page_of(state, parameters={"model_name": "flights"})

    assert "<title>flights: run run-1</title>" in page
    assert "<dt>Metric</dt><dd>AUC 0.61</dd>" in page
    assert "<dt>Gates</dt><dd>1 of 2 passed</dd>" in page
    assert "<dt>Registered</dt><dd>dev.flights version 1</dd>" in page
    assert "<dt>Endpoint</dt><dd>http://<wbr>127.<wbr>0.<wbr>0.<wbr>1:1</dd>" in page.replace("/<wbr>/<wbr>", "//<wbr>")
    assert "<pre><code>curl -d &#x27;{}&#x27; http://127.0.0.1:1</code></pre>" in page
    assert f"headway endpoint list --state {state.uri}\nheadway endpoint stop flights --state {state.uri}" in page


def test_no_command_of_this_machine_is_shown_for_an_endpoint_elsewhere(state: State) -> None:
    deploy(state_uri=state.uri, engine="kserve")

    assert "headway endpoint" not in page_of(state)


def test_a_model_that_was_registered_only_says_what_brings_it_to_traffic(state: State) -> None:
    register(state_uri=state.uri, outcome="registered")

    assert "the pipeline <code>delivery</code>" in page_of(state)


def test_a_run_whose_step_was_killed_without_a_record_is_no_success(state: State) -> None:
    ingest(state_uri=state.uri)
    page = page_of(state, succeeded=False)

    assert '<p class="status">Failed</p><p>A step failed and left no record of why.</p>' in page
    assert "killed, often for want of memory" in page


def test_parameters_stand_as_yaml_with_the_innermost_mappings_on_one_line(state: State) -> None:
    gates = {"auc": {"kind": "metric", "at_least": 0.7}, "calibrated": {"kind": "metric", "metric": "ece", "at": 0.1}}
    page = page_of(state, parameters={"seed": 0, "params": {"max_iter": 100}, "gates": gates, "uris": ["a b", "c: d"]})

    assert "<pre>{max_iter: 100}</pre>" in page
    assert "<pre>[a b, &#x27;c: d&#x27;]</pre>" in page
    shown = "auc: {kind: metric, at_least: 0.7}\ncalibrated: {kind: metric, metric: ece, at: 0.1}"
    assert f"<pre>{shown}</pre>" in page
    assert yaml.safe_load(shown) == gates


def test_long_lists_are_yaml_too() -> None:
    value = [{"name": "a" * 50, "roles": ["id"], "more": "b" * 50}, {"name": "c", "domain": [1, 2]}]

    assert yaml_text(value).splitlines()[0] == f"- name: {'a' * 50}"
    assert yaml_text(value).splitlines()[-1] == "- {name: c, domain: [1, 2]}"
    assert yaml.safe_load(yaml_text(value)) == value


def test_the_reports_beside_the_index_lead_back_to_it_once(state: State, tmp_path: Path) -> None:
    reports.Page("Evaluation", "It went well.").write(tmp_path / "report.html")
    keep = step("evaluate_model")(lambda state_uri: keep_report(tmp_path / "report.html"))
    keep(state_uri=state.uri)
    page_of(state)
    page_of(state)
    kept = Path(state.uri, "runs/run-1/reports/evaluate_model.html").read_text(encoding="utf-8")

    assert kept.count('<a href="../index.html">All steps of this run</a>') == 1
    assert "index.html" not in (tmp_path / "report.html").read_text(encoding="utf-8"), "the artifact stands alone"


def test_an_adopted_step_names_the_run_it_was_taken_from(state: State) -> None:
    ingest(state_uri=state.uri)
    key = state.run_key("run-1", "steps/ingest_data.json")
    state.write_json(key, {**state.read_json(key), "status": "adopted", "adopted_from": "run-0"})
    page = page_of(state)

    assert '<td>in run <a href="../run-0/index.html">run-0</a></td>' in page
    assert "kept</span>" in page
    assert "1 step ended well; 1 kept from an earlier run." in page


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

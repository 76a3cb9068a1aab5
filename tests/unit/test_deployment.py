"""The door of deploy_model, its checks, and its parameter; nothing here starts a model server."""

import json
from contextlib import contextmanager

import polars as pl
import pytest

from headway.components._shared.audit import verify_events
from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.components.deployment.bad_requests import bad_requests
from headway.components.deployment.caller import Caller
from headway.components.deployment.checks import golden_rows, latency, memory, percentile
from headway.components.deployment.config import Serving
from headway.components.deployment.golden import Golden
from headway.components.deployment.memory import History, Served
from headway.components.deployment.record import Check, Deployment, Phase
from headway.components.deployment.report import write_report
from headway.components.deployment.rollback import as_then
from headway.components.deployment.rollout.steps import was_taken_away
from tests.deployment_samples import PLANTED, Delivery, answering, golden_of, outputs, prepare, train_sample


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return train_sample(folder / "a"), train_sample(folder / "b", depth=2)


@pytest.fixture(scope="module")
def prepared(models, tmp_path_factory):
    """A released and registered model; tests change their own copy of the artifacts."""
    folder = tmp_path_factory.mktemp("delivery")
    return prepare(folder / "artifacts", folder / "state", models[0])


@pytest.fixture
def delivery(prepared, tmp_path):
    import shutil

    shutil.copytree(prepared.folder, tmp_path / "artifacts")
    shutil.copytree(prepared.state, tmp_path / "state")
    return Delivery(tmp_path / "artifacts", tmp_path / "state", prepared.model, registration=prepared.registration)


def refused(delivery, **changes):
    with pytest.raises(HeadwayError) as error:
        delivery.deploy(**changes)
    assert not (delivery.state / "endpoints").exists() or not list((delivery.state / "endpoints").rglob("*.pid"))
    return error.value


def change_registration(delivery, **changes):
    path = delivery.folder / "registration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_negative_verdict_deploys_nothing_and_succeeds(delivery):
    delivery.judge(blessed=False)
    result = delivery.deploy()
    assert (result.outcome, result.endpoint) == ("refused", None)
    assert result.reason == "the verdict is negative: 1 of 1 gates failed"
    assert json.loads((delivery.folder / "deployment.json").read_text())["outcome"] == "refused"
    assert "the door is closed" in (delivery.folder / "report.html").read_text()
    assert not (delivery.state / "endpoints").exists()


def test_a_refused_registration_deploys_nothing_and_succeeds(delivery):
    change_registration(delivery, outcome="refused", version=None, release_uri=None, reason="the verdict is negative")
    result = delivery.deploy()
    assert (result.outcome, result.reason) == ("refused", "the registration was refused: the verdict is negative")


def test_a_verdict_about_another_model_is_an_error(delivery, models, tmp_path):
    other = Delivery(delivery.folder, tmp_path, models[1])
    other.judge()
    error = refused(delivery)
    assert error.code == "verdict.other_model"
    assert f"The verdict is about model {other.digest[:12]}, the registration about {delivery.digest[:12]}" in str(
        error
    )


def test_a_missing_verdict_is_an_error(delivery):
    (delivery.folder / "verdict.json").unlink()
    assert refused(delivery).code == "verdict.missing"


def test_a_registration_of_another_name_or_environment_is_an_error(delivery):
    assert refused(delivery, model_name="trains").code == "deployment.other_model"
    error = refused(delivery, environment="prod")
    assert error.code == "deployment.other_model"
    assert "The registration is of dev.flights, not of prod.flights." in str(error)


def test_golden_rows_of_another_evaluation_are_an_error(delivery):
    pl.read_parquet(delivery.folder / "golden" / "golden.parquet").head(5).write_parquet(
        delivery.folder / "golden" / "golden.parquet"
    )
    assert refused(delivery).code == "deployment.other_golden"


def test_a_release_whose_files_changed_after_the_verdict_is_refused(delivery):
    path = delivery.state / "releases" / "flights" / delivery.digest / "model" / "MLmodel"
    path.write_text(path.read_text() + "\n# edited\n")
    error = refused(delivery)
    assert error.code == "release.changed"
    assert "MLmodel" in str(error)


def test_a_model_that_was_never_released_is_an_error(delivery):
    import shutil

    shutil.rmtree(delivery.state / "releases")
    assert refused(delivery).code == "release.missing"


def test_a_release_that_no_verdict_is_about_is_an_error(delivery):
    manifest = delivery.state / "releases" / "flights" / delivery.digest / "model" / "headway.json"
    manifest.write_text(manifest.read_text() + " ")
    import hashlib

    forged = hashlib.sha256(manifest.read_bytes()).hexdigest()
    marker = manifest.parents[1] / "release.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "manifest_sha256": forged}))
    change_registration(delivery, manifest_sha256=forged)
    error = refused(delivery)
    assert error.code == "verdict.other_model"
    assert "No positive verdict is about the files of this release." in str(error)


def test_without_a_state_folder_there_is_nothing_to_serve_from(delivery):
    assert refused(delivery, state_uri=None).code == "deployment.state_missing"


def test_an_engine_that_is_not_there_is_named(delivery):
    error = refused(delivery, engine="heroku")
    assert (error.code, error.value) == ("deployment.engine_unknown", "heroku")
    assert "Use auto, local or kserve" in str(error)


def test_the_engine_kserve_without_a_cluster_says_that_there_is_none(delivery, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert refused(delivery, engine="kserve").code == "kubernetes.no_cluster"


@pytest.mark.parametrize(
    ("serving", "field"),
    [
        ({"port": -1}, "serving.port"),
        ({"latency": {"p50_ms": 0}}, "serving.latency.p50_ms"),
        ({"latency": {"p95_ms": 5}}, "serving.latency.p95_ms"),
        ({"start_timeout_s": "soon"}, "serving.start_timeout_s"),
        ({"rollout": {"strategy": "rainbow"}}, "serving.rollout.strategy"),
        ({"rollout": {"steps": [{"set_weight": 10, "pause": "1m"}]}}, "give exactly one of set_weight, pause"),
        ({"rollout": {"steps": [{"pause": "a while"}]}}, "serving.rollout.steps.0.pause"),
        ({"rollout": {"steps": [{"set_weight": 101}]}}, "serving.rollout.steps.0.set_weight"),
        ({"rollout": {"steps": [{"set_weight": 50}, {"set_weight": 10}]}}, "the weights must rise"),
        ({"rollout": {"strategy": "blue_green", "steps": [{"set_weight": 10}]}}, "moves all the traffic at once"),
        ({"rollout": {"steps": [{"analysis": {"max_requests": 5}}]}}, "min_requests 100 is more than max_requests 5"),
    ],
)
def test_a_bad_serving_parameter_names_the_field(delivery, serving, field):
    error = refused(delivery, serving=serving)
    assert error.code == "config.invalid"
    assert field in str(error)


def test_numbers_that_arrive_as_floats_are_read():
    assert Serving.model_validate({"port": 8080.0, "latency": {"requests": 50.0}}).port == 8080


@pytest.fixture(scope="module")
def golden(models):
    return golden_of(models[0])


@contextmanager
def asking(status, body):
    with answering(status, body) as address:
        yield Caller(address, "flights")


def test_golden_rows_pass_when_labels_are_equal_and_probabilities_within_the_tolerance(golden):
    near = [p + 1e-10 for p in golden.expected()["probability_late"]]
    with asking(200, outputs(golden, probability_late=near)) as caller:
        assert golden_rows(caller, golden, Serving()).passed
        assert not golden_rows(caller, golden, Serving(tolerance=1e-11)).passed


@pytest.mark.parametrize("name", ["prediction", "probability_late"])
def test_one_golden_row_that_differs_fails_the_check_and_is_located(golden, name):
    wrong = list(golden.expected()[name])
    wrong[3] = "delayed" if name == "prediction" else wrong[3] + 0.01
    with asking(200, outputs(golden, **{name: wrong})) as caller:
        check = golden_rows(caller, golden, Serving())
    assert not check.passed
    assert check.value == "1 of 5 rows differ (positions 3)"


def test_too_few_answers_a_missing_output_or_an_error_fail_the_golden_check(golden):
    short = {o["name"]: o["data"][:4] for o in outputs(golden)["outputs"]}
    for status, body in (
        (200, outputs(golden, **short)),
        (200, {"outputs": outputs(golden)["outputs"][:1]}),
        (200, {"predictions": [1]}),
        (500, {"error": "out of memory"}),
    ):
        with asking(status, body) as caller:
            check = golden_rows(caller, golden, Serving())
        assert not check.passed
    assert check.value == "status 500 for rows from 0: out of memory"


def test_a_server_that_is_gone_fails_the_checks_with_a_reason(golden):
    with asking(200, {}) as caller:
        pass
    assert "status 0 for rows from 0" in golden_rows(caller, golden, Serving()).value
    assert "no answer" in bad_requests(caller, golden, 10).value


@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_accepts_or_breaks_on_bad_requests_does_not_pass(golden, status):
    with asking(status, outputs(golden)) as caller:
        check = bad_requests(caller, golden, max_rows=10)
    assert not check.passed
    assert check.measured["accepted"] == check.measured["kinds"] >= 15
    assert f"infinity: {status}" in check.value


def test_latency_beyond_a_limit_fails_and_says_what_was_measured(golden):
    row = Golden(golden.rows[:1], golden.manifest)
    gate = {"p50_ms": 1e-6, "p99_ms": 10_000, "requests": 20}
    with asking(200, outputs(row)) as caller:
        median, worst = latency(caller, row, Serving.model_validate({"latency": gate}))
    assert (median.passed, worst.passed) == (False, True)
    assert "ms over 20 requests of one row after 20 of warm-up" in median.value
    assert median.limit == "at most 1e-06 ms"


def test_a_server_that_does_not_tell_its_memory_passes_only_without_a_limit(golden):
    with asking(404, {}) as caller:
        assert [memory(caller, limit).passed for limit in (None, 100)] == [True, False]


def test_rows_that_are_answered_otherwise_when_alone_fail(golden):
    with asking(200, outputs(Golden(golden.rows[:1], golden.manifest))) as caller:
        first = next(iter(latency(caller, golden, Serving())))
    assert not first.passed
    assert "answered otherwise when they come alone" in first.value


def test_measuring_latency_ends_in_time(golden):
    row = Golden(golden.rows[:1], golden.manifest)
    gate = {"requests": 100_000, "max_seconds": 0.2}
    with asking(200, outputs(row)) as caller:
        median, _ = latency(caller, row, Serving.model_validate({"latency": gate}))
    assert 20 <= median.measured["requests"] < 100_000


def test_percentiles_are_values_that_occurred():
    values = [float(v) for v in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7


def test_golden_rows_without_a_feature_name_what_is_missing(golden):
    with pytest.raises(HeadwayError, match=r"The golden dataset lacks the column 'hour'"):
        Golden(golden.rows.drop("hour"), golden.manifest)


def test_the_report_tells_what_failed_and_what_was_done(tmp_path):
    deployment = Deployment(
        outcome="failed",
        reason="The candidate did not pass 'golden rows'",
        model_name="flights",
        environment="dev",
        engine="local",
        engine_reason="asked for",
        model_digest="a" * 64,
        version="3",
        checks=(Check(check="golden rows", limit="labels equal", value="2 of 60 rows differ", passed=False),),
        phases=(Phase(phase="start the candidate", start_s=0.1, end_s=2.5, passed=True, detail="ready"),),
    )
    write_report(deployment, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for said in ("the candidate failed", "2 of 60 rows differ", "start the candidate", "aaaaaaaaaaaa"):
        assert said in page


def test_a_refusal_leaves_no_event_and_no_personal_value(delivery):
    delivery.judge(blessed=False)
    delivery.deploy()
    assert "deployed" not in [event["action"] for event in verify_events(State(str(delivery.state)), "flights")]
    assert PLANTED not in "".join(p.read_text() for p in delivery.folder.glob("*.*"))


AB = {
    "prometheus": {
        "address": "http://p:9090",
        "metrics": [{"kind": "share", "name": "sold", "successes": "a", "total": "b", "limit": 0}],
    }
}


@pytest.mark.parametrize(
    ("rollout", "says"),
    [
        ({"strategy": "shadow"}, "shadow needs steps with an analysis"),
        ({"strategy": "shadow", "steps": [{"set_weight": 5}, {"analysis": {}}]}, "none with set_weight"),
        (
            {"strategy": "shadow", "steps": [{"analysis": {"prometheus": {"address": "http://p:9090"}}}]},
            "none with set_weight or prometheus",
        ),
        ({"strategy": "ab", "steps": [{"analysis": AB}]}, "ab needs two steps"),
        ({"strategy": "ab", "steps": [{"set_weight": 50}, {"analysis": {}}]}, "decides by what callers do"),
        (
            {"strategy": "ab", "steps": [{"set_weight": 50}, {"analysis": {"prometheus": {"address": "http://p"}}}]},
            "limit of 0 or below",
        ),
        ({"strategy": "ab", "steps": [{"set_weight": 50}, {"analysis": AB}], "deadline": "1m"}, "must be longer than"),
        (
            {"strategy": "ab", "steps": [{"set_weight": 50}, {"analysis": AB}], "on_inconclusive": "go_on"},
            "not proven to be better",
        ),
        ({"steps": [{"analysis": AB}, {"set_weight": 50}]}, "needs traffic on both versions: set_weight before it"),
        ({"steps": [{"set_weight": 100}, {"analysis": AB}]}, "needs traffic on both versions"),
        ({"strategy": "blue_green", "steps": [{"analysis": AB}]}, "needs traffic on both versions"),
        ({"deadline": "15d"}, "15d is more than 14 days"),
        ({"steps": [{"pause": "1h"}]}, "deadline 1h must be longer than pause 1h"),
        ({"steps": [{"analysis": {"max_duration": "2h"}}]}, "deadline 1h must be longer than max_duration 2h"),
    ],
)
def test_a_strategy_that_cannot_do_its_steps_is_refused(rollout, says):
    with pytest.raises(HeadwayError, match=says):
        parse(Serving, {"rollout": rollout}, parameter="serving")


@pytest.mark.parametrize(
    ("before", "now", "taken"),
    [("ab", "ab", False), ("ab", "abc", False), ("ab", "a", False), ("ab", "ac", True), ("a", "", True)],
)
def test_what_a_scaler_adds_or_takes_away_disrupts_nothing_but_a_pod_in_the_place_of_another_does(before, now, taken):
    assert was_taken_away(frozenset(before), frozenset(now)) is taken


def test_an_endpoint_remembers_the_last_ten_releases_and_each_model_once():
    def served(number):
        since = f"2026-11-{number + 1:02}T00:00:00Z"
        return Served(release={"model_digest": str(number)}, serving={}, golden_uri="", since=since)

    history = History()
    for number in [*range(15), 12]:
        history = history.after(served(number), why="too slow" if number == 14 else None)
    assert [each.model_digest for each in history.served] == ["12", "14", "13", *map(str, range(11, 3, -1))]
    assert len(history.before) == 10
    assert history.of("14").until == history.served[0].since
    assert history.of("13").rolled_back == "too slow"
    assert history.of("2") is None


def test_a_rollback_runs_a_release_as_it_ran_but_for_what_is_given_and_without_its_rollout():
    then = {"max_rows": 5, "rollout": {"steps": [{"pause": "10m"}]}, "kserve": {"image": "old", "namespace": "a"}}
    again = as_then(then, {"kserve": {"namespace": "b"}})
    assert again == {"max_rows": 5, "rollout": {}, "kserve": {"image": "old", "namespace": "b"}}
    assert as_then({**then, "kserve": None}, {})["kserve"] is None

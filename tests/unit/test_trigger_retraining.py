"""trigger_retraining: one run an incident, whoever runs again; what cannot be started is told and tried again."""

import json

import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.audit import verify_events
from headway.components._shared.decisions import Decision, Fleet, Incident, Signal, Watched
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.components._shared.times import now
from headway.components.monitoring.retraining.trigger import trigger_retraining
from tests.kfp_api import kfp_api

DIGEST = "a" * 64
INCIDENT = "2026-03-02T00:00:00Z"


def decision(day=3, outcome="retrain", **changes):
    return Decision(
        model_name="flights",
        model_digest=DIGEST,
        start=f"2026-03-{day:02}T00:00:00Z",
        end=f"2026-03-{day + 1:02}T00:00:00Z",
        outcome=outcome,
        reason="worse twice",
        signals={"worse": Signal(fired=True, told="roc_auc 0.6, promised 0.7")},
        incident=Incident(id=INCIDENT, windows=2, worsened=True),
        **changes,
    )


class Course:
    """Runs of monitoring, one after the other."""

    def __init__(self, folder):
        self.folder, self.latest = folder, None
        (folder / "state").mkdir()
        self.state = State(str(folder / "state"))

    def run(self, *judged, as_of="2026-03-04T01:00:00Z", **retraining):
        self.latest = judged[-1] if judged else self.latest
        watched = Watched(model_name="flights", model_digest=DIGEST, judged=judged, latest=self.latest)
        fleet = Fleet(as_of=as_of, models=(watched,))
        (self.folder / "decisions.json").write_text(fleet.model_dump_json())
        places = [LocalArtifact(str(self.folder / name)) for name in ("decisions.json", "triggered.json")]
        monitoring = {"retraining": retraining} if retraining else {}
        trigger_retraining(*places, models={"flights": {}}, monitoring=monitoring, state_uri=self.state.uri)
        found = json.loads((self.folder / "triggered.json").read_text())["models"].get("flights", [])
        return found[-1] if found else None


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path)


@pytest.fixture
def kfp():
    with kfp_api() as server:
        server.upload("delivery")
        yield server


def test_an_incident_starts_one_run_with_the_window_that_asks_for_it(course, kfp):
    parameters = {"source": {"uris": ["gs://b/x"], "end": "{window_end}"}, "split": {"test_start": "{window_start}"}}
    wanted = {"api": {"address": kfp.address, "experiment": "upkeep", "service_account": "trainer"}}
    wanted["parameters"] = parameters
    done = course.run(decision(), **wanted)
    assert (done["outcome"], done["run"]) == ("started", "run-1")
    (started,) = kfp.started
    assert started["display_name"] == "headway-retrain-flights-20260302t000000z"
    given = started["runtime_config"]["parameters"]
    assert given["source"] == {"uris": ["gs://b/x"], "end": "2026-03-04T00:00:00Z"}
    assert given["split"] == {"test_start": "2026-03-03T00:00:00Z"}
    assert (given["model_name"], given["state_uri"]) == ("flights", course.state.uri)
    assert started["service_account"] == "trainer"
    assert [each["display_name"] for each in kfp.store["experiments"]] == ["upkeep"]
    event = verify_events(course.state, "flights")[-1]
    assert (event["action"], event["evidence"]["run"]) == ("retraining_started", "run-1")
    assert course.run(decision(), **wanted) is None, "the same step again"
    assert course.run(decision(day=9), **wanted) is None, "a later window of the same incident"
    assert len(kfp.started) == 1


def test_a_step_that_was_killed_after_the_run_was_started_finds_it_by_its_name(course, kfp):
    wanted = {"api": {"address": kfp.address}}
    course.run(decision(), **wanted)
    (kept,) = [s.key for s in course.state.storage.list("history/flights/retrainings") if s.key.endswith("_run.json")]
    course.state.storage.delete(kept)
    again = course.run(decision(), **wanted)
    assert (again["outcome"], again["run"]) == ("already", "run-1")
    assert len(kfp.started) == 1


def test_an_api_that_is_away_fails_the_step_and_the_next_run_starts_what_was_asked_for(course, kfp):
    wanted = {"api": {"address": kfp.address}}
    kfp.broken = 503
    with pytest.raises(HeadwayError, match=r"retraining\.api_failing.*503"):
        course.run(decision(), **wanted)
    kfp.broken = None
    done = course.run(**wanted)
    assert (done["outcome"], done["window"]) == ("started", "2026-03-03T00:00:00Z")
    other = Incident(id="2026-05-01T00:00:00Z", windows=1, worsened=True)
    with pytest.raises(HeadwayError, match=r"retraining\.api_unreachable"):
        course.run(decision().model_copy(update={"incident": other}), api={"address": "http://127.0.0.1:9"})


def test_business_hours_are_waited_for(course, kfp):
    wanted = {"api": {"address": kfp.address}}
    later = decision(act_from="2026-03-04T08:00:00Z")
    assert course.run(later, **wanted) == {"outcome": "waiting", "run": "2026-03-04T08:00:00Z", "window": later.start}
    assert kfp.started == []
    assert course.run(as_of="2026-03-04T09:00:00Z", **wanted)["outcome"] == "started"


def test_what_asks_for_no_retraining_starts_none_and_without_settings_it_is_told(course, kfp):
    assert course.run(decision(outcome="alert"), api={"address": kfp.address}) is None
    assert course.run(decision())["outcome"] == "not set up"
    assert kfp.started == []


def test_in_a_multi_user_installation_the_token_and_the_experiment_are_needed_and_missed_by_name(tmp_path):
    course = Course(tmp_path)
    with kfp_api(token="secret") as kfp:
        kfp.upload("delivery", namespace="team")
        api = {
            "address": kfp.address,
            "namespace": "team",
            "experiment": "upkeep",
            "token_file": str(tmp_path / "token"),
        }
        with pytest.raises(HeadwayError, match=r"retraining\.denied.*without a token") as error:
            course.run(decision(), api=api)
        assert 'access-ml-pipeline: "true"' in error.value.remedy
        (tmp_path / "token").write_text("old")
        with pytest.raises(HeadwayError, match=r"retraining\.denied") as error:
            course.run(api=api)
        assert "kubeflow-pipelines-edit" in error.value.remedy
        (tmp_path / "token").write_text("secret\n")
        without = {key: value for key, value in api.items() if key != "experiment"}
        with pytest.raises(HeadwayError, match=r"retraining\.refused.*must have an experiment"):
            course.run(api=without)
        assert course.run(api=api)["outcome"] == "started"
        assert kfp.store["runs"][0]["namespace"] == "team"


def test_a_pipeline_that_is_not_there_is_told(course, kfp):
    with pytest.raises(HeadwayError, match=r"retraining\.pipeline_unknown.*'returns'"):
        course.run(decision(), api={"address": kfp.address}, pipeline="returns")


def test_whoever_has_the_claim_starts_it_and_gets_it_back_when_it_was_killed(course, kfp, monkeypatch):
    wanted = {"api": {"address": kfp.address}}
    monkeypatch.setenv("HEADWAY_RUN_ID", "one")
    kfp.broken = 503
    with pytest.raises(HeadwayError):
        course.run(decision(), **wanted)
    kfp.broken = None
    key = f"history/flights/retrainings/20260302T000000Z_claim_{now():%Y%m%dT%H}.json"
    course.state.write_json(key, {"run": "one"})
    monkeypatch.setenv("HEADWAY_RUN_ID", "two")
    assert course.run(**wanted)["outcome"] == "already", "the other run is at it"
    assert kfp.started == []
    monkeypatch.setenv("HEADWAY_RUN_ID", "one")
    assert course.run(**wanted)["outcome"] == "started", "it was killed, and runs again"


def test_an_incident_that_is_over_asks_for_nothing_any_more(course, kfp):
    assert course.run(decision())["outcome"] == "not set up"
    well = decision(day=4, outcome="ok").model_copy(update={"incident": None})
    assert course.run(well, api={"address": kfp.address}) is None
    assert kfp.started == []

"""monitor_models: what is due is judged once, in order, whatever was missed; one model's trouble is not the others'."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest, write_manifest
from headway.components._shared.audit import record_event, verify_events
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.state import State
from headway.components._shared.times import format_time, now
from headway.components.monitoring.config import Labels, Windows
from headway.components.monitoring.fleet.monitor import monitor_models
from headway.components.monitoring.fleet.windows import due_windows
from headway.components.serving.log import LogWriter
from tests.deployment_samples import flights, train_sample
from tests.served_samples import serve

DAY = datetime(2026, 3, 2, tzinfo=UTC)
PROMISED = {"roc_auc": {"value": 0.9, "low": 0.88, "high": 0.92}}


def day(number, hour=0):
    return (DAY + timedelta(days=number, hours=hour)).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models whose labels have a time at which they became known."""
    made = []
    for depth in (3, 2):
        folder = train_sample(tmp_path_factory.mktemp(f"depth-{depth}"), depth=depth)
        manifest = read_manifest(folder)
        columns = (*manifest.schema_.columns, Column(name="known", type="datetime", roles=("label_time",)))
        write_manifest(folder, manifest.model_copy(update={"schema_": Schema(columns=columns)}))
        made.append(folder)
    return made


class Endpoint:
    """The endpoint `flights`, with what it was asked and what really happened."""

    def __init__(self, folder, models):
        self.folder, self.models = folder, models
        self.state = State(str(folder / "state"))
        self.labels = []

    def serve(self, which):
        """Makes a model the champion, as deploy_model does."""
        serve(self.state, "flights", self.models[which], PROMISED, self.folder)
        return read_manifest(self.models[which]).model_digest

    def ask(self, number, which=0, *, rows=300, shifted=False, wrong=False, known_after=timedelta(hours=1)):
        """A day's requests, and their labels; `wrong` labels have nothing to do with the answers."""
        loaded = load_model(self.models[which])
        frame = flights(rows, seed=number).with_columns(pl.Series("id", [f"d{number}-{i}" for i in range(rows)]))
        truth = frame["late"].reverse() if wrong else frame["late"]
        if shifted:
            frame = frame.with_columns(carrier=pl.lit("ZZ"), distance=pl.col("distance") + 5000)
        asked = frame.select("id", *(f.name for f in loaded.manifest.features)).cast({"distance": pl.Float64})
        answers = loaded.predict(asked.drop("id"))
        writer = LogWriter(str(self.folder / "state/logs/flights"), loaded.manifest, flush_s=60, max_rows=10_000)
        time = DAY + timedelta(days=number, hours=12)
        given = {"values": answers.values.tolist(), "probabilities": answers.probabilities}
        writer.put(Served(time=time, request_id=f"d{number}", frame=asked, **given))
        writer.close()
        self.labels.append(pl.DataFrame({"id": frame["id"], "late": truth, "known": [time + known_after] * rows}))
        pl.concat(self.labels).write_parquet(self.folder / "labels.parquet")

    def watch(self, as_of, *, models=None, scheduled=None, **monitoring):
        """Runs the step."""
        given = {"labels": {"uris": [str(self.folder / "labels.parquet")]}, "windows": {"since": day(0)}}
        names = ("decisions.json", "metrics.json", "report.html")
        outputs = [LocalArtifact(str(self.folder / name)) for name in names]
        return monitor_models(
            *outputs,
            models=models or {"flights": {}},
            monitoring={**given, **monitoring},
            as_of=as_of,
            scheduled=scheduled,
            state_uri=self.state.uri,
        )

    def outcomes(self, fleet):
        return [(each.start[:10], each.outcome) for each in fleet.models[0].judged]


@pytest.fixture
def endpoint(tmp_path, models):
    (tmp_path / "state").mkdir()
    return Endpoint(tmp_path, models)


def test_every_window_that_is_over_is_judged_once_also_after_runs_that_were_missed(endpoint):
    endpoint.serve(0)
    for number in range(4):
        endpoint.ask(number)
    assert endpoint.outcomes(endpoint.watch(day(0, hour=12))) == [], "it is not over"
    assert endpoint.outcomes(endpoint.watch(day(1, hour=1))) == [("2026-03-02", "ok")]
    caught_up = endpoint.watch(day(4, hour=1))
    assert [start for start, _ in endpoint.outcomes(caught_up)] == ["2026-03-03", "2026-03-04", "2026-03-05"]
    again = endpoint.watch(day(4, hour=2))
    assert endpoint.outcomes(again) == []
    assert again.models[0].latest == caught_up.models[0].judged[-1]


def test_two_runs_at_the_same_time_leave_one_decision_a_window_and_one_event(endpoint):
    endpoint.serve(0)
    for number in range(4):
        endpoint.ask(number, shifted=number > 1, wrong=number > 1)
    (endpoint.folder / "other").mkdir()
    others = [LocalArtifact(str(endpoint.folder / "other" / name)) for name in ("d", "m", "r")]
    labels = {"uris": [str(endpoint.folder / "labels.parquet")]}
    given = {"models": {"flights": {}}, "as_of": day(4, hour=1), "state_uri": endpoint.state.uri}
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(endpoint.watch, day(4, hour=1))
        settings = {"labels": labels, "windows": {"since": day(0)}}
        other = pool.submit(monitor_models, *others, monitoring=settings, **given)
        fleets = [one.result(), other.result()]
    kept = endpoint.state.storage.list("history/flights/decisions")
    assert len(kept) == 4
    assert fleets[0].models[0].judged == fleets[1].models[0].judged
    assert [outcome for _, outcome in endpoint.outcomes(fleets[0])] == ["ok", "ok", "alert", "retrain"]
    told = [event for event in verify_events(endpoint.state, "flights") if event["action"].startswith("monitoring_")]
    assert sorted(event["action"] for event in told) == ["monitoring_alert", "monitoring_retrain"]


def test_a_run_that_has_more_to_do_than_it_may_leaves_the_rest_to_the_next_one(endpoint):
    endpoint.serve(0)
    for number in range(3):
        endpoint.ask(number)
    few = {"since": day(0), "at_most": 2}
    first, second = (endpoint.watch(day(3, hour=1), windows=few) for _ in range(2))
    assert (len(first.models[0].judged), first.models[0].left) == (2, 1)
    assert (len(second.models[0].judged), second.models[0].left) == (1, 0)


def test_drift_and_labels_that_tell_of_it_become_an_incident_that_is_shown(endpoint):
    endpoint.serve(0)
    for number in range(3):
        endpoint.ask(number)
    endpoint.ask(3, shifted=True, wrong=True)
    endpoint.ask(4, shifted=True, wrong=True)
    fleet = endpoint.watch(day(5, hour=1))
    assert [outcome for _, outcome in endpoint.outcomes(fleet)] == ["ok", "ok", "ok", "alert", "retrain"]
    (watched,) = fleet.models
    assert watched.since == day(3)
    signals = watched.latest.signals
    assert {name for name, signal in signals.items() if signal.fired} >= {"drift", "worse"}
    page = (endpoint.folder / "report.html").read_text()
    for words in (
        "1 of 1 need somebody",
        "carrier over time",
        "Signals and decisions of the last 5 windows",
        "promised",
    ):
        assert words in page, words
    kept = json.loads((endpoint.folder / "decisions.json").read_text())
    assert (kept["kind"], len(kept["models"][0]["judged"])) == ("fleet", 5)
    assert endpoint.state.storage.list("history/flights/findings"), "the evidence stays"


def test_late_labels_have_a_window_judged_again_at_the_next_cutoff(endpoint):
    endpoint.serve(0)
    endpoint.ask(0, wrong=True, known_after=timedelta(days=2))
    labels = {"uris": [str(endpoint.folder / "labels.parquet")], "after": ["0s", "3d"]}
    early = endpoint.watch(day(1, hour=1), labels=labels)
    (decision,) = early.models[0].judged
    assert (decision.label_cutoff, decision.outcome) == (day(1), "ok")
    late = endpoint.watch(day(4, hour=1), labels=labels)
    again = [each for each in late.models[0].judged if each.start == day(0)]
    assert [(each.label_cutoff, each.outcome) for each in again] == [(day(4), "alert")]


def test_a_window_belongs_to_the_model_that_answered_in_it(endpoint):
    first = endpoint.serve(0)
    endpoint.ask(0)
    second = endpoint.serve(1)
    endpoint.ask(1, which=1)
    judged = endpoint.watch(day(2, hour=1)).models[0].judged
    assert [each.model_digest for each in judged] == [first, second]


def test_a_window_without_a_request_is_a_signal_and_no_error(endpoint):
    endpoint.serve(0)
    endpoint.ask(0)
    endpoint.ask(2)
    fleet = endpoint.watch(day(3, hour=1))
    assert endpoint.outcomes(fleet)[1] == ("2026-03-03", "watch")
    silent = fleet.models[0].judged[1]
    assert (silent.rule, silent.signals["no_rows"].fired) == ("nobody asks", True)


def test_a_model_that_cannot_be_judged_is_told_and_keeps_no_other_from_it(endpoint, caplog):
    endpoint.serve(0)
    endpoint.ask(0)
    fleet = endpoint.watch(day(1, hour=1), models={"flights": {}, "returns": {}})
    flights_, returns = fleet.models
    assert len(flights_.judged) == 1
    assert returns.problem.code == "monitoring.no_champion"
    page = (endpoint.folder / "report.html").read_text()
    assert "monitoring.no_champion" in page
    assert "Deploy a model first" in page
    with pytest.raises(HeadwayError, match=r"monitoring\.no_champion"):
        endpoint.watch(day(1, hour=1), models={"returns": {}})


def test_labels_that_are_gone_end_a_model_and_the_next_run_goes_on(endpoint):
    endpoint.serve(0)
    endpoint.ask(0)
    gone = {"uris": [str(endpoint.folder / "nothing-*.parquet")]}
    with pytest.raises(HeadwayError, match=r"labels\.unreadable"):
        endpoint.watch(day(1, hour=1), labels=gone)
    assert len(endpoint.watch(day(1, hour=1)).models[0].judged) == 1


def test_labels_may_be_csv_under_other_names(endpoint):
    endpoint.serve(0)
    endpoint.ask(0)
    renamed = endpoint.labels[0].rename({"id": "flight", "late": "arrived", "known": "at"})
    renamed.write_csv(endpoint.folder / "labels.csv")
    names = {"id": "flight", "late": "arrived", "known": "at"}
    fleet = endpoint.watch(day(1, hour=1), labels={"uris": [str(endpoint.folder / "labels.csv")], "columns": names})
    assert fleet.models[0].latest.signals["few_labels"].value == 1.0


def test_a_single_window_is_judged_when_it_is_asked_for(endpoint):
    endpoint.serve(0)
    endpoint.ask(0)
    outputs = [LocalArtifact(str(endpoint.folder / name)) for name in ("d.json", "m.json", "r.html")]
    given = {"models": {"flights": {}}, "monitoring": {}, "state_uri": endpoint.state.uri}
    fleet = monitor_models(*outputs, **given, start=day(0, hour=6), end=day(0, hour=18))
    (decision,) = fleet.models[0].judged
    assert (decision.start, decision.end) == (day(0, hour=6), day(0, hour=18))
    with pytest.raises(HeadwayError, match=r"window\.backwards"):
        monitor_models(*outputs, **given, start=day(0, hour=6))


def test_a_single_window_of_long_ago_does_not_have_everything_since_judged(endpoint):
    digest = endpoint.serve(0)
    record_event(endpoint.state, "flights", "deployed", model_digest=digest, evidence={})
    endpoint.ask(0)
    outputs = [LocalArtifact(str(endpoint.folder / name)) for name in ("d.json", "m.json", "r.html")]
    given = {"models": {"flights": {}}, "monitoring": {}, "state_uri": endpoint.state.uri}
    monitor_models(*outputs, **given, start=day(0), end=day(1))
    tomorrow = format_time(now() + timedelta(days=2))
    fleet = monitor_models(*outputs, **given, as_of=tomorrow)
    assert 1 <= len(fleet.models[0].judged) <= 2, "since the deployment, which was today"
    again = monitor_models(*outputs, **given, as_of=tomorrow)
    assert again.models[0].judged == ()


def test_a_macro_that_kfp_did_not_replace_is_refused_with_that_explanation(endpoint):
    with pytest.raises(HeadwayError, match="A KFP macro arrived unreplaced"):
        endpoint.watch("[[ScheduledTime]]")


@pytest.mark.parametrize(
    ("scheduled", "judged"),
    [
        (day(2, hour=1), ["2026-03-02", "2026-03-03"]),
        ("{{$.pipeline_job_schedule_time_utc}}", ["2026-03-02", "2026-03-03", "2026-03-04"]),
        ("1970-01-01T00:00:00Z", ["2026-03-02", "2026-03-03", "2026-03-04"]),
    ],
)
def test_a_run_that_starts_late_judges_what_was_over_at_its_scheduled_time(endpoint, scheduled, judged):
    endpoint.serve(0)
    for number in range(3):
        endpoint.ask(number)
    fleet = endpoint.watch(None, scheduled=scheduled, windows={"since": day(0), "at_most": 3})
    assert [start for start, _ in endpoint.outcomes(fleet)] == judged
    with pytest.raises(HeadwayError, match="A KFP macro arrived unreplaced"):
        endpoint.watch(None, scheduled="[[ScheduledTime]]")


def test_what_the_model_looks_at_is_shown_over_time_where_that_is_wanted(endpoint):
    endpoint.serve(0)
    for number in range(3):
        endpoint.ask(number)
    endpoint.watch(day(3, hour=1), performance={"importance_rows": 200})
    assert "Importance of hour" in (endpoint.folder / "report.html").read_text()


def test_a_models_own_settings_lie_over_those_of_all_and_are_checked(endpoint):
    endpoint.serve(0)
    endpoint.ask(0)
    fleet = endpoint.watch(day(1, hour=1), models={"flights": {"windows": {"every": "12h"}}})
    assert [each.start for each in fleet.models[0].judged] == [day(0), day(0, hour=12)]
    with pytest.raises(HeadwayError, match=r"models\.flights\.windows\.evry: there is no such field"):
        endpoint.watch(day(1), models={"flights": {"windows": {"evry": "1h"}}})


def test_weeks_begin_on_monday_and_cutoffs_come_in_the_order_of_time():
    weekly = due_windows(Windows(every="7d"), None, [], DAY + timedelta(days=3), DAY + timedelta(days=15))
    assert [each.start for each in weekly] == [DAY, DAY + timedelta(days=7)]
    labels = Labels(uris=("x",), after=("2d", "0s"))
    daily = due_windows(Windows(), labels, [], DAY, DAY + timedelta(days=3, hours=1))
    assert [each.time for each in daily] == sorted(each.time for each in daily)
    assert [(each.start.day, (each.time - each.end).days) for each in daily] == [(2, 0), (3, 0), (2, 2), (4, 0)]

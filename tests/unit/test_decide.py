"""decide: M of N windows, cooldown, budget, business hours, incidents, and a history that only grows."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.audit import verify_events
from headway.components._shared.decisions import Signal
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.components.monitoring.config import Policy, Rule
from headway.components.monitoring.decision.decide import decide
from headway.components.monitoring.decision.history import History
from headway.components.monitoring.decision.rules import conclude
from headway.components.monitoring.decision.signals import signals_of
from headway.components.monitoring.drift.columns import ColumnResult, Finding
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.performance.estimates import EstimateResult
from headway.components.monitoring.performance.measures import MetricResult, Span
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.window.result import LabelCounts, WindowResult

MODEL = "a" * 64
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def day(number, hour=0):
    return (MONDAY + timedelta(days=number, hours=hour)).isoformat().replace("+00:00", "Z")


def window(number, **changes):
    told = {"model_name": "flights", "model_digest": MODEL, "rows": 1000, "requests": 900, "fingerprint": "f" * 64}
    return WindowResult(start=day(number), end=day(number + 1), **{**told, **changes})


def signals(*fired):
    names = ("drift", "much_drift", "separation", "worse", "too_high", "too_low", "estimate", "data")
    return {name: Signal(fired=name in fired, told=f"{name} told") for name in names}


class Course:
    """Windows that are judged one after the other."""

    def __init__(self, state, **policy):
        self.state, self.policy = state, Policy(**policy)

    def judge(self, number, *fired, **changes):
        found = window(number, **changes)
        history = History(self.state, "flights")
        past = history.past(found.start, found.label_cutoff or found.end)
        return history.keep(conclude(found, signals(*fired), past, self.policy))


@pytest.fixture
def state(tmp_path):
    return State(str(tmp_path / "state"))


@pytest.fixture
def course(state):
    return Course(state)


def test_a_window_without_signals_is_ok(course):
    found = course.judge(0)
    assert (found.outcome, found.rule, found.incident, found.reason) == ("ok", None, None, "no rule fired")


def test_one_bad_window_is_an_alert_and_a_second_one_within_three_retrains(course):
    assert course.judge(0, "worse").outcome == "alert"
    assert course.judge(1).outcome == "ok"
    second = course.judge(2, "worse")
    assert (second.outcome, second.rule) == ("retrain", "worse twice")
    assert second.fired[0].windows == (day(0), day(2))
    assert second.reason == "worse twice: worse told, in 2 of the last 3 windows"


def test_windows_that_lie_too_far_back_do_not_count(course):
    course.judge(0, "worse")
    course.judge(1)
    course.judge(2)
    assert course.judge(3, "worse").outcome == "alert"


def test_a_rule_fires_only_with_a_window_that_has_its_signals(course):
    for number in range(3):
        course.judge(number, "much_drift")
    assert course.judge(3).outcome == "ok"


def test_a_rule_may_ask_for_several_signals_at_once(state):
    rule = Rule(name="both", when=("worse", "drift"), outcome="roll_back")
    course = Course(state, rules=(rule,))
    assert course.judge(0, "worse").outcome == "ok"
    assert course.judge(1, "worse", "drift").outcome == "roll_back"


def test_of_rules_that_fire_the_most_severe_decides_and_all_are_told(course):
    found = course.judge(0, "drift", "data")
    assert found.outcome == "alert"
    assert [each.rule for each in found.fired] == ["the data feed", "drift"]


def test_within_the_cooldown_there_is_an_alert_instead_and_its_reason(course):
    course.judge(0, "worse")
    assert course.judge(1, "worse").outcome == "retrain"
    held = course.judge(2, "worse")
    assert (held.outcome, held.rule) == ("alert", "worse twice")
    assert "within the cooldown of 7d" in held.held_back
    assert held.held_back in held.reason
    for number in range(3, 8):
        assert course.judge(number, "worse").outcome == "alert"
    assert course.judge(8, "worse").outcome == "retrain", "seven days after the last one"


def test_the_budget_is_not_exceeded(state):
    course = Course(state, cooldown="1d", budget={"retrainings": 2, "per": "30d"})
    outcomes = [course.judge(number, "worse").outcome for number in range(40)]
    assert [number for number, outcome in enumerate(outcomes) if outcome == "retrain"] == [1, 2, 31, 32]


def test_retraining_waits_for_business_hours_and_an_alert_does_not(state):
    hours = {"timezone": "Europe/Berlin", "start": 9, "end": 17}
    course = Course(state, business_hours=hours)
    assert course.judge(2, "worse").act_from is None
    # Wednesday's window ends on Thursday at 00:00 UTC, 01:00 in Berlin.
    assert course.judge(3, "worse").act_from == "2026-03-06T08:00:00Z"
    weekend = Course(state, business_hours=hours, cooldown="1d")
    assert weekend.judge(4, "worse").act_from == "2026-03-09T08:00:00Z", "from Saturday to Monday"
    summer = window(30, label_cutoff="2026-04-01T09:30:00Z")
    past = History(state, "flights").past(summer.start, summer.label_cutoff)
    rule = Rule(name="now", when=("worse",), outcome="retrain")
    open_now = conclude(
        summer, signals("worse"), past, Policy(rules=(rule,), business_hours=hours, budget={"retrainings": 9})
    )
    assert (open_now.outcome, open_now.act_from) == ("retrain", None)


def test_bad_windows_in_a_row_are_one_incident_that_worsens_and_ends(course):
    first = course.judge(0, "data")
    second = course.judge(1, "data")
    third = course.judge(2, "worse", "data")
    fourth = course.judge(3, "worse")
    assert [each.incident.id for each in (first, second, third, fourth)] == [day(0)] * 4
    assert [each.incident.windows for each in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert [each.incident.worsened for each in (first, second, third, fourth)] == [True, False, False, True]
    well = course.judge(4)
    assert (well.incident, well.recovered) == (None, day(0))
    assert course.judge(5).recovered is None
    assert course.judge(6, "data").incident.id == day(6)


def test_a_window_that_is_judged_again_at_a_later_cutoff_stays_in_its_incident_and_counts_once(course):
    early = course.judge(0, "estimate", label_cutoff=day(1))
    assert early.outcome == "ok"
    assert course.judge(0, "worse", label_cutoff=day(3)).outcome == "alert"
    late = course.judge(0, "worse", label_cutoff=day(5))
    assert (late.outcome, late.incident.worsened) == ("alert", False)
    assert late.fired[0].windows == (day(0),), "one window, however often it is judged"
    assert course.judge(1, "worse", label_cutoff=day(6)).outcome == "retrain"


def test_what_was_not_known_yet_does_not_count(course):
    """Window 0 became worse only by labels that came after window 1 was judged."""
    course.judge(0, label_cutoff=day(1))
    course.judge(0, "worse", label_cutoff=day(9))
    assert course.judge(1, "worse", label_cutoff=day(2)).outcome == "alert"


def test_another_models_windows_do_not_count_but_its_retrainings_do(course):
    course.judge(0, "worse")
    course.judge(1, "worse")
    assert course.judge(2, "worse", model_digest="b" * 64).rule == "worse than promised"
    held = course.judge(3, "worse", model_digest="b" * 64)
    assert (held.outcome, held.rule) == ("alert", "worse twice")


def test_the_same_window_has_one_decision_whoever_asks_again(course):
    first = course.judge(0, "worse")
    assert course.judge(0) == first, "what stands there counts"
    found = []
    asked = [["worse"], []] * 4
    threads = [threading.Thread(target=lambda names=names: found.append(course.judge(1, *names))) for names in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == found[0] for each in found)
    assert len(course.state.storage.list("history/flights/decisions")) == 2


def test_the_same_history_gives_the_same_decisions_again(state, tmp_path):
    fired = [(), ("worse",), ("drift",), ("worse",), ("worse", "data"), (), ("much_drift",)] * 3
    one, other = Course(state), Course(State(str(tmp_path / "other")))
    first = [one.judge(number, *each) for number, each in enumerate(fired)]
    again = [other.judge(number, *each) for number, each in enumerate(fired)]
    assert first == again


def test_a_history_with_holes_says_so(course):
    course.judge(0, "worse")
    course.judge(1)
    found = course.judge(4, "worse")
    assert found.missing == (f"{day(2)} to {day(4)}",)
    keys = [stat.key for stat in course.state.storage.list("history/flights/decisions")]
    course.state.storage.write(keys[0], b'{"schema_version": 1, "kind"')
    after = course.judge(5, "worse")
    assert after.damaged == (keys[0],)
    assert after.rule == "worse twice", "the others still count"


def test_a_decision_that_cannot_be_read_again_is_not_replaced(course):
    course.judge(0)
    (stat,) = course.state.storage.list("history/flights/decisions")
    course.state.storage.write(stat.key, b"half")
    with pytest.raises(HeadwayError, match=r"\[history.damaged\]"):
        course.judge(0)


def column(name, drifted, share=0.5):
    finding = Finding(what="values", value=0.4, limit=0.1, p_value=0.001, adjusted=0.001, found=drifted)
    return ColumnResult(
        name=name, type="number", measure="wasserstein", importance=share, findings=(finding,), drifted=drifted
    )


def performance(gain, *, estimate=None, surprise=False):
    promised = Span(value=0.76, low=0.75, high=0.77)
    now = Span(value=0.76 + gain, low=0.75 + gain, high=0.77 + gain)
    state = "worse" if gain < -0.03 else "held"
    span = Span(value=gain, low=gain - 0.01, high=gain + 0.01)
    metric = MetricResult(
        name="roc_auc",
        label="ROC AUC",
        better="higher",
        now=now,
        promised=promised,
        gain=span,
        tolerance=0.03,
        state=state,
    )
    estimates = ()
    if estimate is not None:
        around = Span(value=estimate, low=estimate - 0.01, high=estimate + 0.01)
        estimates = (EstimateResult(name="roc_auc", label="ROC AUC", all_rows=around, surprise=surprise),)
    return PerformanceResult(
        model_digest=MODEL,
        fingerprint="f" * 64,
        start=day(0),
        end=day(1),
        rows=1000,
        labelled=500,
        enough=True,
        primary="roc_auc",
        metrics=(metric,),
        estimates=estimates,
    )


def drift_of(*columns, share):
    told = {"rows": 1000, "fingerprint": "f" * 64, "reference_rows": 5000, "model_digest": MODEL}
    return DriftResult(columns=columns, drifted_share=share, by_importance=True, **told)


def test_signals_are_made_of_what_was_found():
    drift = drift_of(column("hour", True), column("carrier", False), share=0.5)
    found = signals_of(window(0), drift, performance(-0.1), Policy())
    assert {name for name, signal in found.items() if signal.fired} == {"drift", "much_drift", "worse"}
    assert found["worse"].told == "roc_auc 0.66, promised 0.76"
    assert found["worse"].value == pytest.approx(-0.1 / 0.03)
    assert found["drift"].told == "hour drifted"
    quiet = signals_of(window(0), drift_of(column("hour", False), share=0.0), performance(0.0), Policy())
    assert not any(signal.fired for signal in quiet.values())


@pytest.mark.parametrize(
    ("estimate", "surprise", "fired"), [(0.70, False, True), (0.74, False, False), (0.70, True, False)]
)
def test_an_estimate_counts_when_it_is_proven_matters_and_was_not_contradicted(estimate, surprise, fired):
    found = signals_of(window(0), None, performance(0.0, estimate=estimate, surprise=surprise), Policy())
    assert found.get("estimate", Signal(fired=False, told="")).fired == fired


@pytest.mark.parametrize(
    ("value", "half", "fired"),
    [(0.08, 0.05, "too_high"), (-0.08, 0.05, "too_low"), (0.08, 0.1, None), (0.03, 0.01, None)],
)
def test_probabilities_are_off_when_that_is_proven_and_matters(value, half, fired):
    def metric(name, now):
        return MetricResult(name=name, label=name, better=None, now=now)

    span = Span(value=value, low=value - half, high=value + half)
    loss = Span(value=0.5, low=0.4, high=0.6)
    found = performance(0.0).model_copy(update={"metrics": (metric("bias", span), metric("log_loss", loss))})
    signals = signals_of(window(0), None, found, Policy())
    assert {name for name in ("too_high", "too_low") if signals[name].fired} == ({fired} if fired else set())
    regression = found.model_copy(update={"metrics": (metric("bias", span),)})
    assert "too_high" not in signals_of(window(0), None, regression, Policy()), "in the unit of the target"


def test_probabilities_that_were_too_low_and_are_too_high_are_not_off_twice(course):
    assert course.judge(0, "too_low").outcome == "alert"
    assert course.judge(1, "too_high").outcome == "alert"
    assert course.judge(2, "too_high").rule == "probabilities too high twice"


def test_a_damaged_feed_and_few_labels_are_signals():
    labels = LabelCounts(given=9, later=0, missing=0, unknown_class=0, repeated=0, conflicts=2, other_windows=0)
    found = signals_of(window(0, damaged=("x",), labels=labels, labelled=50), None, None, Policy())
    assert found["data"].told == "1 file of the log unreadable; 2 ids with different labels"
    assert (found["few_labels"].fired, found["few_labels"].value) == (True, 0.05)


def test_the_step_writes_the_decision_a_page_and_an_audit_event(tmp_path):
    (tmp_path / "window.json").write_text(window(0).model_dump_json())
    (tmp_path / "performance.json").write_text(performance(-0.1).model_dump_json())
    names = ("window.json", "decision.json", "metrics", "report.html")
    artifacts = [LocalArtifact(str(tmp_path / name)) for name in names]
    given = {"performance": LocalArtifact(str(tmp_path / "performance.json")), "state_uri": str(tmp_path / "state")}
    decide(*artifacts, policy={}, **given)
    decide(*artifacts, policy={}, **given)
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert (decision["outcome"], decision["rule"]) == ("alert", "worse than promised")
    assert artifacts[2].metadata["signal_worse"] == 1.0
    assert "Worse than promised: roc_auc 0.66, promised 0.76." in (tmp_path / "report.html").read_text()
    events = verify_events(State(str(tmp_path / "state")), "flights")
    assert [event["action"] for event in events] == ["monitoring_alert"]


def test_what_is_about_another_window_is_refused(tmp_path):
    (tmp_path / "window.json").write_text(window(0, fingerprint="e" * 64).model_dump_json())
    (tmp_path / "performance.json").write_text(performance(0.0).model_dump_json())
    names = ("window.json", "decision.json", "metrics", "report.html")
    artifacts = [LocalArtifact(str(tmp_path / name)) for name in names]
    other = LocalArtifact(str(tmp_path / "performance.json"))
    with pytest.raises(HeadwayError, match=r"\[decision.other_window\]"):
        decide(*artifacts, policy={}, performance=other, state_uri=str(tmp_path / "state"))
    with pytest.raises(HeadwayError, match=r"\[input.unreadable\]"):
        decide(*artifacts, policy={}, performance=artifacts[0], state_uri=str(tmp_path / "state"))


@pytest.mark.parametrize(
    "policy",
    [
        {"rules": [{"name": "x", "when": ["worse"], "at_least": 3, "of_last": 2, "outcome": "alert"}]},
        {"rules": [{"name": "x", "when": [], "outcome": "alert"}]},
        {"cooldown": "soon"},
        {"business_hours": {"timezone": "Mars/Base"}},
        {"business_hours": {"start": 17, "end": 9}},
    ],
)
def test_a_policy_that_cannot_be_is_refused(tmp_path, policy):
    (tmp_path / "window.json").write_text(window(0).model_dump_json())
    artifacts = [LocalArtifact(str(tmp_path / name)) for name in ("window.json", "d", "m", "r")]
    with pytest.raises(HeadwayError, match=r"\[config.invalid\]"):
        decide(*artifacts, policy=policy, state_uri=str(tmp_path / "state"))

"""Gates decide by data alone: no better model is ever turned down where a worse one passes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.components._shared.errors import HeadwayError
from headway.components._shared.statistics.differences import Difference
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.statistics.metrics import LABELS, TASK_METRICS
from headway.components.evaluation.config import Gates
from headway.components.evaluation.gate_checks import check_gates, check_slices
from headway.components.evaluation.gates import NO_GATES, Evidence, blessing, decide

numbers = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))
gains = st.floats(0, 3).map(lambda x: round(x, 3))
ends = st.sampled_from(["value", "low", "high", None])


@st.composite
def intervals(draw):
    value = draw(numbers)
    return Interval(value, value - draw(gains), value + draw(gains))


def moved(found, by):
    if isinstance(found, Difference):
        return dataclasses.replace(found, value=found.value + by, low=found.low + by, high=found.high + by)
    return Interval(found.value + by, found.low + by, found.high + by)


def evidence(metric, slice_, gap, gain):
    return Evidence(
        {"accuracy": metric}, {("accuracy", "worst"): slice_}, {("accuracy", "origin"): gap}, {"accuracy": gain}
    )


@st.composite
def measured(draw):
    around = draw(intervals())
    gain = Difference(around.value, around.low, around.high, 0.5, 0.1, 0.2)
    return draw(intervals()), draw(intervals()), draw(intervals()), gain


def one(gate):
    return Gates.model_validate({"g": gate})


@st.composite
def gates_where_more_is_better(draw):
    """at_least on the metric and its slices, and both tests of the gain."""
    limit, end = draw(numbers), draw(ends)
    kind = draw(st.sampled_from(["metric", "slice", "gain"]))
    if kind == "gain":
        test = draw(st.sampled_from(["superiority", "non_inferiority"]))
        return one({"kind": "gain", "metric": "accuracy", "test": test, "margin": abs(limit)})
    return one({"kind": kind, "metric": "accuracy", "at_least": limit, "on": end})


@given(gates_where_more_is_better(), measured(), gains)
def test_a_better_model_passes_whatever_a_worse_one_passes(gates, found, better):
    before = blessing(decide(gates, evidence(*found)))[0]
    after = blessing(decide(gates, evidence(*(moved(f, better) for f in found))))[0]
    assert after or not before


@given(st.sampled_from(["metric", "slice", "gap"]), numbers, ends, measured(), gains)
def test_less_error_passes_whatever_more_error_passes(kind, limit, end, found, better):
    column = {"column": "origin"} if kind == "gap" else {}
    gates = one({"kind": kind, "metric": "accuracy", "at_most": limit, "on": end, **column})
    before = blessing(decide(gates, evidence(*found)))[0]
    after = blessing(decide(gates, evidence(*(moved(f, -better) for f in found))))[0]
    assert after or not before


@given(numbers, measured())
def test_a_gate_on_the_proven_end_is_never_laxer_than_one_on_the_value(limit, found):
    for side, end in (("at_least", "low"), ("at_most", "high")):
        by_value, by_end, by_default = (
            decide(one({"kind": "metric", "metric": "accuracy", side: limit, "on": on}), evidence(*found))[0].passed
            for on in ("value", end, None)
        )
        assert by_value or not by_end
        assert by_default == by_end


@given(st.lists(st.tuples(numbers, intervals()), max_size=6))
def test_the_model_is_blessed_only_if_there_are_gates_and_every_one_passes(asked):
    gates = Gates.model_validate(
        {f"g{i}": {"kind": "metric", "metric": f"m{i}", "at_least": limit} for i, (limit, _) in enumerate(asked)}
    )
    outcomes = decide(gates, Evidence({f"m{i}": found for i, (_, found) in enumerate(asked)}))
    blessed, reason = blessing(outcomes)
    assert blessed == (bool(asked) and all(found.low >= limit for limit, found in asked))
    assert [o.passed for o in outcomes] == [found.low >= limit for limit, found in asked]
    assert all(o.reason in reason for o in outcomes if not o.passed)


def test_no_gates_mean_not_blessed():
    assert blessing(decide(Gates.model_validate({}), Evidence())) == (False, NO_GATES)


@given(measured(), st.sampled_from(["superiority", "non_inferiority"]))
def test_the_limits_are_inclusive_but_superiority_is_strict(found, test):
    gain = found[3]
    margin = max(gain.low, 0.0) if test == "superiority" else max(-gain.low, 0.0)
    outcome = decide(one({"kind": "gain", "metric": "accuracy", "test": test, "margin": margin}), evidence(*found))[0]
    if test == "superiority":
        assert not outcome.passed
    elif gain.low <= 0:
        assert outcome.passed


@pytest.mark.parametrize(("policy", "passed"), [("pass", True), ("fail", False)])
@pytest.mark.parametrize(
    "gate",
    [
        {"kind": "metric", "metric": "accuracy", "at_least": 0.5},
        {"kind": "slice", "metric": "accuracy", "slice": "origin=JFK", "at_least": 0.5},
        {"kind": "gap", "metric": "accuracy", "column": "origin", "at_most": 0.5},
        {"kind": "gain", "metric": "accuracy"},
    ],
)
def test_what_cannot_be_measured_ends_by_the_policy_and_says_so(gate, policy, passed):
    outcome = decide(one({**gate, "when_unmeasurable": policy}), Evidence())[0]
    assert outcome.passed is passed
    assert "cannot be measured on these rows" in outcome.reason
    assert outcome.value is None
    assert decide(one(gate), Evidence())[0].passed is False


@pytest.mark.parametrize(("policy", "passed"), [("pass", True), ("fail", False), (None, True)])
def test_no_champion_is_said_in_words_and_never_a_win(policy, passed):
    gate = {"kind": "gain", "metric": "accuracy", "test": "superiority"}
    gates = one(gate if policy is None else {**gate, "without_champion": policy})
    outcome = decide(gates, Evidence(no_champion="No champion to compare with."))[0]
    assert outcome.passed is passed
    assert outcome.value is None
    assert outcome.reason.startswith("No champion to compare with.")
    assert ("passes without having been compared" in outcome.reason) is passed


@pytest.mark.parametrize(
    ("gate", "task", "message"),
    [
        (
            {"kind": "metric", "metric": "auc", "at_least": 0.5},
            "binary",
            "[gate.metric_unknown] Gate 'g' is a metric gate on a metric that a binary model does not have. "
            "Given: 'auc'. "
            "Remedy: Metrics of binary models for such a gate: roc_auc, ",
        ),
        ({"kind": "metric", "metric": "rmse", "at_most": 1}, "binary", "[gate.metric_unknown]"),
        (
            {"kind": "metric", "metric": "roc_auc", "at_least": 0.5},
            "regression",
            "[gate.metric_unknown] Gate 'g' is a metric gate on a metric that a regression model does not have. "
            "Given: 'roc_auc'. Remedy: Metrics of regression models for such a gate: mae, rmse, r2, bias, "
            "calibration_slope, latency_p50_ms, latency_p99_ms, batch_ms, size_mb.",
        ),
        ({"kind": "metric", "metric": "recall", "at_least": 0.5}, "multiclass", "[gate.metric_unknown]"),
        ({"kind": "metric", "metric": "ece", "at_most": 1}, "regression", "[gate.metric_unknown]"),
        (
            {"kind": "gain", "metric": "latency_p99_ms"},
            "binary",
            "[gate.metric_unknown] Gate 'g' is a gain gate on a metric that a binary model does not have. "
            "Given: 'latency_p99_ms'. Remedy: Metrics of binary models for such a gate: roc_auc, ",
        ),
        (
            {"kind": "gain", "metric": "selection_rate"},
            "binary",
            "[gate.metric_not_comparable] Gate 'g' compares by a metric of which neither more nor less is better. "
            "Given: 'selection_rate'. "
            "Remedy: Use one of roc_auc, ",
        ),
        ({"kind": "slice", "metric": "bias", "at_most": 1}, "regression", "[gate.metric_not_comparable]"),
        (
            {"kind": "metric", "metric": "cost", "at_most": 1},
            "binary",
            "[gate.costs_unstated] Gate 'g' limits the cost, but nobody stated what mistakes cost. "
            "Given: 'cost'. "
            "Remedy: Give `costs` with `false_positive` and `false_negative` in `evaluation`.",
        ),
        (
            {"kind": "slice", "metric": "accuracy", "slice": "orign=JFK", "at_least": 0},
            "binary",
            "[gate.slice_unknown] Gate 'g' names a slice of a column that the model's schema does not know. "
            "Given: 'orign=JFK'. "
            "Remedy: Name `worst`, or `column=value` with one of the columns origin.",
        ),
    ],
)
def test_a_gate_that_can_never_be_measured_is_refused_before_anything_is_computed(gate, task, message):
    with pytest.raises(Exception) as caught:
        check_gates(one(gate), task, ["origin"], costs_stated=False)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("task", list(TASK_METRICS))
def test_what_is_told_of_a_task_is_exactly_what_its_metric_gates_take(task):
    for name in LABELS:
        gates = one({"kind": "metric", "metric": name, "at_most": 1})
        if name in TASK_METRICS[task]:
            check_gates(gates, task, [], costs_stated=True)
        else:
            with pytest.raises(HeadwayError, match="metric_unknown"):
                check_gates(gates, task, [], costs_stated=True)


def test_a_gate_on_a_value_that_does_not_occur_names_those_that_do():
    gate = {"kind": "slice", "metric": "accuracy", "slice": "origin=JKF", "at_least": 0}
    with pytest.raises(Exception) as caught:
        check_slices(one(gate), {"origin=LGA"}, ["origin=EWR", "origin=JFK", "carrier=UA"])
    assert str(caught.value) == (
        "[gate.slice_unknown] Gate 'g' names a slice that does not occur in the evaluation data. Given: 'origin=JKF'. "
        "Remedy: Name one of origin=EWR, origin=JFK."
    )


@pytest.mark.parametrize(
    ("given_gates", "message"),
    [
        ({"g": {"kind": "metric", "metric": "accuracy"}}, "give exactly one of `at_least` and `at_most`"),
        ({"g": {"kind": "metric", "metric": "accuracy", "at_least": 1, "at_most": 2}}, "give exactly one of"),
        ({"g": {"kind": "metric", "metric": "accuracy", "at_least": float("nan")}}, "finite number"),
        ({"g": {"kind": "gain", "metric": "accuracy", "margin": -0.1}}, "greater than or equal to 0"),
        (
            {"g": {"kind": "metrics", "metric": "accuracy"}},
            "gates.g.kind: must be 'metric' or 'slice' or 'gap' or 'gain' (given 'metrics')",
        ),
        ({"g": {"kind": "gap", "metric": "recall", "at_most": 1}}, "gates.g.column: is missing"),
    ],
)
def test_a_misshapen_gate_is_named_with_what_is_allowed(given_gates, message):
    from headway.components._shared.config import parse

    with pytest.raises(Exception) as caught:
        parse(Gates, given_gates, parameter="gates")
    assert str(caught.value).startswith("[config.invalid] Parameter 'gates' is not valid: gates.g")
    assert message in str(caught.value)

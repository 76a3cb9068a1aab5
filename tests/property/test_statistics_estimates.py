"""Each metric's value is the field's, and its influences are the true derivatives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.statistics.differences import difference
from headway.components._shared.statistics.estimates import mean_of
from headway.components._shared.statistics.intervals import interval
from headway.components._shared.statistics.metrics import METRICS, Outcomes, metrics_of
from headway.components._shared.statistics.spread import spread_of


def outcomes(task: str, seed: int, rows: int, *, ties: bool = False) -> Outcomes:
    generator = np.random.default_rng(seed)
    if task == "regression":
        actual = generator.normal(3, 2, rows)
        return Outcomes("regression", actual, actual + generator.normal(0.3, 1, rows))
    classes = 2 if task == "binary" else 3
    actual = generator.integers(0, classes, rows)
    actual[: 2 * classes] = np.tile(np.arange(classes), 2)
    logits = generator.normal(0, 1, (rows, classes)) + 1.2 * (actual[:, None] == np.arange(classes))
    logits = np.round(logits) if ties else logits
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    return Outcomes(task, actual.astype(float), predicted.astype(float), classes, probabilities, (1.0, 3.0))


CASES = [(task, metric.name) for metric in METRICS for task in metric.tasks]


@pytest.mark.parametrize(("task", "name"), CASES)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_influence_of_a_row_is_what_leaving_it_out_changes(task, name, seed, ties):
    data = outcomes(task, seed, 400, ties=ties)
    metric = metrics_of(task)[name]
    whole = metric.estimate(data)
    assert whole is not None
    assert abs(whole.influence.sum()) < 1e-6 * max(1, np.abs(whole.influence).sum())
    rows = np.random.default_rng(seed).choice(400, 12, replace=False)
    keep = np.arange(400)
    left_out = np.array([whole.value - metric.estimate(data.take(keep != row)).value for row in rows])
    scale = np.abs(whole.influence).max()
    np.testing.assert_allclose(left_out, whole.influence[rows], atol=0.1 * scale)


def test_values_equal_those_of_scikit_learn():
    from sklearn import metrics as sk

    data = outcomes("binary", 1, 1000, ties=True)
    y, label, score = data.actual, data.predicted, data.probabilities[:, 1]
    expected = {
        "roc_auc": sk.roc_auc_score(y, score),
        "average_precision": sk.average_precision_score(y, score),
        "log_loss": sk.log_loss(y, score),
        "brier": sk.brier_score_loss(y, score),
        "accuracy": sk.accuracy_score(y, label),
        "balanced_accuracy": sk.balanced_accuracy_score(y, label),
        "f1": sk.f1_score(y, label),
        "precision": sk.precision_score(y, label),
        "recall": sk.recall_score(y, label),
        "mcc": sk.matthews_corrcoef(y, label),
    }
    measured = {name: metrics_of("binary")[name].estimate(data).value for name in expected}
    assert measured == pytest.approx(expected)
    many = outcomes("multiclass", 2, 1000)
    y, label, p = many.actual, many.predicted, many.probabilities
    expected = {
        "roc_auc": sk.roc_auc_score(y, p, multi_class="ovr"),
        "average_precision": sk.average_precision_score(np.eye(3)[y.astype(int)], p),
        "log_loss": sk.log_loss(y, p),
        "f1": sk.f1_score(y, label, average="macro"),
        "balanced_accuracy": sk.balanced_accuracy_score(y, label),
    }
    measured = {name: metrics_of("multiclass")[name].estimate(many).value for name in expected}
    assert measured == pytest.approx(expected)
    numbers = outcomes("regression", 3, 1000)
    expected = {
        "mae": sk.mean_absolute_error(numbers.actual, numbers.predicted),
        "rmse": sk.root_mean_squared_error(numbers.actual, numbers.predicted),
        "r2": sk.r2_score(numbers.actual, numbers.predicted),
        "calibration_slope": np.polyfit(numbers.predicted, numbers.actual, 1)[0],
    }
    measured = {name: metrics_of("regression")[name].estimate(numbers).value for name in expected}
    assert measured == pytest.approx(expected)


def test_the_variance_of_a_roc_auc_is_that_of_delong():
    data = outcomes("binary", 4, 60, ties=True)
    positives, negatives = data.probabilities[data.actual == 1, 1], data.probabilities[data.actual == 0, 1]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    delong = np.var(wins.mean(axis=1), ddof=1) / len(positives) + np.var(wins.mean(axis=0), ddof=1) / len(negatives)
    estimate = metrics_of("binary")["roc_auc"].estimate(data)
    assert estimate.value == pytest.approx(wins.mean())
    assert spread_of(estimate).standard_error ** 2 == pytest.approx(delong, rel=1e-12)


def test_the_calibration_slope_is_that_of_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    data = outcomes("binary", 5, 2000)
    chance = data.probabilities[:, 1]
    logit = np.log(chance / (1 - chance))
    fitted = LogisticRegression(C=1e9).fit(logit[:, None], data.actual)
    estimate = metrics_of("binary")["calibration_slope"].estimate(data)
    assert estimate.value == pytest.approx(fitted.coef_[0, 0], rel=1e-4)


@pytest.mark.parametrize(("task", "name"), CASES)
@given(seed=st.integers(0, 10_000), rows=st.integers(30, 200), confidence=st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=10, deadline=None)
def test_an_interval_holds_its_value_and_stays_within_the_bounds(task, name, seed, rows, confidence):
    data = outcomes(task, seed, rows)
    estimate = metrics_of(task)[name].estimate(data)
    if estimate is None:
        return
    blocks = np.arange(rows) % 9
    for grouping in (None, blocks):
        found = interval(estimate, grouping, confidence=confidence)
        assert estimate.bounds[0] - 1e-9 <= found.low <= found.value <= found.high <= estimate.bounds[1] + 1e-9
        assert math.isfinite(found.low)
        assert math.isfinite(found.high)
        wider = interval(estimate, grouping, confidence=confidence, comparisons=20)
        assert wider.low <= found.low
        assert wider.high >= found.high


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_difference_changes_its_sign_with_its_order(seed):
    first, second = outcomes("binary", seed, 120), outcomes("binary", seed + 1, 120)
    auc = metrics_of("binary")["brier"].estimate
    one, other = difference(auc(first), auc(second)), difference(auc(second), auc(first))
    assert one.value == pytest.approx(-other.value)
    assert one.low == pytest.approx(-other.high)
    assert one.p_value == pytest.approx(other.p_value)


@st.composite
def contributions(draw):
    """Two estimates of the same rows: many small differences, or a few large ones that carry it all, or none."""
    rows = draw(st.integers(20, 300))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    differs = generator.random(rows) < draw(st.sampled_from([0.0, 0.02, 0.2, 1.0]))
    first = differs * generator.choice([-1.0, 1.0, 1.0, 5.0], rows) * draw(st.floats(0.001, 100))
    return mean_of(first + draw(st.sampled_from([0.0, 0.3]))), mean_of(np.zeros(rows))


@given(contributions(), st.booleans(), st.sampled_from([0.8, 0.95, 0.99]), st.sampled_from([1, 4]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_p_value_is_below_alpha_exactly_where_the_interval_leaves_out_zero(pair, in_blocks, confidence, n, more):
    blocks = np.arange(len(pair[0].influence)) % 9 if in_blocks else None
    found = difference(*pair, blocks, higher_is_better=more, confidence=confidence, comparisons=n)
    alpha = (1 - confidence) / n
    if abs(found.p_value - alpha) > 1e-9:
        assert (found.p_value < alpha) == (not found.low <= 0 <= found.high)
    assert 0 <= found.p_value <= 1

"""The no-skill level of every metric and task, from its definition: what the best constant prediction reaches."""

import numpy as np
import pytest

from headway.components._shared.statistics.metrics import Outcomes, metrics_of
from headway.components.evaluation.measure import measure, no_skill, skill


def classes(counts, *, costs=None):
    actual = np.repeat(np.arange(len(counts)), counts).astype(float)
    task = "binary" if len(counts) == 2 else "multiclass"
    uniform = np.full((len(actual), len(counts)), 1 / len(counts))
    return Outcomes(task, actual, np.zeros(len(actual)), len(counts), uniform, costs)


def levels(outcomes):
    found = {name: no_skill(metric, outcomes) for name, metric in metrics_of(outcomes.task).items()}
    return {name: None if estimate is None else estimate.value for name, estimate in found.items()}


@pytest.mark.parametrize("positives", [317, 683])
def test_the_level_of_a_binary_metric_is_that_of_the_better_constant(positives):
    p = positives / 1000
    assert levels(classes([1000 - positives, positives], costs=(1.0, 3.0))) == {
        "roc_auc": pytest.approx(0.5),
        "average_precision": pytest.approx(p),
        "log_loss": pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p)),
        "brier": pytest.approx(p * (1 - p)),
        "accuracy": pytest.approx(0.683),
        "balanced_accuracy": pytest.approx(0.5),
        "f1": pytest.approx(2 * p / (1 + p)),
        "precision": pytest.approx(p),
        "recall": None,  # selecting every row has a recall of 1
        "false_positive_rate": None,  # selecting none has 0
        "selection_rate": None,
        "mcc": 0,
        "cost": pytest.approx(min(1 - p, 3 * p)),
        "bias": None,
        "calibration_slope": None,
    }


def test_the_level_of_a_multiclass_metric_is_that_of_the_most_frequent_class():
    shares = np.array([0.2, 0.5, 0.3])
    assert levels(classes([200, 500, 300])) == {
        "roc_auc": pytest.approx(0.5),
        "average_precision": pytest.approx(1 / 3),
        "log_loss": pytest.approx(-(shares * np.log(shares)).sum()),
        "brier": pytest.approx(1 - (shares**2).sum()),
        "accuracy": pytest.approx(0.5),
        "balanced_accuracy": pytest.approx(1 / 3),
        "f1": pytest.approx(2 * 0.5 / 1.5 / 3),
    }


def test_the_level_of_a_regression_metric_is_that_of_the_mean_or_the_median():
    actual = np.array([0.0] * 60 + [10.0] * 40)
    found = levels(Outcomes("regression", actual, actual + 1))
    assert found == {
        "mae": pytest.approx(4.0),  # of the median, 0; the mean has 4.8
        "rmse": pytest.approx(np.std(actual)),
        "r2": pytest.approx(0.0),
        "bias": None,
        "calibration_slope": None,
    }


@pytest.mark.parametrize("counts", [[30, 70], [90, 10], [20, 50, 30], [60, 25, 10, 5]])
def test_no_constant_of_any_class_is_better_than_the_level(counts):
    outcomes = classes(counts, costs=(1.0, 3.0))
    shares = np.tile(np.array(counts) / sum(counts), (len(outcomes.actual), 1))
    for name, metric in metrics_of(outcomes.task).items():
        level = no_skill(metric, outcomes)
        if level is None:
            continue
        sign = 1 if metric.better == "higher" else -1
        for label in range(len(counts)):
            constant = Outcomes(
                outcomes.task, outcomes.actual, np.full(len(shares), float(label)), len(counts), shares, outcomes.costs
            )
            reached = metric.estimate(constant)
            assert reached is None or sign * reached.value <= sign * level.value + 1e-12, (name, label)


def test_labels_that_select_too_many_have_less_accuracy_than_a_constant_and_skill_says_so():
    generator = np.random.default_rng(0)
    actual = (generator.random(4000) < 0.317).astype(float)
    chance = np.clip(0.45 + 0.2 * actual + generator.normal(0, 0.2, 4000), 0.01, 0.99)
    outcomes = Outcomes("binary", actual, (chance >= 0.4).astype(float), 2, np.column_stack([1 - chance, chance]))
    measured = measure(outcomes, None, confidence=0.95)
    assert skill(measured["accuracy"], None, confidence=0.95).high < 0
    assert skill(measured["roc_auc"], None, confidence=0.95).low > 0
    assert skill(measured["recall"], None, confidence=0.95) is None
    assert skill(measured["mcc"], None, confidence=0.95).low > 0

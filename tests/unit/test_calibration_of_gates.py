"""Simulations with fixed seeds: intervals cover as often as they say, and gates err as rarely as they say."""

import numpy as np
import pytest

from headway.components._shared.statistics.calibration import calibrate
from headway.components._shared.statistics.differences import difference, power
from headway.components._shared.statistics.estimates import restrict
from headway.components._shared.statistics.intervals import (
    Interval,
    interval,
    largest,
    quantile_interval,
    smallest,
    wilson,
)
from headway.components._shared.statistics.metrics import Outcomes, metrics_of
from headway.components._shared.statistics.spread import spread_of
from headway.components.evaluation.config import Gates
from headway.components.evaluation.gates import Evidence, decide

NOMINAL = 0.025  # of one end of a two-sided 95 % interval
DAYS = 31
CLASSIFICATION = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "false_positive_rate",
    "selection_rate",
    "mcc",
    "cost",
    "bias",
    "calibration_slope",
)
REGRESSION = ("mae", "rmse", "r2", "bias", "calibration_slope")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def days_of(generator, rows, days):
    return np.repeat(np.arange(days), generator.multinomial(rows, np.ones(days) / days)) if days else None


def judged(actual, probability, threshold=0.5):
    labels = (probability >= threshold).astype(float)
    return Outcomes("binary", actual, labels, 2, np.column_stack([1 - probability, probability]), (1.0, 3.0))


def one_model(generator, rows, days):
    """A calibrated model; all flights of a day are late more or less often together."""
    day = days_of(generator, rows, days)
    x = generator.normal(0, 1, rows)
    shift = 0 if day is None else generator.normal(0, 0.6, days)[day]
    actual = (generator.random(rows) < sigmoid(-1 + 1.3 * x + shift)).astype(float)
    return judged(actual, sigmoid(-1 + 1.3 * x)), day


def regression(generator, rows, days):
    day = days_of(generator, rows, days)
    shift = 0 if day is None else generator.normal(0, 0.5, days)[day]
    x = generator.normal(0, 1, rows)
    return Outcomes("regression", 2 * x + shift + generator.gamma(2.0, 0.5, rows), 2 * x + 0.9), day


def two_models(generator, rows, days, *, worse, noise=0.3, uneven=0.0):
    """Two models that see the same signal through noise of their own; `worse` adds noise to the first."""
    day = days_of(generator, rows, days)
    x = generator.normal(0, 1, rows)
    shift = 0 if day is None else generator.normal(0, 0.6, days)[day]
    extra = 0 if day is None else np.abs(generator.normal(0, uneven, days))[day]
    actual = (generator.random(rows) < sigmoid(-1 + 1.3 * x + shift)).astype(float)
    first = sigmoid(-1 + 1.3 * (x + generator.normal(0, 1, rows) * (noise + worse + extra)))
    second = sigmoid(-1 + 1.3 * (x + generator.normal(0, 1, rows) * noise))
    return judged(actual, first), judged(actual, second), day


def misses(make, names, task, *, rows, days, runs=600):
    """Metric to the shares of runs in which the truth lies below and above its interval."""
    generator = np.random.default_rng(0)
    metrics = {name: metrics_of(task)[name] for name in names}
    population, _ = make(generator, 1_000_000, 20_000 if days else 0)
    truth = {name: metric.estimate(population).value for name, metric in metrics.items()}
    below, above = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for _ in range(runs):
        outcomes, day = make(generator, rows, days)
        for name, metric in metrics.items():
            found = interval(metric.estimate(outcomes), day)
            below[name] += (truth[name] < found.low) / runs
            above[name] += (truth[name] > found.high) / runs
    return below, above


@pytest.mark.parametrize(("rows", "days"), [(300, 0), (2000, DAYS)])
@pytest.mark.parametrize(
    ("task", "make", "names"), [("binary", one_model, CLASSIFICATION), ("regression", regression, REGRESSION)]
)
def test_an_interval_misses_the_truth_about_as_often_as_it_says(task, make, names, rows, days):
    below, above = misses(make, names, task, rows=rows, days=days)
    assert max(below.values()) <= 0.05, below
    assert max(above.values()) <= 0.05, above
    assert max(below[n] + above[n] for n in names) <= 0.08, (below, above)
    assert 0.02 <= np.mean([below[n] + above[n] for n in names]) <= 0.06


def test_intervals_that_ignore_the_day_miss_far_too_often():
    generator = np.random.default_rng(0)
    metric = metrics_of("binary")["bias"]
    missed = 0
    for _ in range(300):
        found = interval(metric.estimate(one_model(generator, 2000, DAYS)[0]))
        missed += not found.low <= 0.002 <= found.high
    assert missed / 300 > 0.3


def test_a_wilson_interval_covers_rare_shares():
    generator = np.random.default_rng(0)
    for share in (0.003, 0.02, 0.5, 0.99):
        drawn = generator.binomial(200, share, 2000)
        found = [wilson(k, 200) for k in drawn]
        assert np.mean([i.low <= share <= i.high for i in found]) > 0.92


def test_a_quantile_of_latencies_is_covered():
    generator = np.random.default_rng(0)
    for share, count in ((0.5, 100), (0.99, 400)):
        truth = np.exp(share_quantile(share))
        found = [quantile_interval(np.exp(generator.normal(0, 1, count)), share) for _ in range(1000)]
        assert np.mean([i.low <= truth <= i.high for i in found]) >= 0.94


def share_quantile(share):
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def gain_gate(metric, test, margin):
    return Gates.model_validate({"g": {"kind": "gain", "metric": metric, "test": test, "margin": margin}})


def passes(gates, metric, first, second, day):
    found = difference(metric.estimate(first), metric.estimate(second), day, higher_is_better=metric.better == "higher")
    return decide(gates, Evidence(gains={metric.name: found}))[0].passed


@pytest.mark.parametrize("days", [0, DAYS])
@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "f1", "log_loss", "accuracy", "cost"])
def test_non_inferiority_passes_a_model_at_the_margin_as_rarely_as_it_says(name, days):
    generator = np.random.default_rng(1)
    metric = metrics_of("binary")[name]
    first, second, _ = two_models(generator, 1_000_000, 20_000 if days else 0, worse=0.15, uneven=0.2)
    sign = 1 if metric.better == "higher" else -1
    margin = -sign * (metric.estimate(first).value - metric.estimate(second).value)
    assert margin > 0
    gates = gain_gate(name, "non_inferiority", margin)
    passed = [passes(gates, metric, *two_models(generator, 1000, days, worse=0.15, uneven=0.2)) for _ in range(800)]
    assert np.mean(passed) <= NOMINAL + 0.015


@pytest.mark.parametrize("days", [0, DAYS])
def test_superiority_passes_an_equal_model_as_rarely_as_it_says(days):
    generator = np.random.default_rng(2)
    for name in ("roc_auc", "log_loss", "accuracy"):
        gates = gain_gate(name, "superiority", 0.0)
        metric = metrics_of("binary")[name]
        passed = [passes(gates, metric, *two_models(generator, 1000, days, worse=0.0)) for _ in range(600)]
        assert np.mean(passed) <= NOMINAL + 0.015


def test_rarely_differing_labels_do_not_prove_non_inferiority():
    """The model is wrong in one of 300 rows more than the champion: exactly at the margin, and often none is seen."""
    generator = np.random.default_rng(3)
    metric = metrics_of("binary")["accuracy"]
    for expected in (0.5, 1, 3, 10, 30):
        rate = expected / 300
        gates = gain_gate("accuracy", "non_inferiority", rate)
        passed = 0
        for _ in range(1000):
            actual = (np.arange(300) % 2).astype(float)
            probability = np.where(generator.random(300) < rate, 1 - actual, actual)
            passed += passes(gates, metric, judged(actual, probability), judged(actual, actual), None)
        assert passed / 1000 <= NOMINAL + 0.01, expected


def test_power_and_the_detectable_effect_are_what_is_reached():
    generator = np.random.default_rng(4)
    metric = metrics_of("binary")["roc_auc"]
    found = []
    for _ in range(500):
        first, second, _ = two_models(generator, 2000, 0, worse=-0.2, noise=0.5)
        found.append(difference(metric.estimate(first), metric.estimate(second)))
    truth = np.mean([f.value for f in found])
    reached = np.mean([f.low > 0 for f in found])
    stated = power(truth, np.mean([f.standard_error for f in found]), 2000)
    assert reached == pytest.approx(stated, abs=0.06)
    spread = np.mean([f.standard_error for f in found])
    assert power(np.mean([f.detectable for f in found]), spread, 2000) == pytest.approx(0.8, abs=0.03)


def worst_interval(generator, truths, rows):
    single, joint = [], []
    for truth in truths:
        right = (generator.random(rows) < truth).astype(float)
        estimate = metrics_of("binary")["accuracy"].estimate(judged(np.ones(rows), right))
        single.append(interval(estimate))
        joint.append(interval(estimate, comparisons=len(truths)))
    return smallest(single, joint), largest(single, joint)


@pytest.mark.parametrize("truths", [[0.8] * 15, [0.7, *([0.8] * 14)], np.linspace(0.6, 0.9, 15)])
def test_the_worst_and_the_best_slice_are_covered_whichever_looks_so(truths):
    generator = np.random.default_rng(5)
    found = [worst_interval(generator, truths, 200) for _ in range(600)]
    low, high = min(truths), max(truths)
    assert np.mean([low < worst.low for worst, _ in found]) <= NOMINAL + 0.015
    assert np.mean([low > worst.high for worst, _ in found]) <= NOMINAL + 0.015
    assert np.mean([high > best.high for _, best in found]) <= NOMINAL + 0.015
    assert np.mean([high < best.low for _, best in found]) <= NOMINAL + 0.015


def test_the_interval_of_the_slice_that_looks_worst_alone_would_be_wrong():
    """Why the worst slice needs an interval of its own: the worst looking of equal ones is a lucky draw."""
    generator = np.random.default_rng(5)
    missed = 0
    for _ in range(300):
        right = generator.binomial(200, 0.8, 15)
        missed += wilson(int(right.min()), 200).high < 0.8
    assert missed / 300 > 0.15


@pytest.mark.parametrize("rates", [[0.3, 0.3, 0.3, 0.3], [0.2, 0.3, 0.3, 0.4]])
def test_the_largest_gap_is_covered_when_groups_share_their_days(rates):
    generator = np.random.default_rng(6)
    truth = max(rates) - min(rates)
    low, high = 0, 0
    for _ in range(400):
        day = days_of(generator, 2000, DAYS)
        group = generator.integers(0, len(rates), 2000)
        chance = np.clip(np.array(rates)[group] + generator.normal(0, 0.08, DAYS)[day], 0, 1)
        selected = (generator.random(2000) < chance).astype(float)
        rate = metrics_of("binary")["selection_rate"].estimate
        parts = [
            restrict(rate(judged(np.ones(int((group == k).sum())), selected[group == k])), group == k)
            for k in range(len(rates))
        ]
        pairs = [(a, b) for i, a in enumerate(parts) for b in parts[i + 1 :]]
        single, joint = ([absolute(difference(a, b, day, comparisons=n)) for a, b in pairs] for n in (1, len(pairs)))
        found = largest(single, joint)
        low += truth < found.low
        high += truth > found.high
    assert low / 400 <= NOMINAL + 0.015
    assert high / 400 <= NOMINAL + 0.015


def absolute(found):
    return Interval(abs(found.value), max(0.0, found.low, -found.high), max(abs(found.low), abs(found.high)))


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (1.1, 0.0), (1.3, 0.0), (1.0, 0.3)])
@pytest.mark.parametrize("rows", [500, 4000])
def test_the_calibration_error_is_covered_from_perfect_to_poor(slope, shift, rows):
    generator = np.random.default_rng(7)
    x = generator.normal(0, 1, 400_000)
    truth = np.abs(sigmoid(slope * (-1 + 1.3 * x) + shift) - sigmoid(-1 + 1.3 * x)).mean()
    low, high = 0, 0
    for seed in range(120):
        x = generator.normal(0, 1, rows)
        actual = (generator.random(rows) < sigmoid(-1 + 1.3 * x)).astype(float)
        found = calibrate(judged(actual, sigmoid(slope * (-1 + 1.3 * x) + shift)), None, confidence=0.95, seed=seed).ece
        low += truth < found.low
        high += truth > found.high
    assert low / 120 <= 0.07
    assert high / 120 <= 0.07


def test_influences_give_the_spread_of_a_bootstrap():
    """The standard error in one pass equals that of 1,000 resamples of whole days."""
    generator = np.random.default_rng(8)
    outcomes, day = one_model(generator, 3000, DAYS)
    for name in ("roc_auc", "average_precision", "f1", "log_loss"):
        metric = metrics_of("binary")[name]
        by_day = [np.flatnonzero(day == d) for d in range(DAYS)]
        drawn = []
        for _ in range(400):
            rows = np.concatenate([by_day[d] for d in generator.integers(0, DAYS, DAYS)])
            drawn.append(metric.estimate(outcomes.take(rows)).value)
        error = spread_of(metric.estimate(outcomes), day).standard_error
        assert error == pytest.approx(np.std(drawn), rel=0.15), name

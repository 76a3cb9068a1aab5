"""The metrics that the suite measures models by: each gives its value and the influence of every row on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from headway.components._shared.statistics import estimates
from headway.components._shared.statistics.estimates import (
    POSITIVE,
    REAL,
    UNIT,
    Complexes,
    Estimate,
    Floats,
    Integers,
    mean_of,
    of_confusion,
    of_means,
    share,
)

Task = Literal["binary", "multiclass", "regression"]

# What leads a report where nobody says otherwise.
PRIMARY: dict[Task, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
CLASSIFICATION: tuple[Task, ...] = ("binary", "multiclass")
# Probabilities are kept this far from 0 and 1 in the log loss.
SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True)
class Outcomes:
    """What happened and what a model said, row by row.

    Attributes:
        task: What is predicted.
        actual: Shape (rows,): class numbers, or the target's value.
        predicted: Shape (rows,): class numbers after the decision threshold, or the predicted value.
        classes: Number of classes; 0 for regression. Class 1 is the positive one of a binary task.
        probabilities: Shape (rows, classes); None for regression and for models that give none.
        costs: Of a false positive and of a false negative, in any unit; None if nobody stated them.
    """

    task: Task
    actual: Floats
    predicted: Floats
    classes: int = 0
    probabilities: Floats | None = None
    costs: tuple[float, float] | None = None

    def take(self, rows: npt.NDArray[np.bool_] | Integers) -> Outcomes:
        """Some of the rows."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return replace(self, actual=self.actual[rows], predicted=self.predicted[rows], probabilities=probabilities)


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: As in gates and reports.
        label: For people.
        tasks: Where it applies.
        better: Whether more or less of it is better; None where neither is.
        estimate: Measures it; None where the rows leave it undefined, such as a recall without positives.
        meaning: One sentence.
    """

    name: str
    label: str
    tasks: tuple[Task, ...]
    better: Literal["higher", "lower"] | None
    estimate: Callable[[Outcomes], Estimate | None]
    meaning: str


def metrics_of(task: Task) -> dict[str, Metric]:
    """The metrics of a task by name."""
    return {metric.name: metric for metric in METRICS if task in metric.tasks}


def _roc_auc(outcomes: Outcomes) -> Estimate | None:
    """Binary, or the mean of one class against the rest over the classes that occur."""
    if outcomes.probabilities is None:
        return None
    if outcomes.task == "binary":
        return estimates.roc_auc(outcomes.actual == 1, outcomes.probabilities[:, 1])
    return _class_mean([estimates.roc_auc(outcomes.actual == k, p) for k, p in enumerate(outcomes.probabilities.T)])


def _average_precision(outcomes: Outcomes) -> Estimate | None:
    if outcomes.probabilities is None:
        return None
    if outcomes.task == "binary":
        return estimates.average_precision(outcomes.actual == 1, outcomes.probabilities[:, 1])
    return _class_mean(
        [estimates.average_precision(outcomes.actual == k, p) for k, p in enumerate(outcomes.probabilities.T)]
    )


def _class_mean(by_class: list[Estimate | None]) -> Estimate | None:
    known = [e for e in by_class if e is not None]
    if not known:
        return None
    influence = np.mean([e.influence for e in known], axis=0)
    return Estimate(float(np.mean([e.value for e in known])), influence, UNIT, min(e.support for e in known))


def _log_loss(outcomes: Outcomes) -> Estimate | None:
    if outcomes.probabilities is None:
        return None
    given = np.take_along_axis(outcomes.probabilities, outcomes.actual.astype(np.int64)[:, None], axis=1)[:, 0]
    return mean_of(-np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0)), POSITIVE)


def _brier(outcomes: Outcomes) -> Estimate | None:
    """Binary: of the positive class (0 to 1). Multiclass: summed over the classes (0 to 2)."""
    if outcomes.probabilities is None:
        return None
    happened = outcomes.actual.astype(np.int64)[:, None] == np.arange(outcomes.classes)
    squares = (outcomes.probabilities - happened) ** 2
    return mean_of(squares[:, 1] if outcomes.task == "binary" else squares.sum(axis=1), POSITIVE)


def _accuracy(outcomes: Outcomes) -> Estimate | None:
    return share(np.ones(len(outcomes.actual), dtype=bool), outcomes.actual == outcomes.predicted)


def _recall(outcomes: Outcomes) -> Estimate | None:
    return share(outcomes.actual == 1, outcomes.predicted == 1)


def _precision(outcomes: Outcomes) -> Estimate | None:
    return share(outcomes.predicted == 1, outcomes.actual == 1)


def _false_positive_rate(outcomes: Outcomes) -> Estimate | None:
    return share(outcomes.actual == 0, outcomes.predicted == 1)


def _selection_rate(outcomes: Outcomes) -> Estimate | None:
    return share(np.ones(len(outcomes.actual), dtype=bool), outcomes.predicted == 1)


def _balanced_accuracy(outcomes: Outcomes) -> Estimate | None:
    """Mean recall over the classes that occur."""
    counts = np.bincount(outcomes.actual.astype(np.int64))
    present = np.flatnonzero(counts)

    def mean_recall(shares: Complexes) -> complex:
        return complex(np.mean(shares.diagonal()[present] / shares.sum(axis=1)[present]))

    return _of_confusion(outcomes, mean_recall, UNIT, int(counts[present].min()))


def _f1(outcomes: Outcomes) -> Estimate | None:
    """Binary: of the positive class. Multiclass: mean over the classes that occur or are predicted."""
    classes = outcomes.classes
    actual, predicted = outcomes.actual.astype(np.int64), outcomes.predicted.astype(np.int64)
    rows = np.bincount(actual, minlength=classes) + np.bincount(predicted, minlength=classes)
    counted = np.flatnonzero(rows) if outcomes.task == "multiclass" else np.array([1])
    if not rows[counted].all():
        return None

    def mean_f1(shares: Complexes) -> complex:
        touched = (shares.sum(axis=0) + shares.sum(axis=1))[counted]
        return complex(np.mean(2 * shares.diagonal()[counted] / touched))

    return _of_confusion(outcomes, mean_f1, UNIT, int(rows[counted].min()))


def _mcc(outcomes: Outcomes) -> Estimate | None:
    """Matthews' correlation (1975); 0, as he sets it, where one side is constant."""
    ends = [np.bincount(side.astype(np.int64), minlength=2) for side in (outcomes.actual, outcomes.predicted)]
    smallest = int(min(end.min() for end in ends))
    if smallest == 0:
        return Estimate(0.0, np.zeros(len(outcomes.actual)), (-1.0, 1.0), 0)

    def correlation(shares: Complexes) -> complex:
        ((tn, fp), (fn, tp)) = shares
        return complex((tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))

    return _of_confusion(outcomes, correlation, (-1.0, 1.0), smallest)


def _cost(outcomes: Outcomes) -> Estimate | None:
    if outcomes.costs is None:
        return None
    false_positive = (outcomes.actual == 0) & (outcomes.predicted == 1)
    false_negative = (outcomes.actual == 1) & (outcomes.predicted == 0)
    return mean_of(outcomes.costs[0] * false_positive + outcomes.costs[1] * false_negative, POSITIVE)


def _bias(outcomes: Outcomes) -> Estimate | None:
    """Binary: mean probability less share of positives. Regression: mean error."""
    if outcomes.task == "regression":
        return mean_of(outcomes.predicted - outcomes.actual)
    if outcomes.probabilities is None:
        return None
    return mean_of(outcomes.probabilities[:, 1] - outcomes.actual)


def _calibration_slope(outcomes: Outcomes) -> Estimate | None:
    """1 is calibrated, below 1 is over-confident (Cox 1958). Binary: of the logistic regression of the outcome on the
    logit. Regression: of the least-squares line of the target over the prediction. None without spread."""
    if outcomes.task == "regression":
        x, y = outcomes.predicted - outcomes.predicted.mean(), outcomes.actual - outcomes.actual.mean()
        if not x.any():
            return None
        columns = np.column_stack([x, y, x * y, x * x])
        return of_means(columns, lambda m: (m[2] - m[0] * m[1]) / (m[3] - m[0] ** 2), REAL)
    if outcomes.probabilities is None:
        return None
    chance = np.clip(outcomes.probabilities[:, 1], 1e-6, 1 - 1e-6)
    return estimates.logistic_slope(np.log(chance / (1 - chance)), outcomes.actual.astype(float))


def _mae(outcomes: Outcomes) -> Estimate:
    return mean_of(np.abs(outcomes.predicted - outcomes.actual), POSITIVE)


def _rmse(outcomes: Outcomes) -> Estimate:
    squares = (outcomes.predicted - outcomes.actual) ** 2
    if not squares.any():
        return mean_of(squares, POSITIVE)
    return of_means(squares[:, None], lambda m: complex(np.sqrt(m[0])), POSITIVE)


def _r2(outcomes: Outcomes) -> Estimate | None:
    centred = outcomes.actual - outcomes.actual.mean()
    if not centred.any():
        return None
    columns = np.column_stack([(outcomes.predicted - outcomes.actual) ** 2, centred, centred**2])
    return of_means(columns, lambda m: 1 - m[0] / (m[2] - m[1] ** 2), (-math.inf, 1.0))


def _of_confusion(
    outcomes: Outcomes, function: Callable[[Complexes], complex], bounds: tuple[float, float], support: int
) -> Estimate:
    actual, predicted = outcomes.actual.astype(np.int64), outcomes.predicted.astype(np.int64)
    return of_confusion(actual, predicted, outcomes.classes, function, bounds, support)


METRICS = (
    Metric("roc_auc", "ROC AUC", CLASSIFICATION, "higher", _roc_auc, "Chance to rank a positive above a negative."),
    Metric(
        "average_precision",
        "Average precision",
        CLASSIFICATION,
        "higher",
        _average_precision,
        "Area under the precision-recall steps.",
    ),
    Metric(
        "log_loss",
        "Log loss",
        CLASSIFICATION,
        "lower",
        _log_loss,
        "Mean negative logarithm of the probability given to what happened.",
    ),
    Metric("brier", "Brier score", CLASSIFICATION, "lower", _brier, "Mean squared error of the probabilities."),
    Metric("accuracy", "Accuracy", CLASSIFICATION, "higher", _accuracy, "Share of rows whose class is right."),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        CLASSIFICATION,
        "higher",
        _balanced_accuracy,
        "Mean recall over the classes.",
    ),
    Metric(
        "f1",
        "F1",
        CLASSIFICATION,
        "higher",
        _f1,
        "Harmonic mean of precision and recall; mean over classes when there are several.",
    ),
    Metric("precision", "Precision", ("binary",), "higher", _precision, "Share of selected rows that are positive."),
    Metric("recall", "Recall", ("binary",), "higher", _recall, "Share of positive rows that are selected."),
    Metric(
        "false_positive_rate",
        "False positive rate",
        ("binary",),
        "lower",
        _false_positive_rate,
        "Share of negative rows that are selected.",
    ),
    Metric("selection_rate", "Selection rate", ("binary",), None, _selection_rate, "Share of rows that are selected."),
    Metric("mcc", "Matthews correlation", ("binary",), "higher", _mcc, "Correlation of class and prediction."),
    Metric("cost", "Cost per row", ("binary",), "lower", _cost, "Mean cost at the threshold, by the stated costs."),
    Metric("mae", "Mean absolute error", ("regression",), "lower", _mae, "In the target's unit."),
    Metric("rmse", "Root mean squared error", ("regression",), "lower", _rmse, "In the target's unit."),
    Metric("r2", "R²", ("regression",), "higher", _r2, "Share of the target's variance that is explained."),
    Metric("bias", "Bias", ("binary", "regression"), None, _bias, "Mean prediction less mean outcome."),
    Metric(
        "calibration_slope",
        "Calibration slope",
        ("binary", "regression"),
        None,
        _calibration_slope,
        "1 is calibrated, below 1 is over-confident.",
    ),
)

# Measured beside the metrics of a task, on all rows only.
CALIBRATION_ERROR = "ece"
OPERATIONAL_LABELS = {
    "latency_p50_ms": "Latency of one row, median (ms)",
    "latency_p99_ms": "Latency of one row, 99 % (ms)",
    "batch_ms": "Latency of 1,000 rows, median (ms)",
    "size_mb": "Size on disk (MB)",
}

# Everything that a verdict may hold, for people.
LABELS = {m.name: m.label for m in METRICS} | {CALIBRATION_ERROR: "Calibration error (ECE)"} | OPERATIONAL_LABELS

# What a gate on all rows may ask of a model of each task; the other kinds of gates take those of `metrics_of` only.
TASK_METRICS: dict[str, tuple[str, ...]] = {
    task: (
        *(metric.name for metric in METRICS if task in metric.tasks),
        *((CALIBRATION_ERROR,) if task in CLASSIFICATION else ()),
        *OPERATIONAL_LABELS,
    )
    for task in get_args(Task)
}

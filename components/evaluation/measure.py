"""Measures a model's outcomes on rows: every metric with its interval, beside what the best constant would reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import Predictions
from headway.components._shared.statistics.blocks import Blocks, numbers_of
from headway.components._shared.statistics.differences import Difference, difference
from headway.components._shared.statistics.estimates import Estimate, Floats
from headway.components._shared.statistics.intervals import Interval, interval
from headway.components._shared.statistics.metrics import Metric, Outcomes, metrics_of


@dataclass(frozen=True)
class Measured:
    """A metric on all rows.

    Attributes:
        metric: What was measured.
        estimate: Value and influences.
        interval: Around the value.
        baseline: What the best constant prediction reaches; None where it is perfect, or nothing is better or worse.
    """

    metric: Metric
    estimate: Estimate
    interval: Interval
    baseline: Estimate | None


def outcomes_of(predictions: Predictions, actual: Floats, manifest: ModelManifest) -> Outcomes:
    """What a model said beside what happened, with labels as the model gives them.

    Raises:
        HeadwayError: `evaluation.prediction_not_finite`.
    """
    numbers = predictions.values if predictions.probabilities is None else predictions.probabilities
    infinite = (
        0 if numbers.dtype.kind not in "fc" else int((~np.isfinite(numbers)).reshape(len(actual), -1).any(1).sum())
    )
    if infinite:
        raise HeadwayError(
            "evaluation.prediction_not_finite",
            f"Model {manifest.model_digest[:12]} predicts no finite number for {infinite:,} of {len(actual):,} rows.",
            value=infinite,
            remedy="Look at these rows' features, and at the estimator; a served model would fail on them.",
        )
    if manifest.task == "regression":
        return Outcomes("regression", actual, predictions.values.astype(np.float64))
    number = {label: i for i, label in enumerate(manifest.classes)}
    labels = np.array([number[label] for label in predictions.values.tolist()], dtype=np.float64)
    return Outcomes(manifest.task, actual, labels, len(manifest.classes), predictions.probabilities)


def no_skill(metric: Metric, outcomes: Outcomes) -> Estimate | None:
    """What the constant prediction that is best for the metric reaches on these very rows.

    None where a constant is perfect (selecting every row has a recall of 1), or nothing is better or worse. The
    constants know the rows' own shares, which no model does, so beating them is a little harder than a real guess.
    """
    if metric.better is None:
        return None
    sign = 1 if metric.better == "higher" else -1
    reached = [e for constant in _constants(outcomes) if (e := metric.estimate(constant)) is not None]
    best = max(reached, key=lambda e: sign * e.value, default=None)
    if best is None or best.value == best.bounds[sign > 0]:
        return None
    return replace(best, support=len(outcomes.actual))  # a constant rests on all rows, however few it selects


def _constants(outcomes: Outcomes) -> Iterator[Outcomes]:
    """The constant predictions of which one is best for any metric: each label of a binary task, the most frequent
    class, the mean and the median; with the shares of the classes as probabilities."""
    rows = len(outcomes.actual)
    if outcomes.task == "regression":
        for value in (outcomes.actual.mean(), np.median(outcomes.actual)):
            yield replace(outcomes, predicted=np.full(rows, value))
        return
    shares = np.bincount(outcomes.actual.astype(np.int64), minlength=outcomes.classes) / rows
    probabilities = np.broadcast_to(shares, (rows, len(shares)))
    for label in (0, 1) if outcomes.task == "binary" else (shares.argmax(),):
        yield replace(outcomes, predicted=np.full(rows, float(label)), probabilities=probabilities)


def measure(outcomes: Outcomes, blocks: Blocks | None, *, confidence: float) -> dict[str, Measured]:
    """Every metric of the task that these rows define."""
    measured = {}
    for name, metric in metrics_of(outcomes.task).items():
        estimate = metric.estimate(outcomes)
        if estimate is not None:
            around = interval(estimate, numbers_of(blocks), confidence=confidence)
            measured[name] = Measured(metric, estimate, around, no_skill(metric, outcomes))
    return measured


def skill(measured: Measured, blocks: Blocks | None, *, confidence: float) -> Difference | None:
    """Gain over the best constant prediction; None where that is no yardstick."""
    if measured.baseline is None:
        return None
    return difference(
        measured.estimate,
        measured.baseline,
        numbers_of(blocks),
        higher_is_better=measured.metric.better == "higher",
        confidence=confidence,
    )

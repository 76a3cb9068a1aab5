"""Measures a model's outcomes on rows: every metric with its interval, beside what guessing would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import Predictions
from headway.components._shared.statistics import Difference, Estimate, Floats, Integers, Interval, difference, interval
from headway.components._shared.statistics.metrics import Metric, Outcomes, Task, metrics_of
from headway.components.evaluation.rows import Blocks

PRIMARY: dict[Task, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Measured:
    """A metric on all rows.

    Attributes:
        metric: What was measured.
        estimate: Value and influences.
        interval: Around the value.
        baseline: What a constant prediction reaches; None where it is undefined, or nothing is better or worse.
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


def guesses(outcomes: Outcomes) -> Outcomes:
    """The best constant prediction on these very rows: mean, or class shares and the most frequent class.

    It knows the rows' own shares, which no model does, so beating it is a little harder than beating a real guess.
    """
    rows = len(outcomes.actual)
    if outcomes.task == "regression":
        return Outcomes("regression", outcomes.actual, np.full(rows, outcomes.actual.mean()))
    shares = np.bincount(outcomes.actual.astype(np.int64), minlength=outcomes.classes) / rows
    likely = float(shares.argmax())
    if outcomes.costs is not None:
        likely = float(outcomes.costs[1] * shares[1] > outcomes.costs[0] * shares[0])
    probabilities = np.broadcast_to(shares, (rows, len(shares)))
    return Outcomes(
        outcomes.task, outcomes.actual, np.full(rows, likely), outcomes.classes, probabilities, outcomes.costs
    )


def measure(outcomes: Outcomes, blocks: Blocks | None, *, confidence: float) -> dict[str, Measured]:
    """Every metric of the task that these rows define."""
    baseline = guesses(outcomes)
    measured = {}
    for name, metric in metrics_of(outcomes.task).items():
        estimate = metric.estimate(outcomes)
        if estimate is not None:
            around = interval(estimate, numbers_of(blocks), confidence=confidence)
            guess = metric.estimate(baseline) if metric.better is not None else None
            measured[name] = Measured(metric, estimate, around, guess)
    return measured


def skill(measured: Measured, blocks: Blocks | None, *, confidence: float) -> Difference | None:
    """Gain over guessing; None where guessing has no value."""
    if measured.baseline is None:
        return None
    return difference(
        measured.estimate,
        measured.baseline,
        numbers_of(blocks),
        higher_is_better=measured.metric.better == "higher",
        confidence=confidence,
    )


def widest(outcomes: Outcomes, candidates: Sequence[Blocks], metric: Metric, *, confidence: float) -> Blocks | None:
    """Of the ways in which rows may depend, the one with the widest interval of the metric; None for independence."""
    estimate = metric.estimate(outcomes)
    if estimate is None or not candidates:
        return None

    def width(blocks: Blocks) -> float:
        around = interval(estimate, blocks.numbers, confidence=confidence)
        return around.high - around.low

    return max(candidates, key=width)


def numbers_of(blocks: Blocks | None) -> Integers | None:
    """Block numbers, or None for independent rows."""
    return None if blocks is None else blocks.numbers

"""What a model looks at in a window: permutation importance on its labelled rows, beside that of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from headway.components._shared.estimators import LoadedModel
from headway.components._shared.statistics.metrics import Metric, Outcomes
from headway.components.monitoring.performance.result import FeatureImportance
from headway.components.monitoring.performance.rows import Answered, classes_of

_REPEATS = 3


def importance_on(
    model: LoadedModel, answers: Answered, metric: Metric, rows: int, *, threshold: float | None = None, seed: int = 0
) -> tuple[FeatureImportance, ...]:
    """Permutation importance (Breiman 2001): what a metric loses when a feature is shuffled, mean of three shuffles.

    Args:
        model: That has answered.
        answers: Of a window; as many of its labelled rows as are wanted are taken, evenly over time.
        metric: What is lost.
        rows: How many.
        threshold: The verdict's decision threshold.
        seed: Of the shuffles.

    Returns:
        Each feature, the one of most importance first; none where the log lacks a feature, as it does personal ones, or
        the metric is undefined on these rows.
    """
    from threadpoolctl import threadpool_limits

    features = [feature.name for feature in model.manifest.features]
    if any(name not in answers.frame.columns for name in features):
        return ()
    chosen = np.flatnonzero(answers.known)
    if len(chosen) > rows:
        chosen = chosen[np.linspace(0, len(chosen) - 1, rows).astype(np.int64)]
    frame, known = answers.frame[chosen].select(features), answers.outcomes.take(chosen)
    generator = np.random.default_rng(seed)
    with threadpool_limits(limits=1):
        losses = dict(_losses(model, frame, known, metric, threshold, generator))
    now, trained = _shares(losses), _shares(model.manifest.importance)
    found = [FeatureImportance(name=n, loss=losses[n], share=now[n], trained=trained.get(n)) for n in losses]
    return tuple(sorted(found, key=lambda each: -each.loss))


def _losses(
    model: LoadedModel,
    frame: pl.DataFrame,
    known: Outcomes,
    metric: Metric,
    threshold: float | None,
    generator: np.random.Generator,
) -> Iterator[tuple[str, float]]:
    def score(rows: pl.DataFrame) -> float | None:
        estimate = metric.estimate(_predicted(model, rows, known, threshold))
        return estimate.value if estimate else None

    base, sign = score(frame), -1.0 if metric.better == "lower" else 1.0
    if base is None:
        return
    for column in frame:
        orders = [generator.permutation(frame.height) for _ in range(_REPEATS)]
        shuffled = [score(frame.with_columns(column.gather(order))) for order in orders]
        yield column.name, sign * float(np.mean([base - (base if each is None else each) for each in shuffled]))


def _predicted(model: LoadedModel, rows: pl.DataFrame, known: Outcomes, threshold: float | None) -> Outcomes:
    manifest, said = model.manifest, model.predict(rows)
    if manifest.task == "regression":
        return Outcomes("regression", known.actual, said.values.astype(np.float64))
    numbers = classes_of(manifest)
    predicted = [numbers[str(value)] for value in said.decided(manifest.classes, threshold)]
    return Outcomes(manifest.task, known.actual, np.array(predicted), len(numbers), said.probabilities)


def _shares(losses: Mapping[str, float]) -> Mapping[str, float]:
    """Of what all features lose together; one that helps nothing has none."""
    positive = {name: max(loss, 0.0) for name, loss in losses.items()}
    total = sum(positive.values())
    return {name: loss / total if total else 0.0 for name, loss in positive.items()}

"""What a metric will come out as once all labels are there, if the model's probabilities are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from headway.components._shared.config import Config
from headway.components._shared.statistics.distributions import normal_quantile
from headway.components._shared.statistics.estimates import Floats, Integers
from headway.components._shared.statistics.metrics import Metric, Outcomes
from headway.components.monitoring.performance.measures import Span

_DRAWS = 200
_ROWS = 10_000


class EstimateResult(Config):
    """A metric without labels.

    Attributes:
        name: Of the metric.
        label: For people.
        all_rows: Estimated over every row of the window.
        of_labelled: Estimated over the rows with a label, to be held against the truth; None without any.
        truth: What these rows came out as.
        surprise: Whether the truth lies outside of the interval that was estimated for it: the probabilities are not
            right, so the estimate over all rows is not to be trusted.
    """

    name: str
    label: str
    all_rows: Span
    of_labelled: Span | None = None
    truth: float | None = None
    surprise: bool = False


def estimated(
    metrics: Mapping[str, Metric],
    outcomes: Outcomes,
    known: np.ndarray[tuple[int], np.dtype[np.bool_]],
    *,
    confidence: float,
    seed: int,
) -> tuple[EstimateResult, ...]:
    """Each metric over labels that are drawn from the model's own probabilities, 200 times; nothing without any.

    Confidence-based performance estimation (CBPE; Kivimäki, Białek, Nurminen and Kuberski 2024), by simulation, so that
    it holds for every metric. The interval is of what will be measured, given that the probabilities are right; of more
    than 20,000 rows it takes that many, evenly spaced.

    Args:
        metrics: By name.
        outcomes: Of all rows.
        known: Shape (rows,): where a label is known.
        confidence: Of each interval.
        seed: Of the draws.
    """
    if outcomes.probabilities is None:
        return ()
    found = []
    every = _simulated(metrics, outcomes, confidence, seed)
    labelled = outcomes.take(known)
    theirs = _simulated(metrics, labelled, confidence, seed) if known.any() else {}
    for name, span in every.items():
        truth = metrics[name].estimate(labelled) if name in theirs else None
        value = truth.value if truth else None
        checked = theirs.get(name) if truth else None
        surprise = checked is not None and value is not None and not checked.low <= value <= checked.high
        found.append(
            EstimateResult(
                name=name,
                label=metrics[name].label,
                all_rows=span,
                of_labelled=checked,
                truth=value,
                surprise=surprise,
            )
        )
    return tuple(found)


def _simulated(metrics: Mapping[str, Metric], outcomes: Outcomes, confidence: float, seed: int) -> dict[str, Span]:
    rows = len(outcomes.predicted)
    taken = _evenly(rows)
    sample = outcomes.take(taken)
    assert sample.probabilities is not None
    # In the order of the probabilities, so that ranks are known without sorting in each draw.
    sample = sample.take(np.argsort(sample.probabilities[:, -1], kind="stable"))
    assert sample.probabilities is not None
    edges = np.cumsum(sample.probabilities, axis=1)[:, :-1]
    rng = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in metrics}
    errors: dict[str, float] = {}
    for _ in range(_DRAWS):
        labels = (rng.random(len(taken))[:, None] > edges).sum(axis=1).astype(np.float64)
        drawn = replace(sample, actual=labels)
        for name, metric in metrics.items():
            if (estimate := metric.estimate(drawn)) is not None:
                values[name].append(estimate.value)
                errors[name] = float(np.sqrt((estimate.influence**2).sum()))
    # What fewer rows show varies more than what all of them would; and they are not all of them.
    shrink, left_out = float(np.sqrt(len(taken) / rows)), float(np.sqrt(1 - len(taken) / rows))
    z = normal_quantile((1 + confidence) / 2)
    return {
        name: _span(np.array(found), confidence, shrink, z * left_out * errors[name])
        for name, found in values.items()
        if len(found) > 1
    }


def _evenly(rows: int) -> Integers:
    if rows <= _ROWS:
        return np.arange(rows)
    return np.linspace(0, rows - 1, _ROWS).astype(np.int64)


def _span(values: Floats, confidence: float, shrink: float, beside: float) -> Span:
    """The middle of the draws, with their spread and, independent of it, a half-width beside it."""
    middle = float(values.mean())
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    below, above = float(np.hypot(shrink * (middle - low), beside)), float(np.hypot(shrink * (high - middle), beside))
    return Span(value=middle, low=middle - below, high=middle + above)

"""How far predicted probabilities are from observed shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headway.components._shared.statistics.estimates import Floats, Integers, mean_of, share
from headway.components._shared.statistics.intervals import Interval, interval
from headway.components._shared.statistics.metrics import Outcomes
from headway.components._shared.statistics.spread import bootstrap

BINS = 15
MIN_BIN_ROWS = 50


@dataclass(frozen=True)
class Bin:
    """Rows with similar predictions.

    Attributes:
        rows: How many.
        predicted: Mean prediction.
        observed: Share of what was predicted (regression: mean of the target), with its interval.
    """

    rows: int
    predicted: float
    observed: Interval


@dataclass(frozen=True)
class Calibration:
    """Reliability of predictions.

    Attributes:
        bins: Of equal numbers of rows, by ascending prediction.
        ece: Expected calibration error, less what the bins' noise alone adds, with its interval; None for regression.
        raw_ece: The same with the noise: the field's usual figure.
        reliability: Of the Brier score's decomposition (Murphy 1973), less is better; None outside binary tasks.
        resolution: Of the same, more is better.
        uncertainty: Of the same, the data's own.
    """

    bins: tuple[Bin, ...]
    ece: Interval | None
    raw_ece: float | None
    reliability: float | None = None
    resolution: float | None = None
    uncertainty: float | None = None


def calibrate(outcomes: Outcomes, blocks: Integers | None, *, confidence: float, seed: int) -> Calibration | None:
    """Reliability table, expected calibration error and Brier decomposition.

    Binary: of the positive class. Multiclass: of the predicted class's probability (Guo et al. 2017).
    None for a model without probabilities.
    """
    predicted, observed = _pairs(outcomes)
    if predicted is None or observed is None:
        return None
    member = _bins(predicted)
    bins = []
    for k in range(int(member.max()) + 1):
        rows = member == k
        part = None if blocks is None else blocks[rows]
        part = None if part is None or len(np.unique(part)) < 2 else part
        estimate = mean_of(observed[rows]) if outcomes.task == "regression" else share(rows[rows], observed[rows] == 1)
        assert estimate is not None
        around = interval(estimate, part, confidence=confidence)
        bins.append(Bin(int(rows.sum()), float(predicted[rows].mean()), around))
    if outcomes.task == "regression":
        return Calibration(tuple(bins), None, None)
    raw, ece = _calibration_error(predicted, observed, member, blocks, confidence=confidence, seed=seed)
    if outcomes.task != "binary":
        return Calibration(tuple(bins), ece, raw)
    weight = np.array([b.rows for b in bins]) / len(observed)
    said, seen = np.array([b.predicted for b in bins]), np.array([b.observed.value for b in bins])
    rate = float(observed.mean())
    return Calibration(
        tuple(bins),
        ece,
        raw,
        reliability=float(weight @ (said - seen) ** 2),
        resolution=float(weight @ (seen - rate) ** 2),
        uncertainty=rate * (1 - rate),
    )


def _pairs(outcomes: Outcomes) -> tuple[Floats | None, Floats | None]:
    if outcomes.task == "regression":
        return outcomes.predicted, outcomes.actual
    if outcomes.probabilities is None:
        return None, None
    if outcomes.task == "binary":
        return outcomes.probabilities[:, 1], outcomes.actual
    top = outcomes.probabilities.argmax(axis=1)
    return outcomes.probabilities.max(axis=1), (outcomes.actual == top).astype(float)


def _bins(predicted: Floats) -> Integers:
    """Number of each row's bin: as equal in rows as ties allow, from 0 without gaps."""
    count = int(np.clip(len(predicted) // MIN_BIN_ROWS, 1, BINS))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, count + 1)[1:-1]))
    _, member = np.unique(np.searchsorted(edges, predicted, side="right"), return_inverse=True)
    numbers: Integers = member.astype(np.int64)
    return numbers


def _calibration_error(
    predicted: Floats, observed: Floats, member: Integers, blocks: Integers | None, *, confidence: float, seed: int
) -> tuple[float, Interval]:
    """The error as measured, and less what the noise of its bins adds, with an interval that is never too short.

    A bin's gap g with standard error s contributes sqrt(max(0, g² - s²)), which removes most of the bias of |g| where
    the model is calibrated (after Kumar, Liang and Ma 2019). The ends hold for any truth: the error is the largest
    signed sum of gaps, so the sum with the signs seen bounds it from above like any mean; and by the triangle
    inequality the figure exceeds the truth by at most the summed noise, whose quantile 1,000 bootstrap draws give.
    """
    count = int(member.max()) + 1
    gaps = np.zeros((len(predicted), count + 1))
    gaps[np.arange(len(predicted)), member] = predicted - observed
    gaps[:, count] = 1
    draws = bootstrap(gaps, lambda sums: sums[:, :count] / sums[:, count:], blocks, seed=seed)
    gap = gaps[:, :count].mean(axis=0)
    raw = float(np.abs(gap).sum())
    seen, alike = mean_of(gaps[:, :count] @ np.sign(gap)), mean_of(predicted - observed)
    margin = max(i.high - i.value for i in (interval(e, blocks, confidence=confidence) for e in (seen, alike)))
    noise = float(np.quantile(np.abs(draws - gap).sum(axis=1), (1 + confidence) / 2))
    value = float(np.sqrt(np.clip(gap**2 - draws.var(axis=0), 0, None)).sum())
    low = max(0.0, raw - noise)
    return raw, Interval(max(value, low), low, min(1.0, raw + margin))

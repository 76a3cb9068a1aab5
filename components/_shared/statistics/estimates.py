"""Estimates with their influences, from which intervals and paired tests follow: ranks, means, shares, confusions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Complexes: TypeAlias = npt.NDArray[np.complex128]

UNIT = (0.0, 1.0)
POSITIVE = (0.0, math.inf)
REAL = (-math.inf, math.inf)


@dataclass(frozen=True)
class Estimate:
    """A value together with what each row contributes to its uncertainty.

    Attributes:
        value: The statistic on all rows.
        influence: Shape (rows,): the derivative of the value by the weight of each row (the infinitesimal jackknife;
            Efron 1982, chapter 6). Sums to zero; the sum of its squares is the variance for independent rows.
        bounds: Smallest and largest value that the statistic can take; infinite where there is none.
        support: Number of rows that decide it, such as the rows of the rarer class for a ROC AUC.
    """

    value: float
    influence: Floats
    bounds: tuple[float, float]
    support: int


def roc_auc(actual: npt.NDArray[np.bool_], score: Floats) -> Estimate | None:
    """Area under the ROC curve with DeLong's structural components, O(rows log rows).

    Source: DeLong, DeLong and Clarke-Pearson (1988); midranks as in Sun and Xu (2014). The squared influences sum to
    DeLong's variance exactly. None if a class is missing.
    """
    positives, negatives = int(actual.sum()), int((~actual).sum())
    if min(positives, negatives) < 2:
        return None
    ranks = _midranks(score)
    influence = np.empty(len(score))
    above = (ranks[actual] - _midranks(score[actual])) / negatives
    below = 1 - (ranks[~actual] - _midranks(score[~actual])) / positives
    value = float(above.mean())
    influence[actual] = (above - value) / math.sqrt(positives * (positives - 1))
    influence[~actual] = (below - value) / math.sqrt(negatives * (negatives - 1))
    return Estimate(value, influence, UNIT, min(positives, negatives))


def average_precision(actual: npt.NDArray[np.bool_], score: Floats) -> Estimate | None:
    """Average precision, the sum of precision over steps of recall, O(rows log rows); tied scores are one step.

    The influence is the derivative of sum_i w_i y_i TP_i / N_i / sum_i w_i y_i by w_k, where TP_i and N_i are the
    positives and rows scored at least as high as row i. None if a class is missing.
    """
    positives = int(actual.sum())
    if min(positives, len(actual) - positives) < 2:
        return None
    _, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    hits = np.bincount(group, weights=actual, minlength=len(size))
    rows_above, hits_above = np.cumsum(size), np.cumsum(hits)
    precision = hits_above / rows_above
    value = float(hits @ precision) / positives
    gain = np.cumsum((hits / rows_above)[::-1])[::-1]
    loss = np.cumsum((hits * precision / rows_above)[::-1])[::-1]
    influence = (actual * (precision[group] - value + gain[group]) - loss[group]) / positives
    return Estimate(value, influence * math.sqrt(positives / (positives - 1)), UNIT, positives)


def mean_of(values: Floats, bounds: tuple[float, float] = REAL) -> Estimate:
    """Arithmetic mean."""
    return of_means(values[:, None], lambda mean: mean[0], bounds)


def of_means(columns: Floats, function: Callable[[Complexes], complex], bounds: tuple[float, float]) -> Estimate:
    """A smooth function of column means (delta method), with its gradient by the complex step.

    Args:
        columns: Shape (rows, columns).
        function: Analytic; takes shape (columns,) and gives one number.
        bounds: Of the result.
    """
    rows = len(columns)
    means = columns.mean(axis=0)
    influence = (columns - means) @ _gradient(means, function) / math.sqrt(rows * max(rows - 1, 1))
    return Estimate(function(means.astype(complex)).real, influence, bounds, rows)


def of_confusion(
    actual: Integers,
    predicted: Integers,
    classes: int,
    function: Callable[[Complexes], complex],
    bounds: tuple[float, float],
    support: int,
) -> Estimate:
    """A smooth function of the confusion matrix's shares; shape (classes, classes), actual by predicted."""
    rows = len(actual)
    cell = actual * classes + predicted
    shares = np.bincount(cell, minlength=classes * classes) / rows
    gradient = _gradient(shares, lambda flat: function(flat.reshape(classes, classes)))
    influence = (gradient[cell] - gradient @ shares) / math.sqrt(rows * max(rows - 1, 1))
    value = function(shares.astype(complex).reshape(classes, classes)).real
    return Estimate(float(value), influence, bounds, support)


def share(among: npt.NDArray[np.bool_], event: npt.NDArray[np.bool_]) -> Estimate | None:
    """Share of an event among some of the rows; None if there are none."""
    count = int(among.sum())
    if count == 0:
        return None
    value = float((among & event).sum() / count)
    return Estimate(value, among * (event - value) / math.sqrt(count * max(count - 1, 1)), UNIT, count)


def logistic_slope(x: Floats, y: Floats) -> Estimate | None:
    """Slope of a logistic regression by Newton's method, with the sandwich's influences."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    design = np.column_stack([np.ones(len(x)), x])
    weights = np.array([0.0, 1.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        scores = design * (y - chance)[:, None]
        information = (design * (chance * (1 - chance))[:, None]).T @ design
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, scores.sum(axis=0))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            influence = np.linalg.solve(information, scores.T)[1]
            return Estimate(float(weights[1]), influence, REAL, int(min(y.sum(), (1 - y).sum())))
    return None


def restrict(estimate: Estimate, rows: npt.NDArray[np.bool_]) -> Estimate:
    """Spreads an estimate from a part of the rows over all of them, so that it can be paired with other parts.

    Args:
        estimate: Measured on the rows where `rows` is true.
        rows: Shape (all rows,).
    """
    influence = np.zeros(len(rows))
    influence[rows] = estimate.influence
    return Estimate(estimate.value, influence, estimate.bounds, estimate.support)


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, tied values sharing the mean of theirs; in linear time where they are sorted already."""
    if len(values) and (values[1:] >= values[:-1]).all():
        ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) + 1
        size = np.diff(ends, prepend=0)
        return np.repeat(ends - (size - 1) / 2, size)
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    middle: Floats = (np.cumsum(size) - (size - 1) / 2)[group]
    return middle


def _gradient(at: Floats, function: Callable[[Complexes], complex]) -> Floats:
    """Exact derivatives of an analytic function by the complex step (Squire and Trapp 1998); where `at` is not 0."""
    step = 1e-30
    gradient = np.zeros(len(at))
    for k in np.flatnonzero(at) if len(at) > 4 else range(len(at)):
        moved = at.astype(complex)
        moved[k] += 1j * step
        gradient[k] = function(moved).imag / step
    return gradient

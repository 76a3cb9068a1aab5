"""Chooses the decision threshold by stated costs, and labels rows without the optimism of choosing on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headway.components._shared.statistics.estimates import Floats, Integers
from headway.components.evaluation.config import Costs

FOLDS = 5
DEFAULT = 0.5


@dataclass(frozen=True)
class Threshold:
    """A decision threshold on the positive class's probability; rows at or above it are selected.

    Attributes:
        value: The threshold.
        source: `costs`, `given` or `default`.
        labels: Shape (rows,): 1.0 where selected. By costs: each row by a threshold chosen without its fold.
        by_fold: The thresholds of the folds; how far they are apart shows how well the rows determine it.
        curve: Threshold and cost a row on all rows, for a chart; empty without costs.
    """

    value: float
    source: Literal["costs", "given", "default"]
    labels: Floats
    by_fold: tuple[float, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()


def find_threshold(
    actual: Floats,
    probability: Floats,
    *,
    costs: Costs | None,
    given: float | None,
    blocks: Integers | None,
    seed: int,
) -> Threshold:
    """The cheapest threshold by costs, or the given one, or 0.5.

    By costs, every metric at the threshold is cross-fitted: the rows (whole blocks) are dealt into five folds, and
    each fold is labelled with the threshold that is cheapest on the other four. The threshold that is handed on is
    the cheapest on all rows.

    Args:
        actual: Shape (rows,): 1 for positives.
        probability: Shape (rows,): of the positive class.
        costs: What mistakes cost.
        given: A threshold from outside.
        blocks: Rows that may depend on each other.
        seed: Of the deal into folds.
    """
    if costs is None:
        value = DEFAULT if given is None else given
        return Threshold(value, "default" if given is None else "given", (probability >= value).astype(float))
    fold = _folds(len(actual), blocks, seed)
    labels = np.empty(len(actual))
    by_fold = []
    for k in range(FOLDS):
        rest = fold != k
        cheapest = cheapest_threshold(actual[rest], probability[rest], costs)
        by_fold.append(cheapest)
        labels[~rest] = probability[~rest] >= cheapest
    thresholds, cost = cost_curve(actual, probability, costs)
    shown = np.unique(np.linspace(0, len(cost) - 1, 200).astype(int))
    curve = tuple((float(thresholds[i]), float(cost[i])) for i in shown)
    return Threshold(cheapest_threshold(actual, probability, costs), "costs", labels, tuple(by_fold), curve)


def cheapest_threshold(actual: Floats, probability: Floats, costs: Costs) -> float:
    """The threshold with the least cost; of equally cheap ones that nearest to the theory's for calibrated models."""
    thresholds, cost = cost_curve(actual, probability, costs)
    cheapest = thresholds[cost <= cost.min() * (1 + 1e-12)]
    theory = costs.false_positive / (costs.false_positive + costs.false_negative)  # Elkan (2001)
    return float(cheapest[np.argmin(np.abs(cheapest - theory))])


def cost_curve(actual: Floats, probability: Floats, costs: Costs) -> tuple[Floats, Floats]:
    """Cost a row at every threshold that makes a difference.

    Returns:
        Thresholds, ascending, halfway between neighbouring probabilities (the ends select all and none), and costs.
    """
    values, group = np.unique(probability, return_inverse=True)
    positives = np.bincount(group, weights=actual, minlength=len(values))
    negatives = np.bincount(group, weights=1 - actual, minlength=len(values))
    missed = np.concatenate([[0.0], np.cumsum(positives)])
    wrong = negatives.sum() - np.concatenate([[0.0], np.cumsum(negatives)])
    ends = np.concatenate([[values[0] / 2], (values[1:] + values[:-1]) / 2, [(values[-1] + 1) / 2 + 1e-9]])
    cost = (costs.false_positive * wrong + costs.false_negative * missed) / len(actual)
    return ends, cost


def _folds(rows: int, blocks: Integers | None, seed: int) -> Integers:
    """Deals rows, or whole blocks, into folds of equal number."""
    units = np.arange(rows) if blocks is None else blocks
    dealt = np.random.default_rng(seed).permutation(int(units.max()) + 1) % FOLDS
    folds: Integers = dealt[units]
    return folds

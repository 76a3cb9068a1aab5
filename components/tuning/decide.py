"""The rules of a search as pure functions: which trial wins, which is stopped early, what was gained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from headway.components._shared.estimators.tunings import Gain, Trial

Direction = Literal["maximize", "minimize"]

# Finished trials before the median says anything.
MEDIAN_STARTUP = 4


def best_trial(trials: Sequence[Trial], direction: Direction) -> Trial | None:
    """The succeeded trial with the best finite value; of equal ones the first, so the baseline if it is among them."""
    usable = [t for t in trials if t.state == "succeeded" and t.value is not None and math.isfinite(t.value)]
    sign = 1.0 if direction == "maximize" else -1.0
    return max(usable, key=lambda t: (sign * (t.value or 0.0), -t.number), default=None)


def reached(value: float | None, goal: float | None, direction: Direction) -> bool:
    """Whether a value is at least as good as the goal."""
    if value is None or goal is None or not math.isfinite(value):
        return False
    return value >= goal if direction == "maximize" else value <= goal


def median_bars(trials: Sequence[Trial], folds: int) -> list[float]:
    """After each fold but the last, the median over the succeeded trials of their mean up to there.

    A trial that is worse than the bar is stopped (the median stopping rule of Golovin et al. 2017, "Google Vizier",
    with folds as steps). Empty until 4 trials have succeeded.
    """
    done = [t.folds for t in trials if t.state == "succeeded" and len(t.folds) == folds]
    if len(done) < MEDIAN_STARTUP:
        return []
    return [float(np.median([np.mean(values[: fold + 1]) for values in done])) for fold in range(folds - 1)]


def gain(
    best: Trial, baseline: Trial, trials: Sequence[Trial], direction: Direction, test_to_train: float, confidence: float
) -> Gain:
    """What the best trial gained over the baseline, paired over the folds; positive is better.

    The folds share training rows, so their differences are not independent: the variance is that of the corrected
    resampled t-test (Nadeau & Bengio 2003, "Inference for the generalization error", Machine Learning 52), s^2 (1/k +
    n_test/n_train) with k - 1 degrees of freedom. It does not know that the best of several trials was picked on the
    same folds; `without_selection` judges each fold by the trial that is best on the other folds.
    """
    from scipy.stats import t as student

    sign = 1.0 if direction == "maximize" else -1.0
    differences = sign * (np.array(best.folds) - np.array(baseline.folds))
    count = len(differences)
    error = math.sqrt(float(np.var(differences, ddof=1)) * (1 / count + test_to_train))
    half = float(student.ppf((1 + confidence) / 2, count - 1)) * error
    value = float(differences.mean())
    complete = [t for t in trials if t.state == "succeeded" and len(t.folds) == count]
    return Gain(
        value=value,
        low=value - half,
        high=value + half,
        confidence=confidence,
        without_selection=_without_selection(complete, baseline, sign),
    )


def _without_selection(trials: Sequence[Trial], baseline: Trial, sign: float) -> float:
    """Mean over folds of the gain on that fold of whichever trial is best on the other folds."""
    scores = sign * np.array([t.folds for t in sorted(trials, key=lambda t: t.number)])
    others = scores.sum(axis=1, keepdims=True) - scores
    picked = others.argmax(axis=0)
    base = sign * np.array(baseline.folds)
    return float(np.mean(scores[picked, np.arange(scores.shape[1])] - base))

"""Objectives: scikit-learn's scorers by name, in their natural unit, with the direction that is better."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from headway.components._shared.errors import HeadwayError

Task = Literal["binary", "multiclass", "regression"]
Direction = Literal["maximize", "minimize"]

# What people call it: scikit-learn's scorer. A name without an entry is looked up as it is and with `neg_` before it.
ALIASES = {
    "auc": "roc_auc",
    "pr_auc": "average_precision",
    "brier": "neg_brier_score",
    "brier_score": "neg_brier_score",
    "logloss": "neg_log_loss",
    "rmse": "neg_root_mean_squared_error",
    "mse": "neg_mean_squared_error",
    "mae": "neg_mean_absolute_error",
    "mape": "neg_mean_absolute_percentage_error",
    "medae": "neg_median_absolute_error",
}
MULTICLASS = {"roc_auc": "roc_auc_ovr", "f1": "f1_macro", "precision": "precision_macro", "recall": "recall_macro"}
DEFAULTS: dict[Task, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Objective:
    """What is optimised.

    Attributes:
        name: As it was asked for.
        scorer: scikit-learn's name.
        direction: Which way is better, in the natural unit.
    """

    name: str
    scorer: str
    direction: Direction

    def score(self, model: Any, features: Any, target: npt.NDArray[Any]) -> float:
        """Measures a fitted model in the natural unit: an error is positive and small when good; may be NaN."""
        from sklearn.metrics import get_scorer

        value = float(get_scorer(self.scorer)(model, features, target))
        return -value if self.direction == "minimize" else value

    def better(self, one: float, other: float) -> bool:
        """Whether one value is strictly better than another; a value that is not finite never is."""
        if not np.isfinite(one):
            return False
        return not np.isfinite(other) or (one > other if self.direction == "maximize" else one < other)


def find_objective(name: str | None, task: Task) -> Objective:
    """The objective of that name, or the task's usual one.

    Raises:
        HeadwayError: `objective.unknown`, or `objective.unfit` for one that cannot judge this task.
    """
    from sklearn.metrics import get_scorer_names

    name = name or DEFAULTS[task]
    known = get_scorer_names()
    scorer = ALIASES.get(name, name)
    if task == "multiclass":
        scorer = MULTICLASS.get(scorer, scorer)
    scorer = scorer if scorer in known else f"neg_{scorer}"
    if scorer not in known:
        names = sorted({*(n.removeprefix("neg_") for n in known), *ALIASES})
        close = difflib.get_close_matches(name, names, n=3)
        raise HeadwayError(
            "objective.unknown",
            "There is no such objective.",
            value=name,
            remedy=f"Use the name of a scikit-learn scorer, such as {', '.join(close or DEFAULTS.values())}.",
        )
    if not _fits(scorer, task):
        raise HeadwayError(
            "objective.unfit",
            f"This objective cannot judge a {task} model.",
            value=name,
            remedy=f"Use {DEFAULTS[task]}, or another scikit-learn scorer for this task.",
        )
    return Objective(name, scorer, "minimize" if scorer.startswith("neg_") else "maximize")


def _fits(scorer: str, task: Task) -> bool:
    """Whether the scorer judges such a model; one that takes any number as a label is for regression."""
    if task == "regression":
        return _works(scorer, 0)
    return _works(scorer, 2 if task == "binary" else 3) and not _works(scorer, 0)


def _works(scorer: str, classes: int) -> bool:
    """Tries the scorer on a dozen rows with so many classes; none means numbers."""
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.metrics import get_scorer

    features = np.arange(12.0).reshape(-1, 1)
    target = np.arange(12) % classes if classes else np.arange(12.0) + 0.5
    model = (DummyClassifier(strategy="prior") if classes else DummyRegressor()).fit(features, target)
    try:
        get_scorer(scorer)(model, features, target)
    except (ValueError, AttributeError, TypeError):
        return False
    return True

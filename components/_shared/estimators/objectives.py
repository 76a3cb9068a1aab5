"""Objectives: scikit-learn's scorers by name, in their natural unit, with the direction that is better."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.paths import did_you_mean

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
        names = _names(task)
        raise HeadwayError(
            "objective.unknown",
            f"There is no objective {name!r}.",
            value=name,
            remedy=f"{did_you_mean(name, names)}Objectives of a {task} model: {', '.join(names)}.",
        )
    if not _fits(scorer, task):
        raise HeadwayError(
            "objective.unfit",
            f"The objective {name!r} cannot judge a {task} model.",
            value=name,
            remedy=f"Objectives of a {task} model: {', '.join(_names(task))}.",
        )
    return Objective(name, scorer, "minimize" if scorer.startswith("neg_") else "maximize")


def _names(task: Task) -> list[str]:
    """Whatever may be asked for."""
    from sklearn.metrics import get_scorer_names

    fitting = [scorer for scorer in get_scorer_names() if _fits(scorer, task)]
    aliases = [alias for alias, scorer in ALIASES.items() if scorer in fitting]
    plain = [name for name, scorer in MULTICLASS.items() if task == "multiclass" and scorer in fitting]
    return sorted({*(scorer.removeprefix("neg_") for scorer in fitting), *aliases, *plain})


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
        with warnings.catch_warnings(action="ignore"):
            get_scorer(scorer)(model, features, target)
    except (ValueError, AttributeError, TypeError):
        return False
    return True

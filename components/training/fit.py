"""Fits an estimator to rows, with one thread and a seed, so that equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.objectives import Objective
from headway.components._shared.estimators.paths import is_classifier, make_estimator, parameter_invalid
from headway.components._shared.estimators.pipelines import unfitted_pipeline
from headway.components.training.rows import Rows, class_weights

# Bounds of the importance estimate: rows to fit a model on and rows to shuffle.
IMPORTANCE_FIT_ROWS = 20_000
IMPORTANCE_ROWS = 2_000
IMPORTANCE_REPEATS = 3
HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class Recipe:
    """What is fitted to rows.

    Attributes:
        estimator: Import path.
        params: Parameters of the estimator.
        class_weight: See `rows.class_weights`.
        seed: Seed of everything random.
    """

    estimator: str
    params: Mapping[str, Any]
    class_weight: Mapping[str, Any]
    seed: int

    def classifier(self) -> bool:
        """Whether the estimator is a classifier; raises its named errors without any data."""
        return is_classifier(make_estimator(self.estimator, self.params, self.seed))


def fit(rows: Rows, recipe: Recipe, *, as_codes: bool = False) -> Any:
    """Fits the pipeline.

    Args:
        rows: What to learn from.
        recipe: What to fit.
        as_codes: Give the labels as 0, 1, ... whatever they are, as scikit-learn's scorers like them.

    Raises:
        HeadwayError: `training.fit_failed`, `training.class_weight_unsupported`, and those of `make_estimator`.
    """
    from sklearn.utils.validation import has_fit_parameter
    from threadpoolctl import threadpool_limits

    made = unfitted_pipeline(recipe.estimator, recipe.params, rows.inputs, rows.features, recipe.seed)
    target = rows.codes() if as_codes or made.codes else rows.target
    fit_params = dict(made.fit_params)
    weights = class_weights(rows, recipe.class_weight)
    if weights is not None:
        if not has_fit_parameter(made.pipeline[-1], "sample_weight"):
            raise HeadwayError(
                "training.class_weight_unsupported",
                f"{recipe.estimator} cannot weigh rows.",
                value=dict(recipe.class_weight),
                remedy="Leave class_weight out, or use another estimator.",
            )
        fit_params["estimator__sample_weight"] = weights
    try:
        with threadpool_limits(limits=1):
            return made.pipeline.fit(rows.features, target, **fit_params)
    except ValueError as error:
        if type(error).__name__ == "InvalidParameterError":
            raise parameter_invalid(recipe.estimator, error) from None
        raise HeadwayError(
            "training.fit_failed",
            f"{recipe.estimator} could not be fitted: {str(error)[:500]}",
            value=dict(recipe.params) or None,
            remedy=_fit_remedy(rows),
        ) from None


def _fit_remedy(rows: Rows) -> str:
    codes = rows.codes() if rows.classes else np.zeros(0, dtype=np.int64)
    lone = [label for label, count in zip(rows.classes, np.bincount(codes), strict=False) if count == 1]
    if lone:
        return f"Class {lone[0]!r} has one row only: merge rare classes or leave them out at ingestion."
    return "Change the parameters or the estimator, or look at the rows that it names."


@dataclass(frozen=True)
class HeldOut:
    """What a model fitted on part of the training data does on the rest.

    Attributes:
        score: The objective on the held-out rows.
        importance: Feature to loss of the objective when the feature is shuffled, mean over repeats.
        rows: Held-out rows.
    """

    score: float
    importance: dict[str, float]
    rows: int


def held_out(rows: Rows, recipe: Recipe, objective: Objective) -> HeldOut | None:
    """Permutation importance (Breiman 2001) on rows that the model did not see, at bounded cost.

    A second model is fitted on at most 20,000 rows and judged on at most 2,000 others: the latest ones where there
    is a time column, else ones drawn by the seed. None where the rows are too few to be judged.
    """
    from threadpoolctl import threadpool_limits

    generator = np.random.default_rng(recipe.seed)
    count = len(rows)
    order = np.arange(count) if rows.time is not None else generator.permutation(count)
    cut = count - max(1, round(count * HELD_OUT_SHARE))
    learn = rows.take(spread(order[:cut], IMPORTANCE_FIT_ROWS))
    judge = rows.take(spread(order[cut:], IMPORTANCE_ROWS))
    classes = len(rows.classes)
    if len(judge) < 10 or (classes and min(len(np.unique(part.codes())) for part in (learn, judge)) < classes):
        return None
    with threadpool_limits(limits=1):
        score, importance = _importance(fit(learn, recipe, as_codes=True), judge, objective, generator)
    if not np.isfinite([score, *importance.values()]).all():
        return None
    return HeldOut(score, importance, len(judge))


def _importance(
    model: Any, judge: Rows, objective: Objective, generator: np.random.Generator
) -> tuple[float, dict[str, float]]:
    target = judge.codes()
    score = objective.score(model, judge.features, target)
    sign = 1.0 if objective.direction == "maximize" else -1.0
    losses: dict[str, float] = {}
    for column in judge.features:
        orders = [generator.permutation(len(judge)) for _ in range(IMPORTANCE_REPEATS)]
        frames = [judge.features.with_columns(column.gather(order)) for order in orders]
        shuffled = [objective.score(model, frame, target) for frame in frames]
        losses[column.name] = float(sign * (score - np.mean(shuffled)))
    return score, losses


def spread(index: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most so many entries, evenly spaced."""
    return index if len(index) <= most else index[np.linspace(0, len(index) - 1, most).astype(np.int64)]

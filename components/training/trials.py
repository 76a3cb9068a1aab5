"""A trial: how good an estimator with certain parameters is, fold by fold, on the training data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headway.components._shared.code import code_digest
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.objectives import find_objective
from headway.components._shared.estimators.paths import check_parameter_names, make_estimator
from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.schemas import read_schema
from headway.components.training.fit import Recipe, fit, spread
from headway.components.training.folds import make_folds
from headway.components.training.rows import class_weights, read_rows


class Trials:
    """Reads the data once and judges any number of parameters on it.

    Args:
        spec: What all trials share.

    Raises:
        HeadwayError: Whatever is wrong with the data, the estimator, the objective or the folds.
    """

    def __init__(self, spec: TrialSpec) -> None:
        recipe = Recipe(spec.estimator, spec.params, spec.class_weight, spec.seed)
        defaults = make_estimator(spec.estimator, spec.params, spec.seed).get_params(deep=False)
        check_parameter_names(spec.estimator, sorted(defaults), dict.fromkeys(spec.searched))
        dataset, schema = open_dataset(spec.data), read_schema(spec.schema_path)
        everything = read_rows(dataset, schema, classifier=recipe.classifier())
        class_weights(everything, spec.class_weight)
        count = len(everything)
        self._spec = spec
        self._rows = everything.take(spread(_order(count, everything.time is None, spec.seed), spec.rows or count))
        self._objective = find_objective(spec.objective, everything.task)
        self._folds, words = make_folds(self._rows, spec.cv, spec.seed)
        self.setting = Setting(
            rows=len(self._rows),
            available=count,
            task=everything.task,
            objective=self._objective.name,
            direction=self._objective.direction,
            cv=words,
            folds=len(self._folds),
            test_to_train=float(np.mean([len(fold.test) / len(fold.train) for fold in self._folds])),
            defaults=_plain(defaults),
            code_digest=code_digest(),
            data_fingerprint=dataset.fingerprint,
            schema_digest=schema.digest(),
        )

    def score(self, params: Mapping[str, Any], fold: int) -> float:
        """Fits on a fold's training rows and measures the objective on its other rows.

        Raises:
            HeadwayError: `trial.not_finite`, and whatever a fit can raise.
        """
        spec, part = self._spec, self._folds[fold]
        recipe = Recipe(spec.estimator, {**spec.params, **params}, spec.class_weight, spec.seed)
        model = fit(self._rows.take(part.train), recipe, as_codes=True)
        judge = self._rows.take(part.test)
        try:
            value = self._objective.score(model, judge.features, judge.codes())
        except (ValueError, AttributeError) as error:
            raise self._not_finite(fold, " ".join(str(error).split())[:300]) from None
        if not np.isfinite(value):
            raise self._not_finite(fold, f"it is {value}")
        return value

    def _not_finite(self, fold: int, why: str) -> HeadwayError:
        rows, part = self._rows, self._folds[fold]
        if rows.classes:
            torn = np.setxor1d(rows.codes()[part.train], rows.codes()[part.test])
            named = ", ".join(repr(rows.classes[code]) for code in torn[:5]) + (", ..." if len(torn) > 5 else "")
            why = f"class {named} has rows on one side of the fold only" if len(torn) else why
        return HeadwayError(
            "trial.not_finite",
            f"{self._objective.name} cannot be measured on fold {fold + 1}: {why}.",
            remedy="If every trial says so, use fewer or stratified folds (study.cv), merge rare classes at ingestion, "
            "or choose another objective, such as accuracy.",
        )


def _order(count: int, shuffled: bool, seed: int) -> Any:
    return np.random.default_rng(seed).permutation(count) if shuffled else np.arange(count)


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that JSON can say."""
    return {
        name: value
        for name, value in params.items()
        if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and np.isfinite(value))
    }

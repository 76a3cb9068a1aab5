"""Builds an estimator from its import path and checks its parameters before anything is fitted."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from headway.components._shared.errors import HeadwayError

# What the pipeline sets itself, from the schema.
RESERVED = ("categorical_features", "categorical_feature", "feature_types", "enable_categorical")


def make_estimator(path: str, params: Mapping[str, Any], seed: int) -> Any:
    """Builds an estimator from its import path.

    Raises:
        HeadwayError: `estimator.unknown`, `estimator.not_an_estimator`, `estimator.parameter_unknown`,
            `estimator.parameter_reserved`, `estimator.parameter_invalid`.
    """
    kind = _import_class(path)
    try:
        model = kind()
        allowed = sorted(model.get_params(deep=False))
    except (TypeError, AttributeError):
        raise HeadwayError(
            "estimator.not_an_estimator",
            "This class cannot be built without arguments, or is no classifier or regressor.",
            value=path,
            remedy="Name a scikit-learn classifier or regressor whose parameters all have defaults.",
        ) from None
    if not (is_classifier(model) or is_regressor(model)):
        raise HeadwayError(
            "estimator.not_an_estimator",
            "This class is neither a classifier nor a regressor.",
            value=path,
            remedy="Name a class such as sklearn.ensemble.HistGradientBoostingRegressor.",
        )
    check_parameter_names(path, allowed, params)
    defaults = model.get_params(deep=False)
    given = {name: _settled(value, defaults[name]) for name, value in params.items()}
    if "random_state" in allowed and given.get("random_state") is None:
        given["random_state"] = seed
    if package_of(model) in ("xgboost", "lightgbm") and given.get("n_jobs") is None:
        given["n_jobs"] = 1
    if package_of(model) == "lightgbm":
        given.setdefault("verbose", -1)
    return _validated(path, model.set_params(**given))


def check_parameter_names(path: str, allowed: Sequence[str], params: Mapping[str, Any]) -> None:
    """Raises the named error for parameters that an estimator does not have or that the pipeline sets itself."""
    reserved = sorted(set(params) & set(RESERVED) & {*allowed, "categorical_feature"})
    if reserved:
        raise HeadwayError(
            "estimator.parameter_reserved",
            f"{', '.join(reserved)} of {path} is set from the schema.",
            value=reserved,
            remedy="Leave it out; a column of type string in the schema is a category.",
        )
    unknown = sorted(set(params) - set(allowed))
    if unknown:
        close = difflib.get_close_matches(unknown[0], allowed, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise HeadwayError(
            "estimator.parameter_unknown",
            f"{path} has no parameter {', '.join(map(repr, unknown))}.",
            value=unknown,
            remedy=f"{hint}Its parameters: {', '.join(name for name in allowed if name not in RESERVED)}.",
        )


def is_classifier(model: Any) -> bool:
    """Whether an estimator is a classifier."""
    from sklearn.base import is_classifier as check

    return bool(check(model))


def is_regressor(model: Any) -> bool:
    """Whether an estimator is a regressor."""
    from sklearn.base import is_regressor as check

    return bool(check(model))


def package_of(model: Any) -> str:
    """Top-level package of an estimator's class."""
    return type(model).__module__.partition(".")[0]


def _validated(path: str, model: Any) -> Any:
    """scikit-learn checks parameters when it fits; here its own are checked before any row is read."""
    try:
        if hasattr(model, "_parameter_constraints"):
            model._validate_params()
    except ValueError as error:
        raise parameter_invalid(path, error) from None
    return model


def parameter_invalid(path: str, error: Exception) -> HeadwayError:
    """The named error for a parameter's value that an estimator refuses."""
    return HeadwayError(
        "estimator.parameter_invalid",
        f"{path} refuses a parameter: {error}",
        remedy="Give a value that the estimator's documentation allows.",
    )


def _settled(value: Any, default: Any = 0) -> Any:
    """The value as the estimator wants it, whichever way it came.

    KFP turns whole numbers in a dict into floats; strings are interned so that equal parameters pickle to equal bytes.
    """
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, float) and value.is_integer() and not isinstance(default, float):
        return int(value)
    if isinstance(value, list | tuple):
        return [_settled(item) for item in value]
    if isinstance(value, Mapping):
        return {_settled(key): _settled(item) for key, item in value.items()}
    return value


def _import_class(path: str) -> Any:
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError):
        package = path.partition(".")[0]
        raise HeadwayError(
            "estimator.unknown",
            f"There is no estimator of this name where the step runs ({package} may not be installed in its image).",
            value=path,
            remedy="Give the full import path of a class, such as sklearn.linear_model.LogisticRegression; "
            "for XGBoost or LightGBM use an image that holds it (docs/own-image.md).",
        ) from None
    if not inspect.isclass(kind):
        raise HeadwayError(
            "estimator.not_an_estimator",
            "This is not a class.",
            value=path,
            remedy="Name a class such as sklearn.ensemble.HistGradientBoostingClassifier.",
        )
    return kind

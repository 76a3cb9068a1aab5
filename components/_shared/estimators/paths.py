"""Builds an estimator from its import path and checks its parameters before anything is fitted."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
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
    model = _unset(path)
    given = settled(path, params)
    names = model.get_params(deep=False)
    if "random_state" in names and given.get("random_state") is None:
        given["random_state"] = seed
    if package_of(model) in ("xgboost", "lightgbm") and given.get("n_jobs") is None:
        given["n_jobs"] = 1
    if package_of(model) == "lightgbm":
        given.setdefault("verbose", -1)
    return _validated(path, model.set_params(**given))


def settled(path: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the estimator wants them, however they came: in order of name, numbers in its own types.

    On its way KFP turns whole numbers into floats and back, and passes a mapping in any order. A whole number becomes
    what the estimator's default is, and an int where that is no number. Where scikit-learn takes a count or a share
    (`max_features`), a float over 1 is a count and 1.0 everything, unless the default is a count.

    Raises:
        HeadwayError: As `make_estimator`, but for `estimator.parameter_invalid`.
    """
    model = _unset(path)
    defaults = model.get_params(deep=False)
    check_parameter_names(path, list(defaults), params)
    if isinstance(params.get("class_weight"), Mapping):
        raise HeadwayError(
            "estimator.parameter_reserved",
            "Weights of single classes are no parameter of the estimator.",
            value=dict(params["class_weight"]),
            remedy="Give them as class_weight of train_model, and as study.class_weight of tune_model.",
        )
    return {name: _settled(params[name], defaults[name], _takes_shares(model, name)) for name in sorted(params)}


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
        names = sorted(set(allowed) - set(RESERVED))
        raise HeadwayError(
            "estimator.parameter_unknown",
            f"{path} has no parameter {', '.join(map(repr, unknown))}.",
            value=unknown,
            remedy=f"{did_you_mean(unknown[0], names)}Its parameters: {', '.join(names)}.",
        )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`Did you mean 'max_depth'? `, or nothing where no name is close."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


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


def parameter_invalid(path: str, error: Exception) -> HeadwayError:
    """The named error for a parameter's value that an estimator refuses."""
    return HeadwayError(
        "estimator.parameter_invalid",
        f"{path} refuses a parameter: {error}",
        remedy="Give a value that the estimator's documentation allows.",
    )


def _unset(path: str) -> Any:
    """The estimator with its defaults."""
    try:
        model = _import_class(path)()
        model.get_params(deep=False)
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
    return model


def _import_class(path: str) -> Any:
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise _unknown(path, error) from None
    if not inspect.isclass(kind):
        raise HeadwayError(
            "estimator.not_an_estimator",
            "This is not a class.",
            value=path,
            remedy="Name a class such as sklearn.ensemble.HistGradientBoostingClassifier.",
        )
    return kind


def _unknown(path: str, error: Exception) -> HeadwayError:
    module, _, name = path.rpartition(".")
    package = path.partition(".")[0]
    if module and importlib.util.find_spec(package) is None:
        return HeadwayError(
            "estimator.unknown",
            f"There is no estimator {path!r}: the package {package!r} is not installed where the step runs.",
            value=path,
            remedy="Use an image that holds it (docs/own-image.md), or an estimator of scikit-learn.",
        )
    homes = _estimators(module)
    close = difflib.get_close_matches(name, homes, n=1)
    home = homes[close[0]] if close else module if module in homes.values() else "sklearn.ensemble"
    hint = f"Did you mean '{home}.{close[0]}'? " if close else ""
    listed = ", ".join(sorted(other for other, where in homes.items() if where == home))
    return HeadwayError(
        "estimator.unknown",
        f"There is no estimator {path!r}: {error}.",
        value=path,
        remedy=f"{hint}Give the full import path of a class. Estimators of {home}: {listed}.",
    )


def _estimators(module: str) -> dict[str, str]:
    """Class name to module of scikit-learn's estimators, or of those in another module that could be imported."""
    from sklearn.utils import all_estimators

    if module in sys.modules and not module.startswith("sklearn"):
        found = vars(sys.modules[module]).items()
        return {name: module for name, kind in found if inspect.isclass(kind) and hasattr(kind, "predict")}
    kinds = all_estimators(type_filter=["classifier", "regressor"])
    return {name: ".".join(kind.__module__.split(".")[:2]) for name, kind in kinds}


def _takes_shares(model: Any, name: str) -> bool:
    """Whether scikit-learn says that the parameter is a whole number or a fraction."""
    kinds = {getattr(kind, "type", None) for kind in getattr(model, "_parameter_constraints", {}).get(name, ())}
    return {"Integral", "RealNotInt"} <= {getattr(kind, "__name__", "") for kind in kinds}


def _settled(value: Any, default: Any = None, shares: bool = False) -> Any:
    """Strings are interned and mappings sorted, so that equal parameters pickle to equal bytes."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, float) and value.is_integer():
        stays = not isinstance(default, int) and value <= 1 if shares else isinstance(default, float)
        return value if stays else int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if isinstance(default, float) and not shares else value
    if isinstance(value, list | tuple):
        return [_settled(item) for item in value]
    if isinstance(value, Mapping):
        return {_settled(key): _settled(value[key]) for key in sorted(value, key=str)}
    return value


def _validated(path: str, model: Any) -> Any:
    """scikit-learn checks parameters when it fits; here its own are checked before any row is read."""
    try:
        if hasattr(model, "_parameter_constraints"):
            model._validate_params()
    except ValueError as error:
        raise parameter_invalid(path, error) from None
    return model

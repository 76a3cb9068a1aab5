"""The pipeline that a model is: an estimator by import path, behind preprocessing that fits what it can take."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from headway.components._shared.artifacts import Feature
from headway.components._shared.errors import HeadwayError

# Kinds of category handling: by the estimator itself, told by position, or by one column a category.
Native = Literal["sklearn", "xgboost", "lightgbm", "none"]

# What the pipeline sets itself, from the schema.
RESERVED = ("categorical_features", "categorical_feature", "feature_types", "enable_categorical")

ONE_HOT_LIMIT = 100


@dataclass(frozen=True)
class Unfitted:
    """A pipeline that is not fitted yet, and what its `fit` must be told.

    Attributes:
        pipeline: Takes a polars or pandas frame with the features as columns.
        fit_params: Further arguments of `pipeline.fit`.
        codes: Whether the labels must be given as 0, 1, ... (XGBoost takes no others).
    """

    pipeline: Any
    fit_params: Mapping[str, Any]
    codes: bool


def unfitted_pipeline(
    estimator: str, params: Mapping[str, Any], inputs: Sequence[Feature], rows: pl.DataFrame, seed: int
) -> Unfitted:
    """Puts an estimator behind the preprocessing that it needs.

    Numbers, integers and booleans become float64; strings become categories: the most frequent ones of the rows,
    while a rarer value and one never seen count as missing; dates and times become calendar parts. An estimator that
    takes categories and missing values gets them as they are; any other gets medians, standardised numbers and one
    column a category.

    Args:
        estimator: Import path of a class with scikit-learn's interface.
        params: Its parameters.
        inputs: The model's inputs.
        rows: What it will be fitted to; the categories come from here.
        seed: Becomes `random_state` where the estimator has one and `params` does not set it.

    Raises:
        HeadwayError: See `make_estimator`.
    """
    from sklearn.pipeline import Pipeline

    model = make_estimator(estimator, params, seed)
    native = _native(model)
    # A column without any value teaches nothing, and HistGradientBoosting cannot be fitted to one.
    full = [f for f in inputs if rows[f.name].count()] or list(inputs)
    numbers = [f.name for f in full if f.type in ("number", "integer", "boolean")]
    times = [f.name for f in full if f.type in ("date", "datetime")]
    strings = [f.name for f in full if f.type == "string"]
    width = len(numbers) + len(times) * len(CALENDAR_PARTS)
    positions = list(range(width, width + len(strings)))
    fit_params: dict[str, Any] = {}
    if native == "sklearn":
        model.set_params(categorical_features=positions or None)
    elif native == "xgboost":
        model.set_params(enable_categorical=True, feature_types=["q"] * width + ["c"] * len(strings))
    elif native == "lightgbm" and strings:
        fit_params["estimator__categorical_feature"] = positions
    columns = _columns(numbers, times, strings, native, model, rows)
    pipeline = Pipeline([("columns", columns), ("estimator", model)])
    return Unfitted(pipeline, fit_params, codes=native == "xgboost")


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
    if _package(model) in ("xgboost", "lightgbm") and given.get("n_jobs") is None:
        given["n_jobs"] = 1
    if _package(model) == "lightgbm":
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


CALENDAR_PARTS = ("month", "day", "weekday", "minute of day")


def calendar_parts(frame: Any) -> Any:
    """Month, day of month, weekday (0 is Monday) and minute of the day of every date or time column, UTC.

    The year is left out: a model learns nothing from a value that it will never see again.

    Args:
        frame: A polars or pandas frame of date or datetime columns, n of them.

    Returns:
        float64 array, rows x 4n; missing times are NaN.
    """
    import numpy as np
    import pandas as pd

    parts = []
    for name in frame.columns:
        times = pd.DatetimeIndex(pd.to_datetime(np.asarray(frame[name]), utc=True))
        parts += [times.month, times.day, times.weekday, times.hour * 60 + times.minute]
    return np.column_stack([np.asarray(part, dtype=np.float64) for part in parts])


def _columns(
    numbers: list[str], times: list[str], strings: list[str], native: Native, model: Any, rows: pl.DataFrame
) -> Any:
    """The ColumnTransformer; every part is scikit-learn's own, but for the calendar."""
    from sklearn.compose import ColumnTransformer

    parts = []
    if numbers:
        parts.append(("numbers", _numbers(native, model), numbers))
    if times:
        parts.append(("times", _times(native, model), times))
    if strings:
        parts.append(("categories", _categories(native, model, rows.select(strings)), strings))
    return ColumnTransformer(parts)


def _numbers(native: Native, model: Any) -> Any:
    return _chain([_floats(), *_fills(native, model)])


def _times(native: Native, model: Any) -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return _chain([FunctionTransformer(calendar_parts), *_fills(native, model)])


def _floats() -> Any:
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.utils import check_array

    kwargs = {"dtype": "float64", "ensure_all_finite": "allow-nan"}
    return FunctionTransformer(check_array, kw_args=kwargs, feature_names_out="one-to-one")


def _fills(native: Native, model: Any) -> list[Any]:
    """Medians for what is missing and one scale, where the estimator asks for it; trees never need a scale."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import get_tags

    fills: list[Any] = []
    if native == "none" and not get_tags(model).input_tags.allow_nan:
        fills.append(SimpleImputer(strategy="median", keep_empty_features=True))
    if native == "none" and not type(model).__module__.startswith(("sklearn.tree", "sklearn.ensemble")):
        fills.append(StandardScaler())
    return fills


def _categories(native: Native, model: Any, rows: pl.DataFrame) -> Any:
    """Codes of the most frequent categories; everything else is NaN, also when pandas says NaN for None.

    OrdinalEncoder's own `max_categories` would give missing values a code and unknown ones NaN.
    """
    import numpy as np
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    limit = ONE_HOT_LIMIT if native == "none" else min(255, model.get_params().get("max_bins") or 255)
    codes = OrdinalEncoder(
        categories=[_frequent(column, limit) for column in rows],
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
    )
    if native == "none":
        return _chain([codes, OneHotEncoder(handle_unknown="ignore", sparse_output=False)])
    return codes


def _frequent(column: pl.Series, most: int) -> list[str]:
    """The most frequent values in order of name; of equally frequent ones those whose name comes first."""
    counts = column.alias("value").drop_nulls().value_counts().sort(["count", "value"], descending=[True, False])
    found: list[str] = counts["value"].head(most).sort().to_list()
    return found or [""]


def _chain(steps: list[Any]) -> Any:
    from sklearn.pipeline import make_pipeline

    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def _native(model: Any) -> Native:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return "sklearn"
    names = model.get_params(deep=False)
    if _package(model) == "xgboost" and "feature_types" in names and model.get_params().get("booster") != "gblinear":
        return "xgboost"
    if _package(model) == "lightgbm" and "categorical_feature" in inspect.signature(model.fit).parameters:
        return "lightgbm"
    return "none"


def _package(model: Any) -> str:
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

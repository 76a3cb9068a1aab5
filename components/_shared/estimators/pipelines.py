"""The pipeline that a model is: an estimator by import path, behind preprocessing that fits what it can take."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from headway.components._shared.artifacts import Feature
from headway.components._shared.estimators.paths import make_estimator, package_of

# Kinds of category handling: by the estimator itself, told by position, or by one column a category.
Native = Literal["sklearn", "xgboost", "lightgbm", "none"]

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
    if package_of(model) == "xgboost" and "feature_types" in names and model.get_params().get("booster") != "gblinear":
        return "xgboost"
    if package_of(model) == "lightgbm" and "categorical_feature" in inspect.signature(model.fit).parameters:
        return "lightgbm"
    return "none"

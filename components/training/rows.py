"""The rows that a model learns from: checked, typed by the schema, in one order whatever the shards are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.artifacts import Feature
from headway.components._shared.datasets import Dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import cast_features
from headway.components._shared.schemas import Schema, require_columns

Task = Literal["binary", "multiclass", "regression"]

# A whole-number target is a quantity if it holds more values than this, or more than a few of which one comes once.
MAX_NUMERIC_CLASSES = 100
FEW_NUMERIC_CLASSES = 10


@dataclass(frozen=True)
class Rows:
    """What an estimator is given.

    Attributes:
        features: One column a feature, Float64, String or Datetime.
        target: One label or number a row.
        inputs: Name and schema type of each feature.
        target_name: Column that is predicted.
        task: What is predicted.
        classes: Sorted labels; empty for regression.
        time: Value of the time column, if the schema has one; the rows are sorted by it.
        known: When the label was known, if the schema says so.
        group: Number of each row's group, if the schema has a group column.
    """

    features: pl.DataFrame
    target: npt.NDArray[Any]
    inputs: tuple[Feature, ...]
    target_name: str
    task: Task
    classes: tuple[Any, ...]
    time: npt.NDArray[np.datetime64] | None
    known: npt.NDArray[np.datetime64] | None
    group: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.target)

    def codes(self) -> npt.NDArray[Any]:
        """The target as an estimator can take it anywhere: classes as 0, 1, ..., numbers as they are."""
        if self.task == "regression":
            return self.target
        return np.searchsorted(np.array(self.classes), self.target)

    def silent(self) -> list[str]:
        """Features that hold one value only, or none: they say nothing."""
        return [c.name for c in self.features if c.drop_nulls().n_unique() + (0 < c.null_count() < c.len()) < 2]

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        """Some of the rows."""

        def part(values: npt.NDArray[Any] | None) -> Any:
            return None if values is None else values[index]

        return Rows(
            self.features[index],
            self.target[index],
            self.inputs,
            self.target_name,
            self.task,
            self.classes,
            part(self.time),
            part(self.known),
            part(self.group),
        )


def read_rows(dataset: Dataset, schema: Schema, *, classifier: bool) -> Rows:
    """Reads a training set.

    Args:
        dataset: Rows with the schema's columns.
        schema: Roles and types; exactly one column is the target.
        classifier: Whether a classifier is to learn from it.

    Raises:
        HeadwayError: `data.column_missing`, `model.input_type`, `model.input_infinite`, `training.no_features`,
            `training.target_null`, `training.target_infinite`, `training.one_class`, `training.too_few_rows`,
            `training.target_is_a_quantity`, `training.target_not_numeric`.
    """
    target_name = schema.one("target")
    inputs = tuple(Feature(name=c.name, type=c.type) for c in schema.features())
    time, known, group, ids = (schema.names(role) for role in ("time", "label_time", "group", "id"))
    columns = dict.fromkeys([*(f.name for f in inputs), target_name, *time[:1], *known[:1], *group[:1], *ids])
    require_columns(dataset.columns, columns, what="The training data")
    frame = dataset.read(list(columns))
    if time or ids:
        frame = frame.sort([*time[:1], *ids], maintain_order=True)
    features = cast_features(frame, inputs)
    target, task, classes = _target(frame[target_name], classifier=classifier)
    rows = Rows(
        features=features,
        target=target,
        inputs=inputs,
        target_name=target_name,
        task=task,
        classes=classes,
        time=_times(frame, time),
        known=_times(frame, known),
        group=frame[group[0]].rank("dense").fill_null(0).to_numpy().astype(np.int64) if group else None,
    )
    if len(rows.silent()) == len(inputs):
        raise HeadwayError(
            "training.no_features",
            "No feature says anything: every one is constant or empty." if inputs else "The schema has no feature.",
            value=[f.name for f in inputs] or None,
            remedy="A feature is a column without a role in the schema.",
        )
    return rows


def _times(frame: pl.DataFrame, names: list[str]) -> npt.NDArray[np.datetime64] | None:
    if not names:
        return None
    given = cast_features(frame, [Feature(name=names[0], type="datetime")])
    return given[names[0]].to_numpy()


def _target(column: pl.Series, *, classifier: bool) -> tuple[npt.NDArray[Any], Task, tuple[Any, ...]]:
    nulls = column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
    if nulls:
        raise HeadwayError(
            "training.target_null",
            f"The target {column.name!r} is missing in {nulls:,} of {column.len():,} rows.",
            value=column.name,
            remedy="Name the target in `split` of split_data: it sets rows without a label aside and counts them.",
        )
    if column.len() < 2:
        raise HeadwayError(
            "training.too_few_rows",
            "One row teaches nothing.",
            value=column.len(),
            remedy="Widen the window or the row filter of the training data.",
        )
    return _labels(column) if classifier else _numbers(column)


def _labels(column: pl.Series) -> tuple[npt.NDArray[Any], Task, tuple[Any, ...]]:
    if column.dtype.is_float() and bool((column == column.round()).all()):
        column = column.cast(pl.Int64)
    found = column.n_unique()
    if found == 1:
        raise HeadwayError(
            "training.one_class",
            f"The target {column.name!r} holds one class only.",
            value=column.name,
            remedy="Widen the window or the row filter, so that the training data holds every class.",
        )
    lone = column.dtype.is_integer() and found > FEW_NUMERIC_CLASSES and bool(column.is_unique().any())
    if column.dtype.is_float() or lone or (column.dtype.is_integer() and found > MAX_NUMERIC_CLASSES):
        raise HeadwayError(
            "training.target_is_a_quantity",
            f"The target {column.name!r} holds {found:,} different numbers"
            + (", some of them only once" if lone else "")
            + ": it is a quantity, and a classifier predicts classes.",
            value=column.name,
            remedy="Set estimator to a regressor, such as sklearn.ensemble.HistGradientBoostingRegressor, or turn the "
            "target into classes at ingestion.",
        )
    kind = bool if column.dtype == pl.Boolean else np.int64 if column.dtype.is_integer() else str
    target = np.array(column.cast(pl.String).to_list()) if kind is str else column.to_numpy().astype(kind)
    classes = tuple(np.unique(target).tolist())
    return target, "binary" if found == 2 else "multiclass", classes


def _numbers(column: pl.Series) -> tuple[npt.NDArray[Any], Task, tuple[Any, ...]]:
    if not column.dtype.is_numeric():
        raise HeadwayError(
            "training.target_not_numeric",
            f"The target {column.name!r} is {column.dtype}, and a regressor predicts numbers.",
            value=column.name,
            remedy="Set estimator to a classifier, such as sklearn.ensemble.HistGradientBoostingClassifier.",
        )
    target = column.cast(pl.Float64).to_numpy()
    if not np.isfinite(target).all():
        raise HeadwayError(
            "training.target_infinite",
            f"The target {column.name!r} is infinite in {int((~np.isfinite(target)).sum()):,} rows.",
            value=column.name,
            remedy="Drop or correct these rows at ingestion.",
        )
    return target, "regression", ()


def class_weights(rows: Rows, class_weight: Mapping[str, Any]) -> npt.NDArray[np.float64] | None:
    """One weight a row, or None for equal ones.

    Args:
        rows: The training rows.
        class_weight: `{}`, `{"mode": "balanced"}` (every class counts the same in sum), or a weight for every
            class, keyed by the label as text.

    Raises:
        HeadwayError: `training.class_weight_invalid`.
    """
    if not class_weight:
        return None
    codes = rows.codes()
    if rows.task != "regression" and dict(class_weight) == {"mode": "balanced"}:
        counts = np.bincount(codes, minlength=len(rows.classes))
        weights: npt.NDArray[np.float64] = len(codes) / (len(rows.classes) * counts)
        return np.asarray(weights[codes], dtype=np.float64)
    labels = [str(label) for label in rows.classes]
    if faults := _faults(class_weight, labels):
        raise HeadwayError(
            "training.class_weight_invalid",
            f"The class weights do not fit the target {rows.target_name!r}: {faults}.",
            value=dict(class_weight),
            remedy=f"Leave them out, or give {{'mode': 'balanced'}} or a positive number for each of {labels[:20]}."
            if labels
            else "Leave them out: a regressor has no classes.",
        )
    return np.asarray([float(class_weight[label]) for label in labels], dtype=np.float64).take(codes)


def _faults(class_weight: Mapping[str, Any], labels: list[str]) -> str:
    """What is wrong with weights of single classes, in words."""
    if not labels:
        return "it has no classes"
    strange = [label for label in class_weight if label not in labels]
    missing = [label for label in labels if label not in class_weight]
    weights = {label: weight for label, weight in class_weight.items() if label in labels}
    bad = [
        f"the weight of {label!r} is {weight!r}, not a positive number"
        for label, weight in weights.items()
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf")
    ]
    if strange:
        bad.append(f"it has no class {', '.join(map(repr, strange[:5]))}")
    elif missing:
        bad.append(f"there is no weight for {', '.join(map(repr, missing[:5]))}")
    return "; ".join(bad)

"""Loads a model and predicts: the same columns, types and refusals in evaluation, serving and batch prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.artifacts import Feature, ModelManifest, read_manifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.adopted import AdoptedModel
from headway.components._shared.estimators.payloads import read_pipeline
from headway.components._shared.schemas import require_columns


@dataclass(frozen=True)
class Predictions:
    """What a model says about rows.

    Attributes:
        values: One label or number a row; of two equally probable labels the first.
        probabilities: Rows x classes, in the order of the manifest's classes; None for regression, and for
            classifiers that give none.
    """

    values: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None

    def decided(self, classes: Sequence[Any], threshold: float | None) -> list[Any]:
        """One label or number a row, as a caller gets it: of a binary model by the verdict's decision threshold.

        Args:
            classes: Labels in the order of the probabilities.
            threshold: Probability of the second class from which on it is chosen; None keeps `values`.
        """
        if threshold is None or self.probabilities is None:
            return list(self.values.tolist())
        negative, positive = classes
        return [positive if probable else negative for probable in (self.probabilities[:, 1] >= threshold).tolist()]


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        manifest: Who it is.
        model: The fitted pipeline, or for an adopted model MLflow's own wrapper.
    """

    manifest: ModelManifest
    model: Any

    def predict(self, frame: pl.DataFrame) -> Predictions:
        """Predicts rows.

        Args:
            frame: The feature columns in any order; others are ignored. A missing value and a category that
                training never saw are fine.

        Raises:
            HeadwayError: `data.column_missing`, `model.input_type`, `model.input_infinite`.
        """
        given = cast_features(frame, self.manifest.features)
        if self.manifest.adopted not in (None, "estimator"):
            return self._read_output(self.model.predict(given))
        if self.manifest.task == "regression" or not self._gives_probabilities():
            return Predictions(self._labels(self.model.predict(given)), None)
        return self._most_probable(np.asarray(self.model.predict_proba(given), dtype=np.float64))

    def _gives_probabilities(self) -> bool:
        return self.manifest.adopted is not None or hasattr(self.model, "predict_proba")

    def _labels(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The estimator's own labels as those of the manifest: XGBoost knows them as 0, 1, ..."""
        if self.manifest.task == "regression":
            return np.asarray(raw, dtype=np.float64).reshape(len(raw))
        return self._classes()[np.searchsorted(self.model.classes_, raw)]

    def _most_probable(self, probabilities: npt.NDArray[np.float64]) -> Predictions:
        return Predictions(self._classes()[probabilities.argmax(axis=1)], probabilities)

    def _classes(self) -> npt.NDArray[Any]:
        return np.array(self.manifest.classes)

    def _read_output(self, output: npt.NDArray[Any]) -> Predictions:
        """What an adopted model's `predict` gave, read as the manifest says."""
        if self.manifest.adopted == "probabilities":
            return self._most_probable(output.astype(np.float64))
        output = output.reshape(len(output))
        if self.manifest.adopted == "probability":
            last = output.astype(np.float64)
            return self._most_probable(np.column_stack([1 - last, last]))
        kind = np.float64 if self.manifest.adopted == "numbers" else self._classes().dtype
        return Predictions(output.astype(kind), None)


def load_model(folder: str | Path) -> LoadedModel:
    """Loads a Model artifact. Verifies nothing: call `artifacts.verify_model` or `verdicts.require_verdict` first.

    Raises:
        HeadwayError: `model.not_a_model`, `model.file_missing`, `model.type_untrusted`, `model.library_missing`.
    """
    manifest = read_manifest(folder)
    if manifest.adopted:
        return LoadedModel(manifest, AdoptedModel(Path(folder)))
    return LoadedModel(manifest, read_pipeline(Path(folder)))


def cast_features(frame: pl.DataFrame, features: Sequence[Feature]) -> pl.DataFrame:
    """The features in order and in the types that a pipeline takes: Float64 (NaN is null), String, Datetime.

    Raises:
        HeadwayError: `data.column_missing`, `model.input_type`, `model.input_infinite`.
    """
    require_columns(frame.columns, [f.name for f in features], what="The input")
    cast = frame.select(_cast(frame[f.name], f) for f in features)
    numbers = [name for name, dtype in cast.schema.items() if dtype == pl.Float64]
    infinite = [name for name in numbers if cast[name].is_infinite().any()]
    if infinite:
        raise HeadwayError(
            "model.input_infinite",
            f"There are infinite values in {', '.join(infinite)}.",
            value=infinite,
            remedy="Give a finite number, or none where it is not known.",
        )
    return cast


def _cast(column: pl.Series, feature: Feature) -> pl.Series:
    have, want = column.dtype, feature.type
    if have == pl.Null:
        return column.cast(TYPES[want])
    fits = {
        "number": have.is_numeric(),
        "integer": have.is_numeric(),
        "boolean": have == pl.Boolean,
        "string": have in (pl.String, pl.Categorical, pl.Enum),
        "date": have in (pl.Date, pl.Datetime, pl.String),
        "datetime": have in (pl.Date, pl.Datetime, pl.String),
    }[want]
    if not fits:
        raise _input_type(feature, f"it is {have}")
    try:
        if want in ("date", "datetime") and have == pl.String:
            column = column.str.to_datetime(time_unit="us", time_zone="UTC")
        if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        cast = column.cast(TYPES[want])
        return cast.fill_nan(None) if cast.dtype == pl.Float64 else cast
    except pl.exceptions.PolarsError:
        raise _input_type(feature, "some of its values cannot be read") from None


TYPES: dict[str, pl.DataType] = {
    "number": pl.Float64(),
    "integer": pl.Float64(),
    "boolean": pl.Float64(),
    "string": pl.String(),
    "date": pl.Datetime("us"),
    "datetime": pl.Datetime("us"),
}


def _input_type(feature: Feature, why: str) -> HeadwayError:
    return HeadwayError(
        "model.input_type",
        f"Column {feature.name!r} must be of type {feature.type}, but {why}.",
        value=feature.name,
        remedy=f"Give {feature.type} values, or none where they are not known.",
    )

"""A model that came from elsewhere: MLflow's own wrapper, behind the interface that our pipelines have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from headway.components._shared.errors import HeadwayError

# MLflow's type of an input: pandas type.
PANDAS_TYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    "string": "object",
    "datetime": "datetime64[ns]",
}
# These cannot say that a value is missing.
WHOLE_TYPES = ("long", "integer", "boolean")


class AdoptedModel:
    """An MLflow model folder, loaded.

    Args:
        folder: With an `MLmodel` file that has a signature of named columns.

    Raises:
        HeadwayError: `model.not_loadable`.
    """

    def __init__(self, folder: Path) -> None:
        import mlflow.pyfunc

        try:
            self._model = mlflow.pyfunc.load_model(str(folder))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's model raises
            raise HeadwayError(
                "model.not_loadable",
                f"MLflow cannot load the model: {type(error).__name__}: {str(error)[:300]}",
                remedy="Use an image that holds what the model's requirements.txt names (docs/own-image.md).",
            ) from None
        inputs = self._model.metadata.get_input_schema()
        self.inputs: dict[str, str] = {column.name: column.type.name for column in inputs.inputs}

    @property
    def estimator(self) -> Any:
        """The scikit-learn estimator inside, or None if there is no such thing."""
        if "sklearn" not in self._model.metadata.flavors:
            return None
        return self._model.get_raw_model()

    def predict(self, given: pl.DataFrame) -> npt.NDArray[Any]:
        """Whatever the model's `predict` gives: rows, or rows x columns.

        Raises:
            HeadwayError: `model.input_null`, `model.predict_failed`.
        """
        frame = self._frame(given)
        try:
            return np.asarray(self._model.predict(frame))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's model raises
            raise _failed(error) from None

    def predict_proba(self, given: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Rows x classes, of a scikit-learn classifier."""
        frame = self._frame(given)
        try:
            return np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's model raises
            raise _failed(error) from None

    def _frame(self, given: pl.DataFrame) -> Any:
        """A pandas frame in the types of the model's signature."""
        missing = [name for name, kind in self.inputs.items() if kind in WHOLE_TYPES and given[name].null_count()]
        if missing:
            raise HeadwayError(
                "model.input_null",
                f"The model's signature allows no missing value in {', '.join(missing)}.",
                value=missing,
                remedy="Give a value, or log the model again with these inputs declared as double.",
            )
        frame = given.select(list(self.inputs)).to_pandas()
        return frame.astype({name: PANDAS_TYPES[kind] for name, kind in self.inputs.items()})


def _failed(error: Exception) -> HeadwayError:
    return HeadwayError(
        "model.predict_failed",
        f"The model could not predict: {type(error).__name__}: {str(error)[:300]}",
        remedy="Try the model on the same rows where it was made.",
    )

"""Writes a fitted pipeline as an MLflow model folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import polars as pl

from headway.components._shared.artifacts import Feature
from headway.components._shared.code import library_versions
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.paths import package_of
from headway.components._shared.estimators.payloads import payload_sha256, serialization_of
from headway.components._shared.state import dump_json
from headway.components.training.rows import Rows

MLFLOW_TYPES = {
    "number": "double",
    "integer": "double",  # null is possible anywhere, and MLflow's integers refuse it
    "boolean": "boolean",
    "string": "string",
    "date": "datetime",
    "datetime": "datetime",
}

PROFILE = "profile.json"

# A category of fewer rows than this is not shown in an input example.
SMALLEST_CATEGORY = 10


@contextlib.contextmanager
def model_folder(path: str | Path) -> Iterator[Path]:
    """A folder beside the target that gets its name when everything is written.

    Raises:
        HeadwayError: `model.write_failed`.
    """
    target = Path(path)
    aside = target.with_name(f".aside-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    except OSError as error:
        raise HeadwayError(
            "model.write_failed",
            f"The model could not be written: {error.strerror or error}.",
            value=str(target),
            remedy="Free space or choose another place; nothing half-written was left.",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def save_pipeline(pipeline: Any, folder: Path, rows: Rows) -> str:
    """Writes the MLflow folder (flavours sklearn and python_function); gives how it was serialised."""
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    serialization, trusted = serialization_of(pipeline)
    for name in ("mlflow.models.model", "mlflow.sklearn"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        mlflow.sklearn.save_model(
            pipeline,
            str(folder),
            serialization_format="skops" if serialization == "skops" else "cloudpickle",
            skops_trusted_types=trusted or None,
            signature=signature(rows),
            input_example=input_example(rows.features, rows.inputs).to_pandas(),
            pip_requirements=requirements(pipeline),
        )
    except MlflowException as error:
        if isinstance(error.__cause__, OSError):  # MLflow takes a full disk for a pipeline that skops cannot write
            raise error.__cause__ from None
        raise
    return serialization


def signature(rows: Rows) -> Any:
    """The signature from the schema's types; what MLflow would infer from a polars frame lets anything in."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    label = rows.classes[0] if rows.classes else 0.0
    output = {bool: "boolean", int: "long", str: "string", float: "double"}[type(label)]
    inputs = [ColSpec(MLFLOW_TYPES[f.type], f.name) for f in rows.inputs]
    return ModelSignature(Schema([*inputs]), Schema([ColSpec(output)]))


def input_example(features: pl.DataFrame, inputs: Sequence[Feature]) -> pl.DataFrame:
    """One row that nobody is: medians and most frequent categories."""
    return pl.DataFrame([_typical(features[feature.name], feature) for feature in inputs])


def _typical(column: pl.Series, feature: Feature) -> pl.Series:
    if feature.type == "boolean":
        mean = column.drop_nulls().to_numpy().mean() if column.count() else 0.0
        return pl.Series(column.name, [bool(mean >= 0.5)])
    if feature.type == "string":
        counts = column.alias("value").drop_nulls().value_counts().filter(pl.col("count") >= SMALLEST_CATEGORY)
        common = counts.sort(["count", "value"], descending=[True, False])["value"].to_list()
        return pl.Series(column.name, common[:1] or [None], dtype=pl.String)
    middle = column.drop_nulls().sort()
    return middle.slice(len(middle) // 2, 1) if len(middle) else column.head(1)


def libraries(pipeline: Any) -> dict[str, str]:
    """Name to version of what must be the same where the model is loaded, the estimator's own package included."""
    package = package_of(pipeline[-1])
    names = packages_distributions().get(package, []) if package != "sklearn" else []
    return {**library_versions(), **{name: version(name) for name in names}}


def requirements(pipeline: Any) -> list[str]:
    """Pinned requirements of whatever loads the model; MLflow adds itself."""
    pins = {**libraries(pipeline), "cloudpickle": version("cloudpickle")}
    return [f"{name}=={number}" for name, number in sorted(pins.items()) if name != "mlflow-skinny"]


def model_digest(pipeline: Any, rows: Rows) -> tuple[str, str]:
    """The model's digest and its payload's: what it computes, what it takes, what it gives."""
    payload = payload_sha256(pipeline)
    identity = {
        "payload": payload,
        "features": [f.model_dump() for f in rows.inputs],
        "target": rows.target_name,
        "task": rows.task,
        "classes": list(rows.classes),
    }
    return hashlib.sha256(dump_json(identity)).hexdigest(), payload

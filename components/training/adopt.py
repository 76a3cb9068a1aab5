"""The step adopt_model: makes a Model of ours out of any MLflow model folder, after trying it on real rows."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from headway.components._shared.artifacts import (
    MANIFEST,
    Artifact,
    Feature,
    ModelManifest,
    describe,
    hash_files,
    write_manifest,
)
from headway.components._shared.code import code_digest, library_versions
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, cast_features
from headway.components._shared.estimators.adopted import PANDAS_TYPES, AdoptedModel
from headway.components._shared.estimators.paths import is_classifier
from headway.components._shared.profiles import profile_dataset, write_profile
from headway.components._shared.schemas import Schema, read_schema, require_columns
from headway.components._shared.state import dump_json, run_id
from headway.components._shared.steps import decided, step
from headway.components.training.save import PROFILE, model_folder

Output = Literal["estimator", "labels", "probabilities", "probability", "numbers"]
Task = Literal["binary", "multiclass", "regression"]

# MLflow's types that can carry a column of ours.
CARRIERS = {
    "number": ("double", "float"),
    "integer": ("long", "integer", "double", "float"),
    "boolean": ("boolean", "double", "float", "long", "integer"),
    "string": ("string",),
    "date": ("datetime",),
    "datetime": ("datetime",),
}
TRIED_ROWS = 200


@step("adopt_model")
def adopt(
    model: Artifact,
    schema: Artifact,
    data: Artifact,
    *,
    mlflow_uri: str,
    state_uri: str | None = None,  # noqa: ARG001 - `step` reads it
) -> None:
    """Adopts an MLflow model; see the component's docstring."""
    contract, dataset = read_schema(schema.path), open_dataset(data.path)
    with model_folder(model.path) as folder:
        fetch(mlflow_uri, folder)
        features = check_signature(folder, contract)
        payload = hashlib.sha256(dump_json(_without_record(hash_files(folder)))).hexdigest()
        loaded = AdoptedModel(folder)
        target = contract.one("target")
        require_columns(dataset.columns, [*(f.name for f in features), target], what="The data")
        rows = dataset.scan().select(*(f.name for f in features)).head(TRIED_ROWS).collect()
        labels = dataset.scan().select(pl.col(target).drop_nulls().unique().sort()).collect()[target]
        task, classes, output = reading_of(loaded, cast_features(rows, features), labels)
        write_profile(profile_dataset(dataset, contract), folder / PROFILE)
        identity: dict[str, Any] = {
            "payload": payload,
            "features": [f.model_dump() for f in features],
            "target": target,
            "task": task,
            "classes": list(classes),
        }
        manifest = ModelManifest(
            model_digest=hashlib.sha256(dump_json(identity)).hexdigest(),
            payload_sha256=payload,
            task=task,
            target=target,
            classes=classes,
            features=features,
            schema_=contract,
            estimator=_path_of(loaded),
            serialization="as MLflow found it",
            adopted=output,
            data_fingerprint=dataset.fingerprint,
            code_digest=code_digest(),
            libraries=library_versions(),
            reference_profile=PROFILE,
            run_id=run_id(),
        )
        LoadedModel(manifest, loaded).predict(rows)
        write_manifest(folder, manifest)
    describe(
        model,
        model_digest=manifest.model_digest,
        data_fingerprint=dataset.fingerprint,
        code_digest=manifest.code_digest,
        estimator=manifest.estimator,
        task=task,
    )
    decided(
        f"adopted a {task} model with {len(features)} features; its output is read as {output}",
        rows=len(rows),
        model_digest=manifest.model_digest,
    )


def fetch(uri: str, folder: Path) -> None:
    """Copies an MLflow model folder: a local one, or whatever MLflow can download.

    Raises:
        HeadwayError: `adopt.not_found`, `adopt.not_a_model`.
    """
    try:
        if "://" not in uri and not uri.startswith(("models:", "runs:")):
            shutil.copytree(uri, folder)
        else:
            import mlflow.artifacts

            folder.mkdir()
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
            if found.resolve() != folder.resolve():
                shutil.copytree(found, folder, dirs_exist_ok=True)
                shutil.rmtree(found)
    except Exception as error:  # noqa: BLE001 - every store of MLflow raises its own
        raise HeadwayError(
            "adopt.not_found",
            f"The model could not be fetched: {type(error).__name__}: {str(error)[:300]}",
            value=uri,
            remedy="Give a folder with an MLmodel file, models:/name@alias, runs:/id/model, or a gs:// address.",
        ) from None
    (folder / MANIFEST).unlink(missing_ok=True)
    if not (folder / "MLmodel").is_file():
        raise HeadwayError(
            "adopt.not_a_model",
            "The folder has no MLmodel file.",
            value=uri,
            remedy="Give the folder that mlflow.<flavour>.save_model or log_model wrote.",
        )


def check_signature(folder: Path, schema: Schema) -> tuple[Feature, ...]:
    """The model's inputs as columns of the schema.

    Raises:
        HeadwayError: `adopt.no_signature`, `adopt.no_predict`, `adopt.column_missing`, `adopt.column_type`,
            `adopt.not_a_feature`.
    """
    from mlflow.models import Model

    found = Model.load(str(folder))
    if "python_function" not in found.flavors:
        raise HeadwayError(
            "adopt.no_predict",
            "The model has no python_function flavour, so nothing can ask it.",
            value=sorted(found.flavors),
            remedy="Save it with a flavour that has one, such as mlflow.sklearn or mlflow.pyfunc.",
        )
    inputs: Any = found.get_input_schema()  # type: ignore[no-untyped-call]
    if inputs is None or inputs.is_tensor_spec() or not all(column.name for column in inputs.inputs):
        raise HeadwayError(
            "adopt.no_signature",
            "The model has no signature of named columns, so nothing says what it takes.",
            remedy="Save it again with signature=mlflow.models.infer_signature(a pandas frame, predictions).",
        )
    features = {column.name for column in schema.features()}
    adopted = []
    for column in inputs.inputs:
        known, kind = schema.column(column.name), getattr(column.type, "name", str(column.type))
        if known is None:
            raise _mismatch("column_missing", column.name, "the schema has no such column", kind)
        if known.name not in features:
            raise _mismatch("not_a_feature", column.name, f"the schema gives it the role {known.roles[0]}", kind)
        if kind not in CARRIERS[known.type] or kind not in PANDAS_TYPES:
            raise _mismatch("column_type", column.name, f"the schema says {known.type}", kind)
        adopted.append(Feature(name=known.name, type=known.type))
    return tuple(adopted)


def reading_of(model: AdoptedModel, rows: pl.DataFrame, labels: pl.Series) -> tuple[Task, tuple[Any, ...], Output]:
    """Finds out what a model predicts by asking it.

    Args:
        model: The model.
        rows: Some rows of its features.
        labels: The distinct values of the target, sorted.

    Raises:
        HeadwayError: `adopt.output_unclear`, `adopt.labels_differ`.
    """
    classes = tuple(labels.cast(pl.Int64).to_list() if _whole(labels) else labels.to_list())
    if model.estimator is not None and is_classifier(model.estimator) and hasattr(model.estimator, "predict_proba"):
        classes = _same_labels(tuple(np.asarray(model.estimator.classes_).tolist()), classes)
        return _task(classes), classes, "estimator"
    output = model.predict(rows)
    wide = output.ndim == 2 and output.shape[1] > 1
    if wide and output.shape[1] == len(classes) and np.allclose(output.sum(axis=1), 1, atol=1e-3):
        return _task(classes), classes, "probabilities"
    if wide or len(output) != len(rows):
        raise _unclear(f"it has the shape {output.shape} for {len(rows)} rows and {len(classes)} labels")
    answers = output.reshape(len(output))
    if set(answers.tolist()) <= set(classes) and not labels.dtype.is_float():
        return _task(classes), classes, "labels"
    if not np.issubdtype(answers.dtype, np.number):
        raise _unclear("it is neither a number nor one of the target's labels")
    if len(classes) == 2 and answers.min() >= 0 and answers.max() <= 1:
        return "binary", classes, "probability"
    if labels.dtype.is_numeric():
        return "regression", (), "numbers"
    raise _unclear("it is a number, and the target is not")


def _same_labels(own: tuple[Any, ...], seen: tuple[Any, ...]) -> tuple[Any, ...]:
    """The model's labels in its order, in the type that the data has."""
    typed = {label: label for label in seen}
    if not set(seen) <= set(own):
        raise HeadwayError(
            "adopt.labels_differ",
            f"The data holds labels that the model does not know; it knows {list(own)[:20]}.",
            value=sorted(str(label) for label in set(seen) - set(own))[:20],
            remedy="Map the target to the model's labels at ingestion.",
        )
    return tuple(typed.get(label, label) for label in own)


def _whole(labels: pl.Series) -> bool:
    return labels.dtype.is_float() and bool((labels == labels.round()).all())


def _task(classes: tuple[Any, ...]) -> Task:
    return "binary" if len(classes) == 2 else "multiclass"


def _path_of(model: AdoptedModel) -> str:
    kind = type(model.estimator)
    return "mlflow.pyfunc" if model.estimator is None else f"{kind.__module__}.{kind.__qualname__}"


def _without_record(files: dict[str, str]) -> dict[str, str]:
    """MLmodel holds a random id and a time."""
    return {name: digest for name, digest in files.items() if name != "MLmodel"}


def _mismatch(code: str, column: str, why: str, kind: str) -> HeadwayError:
    return HeadwayError(
        f"adopt.{code}",
        f"The model takes {column!r} as {kind}, but {why}.",
        value=column,
        remedy="Give the schema of the data that the model was trained on, or a model that fits it.",
    )


def _unclear(why: str) -> HeadwayError:
    return HeadwayError(
        "adopt.output_unclear",
        f"What the model predicts cannot be told: {why}.",
        remedy="Let predict give one label or number a row, or for classification the probability of every class.",
    )

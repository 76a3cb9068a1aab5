"""The contract of what flows between steps: metadata keys, and the manifest inside every Model."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Schema
from headway.components._shared.state import dump_json

Document = TypeVar("Document", bound=BaseModel)

MANIFEST = "headway.json"
NO_CHAMPION = "no_champion"

# Every metadata key that the suite writes on an artifact, with its meaning. Flat, strings, numbers and booleans only.
METADATA_KEYS = {
    "rows": "number of rows",
    "columns": "number of columns",
    "size_bytes": "bytes of all files",
    "fingerprint": "sha256 over the content, independent of shard order",
    "time_start": "earliest time, ISO 8601",
    "time_end": "latest time, ISO 8601",
    "sources": "source addresses with generations, joined by commas, shortened",
    "digest": "sha256 of a schema, profile or document",
    "binning": "how finely a profile counts values",
    "curated_by": "who stands for a schema, or `inferred`",
    "quality_score": "0 to 1, see the validation report for its formula",
    "model_digest": "sha256 that identifies a model",
    "code_digest": "sha256 of the code that trained it",
    "data_fingerprint": "fingerprint of the data that trained it",
    "estimator": "import path of the estimator",
    "task": "binary, multiclass or regression",
    "blessed": "whether the verdict lets the model go on",
    "decision": "what a step decided, in words",
    "outcome": "registered, unchanged, refused, deployed, none, found",
    "version": "version in the registry",
    "release_uri": "where the released model lies",
    "endpoint": "address that answers predictions",
    "snapshot": "where an Evidently workspace has a window",
    "trials": "number of trials",
    "best_value": "objective of the best parameters",
}


class Artifact(Protocol):
    """What a step needs of a KFP artifact: a local path, and metadata for people to see."""

    path: str
    metadata: dict[str, Any]


class Metrics(Protocol):
    """A KFP Metrics artifact."""

    path: str

    def log_metric(self, metric: str, value: float) -> None:
        """Shows a number in the UI."""


def show_metrics(metrics: Metrics, values: Mapping[str, float | None]) -> None:
    """Shows finite numbers in the UI, and writes them to the artifact's file.

    kfp.local serves no step from its cache whose outputs are not all there.

    Args:
        metrics: The Metrics artifact.
        values: Name to number; None and non-finite ones are left out, since nothing non-finite may leave a step.
    """
    finite = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    for name, value in finite.items():
        metrics.log_metric(name, value)
    Path(metrics.path).parent.mkdir(parents=True, exist_ok=True)
    Path(metrics.path).write_bytes(dump_json(finite))


def write_document(artifact: Artifact, document: BaseModel | Mapping[str, object]) -> None:
    """Writes the JSON document that an output is, in canonical form."""
    content = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
    Path(artifact.path).write_bytes(dump_json(content))


def read_document(artifact: Artifact, kind: type[Document], parameter: str, component: str) -> Document:
    """Reads the JSON document that another component has written.

    Args:
        artifact: The input.
        kind: What it is.
        parameter: What the input is called.
        component: Which component writes it.

    Raises:
        HeadwayError: `input.unreadable`.
    """
    try:
        return kind.model_validate_json(Path(artifact.path).read_bytes())
    except (OSError, ValueError):
        raise HeadwayError(
            "input.unreadable",
            f"The file given as {parameter!r} is not what {component} writes.",
            value=artifact.path,
            remedy=f"Give the JSON output of {component} unchanged.",
        ) from None


@dataclass
class LocalArtifact:
    """An artifact outside KFP, for notebooks, scripts and tests."""

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def log_metric(self, metric: str, value: float) -> None:
        """Keeps a number in the metadata, as KFP's Metrics does."""
        self.metadata[metric] = value


def describe(artifact: Artifact, **metadata: str | float | bool | None) -> None:
    """Sets declared metadata keys on an artifact; None leaves a key out."""
    unknown = sorted(set(metadata) - set(METADATA_KEYS))
    if unknown:
        raise KeyError(f"undeclared metadata keys: {unknown}")
    artifact.metadata.update({key: value for key, value in metadata.items() if value is not None})


class Feature(Config):
    """One input of a model."""

    name: str
    type: str


class ModelManifest(Config):
    """`headway.json` inside a model folder: who it is, what it was made of, and the hash of every file beside it.

    Attributes:
        model_digest: sha256 over the payload's hash, the signature and the features; equal for equal training.
        payload_sha256: sha256 of the fitted pipeline as joblib writes it with one thread.
        task: What it predicts.
        target: Name of the predicted column.
        classes: Labels in the order of the probability columns; empty for regression.
        features: Inputs in order.
        schema_: The Schema of its training data (`schema` in the file).
        estimator: Import path.
        params: Parameters that the estimator was given.
        seed: Seed of everything random in training.
        serialization: `skops`, or `cloudpickle` with the reason.
        adopted: None for a model of `train_model`; else how the output of an adopted one is read: by its
            `predict_proba` (`estimator`), or its `predict` as `labels`, `probabilities` of every class,
            `probability` of the last class, or `numbers`.
        data_fingerprint: Of the training data.
        code_digest: Of the code that trained it.
        libraries: Name to version of what must match where it is loaded.
        metrics: Figures from training; not what decides about it.
        importance: Feature to permutation importance (loss of the objective when the feature is shuffled).
        reference_profile: File name of the training data's Profile in this folder, if it has one.
        run_id: Pipeline run that made it.
        files: Path below the folder to sha256, of every file but this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[1] = 1
    kind: Literal["model"] = "model"
    model_digest: str
    payload_sha256: str
    task: Literal["binary", "multiclass", "regression"]
    target: str
    classes: tuple[str | int | bool | float, ...] = ()
    features: tuple[Feature, ...]
    schema_: Schema = Field(alias="schema")
    estimator: str
    params: dict[str, Any] = {}
    seed: int = 0
    serialization: str = "skops"
    adopted: Literal["estimator", "labels", "probabilities", "probability", "numbers"] | None = None
    data_fingerprint: str
    code_digest: str
    libraries: dict[str, str] = {}
    metrics: dict[str, float] = {}
    importance: dict[str, float] = {}
    reference_profile: str | None = None
    run_id: str | None = None
    files: dict[str, str] = {}


def read_manifest(folder: str | Path) -> ModelManifest:
    """Reads a model's manifest.

    Raises:
        HeadwayError: `model.not_a_model`: the folder was not made by `train_model` or `adopt_model`.
    """
    return parse(ModelManifest, _read_record(folder), parameter=MANIFEST)


def is_champion(folder: str | Path) -> bool:
    """Whether `resolve_champion` left a champion in this folder, and not the record that there is none.

    Raises:
        HeadwayError: `model.not_a_model`: the folder holds neither.
    """
    if _read_record(folder).get("kind") == NO_CHAMPION:
        return False
    read_manifest(folder)
    return True


def _read_record(folder: str | Path) -> dict[str, object]:
    try:
        return dict(json.loads((Path(folder) / MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError):
        raise HeadwayError(
            "model.not_a_model",
            f"The folder has no readable {MANIFEST}.",
            value=str(folder),
            remedy="Give a Model of train_model; adopt_model turns any MLflow model folder into one.",
        ) from None


def write_manifest(folder: str | Path, manifest: ModelManifest) -> str:
    """Writes the manifest with the hash of every other file in the folder; gives the manifest's own sha256."""
    root = Path(folder)
    data = dump_json(manifest.model_copy(update={"files": hash_files(root)}).model_dump(mode="json", by_alias=True))
    (root / MANIFEST).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """Path to sha256 of every file of a model folder but the manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).as_posix() != MANIFEST)
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def verify_model(folder: str | Path, manifest_sha256: str | None = None) -> ModelManifest:
    """Reads a model's manifest after checking that every file is what it was when the manifest was written.

    Args:
        folder: The model.
        manifest_sha256: What the manifest itself must hash to (a verdict binds it); None trusts the manifest.

    Raises:
        HeadwayError: `model.not_a_model`, or `model.changed` with the files that differ.
    """
    manifest = read_manifest(folder)
    root = Path(folder)
    have = hash_files(root)
    changed = sorted(name for name in have.keys() | manifest.files.keys() if have.get(name) != manifest.files.get(name))
    if manifest_sha256 is not None and manifest_digest(root) != manifest_sha256:
        changed.append(MANIFEST)
    if changed:
        raise HeadwayError(
            "model.changed",
            f"The model's files are not those that were trained and evaluated: {', '.join(changed[:5])}.",
            value=manifest.model_digest,
            remedy="Train and evaluate again; never edit a model's files.",
        )
    return manifest


def manifest_digest(folder: str | Path) -> str:
    """sha256 of the manifest file's bytes, which bind every file of the model."""
    return hashlib.sha256((Path(folder) / MANIFEST).read_bytes()).hexdigest()

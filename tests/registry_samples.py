"""Small models, verdicts and states for the tests of releases and the registry."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headway.components._shared.artifacts import (
    Feature,
    LocalArtifact,
    ModelManifest,
    manifest_digest,
    read_manifest,
    write_manifest,
)
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.tracking.client import Client
from headway.components._shared.verdicts import GateOutcome, SliceOutcome, Verdict, write_verdict

SCHEMA = Schema(
    columns=(
        Column(name="id", type="string", roles=("id",)),
        Column(name="time", type="datetime", roles=("time",)),
        Column(name="origin", type="string"),
        Column(name="distance", type="number"),
        Column(name="late", type="string", roles=("target",)),
    )
)


FEATURES = ("origin", "distance")


def make_model(
    folder: Path, *, name: str = "a", salt: str = "", features: tuple[str, ...] = ("origin", "distance")
) -> Path:
    """A model folder as training leaves it, without a fitted estimator: the door and the registry look at no more.

    Args:
        folder: Where; replaced.
        name: What it learned: another name, another digest.
        salt: What formats add by chance: another salt, other files with the same digest.
        features: Its inputs.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(f"model_uuid: {salt}\n")
    (folder / "data" / "model.skops").write_bytes(f"{name} {salt}".encode() * 50)
    (folder / "input_example.json").write_text(
        json.dumps({"columns": ["origin", "distance"], "data": [["EWR", 719.0]]})
    )
    types = {column.name: column.type for column in SCHEMA.columns}
    manifest = ModelManifest(
        model_digest=hashlib.sha256(f"{name}{features}".encode()).hexdigest(),
        payload_sha256=hashlib.sha256(name.encode()).hexdigest(),
        task="binary",
        target="late",
        classes=("no", "yes"),
        features=tuple(Feature(name=f, type=types.get(f, "number")) for f in features),
        schema_=SCHEMA,
        estimator="sklearn.ensemble.HistGradientBoostingClassifier",
        params={"max_iter": 50},
        data_fingerprint="d" * 64,
        code_digest="c" * 64,
        libraries={"scikit-learn": "1.9.1"},
        metrics={"held_out_roc_auc": 0.71},
        importance={"origin": 0.02, "distance": 0.05},
    )
    write_manifest(folder, manifest)
    return folder


def make_verdict(path: Path, model: Path, *, blessed: bool = True, **changes: object) -> Path:
    """A verdict about a model, as the evaluation leaves it."""
    manifest = read_manifest(model)
    passed = GateOutcome(
        gate="roc_auc lower bound at least 0.68",
        metric="roc_auc",
        limit=0.68,
        value=0.712,
        low=0.708,
        high=0.716,
        passed=blessed,
        reason="0.708 is above 0.68" if blessed else "0.708 is below 0.72",
    )
    verdict = Verdict(
        model_digest=manifest.model_digest,
        manifest_sha256=manifest_digest(model),
        data_fingerprint="e" * 64,
        golden_fingerprint="f" * 64,
        task="binary",
        threshold=0.4,
        metrics={"roc_auc": {"value": 0.712, "low": 0.708, "high": 0.716}, "log_loss": {"value": 0.5}},
        gates=(passed,),
        slices=(SliceOutcome(slice="origin=EWR", metric="roc_auc", rows=9_000, value=0.7, low=0.69, high=0.71),),
        blessed=blessed,
        reason="all 1 gates passed" if blessed else "1 of 1 gates failed",
        time="2026-11-24T12:00:00Z",
    )
    write_verdict(verdict.model_copy(update=changes), path)
    return path


@dataclass(frozen=True)
class Outputs:
    """The outputs of register_model in a folder of their own."""

    registration: LocalArtifact
    card: LocalArtifact

    @property
    def record(self) -> Mapping[str, object]:
        """The registration record."""
        record: dict[str, object] = json.loads(Path(self.registration.path).read_text())
        return record


def outputs(folder: Path) -> Outputs:
    """Places for the outputs of register_model."""
    return Outputs(LocalArtifact(str(folder / "registration.json")), LocalArtifact(str(folder / "card.html")))


def new_state(folder: Path) -> str:
    """A state folder with an empty registry; its database is a copy, since making one takes seconds."""
    folder.mkdir(parents=True)
    shutil.copy(_database(), folder / "mlflow.db")
    return str(folder)


@functools.cache
def _database() -> Path:
    path = Path(tempfile.mkdtemp(prefix="headway-test-")) / "mlflow.db"
    Client(f"sqlite:///{path}")
    return path

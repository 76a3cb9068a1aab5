"""Small real training sets for the tests of training, tuning and whatever needs a model folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from headway.components._shared.artifacts import LocalArtifact, ModelManifest, read_manifest
from headway.components._shared.datasets import write_dataset
from headway.components._shared.schemas import Column, Schema, write_schema
from headway.components.training.train import train

CLASSIFIER = "sklearn.ensemble.HistGradientBoostingClassifier"
REGRESSOR = "sklearn.ensemble.HistGradientBoostingRegressor"


class Homemade(LogisticRegression):  # type: ignore[misc]
    """An estimator that no list of trusted types knows."""


class Fragile(DummyClassifier):  # type: ignore[misc]
    """An estimator that misbehaves when it is told to."""

    def __init__(self, behaviour: str = "default") -> None:
        super().__init__()
        self.behaviour = behaviour

    def fit(self, features: Any, target: Any, sample_weight: Any = None) -> Fragile:
        if self.behaviour == "raise":
            raise ValueError("this one cannot be fitted")
        if self.behaviour == "die":
            print("last words", file=sys.stderr, flush=True)
            os._exit(3)
        if self.behaviour == "hang":
            print("it takes its time", file=sys.stderr, flush=True)
            time.sleep(600)
        print("a library that talks on stdout")
        super().fit(features, target, sample_weight)
        return self

    def predict_proba(self, features: Any) -> Any:
        probabilities = super().predict_proba(features)
        return probabilities * np.nan if self.behaviour == "not finite" else probabilities


def customers(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    """Customers of which some leave: numbers, integers, strings and booleans, with missing values in each."""
    draw = np.random.default_rng(seed)
    charge = draw.normal(60, 20, rows)
    contract = draw.choice(["month", "year", "two years"], rows, p=[0.6, 0.3, 0.1])
    leaves = draw.random(rows) < 1 / (1 + np.exp(-(charge - 60) / 15 - 2 * (contract == "month") + 2))
    frame = pl.DataFrame(
        {
            "id": [f"c{number:05d}" for number in range(rows)],
            "signed": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(rows)],
            "charge": charge,
            "months": draw.integers(0, 72, rows),
            "contract": contract,
            "paperless": draw.random(rows) < 0.5,
            "email": [f"person{number}@example.org" for number in range(rows)],
            "spend": charge * 12 + draw.normal(0, 40, rows),
            "plan": draw.choice(["basic", "plus", "pro"], rows),
            "churned": leaves,
        }
    )
    missing = pl.int_range(pl.len()) % 17 == 3
    return frame.with_columns(
        pl.when(~missing).then(pl.col(name)) for name in ("charge", "months", "contract", "paperless")
    )


def customer_schema(target: str = "churned", **roles: Any) -> Schema:
    """Their schema; every other possible target is left out."""
    columns = (
        Column(name="id", type="string", roles=("id",)),
        Column(name="signed", type="datetime", roles=roles.get("signed", ("time",))),
        Column(name="charge", type="number"),
        Column(name="months", type="integer", roles=roles.get("months", ())),
        Column(name="contract", type="string", roles=roles.get("contract", ())),
        Column(name="paperless", type="boolean"),
        Column(name="email", type="string", roles=("personal",)),
        Column(
            name=target,
            type={"churned": "boolean", "spend": "number", "plan": "string"}.get(target, "string"),
            roles=("target",),
        ),
    )
    return Schema(columns=columns)


def stored(folder: Path, frame: pl.DataFrame, schema: Schema) -> tuple[LocalArtifact, LocalArtifact]:
    """The frame as a Dataset and the schema as a file."""
    write_dataset({"rows": frame}, folder / "data")
    write_schema(schema, folder / "schema.json")
    return LocalArtifact(str(folder / "data")), LocalArtifact(str(folder / "schema.json"))


def trained(
    folder: Path, frame: pl.DataFrame | None = None, schema: Schema | None = None, **given: Any
) -> tuple[Path, ModelManifest]:
    """Trains a small model with the real step."""
    data, contract = stored(folder, customers() if frame is None else frame, schema or customer_schema())
    model, metrics = LocalArtifact(str(folder / "model")), LocalArtifact(str(folder / "metrics"))
    settings: Mapping[str, Any] = {
        "estimator": CLASSIFIER,
        "params": {"max_iter": 20},
        "class_weight": {},
        **given,
    }
    train(data, contract, model, metrics, **settings)
    return Path(model.path), read_manifest(model.path)

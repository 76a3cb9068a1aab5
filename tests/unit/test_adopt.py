"""The step adopt_model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import polars as pl
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression, LogisticRegression

from headway.components._shared.artifacts import LocalArtifact, ModelManifest, verify_model
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.schemas import Column, Schema
from headway.components.training.adopt import adopt
from tests.tabular_samples import customer_schema, customers, stored, trained

FRAME = customers(300).select("id", "signed", "charge", "months", "spend", "plan", "email", "churned").drop_nulls()
INPUTS = FRAME.select("charge", pl.col("months").cast(pl.Float64)).to_pandas()
LABELS = FRAME["churned"].to_numpy()


class Scores(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """A model of somebody's own whose answer has the shape that a test asks for."""

    def __init__(self, shape: str) -> None:
        self.shape = shape

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        score = 1 / (1 + np.exp(-(model_input["charge"].to_numpy() - 60) / 15))
        return {
            "probability": score,
            "probabilities": np.column_stack([1 - score, score]),
            "labels": np.where(score > 0.5, "pro", "basic"),
            "numbers": score * 900,
            "three": np.column_stack([score, score, score]),
            "nonsense": np.full(len(score), "what"),
        }[self.shape]


def schema(target: str = "churned") -> Schema:
    return Schema(columns=tuple(c for c in customer_schema(target).columns if c.name not in ("contract", "paperless")))


def saved(folder: Path, **given: Any) -> str:
    settings = {"sk_model": LogisticRegression().fit(INPUTS, LABELS), "signature": infer_signature(INPUTS, LABELS)}
    mlflow.sklearn.save_model(path=str(folder / "theirs"), pip_requirements=["scikit-learn"], **{**settings, **given})
    return str(folder / "theirs")


def saved_pyfunc(folder: Path, shape: str) -> str:
    signature = infer_signature(INPUTS, np.zeros(3))
    mlflow.pyfunc.save_model(
        str(folder / "theirs"), python_model=Scores(shape), signature=signature, pip_requirements=["numpy"]
    )
    return str(folder / "theirs")


def adopted(folder: Path, uri: str, contract: Schema | None = None, frame: pl.DataFrame = FRAME) -> ModelManifest:
    data, given = stored(folder, frame, contract or schema())
    model = LocalArtifact(str(folder / "model"))
    adopt(model, given, data, mlflow_uri=uri)
    return verify_model(model.path)


def refused(folder: Path, uri: str, contract: Schema | None = None, frame: pl.DataFrame = FRAME) -> str:
    with pytest.raises(HeadwayError) as caught:
        adopted(folder, uri, contract, frame)
    assert not (folder / "model").exists()
    assert not list(folder.glob(".aside-*"))
    return f"{caught.value.code}: {caught.value}"


def test_a_scikit_learn_model_keeps_its_probabilities(tmp_path: Path) -> None:
    uri = saved(tmp_path)
    manifest = adopted(tmp_path, uri)
    assert (manifest.task, manifest.adopted, manifest.classes) == ("binary", "estimator", (False, True))
    assert [(f.name, f.type) for f in manifest.features] == [("charge", "number"), ("months", "integer")]
    predicted = load_model(tmp_path / "model").predict(FRAME)
    theirs = LogisticRegression().fit(INPUTS, LABELS).predict_proba(INPUTS)
    assert predicted.probabilities is not None
    assert np.allclose(predicted.probabilities, theirs)


def test_the_same_model_has_the_same_digest_when_it_is_saved_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    kept = saved(tmp_path / "one")
    one, two = adopted(tmp_path / "one", kept), adopted(tmp_path / "two", kept)
    assert one.model_digest == two.model_digest


def test_a_regressor_gives_numbers(tmp_path: Path) -> None:
    numbers = FRAME["spend"].to_numpy()
    uri = saved(tmp_path, sk_model=LinearRegression().fit(INPUTS, numbers), signature=infer_signature(INPUTS, numbers))
    manifest = adopted(tmp_path, uri, schema("spend"))
    assert (manifest.task, manifest.adopted, manifest.classes) == ("regression", "numbers", ())
    assert np.corrcoef(load_model(tmp_path / "model").predict(FRAME).values, numbers)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("shape", "target", "task"),
    [
        ("probability", "churned", "binary"),
        ("probabilities", "churned", "binary"),
        ("labels", "plan", "multiclass"),
        ("numbers", "spend", "regression"),
    ],
)
def test_a_model_of_somebodys_own_is_read_by_what_it_answers(
    tmp_path: Path, shape: str, target: str, task: str
) -> None:
    manifest = adopted(tmp_path, saved_pyfunc(tmp_path, shape), schema(target))
    assert (manifest.adopted, manifest.task) == (shape, task)
    predicted = load_model(tmp_path / "model").predict(FRAME)
    assert (predicted.probabilities is not None) == (task == "binary")
    if task == "binary":
        assert np.array_equal(predicted.values, FRAME["charge"].to_numpy() > 60)
    if task == "multiclass":
        assert set(predicted.values) == {"basic", "pro"}


def test_our_own_model_folder_can_be_adopted_again(tmp_path: Path) -> None:
    folder, own = trained(tmp_path / "own")
    data, contract = stored(tmp_path, customers().drop_nulls(), customer_schema())
    adopt(LocalArtifact(str(tmp_path / "model")), contract, data, mlflow_uri=str(folder))
    manifest = verify_model(tmp_path / "model")
    assert manifest.features == own.features
    frame = customers().drop_nulls()
    one, two = load_model(folder).predict(frame), load_model(tmp_path / "model").predict(frame)
    assert np.allclose(one.probabilities, two.probabilities)  # type: ignore[arg-type]


def test_missing_values_are_refused_where_the_signature_has_whole_numbers(tmp_path: Path) -> None:
    whole = INPUTS.astype({"months": "int64"})
    uri = saved(tmp_path, signature=infer_signature(whole, LABELS))
    adopted(tmp_path, uri)
    with pytest.raises(HeadwayError) as caught:
        load_model(tmp_path / "model").predict(FRAME.with_columns(months=pl.lit(None)))
    assert caught.value.code == "model.input_null"
    assert "no missing value in months" in str(caught.value)


def test_a_place_without_a_model_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, str(tmp_path / "nowhere")).startswith("adopt.not_found")
    (tmp_path / "empty").mkdir()
    says = refused(tmp_path, str(tmp_path / "empty"))
    assert says.startswith("adopt.not_a_model")
    assert "no MLmodel file" in says


def test_a_model_without_a_signature_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, saved(tmp_path, signature=None)).startswith("adopt.no_signature")


def test_a_model_without_a_predict_is_refused(tmp_path: Path) -> None:
    uri = saved(tmp_path)
    path = Path(uri) / "MLmodel"
    path.write_text(path.read_text().replace("python_function:", "something_else:"))
    assert refused(tmp_path, uri).startswith("adopt.no_predict")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"charge": None}, "column_missing", "'charge' as double, but the schema has no such column"),
        ({"charge": {"type": "string"}}, "column_type", "'charge' as double, but the schema says string"),
        ({"charge": {"roles": ("personal",)}}, "not_a_feature", "the schema gives it the role personal"),
    ],
)
def test_a_signature_that_does_not_fit_the_schema_is_named(
    tmp_path: Path, change: dict[str, Any], code: str, message: str
) -> None:
    columns = [
        Column(**{**c.model_dump(), **(change[c.name] or {})}) if c.name in change else c
        for c in schema().columns
        if change.get(c.name, 0) is not None
    ]
    says = refused(tmp_path, saved(tmp_path), Schema(columns=tuple(columns)))
    assert says.startswith(f"adopt.{code}")
    assert message in says


@pytest.mark.parametrize(("shape", "target"), [("three", "churned"), ("nonsense", "plan"), ("numbers", "plan")])
def test_an_answer_that_means_nothing_is_refused(tmp_path: Path, shape: str, target: str) -> None:
    assert refused(tmp_path, saved_pyfunc(tmp_path, shape), schema(target)).startswith("adopt.output_unclear")


def test_labels_that_the_model_does_not_know_are_refused(tmp_path: Path) -> None:
    says = refused(tmp_path, saved(tmp_path), schema("plan"))
    assert says.startswith("adopt.labels_differ")
    assert "it knows [False, True]" in says


def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    uri = saved(tmp_path)
    next(Path(uri).glob("model.*")).write_bytes(b"broken")
    assert refused(tmp_path, uri).startswith("model.not_loadable")


def test_the_record_says_where_it_came_from(tmp_path: Path) -> None:
    adopted(tmp_path, saved(tmp_path))
    manifest = json.loads((tmp_path / "model" / "headway.json").read_text())
    assert manifest["estimator"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert manifest["serialization"] == "as MLflow found it"


def test_a_registered_model_is_fetched_from_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    mlflow.sklearn.log_model(
        LogisticRegression().fit(INPUTS, LABELS),
        name="model",
        registered_model_name="theirs",
        signature=infer_signature(INPUTS, LABELS),
        pip_requirements=["scikit-learn"],
    )
    assert adopted(tmp_path, "models:/theirs/1").adopted == "estimator"

"""Loading a model and predicting with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, load_model
from headway.components._shared.estimators.objectives import find_objective
from headway.components._shared.estimators.paths import make_estimator, settled
from headway.components._shared.estimators.payloads import payload_sha256, read_pipeline
from tests.tabular_samples import CLASSIFIER, REGRESSOR, customer_schema, customers, trained


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder, _ = trained(tmp_path_factory.mktemp("model"))
    return load_model(folder)


def probabilities(model: LoadedModel, frame: pl.DataFrame) -> Any:
    predicted = model.predict(frame).probabilities
    assert predicted is not None
    return predicted


def refused(model: LoadedModel, frame: pl.DataFrame) -> HeadwayError:
    with pytest.raises(HeadwayError) as caught:
        model.predict(frame)
    return caught.value


def test_probabilities_stand_in_the_order_of_the_manifests_classes(model: LoadedModel) -> None:
    predicted = model.predict(customers())
    assert model.manifest.classes == (False, True)
    assert predicted.probabilities is not None
    assert np.allclose(predicted.probabilities.sum(axis=1), 1)
    assert np.array_equal(predicted.values, predicted.probabilities[:, 1] > 0.5)


def test_column_order_and_extra_columns_do_not_matter(model: LoadedModel) -> None:
    frame = customers(50)
    turned = frame.select(reversed(frame.columns)).with_columns(extra=pl.lit(1))
    assert np.array_equal(model.predict(frame).values, model.predict(turned).values)


def test_a_category_that_training_never_saw_counts_as_missing(model: LoadedModel) -> None:
    frame = customers(50)
    strange = frame.with_columns(contract=pl.lit("never seen"))
    missing = frame.with_columns(contract=pl.lit(None, dtype=pl.String))
    assert np.array_equal(probabilities(model, strange), probabilities(model, missing))


def test_every_feature_may_be_missing(model: LoadedModel) -> None:
    frame = customers(5).with_columns(pl.lit(None).alias(f.name) for f in model.manifest.features)
    assert np.isfinite(probabilities(model, frame)).all()


def test_a_missing_column_is_named(model: LoadedModel) -> None:
    error = refused(model, customers(5).drop("charge"))
    assert error.code == "data.column_missing"
    assert "lacks the column 'charge'" in str(error)


@pytest.mark.parametrize(
    ("column", "value"), [("charge", "much"), ("contract", 3), ("paperless", 1), ("months", "twelve")]
)
def test_a_column_of_the_wrong_type_is_refused_and_its_values_are_not_told(
    model: LoadedModel, column: str, value: object
) -> None:
    error = refused(model, customers(5).with_columns(pl.lit(value).alias(column)))
    assert error.code == "model.input_type"
    assert f"Column {column!r} must be of type" in str(error)
    assert "much" not in str(error)


def test_infinite_values_are_refused(model: LoadedModel) -> None:
    error = refused(model, customers(5).with_columns(charge=pl.lit(float("inf"))))
    assert error.code == "model.input_infinite"
    assert "There are infinite values in charge" in str(error)


def test_one_row_is_enough(model: LoadedModel) -> None:
    assert len(model.predict(customers(1)).values) == 1


def test_a_folder_without_a_model_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(HeadwayError, match=r"neither model\.skops nor model\.pkl"):
        read_pipeline(tmp_path)


def test_a_file_of_a_strange_type_is_not_loaded(tmp_path: Path) -> None:
    import skops.io

    class_path = skops.io.dumps(Path("/x"))
    (tmp_path / "model.skops").write_bytes(class_path)
    with pytest.raises(HeadwayError) as caught:
        read_pipeline(tmp_path)
    assert caught.value.code == "model.type_untrusted"
    assert "pathlib" in str(caught.value)


def test_dates_become_calendar_parts_and_are_read_from_text_too(tmp_path: Path) -> None:
    schema = customer_schema(signed=())
    folder, manifest = trained(tmp_path, schema=schema)
    assert manifest.serialization == "skops"
    frame = customers(50)
    text = frame.with_columns(pl.col("signed").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    zoned = frame.with_columns(pl.col("signed").dt.convert_time_zone("Asia/Tokyo"))
    model = load_model(folder)
    expected = probabilities(model, frame)
    assert np.array_equal(probabilities(model, text), expected)
    assert np.array_equal(probabilities(model, zoned), expected)
    assert refused(model, frame.with_columns(signed=pl.lit("yesterday"))).code == "model.input_type"


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ("sklearn.linear_model.LogisticRegression", {}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 5}),
        ("sklearn.neighbors.KNeighborsClassifier", {}),
        ("sklearn.naive_bayes.GaussianNB", {}),
        ("sklearn.svm.LinearSVC", {}),
        ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 5}),
        ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": [4], "max_iter": 30}),
        ("xgboost.XGBClassifier", {"n_estimators": 5}),
        ("lightgbm.LGBMClassifier", {"n_estimators": 5}),
    ],
)
@pytest.mark.parametrize("target", ["churned", "plan"])
def test_any_classifier_takes_categories_nulls_and_text_labels(
    tmp_path: Path, estimator: str, params: dict[str, object], target: str
) -> None:
    folder, manifest = trained(tmp_path, schema=customer_schema(target), estimator=estimator, params=params)
    predicted = load_model(folder).predict(customers(60, seed=1).with_columns(contract=pl.lit("never seen")))
    assert set(predicted.values.tolist()) <= set(manifest.classes)
    assert manifest.task == ("binary" if target == "churned" else "multiclass")
    assert (predicted.probabilities is None) == (estimator == "sklearn.svm.LinearSVC")
    assert manifest.serialization == "skops"


@pytest.mark.parametrize(
    "estimator", [REGRESSOR, "sklearn.linear_model.Ridge", "xgboost.XGBRegressor", "lightgbm.LGBMRegressor"]
)
def test_any_regressor_predicts_numbers(tmp_path: Path, estimator: str) -> None:
    folder, manifest = trained(tmp_path, schema=customer_schema("spend"), estimator=estimator, params={})
    predicted = load_model(folder).predict(customers(seed=1))
    truth = customers(seed=1)["spend"].to_numpy()
    assert manifest.task == "regression"
    assert manifest.classes == ()
    assert predicted.probabilities is None
    assert np.corrcoef(predicted.values, truth)[0, 1] > 0.8


@pytest.mark.parametrize("estimator", [CLASSIFIER, "xgboost.XGBClassifier", "lightgbm.LGBMClassifier"])
def test_a_category_is_a_category_and_not_a_number(tmp_path: Path, estimator: str) -> None:
    """Codes are sorted by name; only one of the middle is positive: one split on a category, two on a number."""
    draw = np.random.default_rng(0)
    letters = draw.choice(list("abcdefg"), 600)
    frame = customers(600).with_columns(contract=pl.Series(letters), churned=pl.Series(np.isin(letters, ["b", "d"])))
    params = {"max_depth": 1} | ({"max_iter": 1} if estimator == CLASSIFIER else {"n_estimators": 1})
    if estimator == "lightgbm.LGBMClassifier":
        params |= {"min_child_samples": 1}
    folder, _ = trained(tmp_path, frame, estimator=estimator, params=params)
    positive = probabilities(load_model(folder), frame)[:, 1]
    wanted = np.isin(letters, ["b", "d"])
    assert positive[wanted].min() > positive[~wanted].max()


@pytest.mark.parametrize(
    ("estimator", "given", "expected"),
    [
        (CLASSIFIER, {"max_iter": 100.0, "max_depth": 3.0, "learning_rate": 1}, [1.0, 3, 100]),
        (CLASSIFIER, {"max_features": 1, "early_stopping": True, "max_depth": None}, [True, None, 1.0]),
        ("sklearn.ensemble.RandomForestRegressor", {"max_features": 5.0, "min_samples_leaf": 1.0}, [5, 1]),
        ("sklearn.ensemble.RandomForestClassifier", {"max_features": 1.0, "max_samples": 100.0}, [1.0, 100]),
        ("sklearn.ensemble.RandomForestClassifier", {"max_features": 1}, [1]),
        ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": [4.0, 2.0]}, [[4, 2]]),
    ],
)
def test_numbers_take_the_estimators_own_types(estimator: str, given: dict[str, Any], expected: list[Any]) -> None:
    found = settled(estimator, given)
    assert list(found) == sorted(given)
    assert repr(list(found.values())) == repr(expected)
    assert repr(settled(estimator, found)) == repr(found)


def test_the_order_of_parameters_changes_no_byte_however_deep() -> None:
    path = "sklearn.neighbors.KNeighborsClassifier"
    one = {"metric_params": {"a": {"x": 1, "y": 2}, "b": 2.0}, "n_neighbors": 3, "weights": "distance"}
    two = {"weights": "distance", "n_neighbors": 3.0, "metric_params": {"b": 2, "a": {"y": 2, "x": 1.0}}}
    assert payload_sha256(make_estimator(path, one, 0)) == payload_sha256(make_estimator(path, two, 0))


@pytest.mark.parametrize(
    ("name", "task", "says"),
    [
        ("roc_uac", "binary", "There is no objective 'roc_uac'"),
        ("roc_uac", "multiclass", "Did you mean 'roc_auc'? Objectives of a multiclass model: accuracy, "),
        ("mean_square_error", "regression", "Did you mean 'mean_squared_error'?"),
        ("rmse", "binary", "The objective 'rmse' cannot judge a binary model"),
        ("roc_auc", "regression", "Objectives of a regression model: "),
    ],
)
def test_an_objective_that_does_not_fit_is_named_with_those_that_do(name: str, task: Any, says: str) -> None:
    with pytest.raises(HeadwayError) as caught:
        find_objective(name, task)
    assert says in str(caught.value)
    assert caught.value.value == name

"""The step train_model."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest, verify_model
from headway.components._shared.code import code_digest
from headway.components._shared.datasets import open_dataset, write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.estimators.tunings import Trial, TuningResult, write_tuning
from headway.components._shared.schemas import Column, Schema
from tests.tabular_samples import CLASSIFIER, REGRESSOR, customer_schema, customers, stored, trained

ROOT = Path(__file__).parents[2]


def refused(folder: Path, frame: pl.DataFrame | None = None, schema: Schema | None = None, **given: Any) -> str:
    with pytest.raises(HeadwayError) as caught:
        trained(folder, frame, schema, **given)
    assert not (folder / "model").exists()
    return f"{caught.value.code}: {caught.value}"


# What comes out


def test_the_same_call_gives_the_same_digest_in_any_process(tmp_path: Path) -> None:
    _, manifest = trained(tmp_path / "here")
    script = (
        "import sys; from pathlib import Path; from tests.tabular_samples import trained;"
        "print(trained(Path(sys.argv[1]))[1].model_digest)"
    )
    for seed, threads in (("1", "1"), ("2", "2")):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == manifest.model_digest


@pytest.mark.parametrize("estimator", ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier"])
def test_boosters_from_elsewhere_repeat_themselves_too(tmp_path: Path, estimator: str) -> None:
    given: dict[str, Any] = {"estimator": estimator, "params": {"n_estimators": 5, "subsample": 0.5}}
    one, two = trained(tmp_path / "one", **given)[1], trained(tmp_path / "two", **given)[1]
    assert one.model_digest == two.model_digest


def test_names_and_order_of_shards_do_not_matter(tmp_path: Path) -> None:
    _, manifest = trained(tmp_path / "one")
    frame = customers()
    write_dataset({"z": frame[:150], "a": frame[150:]}, tmp_path / "two" / "data")
    shards = open_dataset(tmp_path / "two" / "data")
    _, again = trained(tmp_path / "two", shards.read())
    assert again.model_digest == manifest.model_digest


def test_numbers_that_kfp_turned_around_change_nothing(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", params={"max_iter": 20, "max_depth": 3, "l2_regularization": 1.0})[1]
    two = trained(tmp_path / "two", params={"l2_regularization": 1, "max_depth": 3.0, "max_iter": 20.0}, seed=0.0)[1]
    assert one.model_digest == two.model_digest
    assert repr(one.params) == repr(two.params) == "{'l2_regularization': 1.0, 'max_depth': 3, 'max_iter': 20}"


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"max_iter": 21}},
        {"class_weight": {"mode": "balanced"}},
        {"frame": customers(seed=1)},
        {"schema": customer_schema("plan")},
    ],
)
def test_whatever_changes_the_model_changes_its_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert trained(tmp_path / "one")[1].model_digest != trained(tmp_path / "two", **change)[1].model_digest


def test_the_seed_decides_what_is_random(tmp_path: Path) -> None:
    given: dict[str, Any] = {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 5}}
    digests = {seed: trained(tmp_path / str(seed), seed=seed, **given)[1].model_digest for seed in (0, 1)}
    assert digests[0] != digests[1]


def test_the_folder_is_whole_and_its_manifest_knows_every_file(tmp_path: Path) -> None:
    folder, manifest = trained(tmp_path)
    assert verify_model(folder) == manifest
    assert {"MLmodel", "model.skops", "profile.json", "requirements.txt", "input_example.json"} <= set(manifest.files)
    assert manifest.code_digest == code_digest()
    assert manifest.data_fingerprint == open_dataset(tmp_path / "data").fingerprint
    assert manifest.reference_profile == "profile.json"
    assert not list(tmp_path.glob(".aside-*"))


def test_an_edited_file_is_noticed(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path)
    (folder / "requirements.txt").write_text("scikit-learn==0.1\n")
    with pytest.raises(HeadwayError, match=r"requirements\.txt"):
        verify_model(folder)


def test_mlflow_serves_the_same_predictions_and_refuses_malformed_rows(tmp_path: Path) -> None:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    folder, manifest = trained(tmp_path)
    loaded = mlflow.pyfunc.load_model(str(folder))
    frame = customers(100, seed=3)
    pandas = frame.with_columns(pl.col("months").cast(pl.Float64)).drop_nulls("paperless").to_pandas()
    ours = load_model(folder).predict(frame.drop_nulls("paperless")).values
    assert np.array_equal(np.asarray(loaded.predict(pandas)), ours)
    assert loaded.metadata.get_input_schema().input_names() == [f.name for f in manifest.features]
    with pytest.raises(MlflowException, match="missing inputs"):
        loaded.predict(pandas.drop(columns="charge"))
    with pytest.raises(MlflowException):
        loaded.predict(pandas.assign(charge="much"))


def test_requirements_are_pinned_and_name_the_estimators_package(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path, estimator="xgboost.XGBClassifier", params={"n_estimators": 3})
    lines = (folder / "requirements.txt").read_text().split()
    assert all("==" in line for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert {"scikit-learn", "numpy", "skops", "mlflow"} <= names
    assert names & {"xgboost", "xgboost-cpu"}


def test_no_personal_value_is_in_any_file(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path)
    for path in folder.rglob("*"):
        assert not path.is_file() or b"example.org" not in path.read_bytes(), path.name


def test_the_input_example_shows_nobody_and_no_rare_category(tmp_path: Path) -> None:
    frame = customers().with_columns(contract=pl.Series([f"only {i}" for i in range(400)]))
    folder, _ = trained(tmp_path, frame)
    example = json.loads((folder / "input_example.json").read_text())
    row = dict(zip(example["columns"], example["data"][0], strict=True))
    assert set(row) == {"charge", "months", "contract", "paperless"}
    assert row["contract"] is None


def test_an_untrusted_type_is_written_as_cloudpickle_with_the_reason(tmp_path: Path) -> None:
    folder, manifest = trained(tmp_path, estimator="tests.tabular_samples.Homemade", params={})
    assert manifest.serialization.startswith("cloudpickle: tests.tabular_samples.Homemade is not on the list")
    assert (folder / "model.pkl").is_file()
    assert len(load_model(folder).predict(customers(10)).values) == 10


def test_importance_tells_signal_from_noise(tmp_path: Path) -> None:
    frame = customers(2000).with_columns(months=pl.Series(np.random.default_rng(1).integers(0, 9, 2000)))
    importance = trained(tmp_path, frame)[1].importance
    assert importance["charge"] > 0.05 > abs(importance["months"])


def test_constant_and_empty_columns_are_named_and_do_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    frame = customers().with_columns(charge=pl.lit(None, dtype=pl.Float64), contract=pl.lit("year"))
    os.environ["HEADWAY_RUN_ID"] = "r1"
    try:
        trained(tmp_path, frame, state_uri=str(state))
    finally:
        del os.environ["HEADWAY_RUN_ID"]
    record = json.loads((state / "runs/r1/steps/train_model.json").read_text())
    assert record["details"]["silent_features"] == ["charge", "contract"]
    assert "constant or empty: charge, contract" in record["decision"]


@pytest.mark.parametrize("estimator", [CLASSIFIER, "sklearn.linear_model.LogisticRegression"])
def test_more_categories_than_an_estimator_takes_are_folded(tmp_path: Path, estimator: str) -> None:
    frame = customers(2000).with_columns(contract=pl.Series([f"c{i % 700}" for i in range(2000)]))
    folder, _ = trained(tmp_path, frame, estimator=estimator, params={})
    assert len(load_model(folder).predict(frame).values) == 2000


def test_balanced_weights_find_more_of_the_rare_class(tmp_path: Path) -> None:
    frame = customers(1000).filter((pl.col("churned").not_()) | (pl.int_range(pl.len()) % 8 == 0))
    found = {}
    for name, weights in (("equal", {}), ("balanced", {"mode": "balanced"}), ("given", {"False": 1.0, "True": 8})):
        folder, _ = trained(tmp_path / name, frame, class_weight=weights)
        found[name] = int(load_model(folder).predict(frame).values.sum())
    assert found["equal"] < found["balanced"]
    assert found["equal"] < found["given"]


# What cannot be trained


def test_a_target_with_nulls_is_refused_with_the_count(tmp_path: Path) -> None:
    frame = customers().with_columns(churned=pl.when(pl.int_range(pl.len()) >= 7).then("churned"))
    says = refused(tmp_path, frame)
    assert says.startswith("training.target_null")
    assert "The target 'churned' is missing in 7 of 400 rows" in says
    assert "split_data" in says


def test_a_target_with_one_class_is_refused(tmp_path: Path) -> None:
    says = refused(tmp_path, customers().with_columns(churned=pl.lit(True)))
    assert says.startswith("training.one_class")
    assert "The target 'churned' holds one class only" in says


def test_one_row_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, customers(1)).startswith("training.too_few_rows: [training.too_few_rows] One row teaches")


def test_infinite_values_are_refused_with_their_columns(tmp_path: Path) -> None:
    frame = customers().with_columns(charge=pl.when(pl.int_range(pl.len()) == 5).then(float("inf")).otherwise("charge"))
    says = refused(tmp_path, frame)
    assert says.startswith("model.input_infinite")
    assert "There are infinite values in charge" in says


def test_an_infinite_target_is_refused(tmp_path: Path) -> None:
    frame = customers().with_columns(spend=pl.when(pl.int_range(pl.len()) == 5).then(float("inf")).otherwise("spend"))
    says = refused(tmp_path, frame, customer_schema("spend"), estimator=REGRESSOR)
    assert says.startswith("training.target_infinite")
    assert "infinite in 1 rows" in says


def test_features_that_say_nothing_at_all_are_refused(tmp_path: Path) -> None:
    names = ["charge", "months", "contract", "paperless"]
    says = refused(tmp_path, customers().with_columns(pl.lit(None).alias(name) for name in names))
    assert says.startswith("training.no_features")
    assert "every one is constant or empty" in says


def test_a_missing_target_column_is_named(tmp_path: Path) -> None:
    says = refused(tmp_path, customers().drop("churned"))
    assert says.startswith("data.column_missing")
    assert "The training data lacks the column 'churned'" in says


def test_a_classifier_refuses_a_quantity(tmp_path: Path) -> None:
    says = refused(tmp_path, schema=customer_schema("spend"))
    assert says.startswith("training.target_is_a_quantity")
    assert "different numbers: it is a quantity, and a classifier predicts classes" in says
    assert "Set estimator to a regressor, such as sklearn.ensemble.HistGradientBoostingRegressor" in says


def test_a_whole_number_target_of_many_values_is_no_set_of_classes(tmp_path: Path) -> None:
    spread = np.random.default_rng(0).normal(30, 9, 400).round().astype(int)
    frame = customers().with_columns(plan=pl.Series(spread))
    columns = [
        c.model_copy(update={"type": "integer"} if c.name == "plan" else {}) for c in customer_schema("plan").columns
    ]
    says = refused(tmp_path, frame, Schema(columns=tuple(columns)))
    assert says.startswith("training.target_is_a_quantity")
    assert "some of them only once" in says
    assert "HistGradientBoostingRegressor" in says


def test_a_regressor_refuses_text(tmp_path: Path) -> None:
    says = refused(tmp_path, schema=customer_schema("plan"), estimator=REGRESSOR)
    assert says.startswith("training.target_not_numeric")
    assert "Set estimator to a classifier, such as sklearn.ensemble.HistGradientBoostingClassifier" in says


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("sklearn.ensemble.Nothing", "Estimators of sklearn.ensemble: AdaBoostClassifier, "),
        ("HistGradientBoostingClassifer", "Did you mean 'sklearn.ensemble.HistGradientBoostingClassifier'?"),
        ("sklearn.linear.LogisticRegression", "Did you mean 'sklearn.linear_model.LogisticRegression'?"),
        ("xgboost.XGBClasifier", "Did you mean 'xgboost.XGBClassifier'?"),
        ("nowhere.at.All", "the package 'nowhere' is not installed where the step runs"),
        ("", "There is no estimator ''"),
    ],
)
def test_an_unknown_estimator_is_named_with_the_likely_one(tmp_path: Path, path: str, hint: str) -> None:
    says = refused(tmp_path, estimator=path)
    assert says.startswith("estimator.unknown")
    assert f"There is no estimator {path!r}" in says
    assert hint in says


@pytest.mark.parametrize(
    "path", ["sklearn.preprocessing.StandardScaler", "sklearn.base.clone", "sklearn.ensemble.VotingClassifier"]
)
def test_what_is_no_estimator_is_refused(tmp_path: Path, path: str) -> None:
    assert refused(tmp_path, estimator=path).startswith("estimator.not_an_estimator")


@pytest.mark.parametrize("estimator", [CLASSIFIER, "xgboost.XGBClassifier", "lightgbm.LGBMClassifier"])
def test_an_unknown_parameter_is_named_with_the_likely_one(tmp_path: Path, estimator: str) -> None:
    says = refused(tmp_path, estimator=estimator, params={"learning_rat": 0.1})
    assert says.startswith("estimator.parameter_unknown")
    assert "has no parameter 'learning_rat'" in says
    assert "Did you mean 'learning_rate'?" in says


def test_a_parameter_out_of_range_is_named_before_any_row_is_read(tmp_path: Path) -> None:
    says = refused(tmp_path, params={"max_iter": -3})
    assert says.startswith("estimator.parameter_invalid")
    assert "max_iter" in says


def test_a_parameter_that_the_schema_decides_is_refused(tmp_path: Path) -> None:
    says = refused(tmp_path, params={"categorical_features": [0]})
    assert says.startswith("estimator.parameter_reserved")


def test_what_the_estimator_itself_refuses_is_passed_on(tmp_path: Path) -> None:
    says = refused(tmp_path, estimator="sklearn.neighbors.KNeighborsClassifier", params={"metric": "haversine"})
    assert says.startswith("training.fit_failed")


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ({"True": 2}, "there is no weight for 'False'"),
        ({"mode": "unfair"}, "it has no class 'mode'"),
        ({"False": 1, "True": -1}, "the weight of 'True' is -1, not a positive number"),
        ({"False": 1, "True": True}, "the weight of 'True' is True, not a positive number"),
        ({"no": 1, "yes": 2}, "it has no class 'no', 'yes'"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(tmp_path: Path, weights: dict[str, Any], fault: str) -> None:
    says = refused(tmp_path, class_weight=weights)
    assert says.startswith("training.class_weight_invalid")
    assert f"The class weights do not fit the target 'churned': {fault}." in says
    assert "'False', 'True'" in says


def test_class_weights_of_a_regressor_are_refused(tmp_path: Path) -> None:
    says = refused(tmp_path, None, customer_schema("spend"), estimator=REGRESSOR, class_weight={"mode": "balanced"})
    assert "the target 'spend': it has no classes" in says


def test_class_weights_among_the_parameters_are_refused(tmp_path: Path) -> None:
    says = refused(tmp_path, params={"class_weight": {"False": 1, "True": 2}})
    assert says.startswith("estimator.parameter_reserved")
    assert "class_weight of train_model" in says


def test_a_class_with_one_row_is_named_where_a_fit_fails_by_it(tmp_path: Path) -> None:
    frame = customers().with_columns(plan=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("rare")).otherwise("plan"))
    says = refused(tmp_path, frame, customer_schema("plan"), params={"early_stopping": True})
    assert says.startswith("training.fit_failed")
    assert "Class 'rare' has one row only" in says


def test_an_estimator_that_cannot_weigh_rows_says_so(tmp_path: Path) -> None:
    given: dict[str, Any] = {"estimator": "sklearn.neighbors.KNeighborsClassifier", "params": {}}
    says = refused(tmp_path, class_weight={"mode": "balanced"}, **given)
    assert says.startswith("training.class_weight_unsupported")


def test_a_full_disk_leaves_nothing_half_written_and_keeps_what_was_there(tmp_path: Path) -> None:
    folder, manifest = trained(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(HeadwayError) as caught:
            trained(tmp_path, params={"max_iter": 21})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code in ("model.write_failed", "data.write_failed")
    assert read_manifest(folder) == manifest
    assert verify_model(folder) == manifest
    assert not list(tmp_path.glob(".aside-*"))


# Tuned parameters


def tuned(folder: Path, data: LocalArtifact, **change: Any) -> LocalArtifact:
    given: dict[str, Any] = {
        "estimator": CLASSIFIER,
        "params": {"max_iter": 7},
        "objective": "roc_auc",
        "direction": "maximize",
        "best_trial": 0,
        "best_value": 0.7,
        "baseline_value": 0.7,
        "gain": None,
        "reason": "",
        "engine": "local",
        "cv": "",
        "rows": 400,
        "trials": (Trial(number=0, params={}, state="succeeded", folds=(0.7,), value=0.7),),
        "code_digest": code_digest(),
        "data_fingerprint": open_dataset(data.path).fingerprint,
        "schema_digest": "",
        "seed": 0,
    }
    write_tuning(TuningResult(**{**given, **change}), folder / "tuning.json")
    return LocalArtifact(str(folder / "tuning.json"))


def test_tuned_parameters_take_the_place_of_the_given_ones(tmp_path: Path) -> None:
    data, _ = stored(tmp_path, customers(), customer_schema())
    _, manifest = trained(tmp_path, params={"max_depth": 2}, tuning=tuned(tmp_path, data))
    assert manifest.params == {"max_iter": 7}


@pytest.mark.parametrize(
    ("change", "what"), [({"code_digest": "0"}, "other code"), ({"data_fingerprint": "0"}, "other training data")]
)
def test_parameters_tuned_elsewhere_are_refused_unless_accepted(
    tmp_path: Path, change: dict[str, str], what: str
) -> None:
    data, _ = stored(tmp_path, customers(), customer_schema())
    result = tuned(tmp_path, data, **change)
    says = refused(tmp_path, tuning=result)
    assert says.startswith("training.tuned_elsewhere")
    assert what in says
    assert trained(tmp_path, tuning=result, accept_other_digest=True)[1].params == {"max_iter": 7}


def test_parameters_of_another_estimator_are_refused_whatever_is_accepted(tmp_path: Path) -> None:
    data, _ = stored(tmp_path, customers(), customer_schema())
    result = tuned(tmp_path, data, estimator=REGRESSOR)
    says = refused(tmp_path, tuning=result, accept_other_digest=True)
    assert says.startswith("training.tuned_other_estimator")


def test_something_else_than_a_tuning_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    says = refused(tmp_path, tuning=LocalArtifact(str(tmp_path / "x.json")))
    assert says.startswith("tuning.unreadable")


def test_a_feature_column_of_the_schema_may_be_called_anything(tmp_path: Path) -> None:
    names = {"charge": "rows", "months": "count", "contract": "value", "paperless": "literal"}
    schema = customer_schema()
    renamed = Schema(
        columns=tuple(Column(**{**c.model_dump(), "name": names.get(c.name, c.name)}) for c in schema.columns)
    )
    folder, manifest = trained(tmp_path, customers().rename(names), renamed)
    shutil.rmtree(tmp_path / "data")
    assert {f.name for f in manifest.features} == set(names.values())
    assert len(load_model(folder).predict(customers(5).rename(names)).values) == 5

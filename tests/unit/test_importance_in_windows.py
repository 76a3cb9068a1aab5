"""What a model looks at in a window, where it is known what there is to see."""

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import write_dataset
from headway.components._shared.estimators import load_model
from headway.components._shared.verdicts import write_verdict
from headway.components.monitoring.config import Performance
from headway.components.monitoring.performance.measure import judge, measure_performance
from headway.components.monitoring.performance.result import PerformanceResult
from tests.deployment_samples import flights, train_sample
from tests.unit.test_performance import verdict_of

MARCH = 1_772_323_200_000_000  # 2026-03-01 in microseconds


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_sample(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A model of numbers."""
    target = pl.Series("delay", np.arange(500) % 24).cast(pl.Float64)
    return train_sample(tmp_path_factory.mktemp("numbers"), target=target)


def promise_of(manifest, metric):
    return verdict_of(manifest, {metric: {"value": 0.9, "low": 0.88, "high": 0.92}}, gates=())


def window(loaded, rows, folder, label):
    """The rows as they stand in a window, with labels."""
    said = loaded.predict(rows)
    columns = {"_prediction": said.values, "_time": [MARCH + 60_000_000 * i for i in range(rows.height)]}
    if said.probabilities is not None:
        columns |= {f"_probability_{c}": said.probabilities[:, i] for i, c in enumerate(loaded.manifest.classes)}
    frame = rows.drop("email", "late").with_columns(pl.Series(name, values) for name, values in columns.items())
    frame = frame.with_columns(pl.col("_time").cast(pl.Datetime("us", "UTC")), label)
    return write_dataset({"rows": frame}, folder)


def test_a_model_of_the_hour_looks_at_the_hour_and_at_nothing_where_that_says_nothing_any_more(model, tmp_path):
    loaded, rows = load_model(model), flights(900, seed=4)
    world = {"as before": rows["late"], "by coin": rows["late"].shuffle(seed=1)}
    settings, found = Performance(importance_rows=600), {}
    for name, label in world.items():
        data = window(loaded, rows, tmp_path / name, label)
        promise = promise_of(loaded.manifest, "roc_auc")
        result, _ = judge(data, loaded.manifest, promise, settings, model=lambda: load_model(model))
        found[name] = result.importance
    first = found["as before"][0]
    assert first.name == "hour"
    assert first.share > 0.9
    assert first.trained == pytest.approx(1.0, abs=0.1)
    assert first.loss > 0.3
    assert all(abs(each.loss) < 0.05 for each in found["by coin"])
    assert {each.name for each in found["as before"]} == {feature.name for feature in loaded.manifest.features}


def test_numbers_are_judged_by_their_error(numbers, tmp_path):
    loaded, rows = load_model(numbers), flights(900, seed=4)
    data = window(loaded, rows, tmp_path / "window", rows["hour"].cast(pl.Float64).alias("delay"))
    promise = promise_of(loaded.manifest, "rmse")
    result, _ = judge(data, loaded.manifest, promise, Performance(importance_rows=300), model=lambda: loaded)
    assert max(each.loss for each in result.importance) == result.importance[0].loss
    assert len(result.importance) == len(loaded.manifest.features)


def test_it_is_measured_only_when_asked_for_and_where_the_log_has_every_feature(model, tmp_path):
    loaded, rows = load_model(model), flights(900, seed=4)
    data = window(loaded, rows, tmp_path / "window", rows["late"])
    promise = promise_of(loaded.manifest, "roc_auc")
    assert judge(data, loaded.manifest, promise, Performance(), model=_never)[0].importance == ()
    without = write_dataset({"rows": data.read().drop("distance")}, tmp_path / "without")
    settings = Performance(importance_rows=300)
    assert judge(without, loaded.manifest, promise, settings, model=lambda: loaded)[0].importance == ()


def test_the_component_tells_it_in_findings_and_report(model, tmp_path):
    loaded, rows = load_model(model), flights(900, seed=4)
    window(loaded, rows, tmp_path / "window", rows["late"])
    write_verdict(promise_of(loaded.manifest, "roc_auc"), tmp_path / "verdict.json")
    inputs = [LocalArtifact(str(path)) for path in (tmp_path / "window", model, tmp_path / "verdict.json")]
    outputs = [LocalArtifact(str(tmp_path / name)) for name in ("findings.json", "metrics", "report.html")]
    measure_performance(*inputs, *outputs, performance={"importance_rows": 500})
    found = PerformanceResult.model_validate_json((tmp_path / "findings.json").read_bytes())
    assert found.importance[0].name == "hour"
    assert "What the model looks at" in (tmp_path / "report.html").read_text()


def _never():
    raise AssertionError("the model was loaded")

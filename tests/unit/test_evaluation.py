"""The whole step: what it writes, what it decides, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, manifest_digest, read_manifest
from headway.components._shared.audit import verify_events
from headway.components._shared.datasets import open_dataset, write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, Predictions, load_model
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.state import State
from headway.components._shared.verdicts import read_verdict, require_verdict
from headway.components.evaluation.evaluate import evaluate
from headway.components.evaluation.golden import golden_rows
from headway.components.evaluation.measure import outcomes_of
from tests.tabular_samples import REGRESSOR, customer_schema, customers, trained

PASSING = {
    "ranks": {"kind": "metric", "metric": "roc_auc", "at_least": 0.5},
    "not-worse": {"kind": "gain", "metric": "roc_auc", "margin": 0.5},
    "every-slice": {"kind": "slice", "metric": "brier", "slice": "worst", "at_most": 0.5},
    "month": {"kind": "slice", "metric": "accuracy", "slice": "contract=month", "at_least": 0.4},
    "contracts": {"kind": "gap", "metric": "recall", "column": "contract", "at_most": 1.0},
    "calibrated": {"kind": "metric", "metric": "ece", "at_most": 0.5},
    "fast": {"kind": "metric", "metric": "latency_p50_ms", "at_most": 10_000},
    "small": {"kind": "metric", "metric": "size_mb", "at_most": 100},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, a champion and held-out rows."""
    folder = tmp_path_factory.mktemp("evaluation")
    trained(folder / "model", customers(1500))
    trained(folder / "champion", customers(600, seed=1), params={"max_iter": 4})
    write_dataset({"rows": held_out()}, folder / "test")
    return folder


def held_out(rows=2000, seed=7):
    return customers(rows, seed=seed).with_columns(id=pl.format("held-{}", pl.int_range(pl.len())))


class Run:
    """One call of the step and what it left."""

    def __init__(self, home, out, *, model="model/model", data=None, champion=None, **given):
        if data is None:
            data = home / "test"
        elif isinstance(data, pl.DataFrame):
            write_dataset({"rows": data}, out / "data")
            data = out / "data"
        self.verdict, self.golden, self.metrics, self.report = (
            LocalArtifact(str(out / name)) for name in ("verdict.json", "golden", "metrics", "report.html")
        )
        evaluate(
            LocalArtifact(str(home / model)),
            LocalArtifact(str(data)),
            self.verdict,
            self.golden,
            self.metrics,
            self.report,
            champion=None if champion is None else LocalArtifact(str(champion)),
            **{"gates": PASSING, "evaluation": {"latency_calls": 20}, **given},
        )
        self.found = read_verdict(self.verdict.path)
        self.page = Path(self.report.path).read_text()
        self.rows = open_dataset(self.golden.path).read()


def refusal(home, tmp_path, **given):
    with pytest.raises(HeadwayError) as caught:
        Run(home, tmp_path, **given)
    return str(caught.value)


def gate_of(run, about):
    (gate,) = [gate for gate in run.found.gates if about in gate.gate]
    return gate


def test_a_group_is_no_feature_but_slices_gaps_and_blocks_are_made_of_it(home, tmp_path):
    _, manifest = trained(tmp_path / "grouped", customers(1500), customer_schema(contract=("group",)))
    assert [feature.name for feature in manifest.features] == ["charge", "months", "paperless"]
    gates = {
        "month": {"kind": "slice", "metric": "accuracy", "slice": "contract=month", "at_least": 0.2},
        "contracts": {"kind": "gap", "metric": "recall", "column": "contract", "at_most": 1.0},
    }
    settings = {"latency_calls": 20, "slices": ["contract"], "groups": ["contract"]}
    run = Run(tmp_path, tmp_path, model="grouped/model", data=home / "test", gates=gates, evaluation=settings)
    assert run.found.reason == "2 of 2 gates passed."
    assert "contract=two years" in {s.slice for s in run.found.slices}


def test_a_good_model_is_blessed_and_the_verdict_is_bound_to_its_bytes(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-1")
    run = Run(
        home,
        tmp_path,
        champion=home / "champion/model",
        model_name="churn",
        state_uri=str(tmp_path / "state"),
        evaluation={"latency_calls": 20, "costs": {"false_positive": 1, "false_negative": 2}, "groups": ["contract"]},
    )
    model = home / "model/model"
    assert run.found.blessed
    assert run.found.reason == "8 of 8 gates passed."
    assert run.found.manifest_sha256 == manifest_digest(model)
    assert run.found.golden_fingerprint == open_dataset(run.golden.path).fingerprint
    assert run.found.champion_digest == read_manifest(home / "champion/model").model_digest
    assert run.found.run_id == "run-1"
    assert require_verdict(run.verdict.path, model).blessed
    assert run.verdict.metadata == {"blessed": True, "model_digest": run.found.model_digest}
    assert run.metrics.metadata["roc_auc"] == run.found.metrics["roc_auc"]["value"]
    assert {s.metric for s in run.found.slices} == {"roc_auc", "brier", "accuracy"}
    (event,) = verify_events(State(str(tmp_path / "state")), "churn")
    assert event["action"] == "verdict"
    assert event["evidence"]["blessed"] is True
    record = json.loads((tmp_path / "state/runs/run-1/steps/evaluate_model.json").read_text())
    assert record["decision"].startswith("blessed: ROC AUC 0.")
    assert record["decision"].endswith("], 8 of 8 gates")
    for heading in ("Gates", "What to worry about", "Against the champion", "Calibration", "Gaps between groups"):
        assert f">{heading}</h2>" in run.page


def test_a_failed_gate_gives_a_negative_verdict_in_words_and_the_step_succeeds(home, tmp_path):
    gates = {**PASSING, "ranks": {"kind": "metric", "metric": "roc_auc", "at_least": 0.999}}
    run = Run(home, tmp_path, gates=gates)
    assert not run.found.blessed
    assert run.found.reason.startswith("1 of 8 gates failed: roc_auc is 0.")
    assert run.found.reason.endswith("its low end is not at least 0.999.")
    assert run.verdict.metadata["blessed"] is False
    assert "Not blessed" in run.page


def test_a_step_that_is_tried_again_leaves_one_event(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-1")
    given = {"model_name": "churn", "state_uri": str(tmp_path / "state")}
    Run(home, tmp_path / "first", **given)
    Run(home, tmp_path / "again", **given)
    assert len(verify_events(State(str(tmp_path / "state")), "churn")) == 1


def test_what_was_measured_stands_at_the_right_also_where_a_gate_has_nothing_to_measure(home, tmp_path):
    page = Run(home, tmp_path).page
    gates = page[page.index(">Gates</h2>") :].partition("</table>")[0]
    assert '<th scope="col" class="num">Measured</th>' in gates
    assert '<td class="num">–</td>' in gates


def test_without_gates_nothing_is_blessed(home, tmp_path):
    run = Run(home, tmp_path, gates={})
    assert not run.found.blessed
    assert run.found.reason == "No gates are configured, so nothing vouches for the model."


def test_the_same_inputs_give_the_same_golden_rows_and_figures_whatever_the_order_of_rows(home, tmp_path):
    once = Run(home, tmp_path / "a")
    again = Run(home, tmp_path / "b", data=held_out().sample(fraction=1.0, shuffle=True, seed=3))
    assert once.rows.equals(again.rows)
    timed = ("latency_p50_ms", "latency_p99_ms", "batch_ms")
    for name in set(once.found.metrics) - set(timed):
        assert once.found.metrics[name]["low"] == pytest.approx(again.found.metrics[name]["low"], abs=1e-9), name


def test_golden_rows_hold_the_edges_and_the_predictions_of_the_model(home, tmp_path):
    rows = Run(home, tmp_path, evaluation={"golden_rows": 120, "latency_calls": 20}).rows
    test = held_out()
    assert rows.height == 120
    assert rows.columns == [
        "id",
        "charge",
        "months",
        "contract",
        "paperless",
        "prediction",
        "probability_False",
        "probability_True",
    ]
    assert set(rows["contract"]) == set(test["contract"])
    assert all(rows[name].null_count() for name in ("charge", "months", "contract", "paperless"))
    assert rows["charge"].min() == test["charge"].min()
    assert rows["charge"].max() == test["charge"].max()
    assert rows["id"].is_in(test["id"]).all()
    predicted = load_model(home / "model/model").predict(rows)
    assert predicted.values.tolist() == rows["prediction"].to_list()
    assert np.array_equal(predicted.probabilities[:, 1], rows["probability_True"].to_numpy())
    near = (rows["probability_True"] - 0.5).abs().min()
    assert near == pytest.approx(np.abs(load_model(home / "model/model").predict(test).probabilities[:, 1] - 0.5).min())


def test_a_planted_address_is_found_nowhere(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-1")
    planted = held_out().with_columns(email=pl.lit("planted@example.org"))
    Run(home, tmp_path, data=planted, state_uri=str(tmp_path / "state"), model_name="churn")
    shutil.rmtree(tmp_path / "data")
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) >= 5
    assert not [p for p in written if b"planted" in p.read_bytes()]


def test_labels_follow_the_threshold_and_the_threshold_the_costs(home, tmp_path):
    probability = load_model(home / "model/model").predict(held_out()).probabilities[:, 1]
    high = Run(home, tmp_path, evaluation={"threshold": 0.8, "latency_calls": 20})
    assert high.found.threshold == 0.8
    assert high.found.metrics["selection_rate"]["value"] == pytest.approx(np.mean(probability >= 0.8))
    costs = {"false_positive": 1, "false_negative": 10}
    dear = Run(home, tmp_path, evaluation={"costs": costs, "latency_calls": 20})
    assert dear.found.threshold < 0.4
    assert dear.found.metrics["recall"]["value"] > 0.9
    assert 0 < dear.found.metrics["cost"]["value"] < 1
    assert "Decision threshold" in dear.page


def test_rare_text_values_do_not_reach_the_golden_rows(home, tmp_path):
    rare = pl.when(pl.int_range(pl.len()) < 9).then(pl.lit("rare")).otherwise("contract").alias("contract")
    assert "rare" not in Run(home, tmp_path / "a", data=held_out().with_columns(rare)).rows["contract"].to_list()
    unique = pl.format("text-{}", pl.int_range(pl.len())).alias("contract")
    assert set(Run(home, tmp_path / "b", data=held_out().with_columns(unique), gates={}).rows["contract"]) == {None}


def test_rare_text_values_are_not_shown_and_a_gate_on_one_ends_by_its_policy(home, tmp_path):
    rare = pl.when(pl.int_range(pl.len()) < 9).then(pl.lit("hidden")).otherwise("contract").alias("contract")
    gate = {"kind": "slice", "metric": "accuracy", "slice": "contract=hidden", "at_least": 0.1}
    run = Run(home, tmp_path, data=held_out().with_columns(rare), gates={"g": {**gate, "when_unmeasurable": "pass"}})
    assert run.found.gates[0].reason == (
        "accuracy in contract=hidden cannot be measured on these rows: the gate passes by its `when_unmeasurable`."
    )
    shown = [w for w in run.found.warnings if "too little support" in w]
    assert "contract=(rare)" in shown[0]
    assert "hidden" not in shown[0]


def test_no_champion_is_said_in_words(home, tmp_path):
    (tmp_path / "none").mkdir()
    record = {"schema_version": 1, "kind": "no_champion", "reason": "dev.churn has no champion"}
    (tmp_path / "none/headway.json").write_text(json.dumps(record))
    for champion in (None, tmp_path / "none"):
        run = Run(home, tmp_path, champion=champion)
        gate = gate_of(run, "gain in roc_auc")
        assert gate.passed
        assert gate.reason == "No champion to compare with. The gate passes without having been compared."
        assert run.found.champion_digest is None
        assert any("Nothing here says whether the model is better" in w for w in run.found.warnings)


def test_the_model_is_not_compared_with_itself(home, tmp_path):
    run = Run(home, tmp_path, champion=home / "model/model")
    assert gate_of(run, "gain in roc_auc").reason.startswith("The champion is this very model: nothing to compare.")


def test_an_equal_champion_is_not_beaten_but_a_poor_one_is(home, tmp_path):
    gates = {"better": {"kind": "gain", "metric": "log_loss", "test": "superiority"}}
    assert Run(home, tmp_path / "a", champion=home / "champion/model", gates=gates).found.blessed
    trained(tmp_path / "twin", customers(1500, seed=4))
    twin = Run(home, tmp_path / "b", champion=tmp_path / "twin/model", gates=gates)
    assert not twin.found.blessed
    assert "superiority with margin 0 is not shown" in twin.found.reason


def test_a_champion_whose_features_the_rows_cannot_serve_is_named(home, tmp_path):
    columns = [*customer_schema().columns, Column(name="region", type="string")]
    wider = customers(300).with_columns(region=pl.lit("north"))
    trained(tmp_path / "wider", wider, Schema(columns=tuple(columns)))
    digest = read_manifest(tmp_path / "wider/model").model_digest[:12]
    assert refusal(home, tmp_path, champion=tmp_path / "wider/model") == (
        f"[evaluation.champion_features_differ] The champion {digest} needs region, which the evaluation data lacks. "
        "Given: ['region']. Remedy: Keep the champion's features in the data until it is replaced, or evaluate without "
        "a champion."
    )


def test_a_champion_that_takes_another_type_is_named(home, tmp_path):
    columns = [c.model_copy(update={"type": "string"}) if c.name == "charge" else c for c in customer_schema().columns]
    banded = customers(300).with_columns(charge=pl.when(pl.col("charge") > 60).then(pl.lit("high")).otherwise(None))
    trained(tmp_path / "banded", banded, Schema(columns=tuple(columns)))
    message = refusal(home, tmp_path, champion=tmp_path / "banded/model")
    assert message.startswith("[evaluation.champion_features_differ] The champion ")
    assert "cannot take these rows: Column 'charge' must be of type string, but it is Float64." in message


def test_a_champion_for_another_target_is_named(home, tmp_path):
    trained(tmp_path / "spend", customers(300), customer_schema("spend"), estimator=REGRESSOR)
    message = refusal(home, tmp_path, champion=tmp_path / "spend/model")
    assert message.startswith("[evaluation.champion_other_target] The champion ")
    assert "predicts 'spend' (regression), this model 'churned' as one of False, True (binary)." in message


def test_a_champion_that_does_not_load_is_named(home, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(home / "champion/model", broken)
    payload = next(p for p in broken.rglob("*") if p.suffix in (".skops", ".pkl"))
    payload.write_bytes(payload.read_bytes()[:100])
    message = refusal(home, tmp_path, champion=broken)
    assert message.startswith("[evaluation.champion_unloadable] The champion cannot be loaded: The model's files are")
    assert "Remedy: Point the registry's alias `champion` at a version that loads here" in message


def test_a_model_whose_files_changed_is_not_evaluated(home, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(home / "model/model", changed)
    (changed / "MLmodel").write_text("other")
    assert refusal(home, tmp_path, model=changed).startswith("[model.changed]")


def test_the_training_data_is_no_evidence(home, tmp_path):
    message = refusal(home, tmp_path, data=home / "model/data")
    assert message.startswith(
        "[evaluation.training_data] The evaluation data is the data that the model was trained on."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.head(1),
            "[evaluation.too_few_rows] The evaluation data has 1 row, too few to measure anything. Given: 1. Remedy: "
            "Evaluate on at least 30 rows, better on thousands: widen the test window.",
        ),
        (
            lambda f: f.with_columns(churned=pl.lit(False)),
            "[evaluation.target_one_class] The target 'churned' has only one class in the evaluation data, so nothing "
            "can be told apart. Given: 'False'. Remedy: Widen the test window, or stratify the split, so that at least "
            "two classes occur.",
        ),
        (
            lambda f: f.with_columns(churned=pl.when(pl.int_range(pl.len()) >= 5).then("churned")),
            "[evaluation.target_null] The target 'churned' is missing in 5 of 2,000 rows. Given: 5. Remedy: Set rows "
            "without a label aside before the evaluation: split_data does and counts them.",
        ),
        (
            lambda f: f.with_columns(churned=pl.lit("maybe")),
            "[evaluation.label_unknown] The target 'churned' has labels that the model was not trained on: maybe. "
            "Given: ['maybe']. Remedy: Train on all labels, or correct the data; known are False, True.",
        ),
        (lambda f: f.drop("churned"), "[data.column_missing] The evaluation data lacks the column 'churned'."),
        (lambda f: f.drop("charge"), "[data.column_missing] The evaluation data lacks the column 'charge'."),
        (
            lambda f: f.with_columns(charge=pl.lit(float("inf"))),
            "[model.input_infinite] There are infinite values in charge.",
        ),
    ],
)
def test_unusable_rows_are_refused_in_words(home, tmp_path, change, message):
    assert refusal(home, tmp_path, data=change(held_out())).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gates": {"g": {"kind": "metric", "metric": "auc", "at_least": 1}}}, "[gate.metric_unknown]"),
        ({"gates": {"g": {"kind": "slice", "metric": "f1", "slice": "plan=x", "at_least": 1}}}, "[gate.slice_unknown]"),
        (
            {"gates": {"g": {"kind": "slice", "metric": "f1", "slice": "contract=decade", "at_least": 1}}},
            "[gate.slice_unknown] Gate 'g' names a slice that does not occur in the evaluation data.",
        ),
        (
            {"gates": {"g": {"kind": "gap", "metric": "f1", "column": "email", "at_most": 1}}},
            "[evaluation.column_personal] `gates` names a column whose values may identify somebody",
        ),
        (
            {"evaluation": {"slices": ["email"]}},
            "[evaluation.column_personal] `evaluation` names a column whose values may identify somebody",
        ),
        ({"evaluation": {"groups": ["nowhere"]}}, "[evaluation.column_unknown] `evaluation` names a column"),
        (
            {"evaluation": {"dependence": {"column": "nowhere"}}},
            "[data.column_missing] The evaluation data lacks the column 'nowhere'.",
        ),
        (
            {"evaluation": {"primary_metric": "bias"}},
            "[evaluation.metric_unknown] The primary metric is none that this binary model can be judged by. "
            "Given: 'bias'.",
        ),
        ({"evaluation": {"costs": {"false_positive": 1}}}, "[config.invalid] Parameter 'evaluation' is not valid:"),
        (
            {"evaluation": {"threshold": 0.3, "costs": {"false_positive": 1, "false_negative": 1}}},
            "[config.invalid] Parameter 'evaluation' is not valid: evaluation: give `costs` or",
        ),
        ({"evaluation": {"confidnce": 0.9}}, "[config.invalid]"),
        ({"model_name": "Churn!"}, "[model.name_invalid]"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_words(home, tmp_path, given, message):
    assert refusal(home, tmp_path, **given).startswith(message)


def test_a_category_never_seen_is_predicted_counted_and_worried_about(home, tmp_path):
    strange = pl.when(pl.int_range(pl.len()) < 30).then(pl.lit("decade")).otherwise("contract").alias("contract")
    run = Run(home, tmp_path, data=held_out().with_columns(strange))
    assert run.found.blessed
    assert "30 of 2,000 rows hold a value of contract that training never saw." in run.found.warnings
    assert any("contract=decade" in w and "too little support" in w for w in run.found.warnings)


def test_a_model_that_predicts_no_finite_number_is_refused(home):
    probabilities = np.full((3, 2), 0.5)
    probabilities[1] = np.nan
    predictions = Predictions(np.array([True, False, True]), probabilities)
    with pytest.raises(HeadwayError) as caught:
        outcomes_of(predictions, np.array([1.0, 0.0, 1.0]), read_manifest(home / "model/model"))
    assert str(caught.value).startswith("[evaluation.prediction_not_finite] Model ")
    assert "predicts no finite number for 1 of 3 rows. Given: 1." in str(caught.value)


class Batchwise:
    """A model that looks at the whole batch, as one that scales by the rows given to it."""

    def predict_proba(self, features):
        charge = features["charge"].fill_null(0)
        chance = (charge.rank() / len(charge)).to_numpy()
        return np.column_stack([1 - chance, chance])


def test_a_model_that_predicts_a_row_by_the_others_is_refused(home):
    model = LoadedModel(read_manifest(home / "model/model"), Batchwise())
    frame = held_out()
    with pytest.raises(HeadwayError) as caught:
        golden_rows(frame, model, model.predict(frame), threshold=0.5, count=100)
    assert str(caught.value).startswith("[evaluation.prediction_depends_on_batch] Model ")
    assert "predicts the same row differently among other rows." in str(caught.value)
    assert "Remedy: Make every step of the pipeline work row by row" in str(caught.value)


def test_a_multiclass_model_is_measured_by_class_probabilities(home, tmp_path):
    frame = customers(900).with_columns(plan=pl.when(pl.col("charge") > 75).then(pl.lit("pro")).otherwise("plan"))
    trained(tmp_path / "plan", frame, customer_schema("plan"))
    test = held_out().with_columns(plan=pl.when(pl.col("charge") > 75).then(pl.lit("pro")).otherwise("plan"))
    gates = {
        "probable": {"kind": "metric", "metric": "log_loss", "at_most": 1.2},
        "right": {"kind": "slice", "metric": "accuracy", "slice": "paperless=true", "at_least": 0.3},
        "even": {"kind": "gap", "metric": "accuracy", "column": "contract", "at_most": 0.9},
        "calibrated": {"kind": "metric", "metric": "ece", "at_most": 0.5},
    }
    run = Run(home, tmp_path, model=tmp_path / "plan/model", data=test, gates=gates)
    assert run.found.blessed, run.found.reason
    assert run.found.threshold is None
    assert {"log_loss", "roc_auc", "f1", "accuracy", "ece"} <= set(run.found.metrics)
    assert {"probability_basic", "probability_plus", "probability_pro"} <= set(run.rows.columns)
    message = refusal(home, tmp_path, model=tmp_path / "plan/model", data=test, evaluation={"threshold": 0.3})
    assert message.startswith("[evaluation.binary_only]")


def test_a_regression_is_measured_in_the_unit_of_its_target(home, tmp_path):
    trained(tmp_path / "spend", customers(900), customer_schema("spend"), estimator=REGRESSOR)
    gates = {
        "close": {"kind": "metric", "metric": "rmse", "at_most": 200},
        "explains": {"kind": "metric", "metric": "r2", "at_least": 0.5},
        "every-contract": {"kind": "slice", "metric": "mae", "slice": "worst", "at_most": 300},
    }
    run = Run(home, tmp_path, model=tmp_path / "spend/model", gates=gates)
    assert run.found.blessed, run.found.reason
    assert 40 < run.found.metrics["rmse"]["value"] < 120
    assert "ece" not in run.found.metrics
    assert run.rows["prediction"].dtype == pl.Float64
    assert ">Calibration</h2>" in run.page
    broken = held_out().with_columns(spend=pl.when(pl.int_range(pl.len()) < 3).then(float("nan")).otherwise("spend"))
    message = refusal(home, tmp_path, model=tmp_path / "spend/model", data=broken, gates=gates)
    assert message.startswith(
        "[evaluation.target_not_finite] The target 'spend' is infinite or not a number in 3 rows."
    )


def test_a_classifier_without_probabilities_is_measured_by_its_labels(home, tmp_path):
    trained(tmp_path / "ridge", customers(900), estimator="sklearn.linear_model.RidgeClassifier", params={})
    gates = {"right": {"kind": "metric", "metric": "accuracy", "at_least": 0.5}}
    run = Run(home, tmp_path, model=tmp_path / "ridge/model", gates={**gates, **{"auc": PASSING["ranks"]}})
    assert run.found.threshold is None
    assert not gate_of(run, "roc_auc").passed
    assert gate_of(run, "accuracy").passed
    assert gate_of(run, "roc_auc").reason.startswith("roc_auc cannot be measured on these rows")
    assert "probability_True" not in run.rows.columns


@pytest.mark.parametrize(
    ("dependence", "words"),
    [
        ("auto", "day of signed"),
        ("none", None),
        ({"column": "months"}, "value of months"),
        ({"column": "signed", "period": "1w"}, "week of signed"),
    ],
)
def test_the_dependence_of_rows_is_chosen_and_said(home, tmp_path, dependence, words):
    run = Run(home, tmp_path, evaluation={"dependence": dependence, "latency_calls": 20, "min_support": 10})
    assert words is None or words in run.page
    assert ("Every row counts as independent, as configured (`dependence`)." in run.found.warnings) == (words is None)

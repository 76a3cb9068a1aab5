"""What the report and the metrics of an evaluation show of what was asked."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import write_dataset
from headway.components._shared.statistics.blocks import Blocks
from headway.components._shared.statistics.metrics import Outcomes
from headway.components._shared.verdicts import read_verdict
from headway.components.evaluation.classes import confusion, measure_classes
from headway.components.evaluation.evaluate import evaluate
from tests.tabular_samples import customer_schema, customers, trained

GATES = {
    "ranks": {"kind": "metric", "metric": "roc_auc", "at_least": 0.5},
    "labels": {"kind": "metric", "metric": "mcc", "at_least": -1},
    "calibrated": {"kind": "metric", "metric": "ece", "at_most": 0.9},
    "slices": {"kind": "slice", "metric": "brier", "slice": "worst", "at_most": 0.9},
    "month": {"kind": "slice", "metric": "accuracy", "slice": "contract=month", "at_least": 0.1},
    "contracts": {"kind": "gap", "metric": "recall", "column": "contract", "at_most": 1.0},
    "better": {"kind": "gain", "metric": "log_loss", "margin": 5},
}


class Judged:
    """One evaluation."""

    def __init__(self, folder, model, champion=None, *, test, gates, **evaluation):
        write_dataset({"rows": test}, folder / "test")
        names = ("verdict.json", "golden", "metrics", "report.html")
        verdict, golden, metrics, report = (LocalArtifact(str(folder / name)) for name in names)
        evaluate(
            LocalArtifact(str(model)),
            LocalArtifact(str(folder / "test")),
            verdict,
            golden,
            metrics,
            report,
            champion=None if champion is None else LocalArtifact(str(champion)),
            gates=gates,
            evaluation={"latency_calls": 20, **evaluation},
        )
        self.verdict, self.metrics = read_verdict(verdict.path), metrics.metadata
        self.page = Path(report.path).read_text()

    def section(self, heading):
        html = self.page[self.page.index(f">{heading}</h2>") :].partition("</section>")[0]
        return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def held_out(rows=1500):
    return customers(rows, seed=7).with_columns(id=pl.format("held-{}", pl.int_range(pl.len())))


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    trained(folder / "model", customers(1200))
    trained(folder / "champion", customers(500, seed=1), params={"max_iter": 3})
    return Judged(folder, folder / "model/model", folder / "champion/model", test=held_out(), gates=GATES)


def test_what_a_gate_asks_about_stands_in_the_headline_the_metrics_and_the_verdict(judged):
    headline = judged.page.partition("</header>")[2].partition("<section")[0]
    for metric, label in {
        "roc_auc": "ROC AUC",
        "mcc": "Matthews correlation",
        "ece": "Calibration error (ECE)",
        "brier": "Brier score",
        "accuracy": "Accuracy",
        "recall": "Recall",
        "log_loss": "Log loss",
    }.items():
        assert f"<dt>{label}</dt>" in headline
        assert judged.metrics[metric] == judged.verdict.metrics[metric]["value"]
    by_gate = {gate.gate.partition(":")[0]: gate.value for gate in judged.verdict.gates}
    assert {name: judged.metrics[name] for name in sorted(set(judged.metrics) - set(judged.verdict.metrics))} == {
        "accuracy_in_contract=month": by_gate["month"],
        "brier_worst_slice": by_gate["slices"],
        "log_loss_gain": by_gate["better"],
        "recall_gap_contract": by_gate["contracts"],
    }


def test_a_gate_on_the_worst_slice_or_gap_names_what_was_picked_and_the_report_why_its_interval_differs(judged):
    reasons = {gate.gate.partition(":")[0]: gate.reason for gate in judged.verdict.gates}
    in_slices = {s.slice: s for s in judged.verdict.slices if s.metric == "brier"}
    worst = max(in_slices.values(), key=lambda s: s.value)
    assert f"brier in the worst slice ({worst.slice}; the interval allows for the pick) is " in reasons["slices"]
    assert re.search(r"\(contract=[\w ]+ and contract=[\w ]+; the interval allows for the pick\)", reasons["contracts"])
    assert "allows for the pick" not in reasons["month"]
    assert "the interval covers the true one, whichever that is" in judged.section("Gates")
    assert "A gate on the worst slice takes an interval of the true worst value" in judged.section("Slices")


def test_a_p_value_in_the_champion_table_agrees_with_its_interval(judged):
    words = judged.section("Against the champion")
    rows = re.findall(r"\[([−\d.]+), ([−\d.]+)\] (<|&lt;)? ?([\d.]+) [\d.]+ (better|worse|not shown)", words)
    assert len(rows) >= 8
    for low, high, _, p, word in rows:
        apart = not low.startswith("−") or high.startswith("−")
        assert (float(p) < 0.05) == apart == (word != "not shown")


def test_a_binary_report_shows_what_is_taken_for_what_at_the_threshold(judged):
    words = judged.section("Class by class")
    test = held_out()
    assert "What is taken for what at the threshold 0.5" in words
    assert f"False {(~test['churned']).sum():,} " in words or f"False {(~test['churned']).sum()} " in words
    recall, precision = (judged.verdict.metrics[name]["value"] for name in ("recall", "precision"))
    assert re.search(rf"True [\d,]+ [\d,]+ {precision:.4f} \[[^]]+\] {recall:.4f} \[", words)


def test_labels_that_a_constant_beats_are_worried_about_with_both_figures(tmp_path_factory, tmp_path):
    model = trained(tmp_path_factory.mktemp("model"), customers(1200))[0]
    given = {"test": held_out(), "gates": {"g": {"kind": "metric", "metric": "roc_auc", "at_least": 0.5}}}
    found = Judged(tmp_path, model, **given, threshold=0.02)
    share = held_out()["churned"].mean()
    constant = max(share, 1 - share)
    accuracy = found.verdict.metrics["accuracy"]["value"]
    assert accuracy < constant
    said = [w for w in found.verdict.warnings if w.startswith("The best constant prediction does better in ")]
    assert f"Accuracy ({accuracy:.3g}, the constant {constant:.3g})" in said[0]
    assert found.verdict.reason == "The only gate passed."


def test_a_multiclass_report_has_a_table_of_the_classes_and_their_confusion(tmp_path):
    frame, test = (
        f.with_columns(plan=pl.when(pl.col("charge") > 75).then(pl.lit("pro")).otherwise("plan"))
        for f in (customers(900), held_out())
    )
    model = trained(tmp_path / "plan", frame, customer_schema("plan"))[0]
    found = Judged(tmp_path, model, test=test, gates={"g": {"kind": "metric", "metric": "f1", "at_least": 0}})
    words = found.section("Class by class")
    assert "plan taken for" in words
    for label, rows in test["plan"].value_counts().iter_rows():
        assert re.search(rf"{label} {rows:,} [\d,]+ 0\.\d+ \[0\.\d+, 0\.\d+\]", words), label


def test_counts_and_shares_of_each_class_follow_from_their_definition():
    actual = np.repeat([0.0, 1.0, 2.0], [100, 50, 5])
    predicted = np.concatenate([np.zeros(80), np.ones(20), np.ones(40), np.zeros(10), np.ones(5)])
    outcomes = Outcomes("multiclass", actual, predicted, 3)
    assert confusion(outcomes).tolist() == [[80, 20, 0], [10, 40, 0], [0, 5, 0]]
    first, second, rare = measure_classes(outcomes, None, confidence=0.95)
    assert (first.support, first.predicted, first.precision.value, first.recall.value) == (100, 90, 80 / 90, 0.8)
    assert (second.support, second.predicted, second.precision.value, second.recall.value) == (50, 65, 40 / 65, 0.8)
    assert (rare.support, rare.predicted, rare.precision, rare.recall) == (5, 0, None, None)  # too few rows to say


def test_a_class_whose_rows_lie_in_a_few_days_has_no_interval():
    actual = np.repeat([0.0, 1.0], [90, 60])
    days = Blocks(np.concatenate([np.arange(90) % 9, np.arange(60) % 3]).astype(np.int64), "day of t", 9, True)
    majority, minority = measure_classes(Outcomes("binary", actual, actual, 2), days, confidence=0.95)
    assert majority.recall is not None
    assert minority.recall is None

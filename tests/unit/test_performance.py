"""measure_performance: what came out against what was promised, on windows whose truth is known."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest
from headway.components._shared.datasets import write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.statistics.estimates import roc_auc
from headway.components._shared.statistics.intervals import Interval, difference_of, interval
from headway.components._shared.verdicts import GateOutcome, SliceOutcome, Verdict, write_verdict
from headway.components.monitoring.config import Performance
from headway.components.monitoring.performance.measure import judge, measure_performance, told
from tests.deployment_samples import train_sample

DAY = datetime(2026, 3, 1, tzinfo=UTC)
PROMISED = {
    "roc_auc": {"value": 0.76, "low": 0.75, "high": 0.77},
    "log_loss": {"value": 0.58, "low": 0.57, "high": 0.59},
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train_sample(folder)
    return read_manifest(folder / "model")


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    target = pl.Series("delay", np.arange(500) % 24).cast(pl.Float64)
    return read_manifest(train_sample(tmp_path_factory.mktemp("numbers"), target=target))


def frame(rows, seed=0, *, honest=1.0, labelled=1.0, hours=120):
    """Rows whose probability of `on time` is right in a share `honest` of them; the others' labels are coins."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(1.5, 1.5, rows)
    label = np.where(rng.random(rows) < honest, rng.random(rows) < chance, rng.random(rows) < 0.5)
    known = rng.random(rows) < labelled
    names = np.array(["late", "on time"])
    return pl.DataFrame(
        {
            "_id": [f"r{i}" for i in range(rows)],
            "_time": [DAY + timedelta(hours=hours * i / rows) for i in range(rows)],
            "carrier": rng.choice(["AA", "UA"], rows),
            "_prediction": names[(chance >= 0.5).astype(int)],
            "_probability_late": 1 - chance,
            "_probability_on time": chance,
            "late": pl.Series(names[label.astype(int)]).scatter(np.flatnonzero(~known), None),
        },
        schema_overrides={"_time": pl.Datetime("us", "UTC")},
    )


def verdict_of(manifest, metrics=PROMISED, gates=("roc_auc",), slices=()):
    return Verdict(
        model_digest=manifest.model_digest,
        manifest_sha256="m" * 64,
        data_fingerprint="d" * 64,
        golden_fingerprint="g" * 64,
        task=manifest.task,
        metrics=metrics,
        gates=tuple(GateOutcome(gate=name, metric=name, passed=True, reason="") for name in gates),
        slices=slices,
        blessed=True,
        reason="",
        time="2026-03-01T00:00:00Z",
    )


@pytest.fixture
def judged(manifest, tmp_path):
    def run(rows, promise=None, before=None, **settings):
        window = write_dataset({"rows": rows}, tmp_path / "window")
        given = promise or verdict_of(manifest)
        return judge(window, manifest, given, Performance(**settings), before=before)[0]

    return run


def only(result):
    (metric,) = result.judged
    return metric


def test_what_is_as_promised_is_held_and_what_is_not_is_worse(judged):
    good, bad = judged(frame(4000)), judged(frame(4000, honest=0.6))
    assert (good.state, bad.state) == ("held", "worse")
    assert only(bad).gain.high < 0
    assert "as promised" in told(good)
    assert "worse than promised" in told(bad)


def test_few_rows_do_not_tell(judged):
    result = judged(frame(150, honest=0.9))
    assert result.state == "unclear"
    assert "the rows do not tell" in told(result)


def test_a_loss_within_the_tolerance_does_not_matter_however_certain_it_is(judged, manifest):
    promise = {"roc_auc": {"value": 0.8, "low": 0.799, "high": 0.801}}
    rows = frame(40_000)
    assert only(judged(rows, tolerance={"roc_auc": 0.05})).state == "held"
    strict = judged(rows, verdict_of(manifest, promise), tolerance={"roc_auc": 0.001})
    assert (strict.state, only(strict).gain.high < 0) == ("worse", True)
    lax = judged(rows, verdict_of(manifest, promise), tolerance={"roc_auc": 0.05})
    assert (lax.state, only(lax).gain.high < 0) == ("held", True)


def test_where_less_is_better_more_is_worse(judged, manifest):
    promise = verdict_of(manifest, gates=("log_loss",))
    result = judged(frame(4000, honest=0.6), promise)
    assert (only(result).name, result.state) == ("log_loss", "worse")
    assert only(result).gain.value == pytest.approx(0.58 - only(result).now.value)


@pytest.mark.parametrize(("honest", "most"), [(1.0, 0.03), (0.9, 1.0)])
def test_a_window_without_change_is_called_worse_as_seldom_as_it_is_said(judged, manifest, honest, most):
    """At 95 % two-sided a false alarm has a chance of 2.5 % before the tolerance, and less with it; 200 windows."""
    promise = verdict_of(manifest, {"roc_auc": span_of_frame(frame(4000, seed=999))})
    states = [judged(frame(600, seed=s, honest=honest), promise, tolerance={"roc_auc": 0}).state for s in range(200)]
    alarms = states.count("worse") / len(states)
    assert alarms <= most
    if honest < 1:
        assert alarms >= 0.15  # AUC falls by 0.027, a standard error and a half


def span_of_frame(rows):
    score, actual = rows["_probability_on time"].to_numpy(), (rows["late"] == "on time").to_numpy()
    found = interval(roc_auc(actual, score))
    return {"value": found.value, "low": found.low, "high": found.high}


def test_rows_of_an_hour_that_stand_or_fall_together_widen_the_interval(judged):
    rows = frame(3000, hours=60)
    hour = np.arange(3000) // 50
    bad = np.random.default_rng(1).random(60) < 0.3
    other = pl.when(pl.col("late") == "late").then(pl.lit("on time")).otherwise(pl.lit("late"))
    flipped = rows.with_columns(late=pl.when(pl.Series(bad[hour])).then(other).otherwise(pl.col("late")))
    alone = judged(rows)
    together = judged(flipped)
    assert together.blocks in ("hour", "day")
    assert only(together).now.high - only(together).now.low > 2 * (only(alone).now.high - only(alone).now.low)


def test_estimates_are_right_where_the_probabilities_are_and_say_so_where_they_are_not(judged):
    right, wrong = judged(frame(4000, labelled=0.5)), judged(frame(4000, labelled=0.5, honest=0.6))
    (good,), (bad,) = right.estimates, wrong.estimates
    assert good.of_labelled.low <= good.truth <= good.of_labelled.high
    assert (good.surprise, bad.surprise) == (False, True)
    assert good.all_rows.value == pytest.approx(good.truth, abs=0.03)
    assert good.all_rows.high - good.all_rows.low < good.of_labelled.high - good.of_labelled.low


def test_intervals_of_estimates_hold_what_comes_out_as_often_as_they_say(judged):
    held = 0
    for seed in range(100):
        (estimate,) = judged(frame(500, seed=seed), confidence=0.9).estimates
        held += not estimate.surprise
    assert 83 <= held <= 97


def test_without_labels_there_is_an_estimate_and_no_judgement(judged):
    result = judged(frame(2000, labelled=0.0))
    assert (result.labelled, result.enough, result.state) == (0, False, None)
    assert result.estimates[0].all_rows.value == pytest.approx(0.78, abs=0.03)
    assert result.estimates[0].truth is None
    assert "roc_auc is estimated at 0.7" in told(result)


def test_labels_that_do_not_stand_for_the_window_are_noticed(judged):
    rows = frame(4000)
    likely = pl.col("_probability_on time") > 0.5
    biased = rows.with_columns(late=pl.when(likely).then("late"))
    assert judged(biased).selection.low > 0.3
    fair = judged(frame(4000, labelled=0.5)).selection
    assert fair.low <= 0 <= fair.high


def test_a_slice_that_falls_apart_is_named_with_what_was_promised_there(judged, manifest):
    rows = frame(4000)
    coin = pl.Series(np.random.default_rng(3).choice(["late", "on time"], 4000))
    rows = rows.with_columns(late=pl.when(pl.col("carrier") == "UA").then(coin).otherwise(pl.col("late")))
    promised = SliceOutcome(slice="carrier=UA", metric="roc_auc", rows=900, value=0.77)
    result = judged(rows, verdict_of(manifest, slices=(promised,)))
    worst = result.slices[0]
    assert (worst.slice, worst.promised.value) == ("carrier=UA", 0.77)
    assert worst.now.value == pytest.approx(0.5, abs=0.06)


def test_one_class_alone_leaves_a_metric_undefined(judged):
    result = judged(frame(500).with_columns(late=pl.lit("late")))
    assert only(result).now is None
    assert result.state is None
    assert "undefined on these rows" in told(result)


def test_the_window_before_is_compared_with(judged):
    before = judged(frame(4000))
    after = judged(frame(4000, seed=1, honest=0.6), before=before)
    assert after.since_before["roc_auc"].high < 0
    assert after.since_before["log_loss"].high < 0


def test_a_regression_is_measured_too(regression, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.normal(10, 3, 500)
    rows = (
        frame(500)
        .select("_id", "_time", "carrier")
        .with_columns(_prediction=pl.Series(truth + rng.normal(0, 2, 500)), delay=pl.Series(truth))
    )
    window = write_dataset({"rows": rows}, tmp_path / "window")
    promise = verdict_of(regression, {"rmse": {"value": 1.0, "low": 0.9, "high": 1.1}}, gates=("rmse",))
    result, _ = judge(window, regression, promise, Performance())
    assert (result.state, result.estimates, result.calibration_error) == ("worse", (), None)
    assert only(result).now.value == pytest.approx(2, abs=0.2)


def test_several_metrics_that_decide_share_the_error(judged, manifest):
    alone = judged(frame(1000), verdict_of(manifest, gates=("roc_auc",)))
    both = judged(frame(1000), verdict_of(manifest, gates=("roc_auc", "log_loss")))
    width = [result.judged[0].now.high - result.judged[0].now.low for result in (alone, both)]
    assert 1.1 < width[1] / width[0] < 1.4


def test_the_step_writes_findings_metrics_and_a_page(manifest, tmp_path):
    write_dataset({"rows": frame(3000, labelled=0.6, honest=0.6)}, tmp_path / "window")
    write_verdict(verdict_of(manifest), tmp_path / "verdict.json")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "headway.json").write_text(manifest.model_dump_json(by_alias=True))
    names = ("window", "model", "verdict.json", "findings.json", "metrics", "report.html")
    artifacts = [LocalArtifact(str(tmp_path / name)) for name in names]
    measure_performance(*artifacts, performance={"relative_tolerance": 0.02})
    findings = json.loads((tmp_path / "findings.json").read_text())
    assert findings["kind"] == "performance"
    assert findings["labelled"] == pytest.approx(1800, abs=120)
    assert artifacts[4].metadata["estimated_roc_auc"] == pytest.approx(0.78, abs=0.03)
    assert "Worse than promised" in (tmp_path / "report.html").read_text()
    measure_performance(*artifacts, performance={}, before=artifacts[3])
    broken = LocalArtifact(str(tmp_path / "report.html"))
    with pytest.raises(HeadwayError, match=r"\[input.unreadable\]"):
        measure_performance(*artifacts, performance={}, before=broken)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"metrics": ["f2"]}, "performance.metric_unknown"),
        ({"metrics": ["selection_rate"]}, "performance.metric_unknown"),
        ({"metrics": ["f1"]}, "performance.no_promise"),
    ],
)
def test_what_cannot_decide_is_refused(judged, settings, code):
    with pytest.raises(HeadwayError, match=rf"\[{code}\]"):
        judged(frame(300), **settings)


def test_a_difference_of_two_samples_has_the_interval_that_it_should():
    """MOVER with symmetric limits is the root of the summed squares."""
    found = difference_of(Interval(0.5, 0.47, 0.53), Interval(0.4, 0.36, 0.44))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.05, 0.15))
    skewed = difference_of(Interval(0.1, 0.02, 0.3), Interval(0.0, 0.0, 0.0))
    assert (skewed.low, skewed.high) == pytest.approx((0.02, 0.3))

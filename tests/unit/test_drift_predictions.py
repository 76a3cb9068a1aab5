"""Predictions drift: what a model says, held against what it said in its evaluation."""

import numpy as np
import pytest

from headway.components._shared.profiles.predictions import predicted_of, profile_in, profile_predictions
from headway.components._shared.statistics.metrics import Outcomes
from headway.components._shared.verdicts import Predicted
from headway.components.monitoring.config import Drift, Policy
from headway.components.monitoring.decision.signals import signals_of
from headway.components.monitoring.drift.columns import judge_columns
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.window.result import WindowResult


def binary(rng, rows, shift=0.0):
    probability = 1 / (1 + np.exp(-rng.normal(-1 + shift, 1, rows)))
    said = np.column_stack([1 - probability, probability])
    return Outcomes("binary", np.full(rows, np.nan), (probability > 0.5).astype(float), 2, said)


def judged(before, now, classes=("no", "yes")):
    kept = Predicted.model_validate_json(predicted_of(before, classes).model_dump_json())
    return {c.name: c for c in judge_columns(profile_in(kept), profile_predictions(now, classes, kept.step), Drift())}


def test_the_same_model_on_the_same_kind_of_rows_says_the_same():
    rng = np.random.default_rng(0)
    found = [judged(binary(rng, 5000), binary(rng, 800)) for _ in range(40)]
    assert set(found[0]) == {"prediction", "probability of yes"}
    assert sum(any(column.drifted for column in each.values()) for each in found) <= 1


@pytest.mark.parametrize("rows", [300, 3000])
def test_what_it_says_otherwise_is_found_in_classes_and_in_probabilities(rows):
    rng = np.random.default_rng(1)
    found = judged(binary(rng, 5000), binary(rng, rows, shift=0.8))
    assert found["prediction"].drifted
    assert found["probability of yes"].drifted


def test_a_verdict_stays_small_whatever_was_predicted():
    rng = np.random.default_rng(2)
    for values in (rng.lognormal(5, 2, 50_000), rng.normal(0, 1e-6, 50_000), np.full(100, 3.0)):
        kept = predicted_of(Outcomes("regression", values, values), ())
        assert len(kept.model_dump_json()) < 400_000
        profile = profile_in(kept)
        assert profile.column("prediction").values == len(values)


def test_numbers_that_move_are_found():
    rng = np.random.default_rng(3)
    before, same, moved = (rng.normal(mean, 40, 3000) for mean in (200, 200, 220))
    judge = lambda now: judged(Outcomes("regression", before, before), Outcomes("regression", now, now), ())  # noqa: E731
    assert not judge(same)["prediction"].drifted
    assert judge(moved)["prediction"].drifted


def test_it_is_a_signal():
    rng = np.random.default_rng(4)
    columns = tuple(judged(binary(rng, 5000), binary(rng, 3000, shift=0.8)).values())
    drift = DriftResult(rows=3000, fingerprint="f", reference_rows=5000, predictions=columns)
    window = WindowResult(
        model_name="m1", model_digest="a", start="", end="", rows=3000, requests=3000, fingerprint="f"
    )
    signal = signals_of(window, drift, None, Policy())["predictions"]
    assert (signal.fired, signal.told) == (True, "prediction, probability of yes drifted")

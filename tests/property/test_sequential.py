"""Sequential tests hold whenever they are looked at: calibration by simulation, and power at stated effects."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.statistics.sequential import confidence_sequence, log_evidence
from headway.components.deployment.analysis.stream import Stream

RUNS, REQUESTS, LOOK_EVERY = 300, 600, 10

VALUES = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=60)


def first_decision(stream, values, *, false_alarm):
    """Decides at every look, as the analysis does, and gives the first decision with the requests it took."""
    for count in range(LOOK_EVERY, len(values) + 1, LOOK_EVERY):
        stream.values = list(values[:count])
        decision = stream.decide(false_alarm)
        if decision != "inconclusive":
            return decision, count
    return "inconclusive", len(values)


def ever(stream, draw, *, false_alarm, wanted, runs=RUNS, requests=REQUESTS):
    """Share of simulated analyses that ever, at any look, come to the decision; they go on whatever else they say."""
    found = 0
    for seed in range(runs):
        values = draw(np.random.default_rng(seed), requests)
        for count in range(LOOK_EVERY, requests + 1, LOOK_EVERY):
            stream.values = list(values[:count])
            if stream.decide(false_alarm) == wanted:
                found += 1
                break
    return found / runs


def upper(rate, runs=RUNS):
    """What a share may be seen as by chance when it is `rate`, three standard errors above."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / runs)


def errors(stable, candidate):
    return lambda rng, count: (rng.random(count) < candidate) * 1.0 - (rng.random(count) < stable)


def slower(share):
    return lambda rng, count: np.where(rng.random(count) < share, 0.5, -0.5)


def shifted(stable, candidate):
    return lambda rng, count: (rng.random(count) < candidate) * 1.0 - (rng.random(count) < stable)


ERRORS = {"name": "errors", "bounds": (-1.0, 1.0), "limit": 0.02}
LATENCY = {"name": "latency", "bounds": (-0.5, 0.5), "limit": 0.0}
PREDICTIONS = {"name": "late", "bounds": (-1.0, 1.0), "limit": 0.1, "both_ways": True}


@pytest.mark.parametrize(
    ("stream", "draw"),
    [
        (ERRORS, errors(0.0, 0.02)),
        (ERRORS, errors(0.05, 0.07)),
        (ERRORS, errors(0.5, 0.52)),
        (LATENCY, slower(0.5)),
        (PREDICTIONS, shifted(0.3, 0.4)),
        (PREDICTIONS, shifted(0.4, 0.3)),
    ],
)
def test_a_candidate_just_within_a_limit_is_rolled_back_no_more_often_than_nominal(stream, draw):
    nominal = 0.1
    assert ever(Stream(**stream), draw, false_alarm=nominal, wanted="failed") <= upper(nominal)


@pytest.mark.parametrize(
    ("stream", "draw"), [(ERRORS, errors(0.0, 0.02)), (LATENCY, slower(0.5)), (PREDICTIONS, shifted(0.3, 0.4))]
)
def test_a_candidate_at_a_limit_passes_no_more_often_than_one_in_twenty(stream, draw):
    assert ever(Stream(**stream), draw, false_alarm=0.01, wanted="passed") <= upper(0.05)


@pytest.mark.parametrize("stable", [0.0, 0.01, 0.2])
def test_a_candidate_as_good_as_the_stable_version_is_never_seen_to_fail(stable):
    assert ever(Stream(**ERRORS), errors(stable, stable), false_alarm=0.01, wanted="failed") <= upper(0.01)


# Effect, and within how many requests to each version nine of ten analyses at 0.01 have found it.
POWER = [
    (ERRORS, errors(0.0, 1.0), "failed", 20),
    (ERRORS, errors(0.0, 0.5), "failed", 30),
    (ERRORS, errors(0.0, 0.1), "failed", 320),
    (LATENCY, slower(0.9), "failed", 40),
    (LATENCY, slower(0.05), "passed", 30),
    (PREDICTIONS, shifted(0.3, 0.6), "failed", 350),
    (ERRORS, errors(0.0, 0.0), "passed", 260),
    (PREDICTIONS, shifted(0.3, 0.3), "passed", 1000),
]


@pytest.mark.parametrize(("stream", "draw", "decision", "within"), POWER)
def test_an_effect_is_found_within_the_requests_that_are_stated(stream, draw, decision, within):
    found = [
        first_decision(Stream(**stream), draw(np.random.default_rng(seed), within), false_alarm=0.01)[0]
        for seed in range(100)
    ]
    assert found.count(decision) >= 90


def test_a_confidence_sequence_covers_the_mean_at_every_look_at_once():
    missed = 0
    for seed in range(200):
        values = (np.random.default_rng(seed).random(300) < 0.3) * 1.0
        looks = [confidence_sequence(values[:n], (0.0, 1.0), confidence=0.9) for n in range(20, 301, 20)]
        missed += any(not look.low <= 0.3 <= look.high for look in looks)
    assert missed / 200 <= upper(0.1, 200)


@settings(max_examples=100)
@given(VALUES, st.floats(-0.9, 0.9), st.floats(0.01, 0.5))
def test_evidence_falls_as_the_doubted_mean_rises_and_does_not_hang_on_order(values, mean, step):
    evidence = log_evidence(values, mean, (-1.0, 1.0))
    assert log_evidence(values, min(mean + step, 0.99), (-1.0, 1.0)) <= evidence + 1e-9
    assert math.isclose(log_evidence(values[::-1], mean, (-1.0, 1.0)), evidence, abs_tol=1e-9)


@settings(max_examples=100)
@given(VALUES)
def test_an_interval_lies_around_the_mean_within_the_bounds_and_mirrors(values):
    found = confidence_sequence(values, (-1.0, 1.0))
    assert -1 <= found.low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= found.high <= 1
    mirrored = confidence_sequence([-v for v in values], (-1.0, 1.0))
    assert math.isclose(mirrored.low, -found.high, abs_tol=1e-3)
    assert math.isclose(mirrored.high, -found.low, abs_tol=1e-3)


def test_nothing_observed_says_nothing():
    found = confidence_sequence([], (0.0, 1.0))
    assert (math.isnan(found.value), found.low, found.high) == (True, 0.0, 1.0)
    assert Stream(**ERRORS).decide(0.01) == "inconclusive"

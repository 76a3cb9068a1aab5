"""Differences of two versions counted in windows: calibration under repeated looks, and power, by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.statistics.two_samples import (
    Window,
    difference_sequence,
    mean_evidence,
    means_needed,
    requests_needed,
    share_evidence,
)
from headway.components.deployment.analysis.comparison import Comparison
from headway.components.deployment.analysis.config import Share

RUNS, LOOKS = 300, 40


def windows(seed, candidate, stable, *, requests=(10, 90), looks=LOOKS, drift=0.0):
    """Failures at each look: both shares rise and fall together by `drift`, and traffic comes as it likes."""
    rng = np.random.default_rng(seed)
    for look in range(looks):
        shift = drift * math.sin(look / 5)
        n, m = (max(1, rng.poisson(mean)) for mean in requests)
        yield Window(rng.binomial(n, candidate + shift), n, rng.binomial(m, stable + shift), m)


def ever(limit, alpha, *shares, swapped=False, runs=RUNS, **more):
    """Share of analyses that would decide at any of their looks."""
    found = 0
    for seed in range(runs):
        seen = [window.swapped() if swapped else window for window in windows(seed, *shares, **more)]
        found += share_evidence(seen, limit).max() >= -math.log(alpha)
    return found / runs


def upper(rate, runs=RUNS):
    """What a share may be seen as by chance when it is `rate`, three standard errors above."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / runs)


@pytest.mark.parametrize(
    ("candidate", "stable", "more"),
    [
        (0.02, 0.0, {}),
        (0.07, 0.05, {"requests": (50, 50)}),
        (0.52, 0.5, {"requests": (3, 300)}),
        (0.52, 0.5, {"requests": (300, 3)}),
        (0.17, 0.15, {"drift": 0.15}),
        (1.0, 0.98, {}),
    ],
)
def test_a_candidate_just_within_the_limit_is_rolled_back_no_more_often_than_nominal(candidate, stable, more):
    assert ever(0.02, 0.1, candidate, stable, **more) <= upper(0.1)


@pytest.mark.parametrize(("candidate", "stable"), [(0.02, 0.0), (0.07, 0.05), (0.52, 0.5)])
def test_a_candidate_at_the_limit_passes_no_more_often_than_one_in_twenty(candidate, stable):
    assert ever(-0.02, 0.05, candidate, stable, swapped=True) <= upper(0.05)


def test_a_common_failure_of_both_is_not_held_against_the_candidate():
    def outage(look):
        return 0.9 if 10 <= look < 20 else 0.01

    found = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        seen = [Window(rng.binomial(10, outage(t)), 10, rng.binomial(90, outage(t)), 90) for t in range(LOOKS)]
        found += share_evidence(seen, 0.02).max() >= -math.log(0.01)
    assert found / RUNS <= upper(0.01)


@pytest.mark.parametrize(("mean", "spread"), [(10, 1.0), (50, 20.0)])
def test_means_at_the_limit_are_rolled_back_no_more_often_than_nominal(mean, spread):
    found = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        seen = []
        for _ in range(LOOKS):
            ours = np.clip(rng.normal(mean + 5, spread, rng.integers(1, 40)), 0, 100)
            theirs = np.clip(rng.normal(mean, spread, rng.integers(1, 90)), 0, 100)
            seen.append(Window(ours.sum(), len(ours), theirs.sum(), len(theirs)))
        found += mean_evidence(100)(seen, 5.0).max() >= -math.log(0.1)
    assert found / RUNS <= upper(0.1)


# Shares of candidate and stable version, the limit, requests to each at a look, what is found, and within how many
# requests to the candidate in nine of ten analyses at 0.01; the README has these numbers.
POWER = [
    (1.0, 0.0, (10, 90), "failed", 20),
    (0.5, 0.0, (10, 90), "failed", 20),
    (0.1, 0.0, (10, 90), "failed", 150),
    (0.1, 0.0, (50, 50), "failed", 280),
    (0.0, 0.0, (10, 90), "passed", 250),
    (0.01, 0.01, (50, 50), "passed", 1400),
]


@pytest.mark.parametrize(("candidate", "stable", "requests", "decision", "within"), POWER)
def test_an_effect_is_found_within_the_requests_that_are_stated(candidate, stable, requests, decision, within):
    found = 0
    for seed in range(100):
        seen = list(windows(seed, candidate, stable, requests=requests, looks=within // requests[0]))
        failed = first(share_evidence(seen, 0.02), 0.01)
        passed = first(share_evidence([window.swapped() for window in seen], -0.02), 0.05)
        found += (failed < passed) if decision == "failed" else (passed < failed)
    assert found >= 90


@pytest.mark.parametrize(("share", "effect", "limit"), [(0.7, 0.05, 0.0), (0.97, 0.01, 0.0), (0.5, 0.06, 0.02)])
def test_what_a_test_takes_is_what_was_said_beforehand(share, effect, limit):
    needed = requests_needed(share, effect, limit, weight=0.5, confidence=0.95)
    found = 0
    for seed in range(100):
        seen = [w.swapped() for w in windows(seed, share - effect, share, requests=(needed / 20,) * 2, looks=20)]
        found += first(share_evidence(seen, limit, share), 0.05) < math.inf
    assert 68 <= found <= 92


def test_what_is_needed_for_means_is_enough_for_the_widest_spread():
    needed = means_needed(1.0, 0.1, 0.0, weight=0.5, confidence=0.95)
    seen = [w.swapped() for w in windows(1, 0.4, 0.5, requests=(needed / 10,) * 2, looks=20)]
    assert first(mean_evidence(1.0)(seen, 0.0), 0.05) < 20
    assert means_needed(1.0, 0.05, 0.0, weight=0.5, confidence=0.95) == pytest.approx(4 * needed, rel=0.01)


def first(evidence, alpha):
    """The first look at which there is enough."""
    looks = np.flatnonzero(evidence >= -math.log(alpha))
    return looks[0] if len(looks) else math.inf


def test_an_interval_of_a_difference_holds_at_every_look_at_once():
    missed = 0
    for seed in range(40):
        seen = list(windows(seed, 0.3, 0.2, requests=(20, 30), looks=16))
        looks = [difference_sequence(seen[:n], share_evidence, confidence=0.8) for n in (1, 4, 16)]
        missed += any(not look.low <= 0.1 <= look.high for look in looks)
    assert missed / 40 <= upper(0.2, 40)


COUNTS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1)).map(
    lambda t: Window(round(t[0] * t[2]), t[0], round(t[1] * t[3]), t[1])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=8))
def test_an_interval_lies_around_the_difference_and_mirrors(seen):
    found = difference_sequence(seen, share_evidence)
    assert -1 <= found.low <= found.value + 1e-3
    assert found.value - 1e-3 <= found.high <= 1
    mirrored = difference_sequence([window.swapped() for window in seen], share_evidence)
    assert math.isclose(mirrored.low, -found.high, abs_tol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.floats(-0.9, 0.9), st.floats(0, 1), st.floats(0, 1))
def test_evidence_cannot_be_expected_where_the_difference_is_kept(n, m, difference, stable, below):
    candidate = max(0.0, min(1.0, stable + difference) - below)
    if candidate - stable > difference:
        return
    expected = 0.0
    for ours in range(n + 1):
        for theirs in range(m + 1):
            chance = math.comb(n, ours) * candidate**ours * (1 - candidate) ** (n - ours)
            chance *= math.comb(m, theirs) * stable**theirs * (1 - stable) ** (m - theirs)
            expected += chance * math.exp(share_evidence([Window(ours, n, theirs, m)], difference)[0])
    assert expected <= 1 + 1e-6


def test_an_offer_that_sells_better_is_proven_and_told_with_its_sign():
    metric = Share(name="sold", successes="a", total="b", limit=0.0)
    comparison = Comparison(metric)
    for window in windows(0, 0.2, 0.3, requests=(100, 100)):
        comparison.add(
            (window.our_count - window.ours, window.our_count), (window.their_count - window.theirs, window.their_count)
        )
    decision = comparison.decide(0.01)
    check = comparison.check(decision)
    assert decision == "passed"
    assert check.limit == "share sold above the stable version's"
    assert 0 < check.measured["low"] < check.measured["difference"] < check.measured["high"]
    widths = [look.high - look.low for look in check.looks]
    assert widths[-1] < widths[0]

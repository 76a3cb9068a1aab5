"""Intervals and tests against hand-made cases and other implementations."""

import numpy as np
import pytest

from headway.components._shared.statistics.differences import difference, holm, power
from headway.components._shared.statistics.estimates import mean_of, restrict, share
from headway.components._shared.statistics.intervals import (
    Interval,
    interval,
    largest,
    quantile_interval,
    smallest,
    wilson,
)
from headway.components._shared.statistics.spread import block_autocorrelation, bootstrap, design_effect, spread_of


def test_wilson_equals_the_textbook():
    found = wilson(10, 100)
    assert (found.low, found.high) == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert wilson(0, 20).low == 0
    assert wilson(0, 20).high == pytest.approx(0.161, abs=1e-3)
    assert wilson(0, 0) == Interval(0.5, 0.0, 1.0)


def test_a_share_of_independent_rows_has_wilsons_interval():
    event = np.arange(5000) < 600
    found, textbook = interval(share(np.ones(5000, dtype=bool), event)), wilson(600, 5000)
    assert (found.low, found.high) == pytest.approx((textbook.low, textbook.high), abs=1e-5)


def test_a_share_without_any_event_is_still_uncertain():
    found = interval(share(np.ones(100, dtype=bool), np.zeros(100, dtype=bool)))
    assert found.value == found.low == 0
    assert found.high == pytest.approx(0.038, abs=0.002)


def test_a_mean_without_blocks_has_students_interval():
    from scipy import stats

    values = np.random.default_rng(0).normal(5, 2, 4000)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    found = interval(mean_of(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-3)


def test_holm_adjusts_by_rank_and_keeps_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_rows_that_repeat_within_blocks_count_once():
    values = np.random.default_rng(1).normal(0, 1, 500)
    repeated, blocks = np.repeat(values, 4), np.repeat(np.arange(500), 4)
    once, blind, honest = (spread_of(mean_of(v), b) for v, b in ((values, None), (repeated, None), (repeated, blocks)))
    assert blind.standard_error == pytest.approx(once.standard_error / 2, rel=0.01)
    assert honest.standard_error == pytest.approx(once.standard_error, rel=0.01)
    assert design_effect(mean_of(repeated), blocks) == pytest.approx(4, rel=0.02)


def test_blocks_of_one_row_are_independent_rows():
    estimate = mean_of(np.random.default_rng(2).normal(0, 1, 300))
    alone = spread_of(estimate, np.arange(300))
    assert alone.standard_error == pytest.approx(spread_of(estimate).standard_error, rel=0.01)
    assert alone.degrees_of_freedom == pytest.approx(299)


def test_few_or_unequal_blocks_widen_the_interval():
    estimate = mean_of(np.random.default_rng(3).normal(0, 1, 1000))
    even = spread_of(estimate, np.repeat(np.arange(10), 100))
    uneven = spread_of(estimate, np.minimum(np.arange(1000) // 20, 9))
    assert even.degrees_of_freedom == pytest.approx(9)
    assert uneven.degrees_of_freedom < 2


def test_blocks_that_cancel_out_do_not_narrow_the_interval():
    values = np.tile([0.0, 1.0], 100)
    pairs = np.repeat(np.arange(100), 2)
    estimate = mean_of(values)
    assert spread_of(estimate, pairs).standard_error == spread_of(estimate).standard_error > 0


def test_one_block_is_refused():
    with pytest.raises(ValueError, match="one block tells nothing"):
        spread_of(mean_of(np.arange(10.0)), np.zeros(10, dtype=np.int64))


def test_two_models_that_never_differ_are_not_proven_equal_beyond_the_rows():
    right = share(np.ones(300, dtype=bool), np.arange(300) > 20)
    found = difference(right, right)
    assert found.value == 0
    assert found.p_value == 1
    assert found.high == pytest.approx(3.84 / 279, rel=0.1) or found.high == pytest.approx(3.84 / 300, rel=0.1)
    assert found.low == -found.high


def test_a_paired_difference_is_far_more_precise_than_two_intervals():
    generator = np.random.default_rng(4)
    truth = generator.normal(0, 1, 2000)
    first, second = mean_of(truth + generator.normal(0, 0.1, 2000)), mean_of(truth)
    found = difference(first, second)
    assert found.high - found.low < 0.2 * (interval(first).high - interval(first).low)
    assert difference(first, second, higher_is_better=False).value == -found.value


def test_parts_of_rows_are_compared_without_overlap():
    generator = np.random.default_rng(5)
    values, part = generator.normal(0, 1, 1000), np.arange(1000) < 400
    one, other = (restrict(mean_of(values[rows]), rows) for rows in (part, ~part))
    expected = np.sqrt(values[part].var(ddof=1) / 400 + values[~part].var(ddof=1) / 600)
    assert spread_of(one).standard_error == pytest.approx(values[part].std(ddof=1) / 20)
    assert difference(one, other).standard_error == pytest.approx(expected)


def test_power_grows_with_the_effect_and_reaches_eighty_percent_where_it_says():
    found = difference(mean_of(np.random.default_rng(6).normal(0.1, 1, 400)), mean_of(np.zeros(400)))
    assert power(found.detectable, found.standard_error, 399) == pytest.approx(0.8, abs=0.01)
    assert power(0.0, 1.0, 100) < power(1.0, 1.0, 100) < power(3.0, 1.0, 100)
    assert power(0.0, 0.0, 10) == 0


def test_the_extremes_take_each_end_from_the_right_interval():
    single = [Interval(0.5, 0.4, 0.6), Interval(0.55, 0.3, 0.8)]
    joint = [Interval(0.5, 0.35, 0.65), Interval(0.55, 0.2, 0.9)]
    assert smallest(single, joint) == Interval(0.5, 0.3, 0.65)
    assert largest(single, joint) == Interval(0.55, 0.35, 0.8)


def test_a_quantile_lies_between_the_order_statistics_that_bound_it():
    sample = np.arange(1, 101.0)
    found = quantile_interval(sample, 0.5)
    assert (found.low, found.high) == (40, 61)


def test_a_quantile_that_too_few_draws_bound_is_unbounded_there():
    assert quantile_interval(np.arange(367.0), 0.99).high == np.inf
    assert quantile_interval(np.arange(368.0), 0.99).high == 367
    assert quantile_interval(np.arange(5.0), 0.5).low == -np.inf


def test_neighbouring_days_that_are_alike_show():
    days = np.repeat(np.arange(60), 20)
    walk = np.cumsum(np.random.default_rng(7).normal(0, 1, 60))
    noise = np.random.default_rng(8).normal(0, 1, 60)
    assert block_autocorrelation(mean_of(walk[days]), days) > 0.7
    assert abs(block_autocorrelation(mean_of(noise[days]), days)) < 0.3


def test_the_bootstrap_is_seeded_and_spreads_as_its_rows():
    rows = np.column_stack([np.random.default_rng(9).normal(0, 1, 5000), np.ones(5000)])
    draws = bootstrap(rows, lambda sums: sums[:, 0] / sums[:, 1], seed=1)
    assert np.array_equal(draws, bootstrap(rows, lambda sums: sums[:, 0] / sums[:, 1], seed=1))
    assert draws.std() == pytest.approx(1 / np.sqrt(5000), rel=0.1)

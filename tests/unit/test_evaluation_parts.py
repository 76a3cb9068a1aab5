"""Thresholds, slices, blocks and worries, each for itself."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.statistics.blocks import Blocks
from headway.components._shared.statistics.metrics import Outcomes, metrics_of
from headway.components._shared.statistics.slices import automatic_columns, measure_slices, slice_rows, worst_of
from headway.components.evaluation.config import Costs, Evaluation
from headway.components.evaluation.groups import measure_gap
from headway.components.evaluation.rows import find_blocks
from headway.components.evaluation.threshold import cheapest_threshold, cost_curve, find_threshold


def binary(actual, probability):
    labels = (probability >= 0.5).astype(float)
    return Outcomes("binary", actual, labels, 2, np.column_stack([1 - probability, probability]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=2, max_size=40), st.integers(1, 9))
@settings(deadline=None)
def test_no_other_threshold_is_cheaper(rows, dear):
    actual = np.array([float(a) for a, _ in rows])
    probability = np.array([p / 10 for _, p in rows])
    costs = Costs(false_positive=1, false_negative=dear)

    def cost(threshold):
        selected = probability >= threshold
        return float(np.mean(selected * (1 - actual) + dear * ~selected * actual))

    chosen = cheapest_threshold(actual, probability, costs)
    assert cost(chosen) == pytest.approx(min(cost(t) for t in np.linspace(0, 1.1, 221)))
    thresholds, curve = cost_curve(actual, probability, costs)
    assert [cost(t) for t in thresholds] == pytest.approx(list(curve))


def test_a_threshold_chosen_on_noise_does_not_look_useful():
    """On scores that say nothing, the cheapest threshold looks good on its own rows; cross-fitted it does not."""
    generator = np.random.default_rng(0)
    costs = Costs(false_positive=1, false_negative=2)
    flattered, honest = [], []
    for seed in range(200):
        actual = (generator.random(200) < 1 / 3).astype(float)
        probability = generator.random(200)
        found = find_threshold(actual, probability, costs=costs, given=None, blocks=None, seed=seed)
        flattered.append(min(cost for _, cost in found.curve))
        honest.append(np.mean(found.labels * (1 - actual) + 2 * (1 - found.labels) * actual))
    truth = 2 / 3  # whatever the threshold
    assert np.mean(flattered) < truth - 0.02
    assert np.mean(honest) >= truth - 0.005


def test_a_block_is_never_in_two_folds():
    generator = np.random.default_rng(1)
    blocks = np.repeat(np.arange(20), 10)
    actual, probability = (generator.random(200) < 0.5).astype(float), generator.random(200)
    found = find_threshold(
        actual, probability, costs=Costs(false_positive=1, false_negative=1), given=None, blocks=blocks, seed=0
    )
    cuts = {
        block: {
            t for t in found.by_fold if ((probability[blocks == block] >= t) == found.labels[blocks == block]).all()
        }
        for block in range(20)
    }
    assert all(cuts.values())


def test_a_given_threshold_and_the_default_are_taken_as_they_are():
    actual, probability = np.array([0.0, 1.0, 1.0]), np.array([0.3, 0.5, 0.6])
    given_one = find_threshold(actual, probability, costs=None, given=0.55, blocks=None, seed=0)
    assert (given_one.value, given_one.source, given_one.labels.tolist()) == (0.55, "given", [0, 0, 1])
    default = find_threshold(actual, probability, costs=None, given=None, blocks=None, seed=0)
    assert (default.value, default.source, default.labels.tolist()) == (0.5, "default", [0, 1, 1])


def test_slices_cover_every_row_once_a_column():
    generator = np.random.default_rng(2)
    frame = pl.DataFrame(
        {
            "city": [None if k % 11 == 0 else ("a", "b", "cc")[k % 3] for k in range(500)],
            "amount": [None if k % 50 == 0 else float(v) for k, v in enumerate(generator.normal(0, 1, 500))],
            "member": [k % 2 == 0 for k in range(500)],
            "day": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=k) for k in range(500)],
            "unique": [f"u{k}" for k in range(500)],
        }
    )
    for column in frame.columns:
        pieces = slice_rows(frame, [column])
        assert np.array_equal(sum(p.rows.astype(int) for p in pieces), np.ones(500, dtype=int)), column
        assert all(p.size >= 10 for p in pieces), column
    names = [p.name for p in slice_rows(frame, ["city", "member"])]
    assert names == ["city=a", "city=b", "city=cc", "city=(missing)", "member=false", "member=true"]
    assert [p.name.split(",")[0] for p in slice_rows(frame, ["day"])] == [f"day={k}. quarter" for k in (1, 2, 3, 4)]
    assert [p.name for p in slice_rows(frame, ["unique"])] == ["unique=(rare)"]


def test_automatic_slices_leave_out_what_names_somebody():
    roles = {"a": (), "b": ("personal",), "c": ("subject",), "d": ("id",), "e": ("group",), "f": ("target",)}
    schema = Schema(columns=tuple(Column(name=n, type="string", roles=r) for n, r in roles.items()))
    frame = pl.DataFrame({name: ["x", "y"] * 20 for name in [*roles, "unknown"]})
    assert automatic_columns(frame, schema, "f") == ["a", "e"]


def test_a_poor_slice_is_found_and_one_that_only_looks_poor_is_not():
    generator = np.random.default_rng(3)
    place = generator.integers(0, 10, 20_000)
    actual = (generator.random(20_000) < 0.4).astype(float)
    right = generator.random(20_000) < np.where(place == 7, 0.7, 0.8)
    outcomes = binary(actual, np.where(right, actual, 1 - actual))
    frame = pl.DataFrame({"place": [f"p{k}" for k in place]})
    accuracy = metrics_of("binary")["accuracy"]
    results = measure_slices(slice_rows(frame, ["place"]), accuracy, outcomes, None, min_support=100, confidence=0.95)
    worse = [r.name for r in results if r.p_value < 0.05 and r.deviation.value < 0]
    assert worse == ["place=p7"]
    name, worst = worst_of(results, accuracy)
    assert name == "place=p7"
    assert worst.low < 0.7 < worst.high < 0.75


def test_slices_without_support_say_what_they_lack():
    frame = pl.DataFrame({"place": ["a"] * 300 + ["b"] * 300 + ["c"] * 50})
    actual = np.concatenate([np.tile([0.0, 1.0], 150), [1.0] * 5, np.zeros(345)])
    day = Blocks(np.where(np.arange(650) < 300, 0, np.arange(650) % 9).astype(np.int64), "day of t", 9, True)
    results = measure_slices(
        slice_rows(frame, ["place"]),
        metrics_of("binary")["roc_auc"],
        binary(actual, np.linspace(0, 1, 650)),
        day,
        min_support=100,
        confidence=0.95,
    )
    assert [r.why_not for r in results] == [
        "its rows lie in 1 block (day of t), fewer than 5",
        "fewer than 10 rows decide the metric there",
        "50 rows, fewer than 100",
    ]


def test_a_gap_names_the_groups_furthest_apart():
    generator = np.random.default_rng(4)
    place = generator.integers(0, 3, 6000)
    probability = np.where(generator.random(6000) < np.array([0.3, 0.5, 0.35])[place], 0.9, 0.1)
    frame = pl.DataFrame({"place": [f"p{k}" for k in place]})
    gap = measure_gap(
        slice_rows(frame, ["place"]),
        metrics_of("binary")["selection_rate"],
        binary(np.ones(6000), probability),
        None,
        min_support=100,
        confidence=0.95,
    )
    assert gap.widest == ("place=p0", "place=p1")
    assert gap.interval.low < 0.2 < gap.interval.high
    assert gap.interval.low > 0.1


def blocks_of(frame, evaluation=None, **roles):
    types = {pl.String: "string", pl.Int64: "integer"}
    schema = Schema(
        columns=tuple(
            Column(name=n, type=types.get(frame[n].dtype, "datetime"), roles=(roles[n],) if n in roles else ())
            for n in frame.columns
        )
    )
    return find_blocks(frame, schema, Evaluation.model_validate(evaluation or {}))


def test_rows_of_a_day_or_of_a_group_form_blocks_by_their_roles():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame({"t": [start + timedelta(hours=k) for k in range(240)], "who": [k % 30 for k in range(240)]})
    day, who = blocks_of(frame, t="time")[0], blocks_of(frame, who="group")[0]
    assert (day.count, day.words, day.ordered) == (10, "day of t", True)
    assert (who.count, who.words) == (30, "value of who")
    assert {b.words for b in blocks_of(frame, t="time", who="subject")} == {"day of t", "value of who"}
    assert blocks_of(frame, {"dependence": "none"}, t="time") == ()
    assert blocks_of(frame.head(30), t="time") == ()  # two days say nothing about how days differ
    weekly = blocks_of(frame, {"dependence": {"column": "t", "period": "1h"}})[0]
    assert (weekly.count, weekly.words) == (240, "hour of t")
    assert np.array_equal(day.numbers, np.arange(240) // 24)
    with pytest.raises(HeadwayError) as caught:
        blocks_of(frame, {"dependence": {"column": "t", "period": "1mo"}})
    assert str(caught.value) == (
        "[evaluation.too_few_blocks] `dependence` makes 1 block (month of t) of these rows, too few to tell how "
        "blocks differ. Given: 't'. Remedy: Take a shorter `period` or another column, so that there are at least 5."
    )

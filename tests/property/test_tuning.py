"""The rules of a search, for any numbers."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.artifacts import Feature
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import CrossValidation, falls_behind
from headway.components._shared.estimators.tunings import Trial
from headway.components.training.folds import make_folds
from headway.components.training.rows import Rows
from headway.components.tuning.config import Parameter
from headway.components.tuning.decide import (
    MEDIAN_STARTUP,
    Direction,
    best_trial,
    gain,
    median_bars,
    reached,
)
from headway.components.tuning.sampling import suggest

directions: st.SearchStrategy[Direction] = st.sampled_from(["maximize", "minimize"])
any_number = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, -math.inf]))
finite = st.floats(-1e6, 1e6)


def trial(number: int, folds: list[float], state: Any = "succeeded") -> Trial:
    value = sum(folds) / len(folds) if folds and state == "succeeded" else None
    return Trial.model_construct(number=number, params={}, state=state, folds=tuple(folds), value=value)


@settings(deadline=None)
@given(st.lists(st.tuples(any_number, st.sampled_from(["succeeded", "failed", "pruned"])), max_size=12), directions)
def test_the_winner_is_finite_succeeded_and_unbeaten_and_the_first_of_its_kind(
    drawn: list[tuple[float, str]], direction: Direction
) -> None:
    trials = [trial(number, [value], state) for number, (value, state) in enumerate(drawn)]
    best = best_trial(trials, direction)
    usable = [t for t in trials if t.state == "succeeded" and t.value is not None and math.isfinite(t.value)]
    assert (best is None) == (not usable)
    if best is not None and best.value is not None:
        values = [t.value for t in usable if t.value is not None]
        assert best.value == (max(values) if direction == "maximize" else min(values))
        assert best.number == min(t.number for t in usable if t.value == best.value)


@settings(deadline=None)
@given(any_number, finite, directions)
def test_a_number_that_is_not_finite_reaches_no_goal(value: float, goal: float, direction: Direction) -> None:
    expected = math.isfinite(value) and (value >= goal if direction == "maximize" else value <= goal)
    assert reached(value, goal, direction) == expected
    assert not reached(None, goal, direction)
    assert not reached(value, None, direction)


@settings(deadline=None)
@given(
    st.lists(st.lists(finite, min_size=3, max_size=3), max_size=9),
    st.lists(finite, min_size=1, max_size=3),
    directions,
)
def test_a_trial_is_stopped_only_below_the_median_and_never_after_its_last_fold(
    before: list[list[float]], values: list[float], direction: Direction
) -> None:
    bars = median_bars([trial(number, folds) for number, folds in enumerate(before)], 3)
    assert len(bars) == (2 if len(before) >= MEDIAN_STARTUP else 0)
    stopped = falls_behind(values, bars, direction)
    if len(values) == 3 or not bars:
        assert not stopped
    else:
        median = np.median([np.mean(folds[: len(values)]) for folds in before])
        mean = np.mean(values)
        assert stopped == bool(mean < median if direction == "maximize" else mean > median)


@settings(deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=10), st.floats(0.01, 1), directions)
def test_the_gain_turns_with_the_direction_and_lies_in_its_interval(
    folds: list[tuple[float, float]], share: float, direction: Direction
) -> None:
    base, best = trial(0, [a for a, _ in folds]), trial(1, [b for _, b in folds])
    found = gain(best, base, [base, best], direction, share, 0.95)
    turned = gain(best, base, [base, best], "minimize" if direction == "maximize" else "maximize", share, 0.95)
    assert found.low <= found.value <= found.high
    assert found.value == -turned.value
    assert found.value == pytest.approx(
        (1 if direction == "maximize" else -1) * np.mean([b - a for a, b in folds]), abs=1e-6
    )


@settings(deadline=None)
@given(st.floats(-10, 10), st.integers(2, 8))
def test_equal_gains_on_all_folds_leave_no_doubt(shift: float, count: int) -> None:
    base, best = trial(0, [0.0] * count), trial(1, [shift] * count)
    found = gain(best, base, [base, best], "maximize", 0.5, 0.95)
    assert found.low == pytest.approx(shift) == found.high


def test_the_corrected_interval_covers_what_it_promises() -> None:
    """Differences of folds correlate by n_test / (n_test + n_train), as Nadeau and Bengio assume."""
    draw = np.random.default_rng(0)
    count, ratio = 5, 0.25
    shared = ratio / (1 + ratio)
    covers = 0
    for _ in range(2000):
        differences = 0.3 + math.sqrt(shared) * draw.normal() + math.sqrt(1 - shared) * draw.normal(size=count)
        base, best = trial(0, [0.0] * count), trial(1, list(differences))
        found = gain(best, base, [base, best], "maximize", ratio, 0.9)
        covers += found.low <= 0.3 <= found.high
    assert 0.88 < covers / 2000 < 0.925


def test_the_choice_among_equals_gains_nothing_without_selection() -> None:
    """All trials are equally good: the plain gain is too large on average, the other one is not."""
    draw = np.random.default_rng(0)
    plain, honest = [], []
    for _ in range(300):
        trials = [trial(number, list(draw.normal(size=5))) for number in range(12)]
        best = best_trial(trials, "maximize")
        assert best is not None
        if best.number:
            found = gain(best, trials[0], trials, "maximize", 0.25, 0.95)
            plain.append(found.value)
        honest.append(gain(best, trials[0], trials, "maximize", 0.25, 0.95).without_selection)
    assert np.mean(plain) > 0.5
    assert abs(np.mean(honest)) < 0.1


spaces = st.dictionaries(
    st.sampled_from("abcd"),
    st.one_of(
        st.builds(lambda low, width: Parameter(type="double", min=low, max=low + width), finite, st.floats(0, 100)),
        st.builds(
            lambda low, width: Parameter(type="double", min=low, max=low * width, log=True),
            st.floats(1e-6, 10),
            st.floats(1, 1e4),
        ),
        st.builds(
            lambda low, width, step: Parameter(type="int", min=low, max=low + width, step=step),
            st.integers(-50, 50),
            st.integers(0, 60),
            st.integers(1, 4),
        ),
        st.builds(
            lambda values: Parameter(type="categorical", list=tuple(values)),
            st.lists(st.sampled_from([1, 2.5, "x", None, True]), min_size=1, unique_by=repr),
        ),
    ),
    min_size=1,
)


@settings(max_examples=40, deadline=None)
@given(spaces, st.sampled_from(["tpe", "random"]), st.integers(0, 9), directions)
def test_suggestions_lie_in_the_space_are_new_and_repeat_with_the_seed(
    space: dict[str, Parameter], sampler: str, seed: int, direction: Direction
) -> None:
    history: list[Trial] = []
    taken: list[dict[str, object]] = []
    for number in range(1, 7):
        asked = [
            suggest(
                space,
                history,
                number=number,
                sampler=sampler,
                direction=direction,
                seed=seed,
                startup=2,
                taken=taken,
            )
            for _ in range(2)
        ]
        assert asked[0] == asked[1]
        params = asked[0]
        if params is None:
            break
        assert params not in taken
        for name, parameter in space.items():
            if parameter.type == "categorical":
                assert params[name] in (parameter.list or ())
            else:
                assert isinstance(params[name], int if parameter.type == "int" else float)
                assert (parameter.min or 0) <= params[name] <= (parameter.max or 0)
        taken.append(params)
        state: Any = ["succeeded", "failed", "pruned"][number % 3]
        value = float(number) if state == "succeeded" else None
        history.append(Trial(number=number, params=params, state=state, folds=(float(number),), value=value))


def rows_of(times: list[int], delays: list[int] | None = None) -> Rows:
    order = sorted(range(len(times)), key=lambda i: times[i])
    begin = datetime(2024, 1, 1)
    moments = np.array([begin + timedelta(hours=times[i]) for i in order], dtype="datetime64[us]")
    known = None if delays is None else moments + np.array([np.timedelta64(delays[i], "h") for i in order])
    target = np.arange(len(times)) % 2
    return Rows(
        pl.DataFrame({"x": np.arange(len(times), dtype=float)}),
        target,
        (Feature(name="x", type="number"),),
        "y",
        "binary",
        (0, 1),
        moments,
        known,
        None,
    )


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), min_size=40, max_size=120), st.integers(2, 5), st.booleans(), st.randoms())
def test_no_fold_learns_from_what_was_not_known_yet(times: list[int], count: int, late: bool, random: object) -> None:
    delays = [(t * 7919) % 12 for t in times] if late else None
    rows = rows_of(times, delays)
    try:
        folds, _ = make_folds(rows, CrossValidation(strategy="time", folds=count), 0)
    except HeadwayError as error:
        assert "do not give" in str(error)  # noqa: PT017 - few distinct times
        return
    assert rows.time is not None
    for fold in folds:
        begins = rows.time[fold.test].min()
        assert (rows.time[fold.train] < begins).all()
        if rows.known is not None:
            assert (rows.known[fold.train] <= begins).all()
    for one, two in pairwise(folds):
        assert one.test.max() < two.test.min()
    assert folds[-1].test.max() == len(rows) - 1

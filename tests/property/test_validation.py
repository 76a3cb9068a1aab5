"""The mathematics of validation: the score, the shift measures, and how often they raise a false alarm."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.profiles import Profile, profile_of
from headway.components._shared.profiles.comparisons import binned
from headway.components._shared.schemas import Column, Schema
from headway.components._shared.statistics.homogeneity import benjamini_hochberg, homogeneity, psi
from headway.components.validation.config import Checks
from headway.components.validation.findings import Finding
from headway.components.validation.score import quality_score
from headway.components.validation.shift import compare, drafts

COLUMNS = ["a", "b", "c"]

findings = st.lists(
    st.builds(
        Finding,
        check=st.just("nulls"),
        severity=st.sampled_from(["error", "warning", "info"]),
        column=st.sampled_from([None, "elsewhere", *COLUMNS]),
        share=st.floats(0, 1),
        message=st.just(""),
        remedy=st.just(""),
    ),
    max_size=12,
)
counts = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(lambda c: sum(c) > 0)


@given(found=findings, more=findings)
def test_the_score_lies_between_0_and_1_and_no_finding_raises_it(found, more):
    before, after = quality_score(COLUMNS, found), quality_score(COLUMNS, [*found, *more])
    assert 0 <= after <= before <= 1
    assert quality_score(COLUMNS, []) == 1
    worse = [finding.model_copy(update={"severity": "error", "share": 1.0}) for finding in found]
    assert quality_score(COLUMNS, worse) <= before


@given(first=counts, second=counts)
def test_psi_is_symmetric_never_negative_and_0_on_equal_counts(first, second):
    size = min(len(first), len(second))
    a, b = np.array(first[:size], dtype=float), np.array(second[:size], dtype=float)
    if a.sum() == 0 or b.sum() == 0:
        return
    assert psi(a, b) >= 0
    assert psi(a, b) == pytest.approx(psi(b, a))
    assert psi(a, a) == 0
    assert 0 <= homogeneity(a, b) <= 1
    assert homogeneity(a, a) == pytest.approx(1)


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_values_are_never_smaller_and_keep_their_order(p_values):
    adjusted = benjamini_hochberg(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert max(adjusted) <= 1
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_adjusted_p_values_are_those_of_scipy():
    from scipy.stats import false_discovery_control

    p_values = np.random.default_rng(0).random(50) ** 3
    assert benjamini_hochberg(list(p_values)) == pytest.approx(false_discovery_control(p_values))


def test_the_p_value_is_that_of_scipy_where_every_bin_is_large():
    from scipy.stats import chi2_contingency

    table = np.array([[50.0, 70.0, 90.0], [60.0, 75.0, 65.0]])
    assert homogeneity(*table) == pytest.approx(chi2_contingency(table, correction=False).pvalue)


@settings(max_examples=40, deadline=None)
@given(
    reference=st.lists(st.integers(0, 60), min_size=1, max_size=200),
    current=st.lists(st.integers(0, 60), min_size=1, max_size=200),
)
def test_every_value_is_in_one_bin(reference, current):
    schema = Schema(columns=(Column(name="n", type="integer"),))
    old, new = (profile_of(pl.DataFrame({"n": values}).lazy(), schema).columns[0] for values in (reference, current))
    before, after = binned(old, new)
    assert (before.sum(), after.sum()) == (len(reference), len(current))


def draw(rng: np.random.Generator, rows: int, moved: float = 0.0) -> Profile:
    shares = [0.4, 0.3, 0.2, 0.05, 0.03, 0.01, 0.007, 0.003]
    frame = pl.DataFrame(
        {
            **{f"n{k}": rng.normal(moved if k == 0 else 0, 1, rows) for k in range(6)},
            **{f"i{k}": rng.poisson(3, rows) for k in range(2)},
            **{f"c{k}": rng.choice(list("abcdefgh"), rows, p=shares) for k in range(4)},
        }
    )
    types = {"n": "number", "i": "integer", "c": "string"}
    columns = tuple(Column.model_validate({"name": name, "type": types[name[0]]}) for name in frame.columns)
    return profile_of(frame.lazy(), Schema(columns=columns))


@pytest.mark.parametrize("rows", [60, 300, 3_000])
def test_without_a_shift_the_share_of_false_alarms_stays_below_the_nominal_rate(rows):
    rng = np.random.default_rng(5)
    reference = draw(rng, 20_000)
    significant = alarms = 0
    for _ in range(150):
        shifts, nulls = compare(reference, draw(rng, rows))
        significant += any(shift.adjusted <= 0.05 for shift in shifts)
        alarms += bool(list(drafts(shifts, nulls, Checks())))
    assert significant / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert alarms <= significant


def test_a_real_shift_is_found_on_300_rows_and_a_tiny_one_on_many_rows_is_no_alarm():
    rng = np.random.default_rng(6)
    reference = draw(rng, 20_000)
    found = 0
    for _ in range(60):
        shifts, nulls = compare(reference, draw(rng, 300, moved=0.7))
        found += any(draft.column == "n0" for draft in drafts(shifts, nulls, Checks()))
    assert found / 60 >= 0.9
    shifts, nulls = compare(draw(rng, 200_000), draw(rng, 200_000, moved=0.03))
    assert next(shift for shift in shifts if shift.column == "n0").adjusted < 1e-6
    assert list(drafts(shifts, nulls, Checks())) == []

"""How often drift is found where there is none, and how surely where there is some; fixed seeds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.profiles import profile_of
from headway.components._shared.schemas import Column, Schema
from headway.components.monitoring.config import Classifier, Drift
from headway.components.monitoring.drift.classifier import separation
from headway.components.monitoring.drift.columns import judge_columns
from headway.components.monitoring.drift.measures import measures
from headway.components.monitoring.drift.significance import ks_p_value, of_values
from tests.property.test_validation import draw

NUMBER = Schema(columns=(Column(name="x", type="number"),))
TEXT = Schema(columns=(Column(name="x", type="string"),))


def number(values):
    return profile_of(pl.DataFrame({"x": np.asarray(values, dtype=float)}).lazy(), NUMBER).columns[0]


def text(values):
    return profile_of(pl.DataFrame({"x": list(values)}).lazy(), TEXT).columns[0]


columns = st.one_of(
    st.lists(st.integers(0, 60), min_size=1, max_size=150).map(number),
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=150).map(number),
)


@settings(max_examples=60, deadline=None)
@given(old=columns, new=columns)
def test_measures_are_never_negative_and_0_on_equal_columns(old, new):
    found, same = measures(old, new).by, measures(old, old).by
    assert all(value >= 0 for value in found.values())
    assert all(value == pytest.approx(0, abs=1e-9) for value in same.values())
    assert found["kolmogorov_smirnov"] <= 1
    assert found["total_variation"] <= 1 + 1e-12
    assert 0 <= of_values(old, new, found["kolmogorov_smirnov"]) <= 1


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=30, max_size=150, unique=True), scale=st.sampled_from([0.5, 4.0]))
def test_a_change_of_unit_changes_no_measure(values, scale):
    half = len(values) // 2
    once = measures(number(values[:half]), number(values[half:])).by
    again = measures(number([scale * v for v in values[:half]]), number([scale * v for v in values[half:]])).by
    if np.std(values[:half]) * min(scale, 1) > 1e-3:
        assert again["wasserstein"] == pytest.approx(once["wasserstein"], rel=1e-6)
    assert again["kolmogorov_smirnov"] == pytest.approx(once["kolmogorov_smirnov"])


@settings(max_examples=30, deadline=None)
@given(old=st.lists(st.sampled_from("abcd"), min_size=1), new=st.lists(st.sampled_from("abcde"), min_size=1))
def test_the_symmetric_measures_are_symmetric(old, new):
    there, back = measures(text(old), text(new)).by, measures(text(new), text(old)).by
    for name in ("psi", "jensen_shannon", "total_variation"):
        assert there[name] == pytest.approx(back[name])


@pytest.mark.parametrize("rows", [(50, 50), (40, 4000), (300, 300)])
def test_the_p_value_of_the_largest_distance_holds_its_level(rows):
    rng = np.random.default_rng(3)
    from scipy.stats import ks_2samp

    p_values = []
    for _ in range(800):
        distance = ks_2samp(rng.normal(size=rows[0]), rng.normal(size=rows[1]), method="asymp").statistic
        p_values.append(ks_p_value(distance, *rows))
    for level in (0.05, 0.2):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 800)
    assert np.mean(np.array(p_values) <= 0.2) >= 0.1, "far from useless"


@pytest.mark.parametrize("rows", [60, 300, 3_000])
def test_where_nothing_has_changed_a_window_with_a_finding_is_as_rare_as_the_rate_says(rows):
    """Of the expected share of false findings this is the strictest reading: any finding is a false one here."""
    rng = np.random.default_rng(5)
    reference, asked = draw(rng, 20_000), Drift(false_discovery_rate=0.05)
    significant = alarms = 0
    for _ in range(150):
        found = judge_columns(reference, draw(rng, rows), asked)
        significant += any(f.adjusted <= 0.05 for column in found for f in column.findings)
        alarms += any(column.drifted for column in found)
    assert significant / 150 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert alarms <= significant


@pytest.mark.parametrize(("moved", "power"), [(0.3, 0.6), (0.5, 0.95), (0.7, 0.99)])
def test_a_real_shift_is_found_on_300_rows(moved, power):
    rng = np.random.default_rng(6)
    reference = draw(rng, 20_000)
    found = [judge_columns(reference, draw(rng, 300, moved=moved), Drift())[0] for _ in range(60)]
    assert np.mean([column.drifted for column in found]) >= power


def test_a_tiny_shift_of_many_rows_is_significant_and_no_drift():
    rng = np.random.default_rng(7)
    found = judge_columns(draw(rng, 200_000), draw(rng, 200_000, moved=0.03), Drift())
    assert found[0].finding("values").adjusted < 1e-6
    assert not any(column.drifted for column in found)


def test_the_classifier_is_fooled_as_rarely_as_its_confidence_says_and_sees_what_no_column_shows():
    rng = np.random.default_rng(8)
    names, asked = ("a", "b", "c"), Classifier(min_auc=0.501, confidence=0.95)

    def rows(correlation: float) -> pl.DataFrame:
        covariance = [[1, correlation, 0], [correlation, 1, 0], [0, 0, 1]]
        return pl.DataFrame(rng.multivariate_normal([0, 0, 0], covariance, 400), schema=list(names), orient="row")

    fooled = sum(separation(rows(0.8), rows(0.8), names, asked).found for _ in range(60))
    assert fooled / 60 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    told = separation(rows(0.8), rows(-0.8), names, Classifier())
    assert told.found
    assert told.auc > 0.8

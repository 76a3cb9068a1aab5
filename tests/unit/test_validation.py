"""Validation: every check finds its fault, says where it is and what to do, and shows no personal value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import profile_of, read_profile, write_profile
from headway.components._shared.schemas import Schema, read_schema
from headway.components.validation.sparklines import sparkline
from headway.components.validation.validate import validate_data

CONTRACT: dict[str, Any] = {
    "curated_by": "data team",
    "columns": [
        {"name": "id", "type": "string", "roles": ["id"], "nullable": False, "unique": True},
        {"name": "at", "type": "datetime", "roles": ["time"], "nullable": False},
        {"name": "known", "type": "datetime", "roles": ["label_time"]},
        {"name": "late", "type": "boolean", "roles": ["target"]},
        {"name": "carrier", "type": "string", "domain": ["AA", "UA", "DL"]},
        {"name": "code", "type": "string", "pattern": "[A-Z]{2}[0-9]"},
        {"name": "distance", "type": "integer", "nullable": False, "minimum": 0, "maximum": 5000},
        {"name": "fare", "type": "number", "max_null_share": 0.1},
        {"name": "mail", "type": "string", "roles": ["personal"], "pattern": ".+@.+"},
    ],
}
AS_OF = "2013-02-01"
SECRET = "planted.address@example.org"


def trips(rows: int = 2_000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    start = datetime(2013, 1, 1, tzinfo=UTC)
    at = [start + timedelta(minutes=20 * n) for n in range(rows)]
    return pl.DataFrame(
        {
            "id": [f"t{n}" for n in range(rows)],
            "at": at,
            "known": [moment + timedelta(hours=3) for moment in at],
            "late": rng.random(rows) < 0.25,
            "carrier": rng.choice(["AA", "UA", "DL"], rows),
            "code": [f"{a}{b}" for a, b in zip(rng.choice(["QX", "RT"], rows), rng.integers(0, 9, rows), strict=True)],
            "distance": rng.integers(100, 3_000, rows),
            "fare": rng.normal(200, 30, rows),
            "mail": [f"person{n}@example.org" for n in range(rows)],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC"), "known": pl.Datetime("us", "UTC")},
    )


def at_rows(rows: list[int], then: Any, otherwise: str, dtype: Any = None) -> pl.Expr:
    value = pl.lit(then, dtype=dtype)
    return pl.when(pl.int_range(pl.len()).is_in(rows)).then(value).otherwise(otherwise).alias(otherwise)


class Run:
    """Runs the step on a frame and reads what it wrote."""

    def __init__(
        self,
        tmp_path: Path,
        frame: pl.DataFrame,
        contract: Mapping[str, Any] = CONTRACT,
        checks: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        half = -(-frame.height // 2)
        write_dataset({"a": frame[:half], **({"b": frame[half:]} if frame.height > 1 else {})}, tmp_path / "data")
        names = ("schema", "profile", "findings", "metrics", "report")
        self.artifacts = {name: LocalArtifact(str(tmp_path / name)) for name in names}
        self.error: HeadwayError | None = None
        try:
            validate_data(
                LocalArtifact(str(tmp_path / "data")),
                *self.artifacts.values(),
                contract=contract,
                checks={"as_of": AS_OF, **(checks or {})},
                **more,
            )
        except HeadwayError as error:
            self.error = error
            if not (tmp_path / "findings").exists():
                raise
        document = json.loads((tmp_path / "findings").read_text())
        self.score: float = document["quality_score"]
        self.findings: list[dict[str, Any]] = document["findings"]
        self.report = (tmp_path / "report").read_text()

    def one(self, check: str) -> dict[str, Any]:
        found = [finding for finding in self.findings if finding["check"] == check]
        assert len(found) == 1, self.findings
        return found[0]


def test_data_that_meets_its_contract_passes_with_a_full_score(tmp_path):
    run = Run(tmp_path, trips())
    assert run.error is None
    assert run.findings == []
    assert run.score == 1.0
    assert "Nothing stands against going on" in run.report
    assert read_schema(run.artifacts["schema"].path) == Schema.model_validate(CONTRACT)
    assert run.artifacts["schema"].metadata["curated_by"] == "data team"
    assert run.artifacts["metrics"].metadata == {"rows": 2000.0, "quality_score": 1.0, "errors": 0.0, "warnings": 0.0}
    assert read_profile(run.artifacts["profile"].path).rows == 2_000


FAULTS: list[tuple[str, pl.Expr | list[pl.Expr], str, dict[str, Any]]] = [
    (
        "nulls",
        at_rows([3, 1_500], None, "distance", pl.Int64),
        "2 values of 'distance' are missing (0.10%); none may be.",
        {"severity": "error", "column": "distance", "count": 2, "rows": [3, 1_500]},
    ),
    (
        "nulls",
        at_rows(list(range(300)), None, "fare", pl.Float64),
        "15.00% of the values of 'fare' are missing (300); the contract allows 10.00%.",
        {"severity": "error", "count": 300, "rows": [0, 1, 2, 3, 4]},
    ),
    (
        "domain",
        at_rows(list(range(12)), "XX", "carrier"),
        "12 values of 'carrier' are outside its domain of 3: 'XX' (12 rows).",
        {"severity": "error", "count": 12},
    ),
    (
        "domain",
        at_rows([5], "rare one", "carrier"),
        "1 value of 'carrier' is outside its domain of 3: 1 value in few rows.",
        {"rows": [5]},
    ),
    (
        "range",
        at_rows([7, 8], -1, "distance"),
        "2 values of 'distance' are outside 0 to 5,000 (found -1 to 2,9",
        {"severity": "error", "rows": [7, 8]},
    ),
    (
        "pattern",
        at_rows([9], "QX12", "code"),
        "1 value of 'code' is not of the form '[A-Z]{2}[0-9]'.",
        {"severity": "error", "rows": [9]},
    ),
    (
        "unique",
        at_rows([40, 1_999], "t0", "id"),
        "2 values of 'id' are repeated though each may occur once.",
        {"severity": "error", "count": 2, "rows": [40, 1_999]},
    ),
    (
        "infinite",
        [at_rows([1], float("inf"), "fare"), pl.col("distance")],
        "1 value of 'fare' is infinite or NaN.",
        {"severity": "error", "rows": [1]},
    ),
    (
        "infinite",
        at_rows([2], float("nan"), "fare"),
        "1 value of 'fare' is infinite or NaN.",
        {"rows": [2]},
    ),
    (
        "all_null",
        pl.lit(None, dtype=pl.String).alias("carrier"),
        "Column 'carrier' has no value in any of 2,000 rows.",
        {"severity": "error", "count": 2_000},
    ),
    ("constant", pl.lit("AA").alias("carrier"), "Column 'carrier' has one value only", {"severity": "warning"}),
    (
        "outliers",
        at_rows([11], 99_999.0, "fare"),
        "1 value of 'fare' is more than 6 interquartile ranges outside the quartiles",
        {"severity": "info", "rows": [11]},
    ),
    (
        "missing_labels",
        at_rows([0, 1], None, "late", pl.Boolean),
        "2 rows are without a label and set aside when the data is split.",
        {"severity": "info", "rows": [0, 1]},
    ),
    ("one_class", pl.lit(True).alias("late"), "All 2,000 labelled rows have the same label", {"severity": "error"}),
    (
        "label_balance",
        (pl.int_range(pl.len()) < 12).alias("late"),
        "Of 2 labels in 'late', these are rare among 2,000 labelled rows: True (12 rows).",
        {"severity": "warning", "count": 12},
    ),
    (
        "label_balance",
        (pl.int_range(pl.len()) < 3).alias("late"),
        "these are rare among 2,000 labelled rows: 1 with fewer than 10 rows.",
        {"count": 3},
    ),
    (
        "leakage",
        pl.when("late").then(pl.col("fare") + 900).otherwise("fare").alias("fare"),
        "Feature 'fare' alone predicts 'late' almost perfectly (AUC 1.000 on 2,000 sampled rows).",
        {"severity": "warning"},
    ),
    (
        "leakage",
        pl.when("late").then(None).otherwise("carrier").alias("carrier"),
        "Feature 'carrier' alone predicts 'late'",
        {},
    ),
    (
        "time_nulls",
        at_rows([13], None, "at", pl.Datetime("us", "UTC")),
        "1 row is without a time in 'at'.",
        {"severity": "error", "rows": [13]},
    ),
    (
        "future",
        at_rows([14], datetime(2014, 1, 1, tzinfo=UTC), "at"),
        "1 row is later than 2013-02-01T00:00:00Z; the last is of 2014-01-01T00:00:00Z.",
        {"severity": "error", "rows": [14]},
    ),
    (
        "label_order",
        at_rows([15], datetime(2013, 1, 1, tzinfo=UTC), "known"),
        "1 value of 'known' is earlier than the row's own time.",
        {"severity": "error", "rows": [15]},
    ),
    (
        "missing_column",
        pl.col("carrier").alias("airline"),
        "Column 'carrier' is missing.",
        {"severity": "error", "column": "carrier"},
    ),
    (
        "extra_column",
        pl.lit(1).alias("surprise"),
        "Column 'surprise' stands in no contract; no model will learn from it.",
        {"severity": "warning"},
    ),
    (
        "type",
        pl.col("distance").cast(pl.String),
        "Column 'distance' holds string where the contract says integer.",
        {"severity": "error"},
    ),
    (
        "type",
        pl.concat_list("distance").alias("distance"),
        "Column 'distance' holds List(Int64) where the contract says integer.",
        {},
    ),
    (
        "mixed_types",
        pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("n/a")).otherwise(pl.lit("12")).alias("code"),
        "Column 'code' is text, but 90.0% of its values are numbers; 200 are not.",
        {"severity": "warning", "rows": [0, 10, 20, 30, 40]},
    ),
]


@pytest.mark.parametrize(("check", "change", "message", "expected"), FAULTS)
def test_a_fault_is_found_where_it_is(tmp_path, check, change, message, expected):
    frame = trips().with_columns(change)
    run = Run(tmp_path, frame.drop("carrier") if check == "missing_column" else frame)
    finding = run.one(check)
    assert message in finding["message"]
    assert {name: finding[name] for name in expected} == expected
    assert finding["remedy"]
    assert (run.error is not None) == any(f["severity"] == "error" for f in run.findings)
    assert run.score < 1 or finding["severity"] == "info" or finding["share"] == 0


def test_the_report_shows_a_severity_in_colour_only_where_something_was_found(tmp_path):
    good = Run(tmp_path / "good", trips()).report
    assert 'class="badge bad"' not in good
    assert "<td>error</td>" in good, "what a finding would be"
    bad = Run(tmp_path / "bad", trips().with_columns(distance=at_rows([3], -1, "distance", pl.Int64))).report
    assert "1 found</span>" in bad
    assert "1 found</span>" not in good


def test_the_report_tells_where_the_schema_lies(tmp_path):
    run = Run(tmp_path, trips())
    assert f"The schema that was used lies at {run.artifacts['schema'].path}." in run.report


def test_the_report_shows_rows_over_the_days_of_the_calendar(tmp_path):
    assert ">Jan 20<" in Run(tmp_path, trips(2_900), checks={"as_of": "2013-03-01"}).report


def test_equal_columns_are_found(tmp_path):
    contract = {**CONTRACT, "columns": [*CONTRACT["columns"], {"name": "miles", "type": "integer"}]}
    run = Run(tmp_path, trips().with_columns(miles="distance"), contract)
    assert run.one("duplicate_columns")["message"] == "Column 'miles' equals column 'distance' in every row."
    group = {**contract, "columns": [*CONTRACT["columns"], {"name": "miles", "type": "integer", "roles": ["group"]}]}
    assert Run(tmp_path / "group", trips().with_columns(miles="distance"), group).findings == [], "learned only once"
    shuffled = trips().with_columns(miles=pl.col("distance").shuffle(seed=1))
    assert Run(tmp_path / "other", shuffled, contract).findings == []


def test_rows_that_were_read_twice_are_found(tmp_path):
    contract = {**CONTRACT, "columns": [c for c in CONTRACT["columns"] if c["name"] not in ("at", "known", "mail")]}
    once = trips(500).drop("at", "known", "mail")
    again = once[:100].with_columns(id=pl.format("again-{}", "id"))
    found = Run(tmp_path, pl.concat([once, again]), contract).one("duplicate_rows")
    assert found["message"] == "100 rows are equal to an earlier one in everything but the id."
    assert (found["severity"], found["count"], found["rows"]) == ("warning", 100, [500, 501, 502, 503, 504])
    few = pl.concat([once, again[:5]])
    assert Run(tmp_path / "few", few, contract).findings == []
    strict = Run(tmp_path / "strict", few, contract, checks={"duplicate_rows": {"max_share": 0}})
    assert strict.one("duplicate_rows")["count"] == 5


def test_whole_numbers_are_drawn_without_gaps():
    schema = Schema.model_validate({"columns": [{"name": "n", "type": "integer"}]})
    for values in (range(1, 8), range(24), range(45), range(1000)):
        column = profile_of(pl.LazyFrame({"n": list(values) * 10}), schema).columns[0]
        drawn = sparkline(column)
        assert drawn is not None
        bars = re.findall(r'<rect x="([0-9.]+)".*? height="([0-9.]+)"', drawn.html)
        steps = [float(b[0]) - float(a[0]) for a, b in pairwise(bars)]
        assert max(steps) - min(steps) < 0.2, f"a bar is missing among {values}"
        assert min(float(height) for _, height in bars[1:-1]) > 18, f"bars of equal shares differ among {values}"


def test_an_error_stops_after_everything_is_written_and_names_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-7")
    run = Run(tmp_path, trips().with_columns(at_rows([7], -1, "distance")), state_uri=str(tmp_path / "state"))
    kept = tmp_path / "state" / "runs" / "run-7" / "reports" / "validate_data.html"
    assert run.error is not None
    assert run.error.code == "data.invalid"
    assert "(range) 1 value of 'distance' is outside 0 to 5,000" in str(run.error)
    assert f"Report: {kept}" in str(run.error)
    assert kept.read_text() == run.report
    assert "Stops the pipeline" in run.report
    for name in ("schema", "profile", "findings"):
        assert Path(run.artifacts[name].path).exists()


def test_severities_and_limits_are_configuration(tmp_path):
    frame = trips().with_columns(at_rows([7], -1, "distance"), at_rows([11], 99_999.0, "fare"))
    run = Run(tmp_path, frame, checks={"range": "warning", "outliers": {"severity": "off"}})
    assert run.error is None
    assert [(f["check"], f["severity"]) for f in run.findings] == [("range", "warning")]
    strict = Run(tmp_path / "b", frame, checks={"range": "off", "outliers": {"severity": "error", "fence": 3}})
    assert strict.error is not None
    assert [f["check"] for f in strict.findings] == ["outliers"]


def test_no_value_of_a_personal_column_is_found_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWAY_RUN_ID", "run-7")
    column = {"name": "mail", "type": "string", "roles": ["personal"], "domain": ["x"], "pattern": "y", "unique": True}
    contract = {**CONTRACT, "columns": [*CONTRACT["columns"][:-1], column]}
    frame = trips().with_columns(mail=pl.lit(SECRET))
    reference = tmp_path / "reference.json"
    write_profile(profile_of(frame.lazy(), Schema.model_validate(contract)), reference)
    run = Run(
        tmp_path,
        frame,
        contract,
        reference=LocalArtifact(str(reference)),
        model_name="flights",
        state_uri=str(tmp_path / "state"),
    )
    assert {f["check"] for f in run.findings} == {"domain", "pattern", "unique"}
    assert SECRET not in str(run.error)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            assert SECRET.encode() not in path.read_bytes(), path


def test_rows_outside_the_window_are_late_or_early(tmp_path):
    window = {"window": {"start": "2013-01-02", "end": "2013-01-20"}}
    run = Run(tmp_path, trips(), checks=window)
    late, early = sorted((f for f in run.findings if f["check"] == "window"), key=lambda f: f["rows"])
    assert late["message"] == "72 late rows are before the window that begins at 2013-01-02T00:00:00Z."
    assert early["count"] == 2_000 - 19 * 72
    assert early["rows"][0] == 19 * 72


def test_old_data_is_not_fresh(tmp_path):
    run = Run(tmp_path, trips(), checks={"freshness": {"max_age": "2d"}})
    assert run.one("freshness")["message"].startswith("The newest row is of 2013-01-28T18:20:00Z, more than 2d before")
    assert Run(tmp_path / "b", trips(), checks={"freshness": {"max_age": "4d"}}).findings == []


def test_missing_intervals_and_thin_ones_are_found_but_quiet_weekends_are_not(tmp_path):
    frame = trips(2_900).filter(
        (pl.col("at").dt.date() != datetime(2013, 1, 15).date())
        & ((pl.col("at").dt.date() != datetime(2013, 1, 17).date()) | (pl.col("at").dt.hour() < 5))
        & (pl.col("at").dt.weekday() < 6)
    )
    run = Run(tmp_path, frame, checks={"as_of": "2013-03-01"})
    assert run.one("gaps")["message"] == (
        "1 of 39 intervals of a day has no rows at all: 2013-01-15T00:00:00Z (0 of 72)."
    )
    assert (
        "1 of 39 intervals of a day has too few rows: 2013-01-17T00:00:00Z (15 of 72)."
        in (run.one("completeness")["message"])
    )


def test_a_shift_against_the_reference_is_found_and_a_small_sample_is_not_trusted(tmp_path):
    reference = tmp_path / "reference.json"
    write_profile(profile_of(trips(5_000, seed=1).lazy(), Schema.model_validate(CONTRACT)), reference)
    same = Run(tmp_path / "a", trips(seed=2), reference=LocalArtifact(str(reference)))
    assert same.findings == []
    moved = trips(seed=2).with_columns(pl.col("fare") + 30, pl.lit("AA").alias("carrier"))
    run = Run(tmp_path / "b", moved, reference=LocalArtifact(str(reference)), checks={"constant": "off"})
    assert {f["column"] for f in run.findings if f["check"] == "shift"} == {"fare", "carrier"}
    assert "carrier, now and in the reference" in run.report
    few = Run(tmp_path / "c", trips(40, seed=3), reference=LocalArtifact(str(reference)))
    assert [f for f in few.findings if f["check"] == "shift"] == []


def test_a_new_category_is_a_shift_and_a_column_that_empties_is_a_null_shift(tmp_path):
    reference = tmp_path / "reference.json"
    contract = {**CONTRACT, "columns": [{"name": "carrier", "type": "string"}, {"name": "fare", "type": "number"}]}
    schema = Schema.model_validate(contract)
    write_profile(profile_of(trips(5_000, seed=1).lazy(), schema), reference)
    frame = trips(300).with_columns(
        at_rows(list(range(90)), "NEW", "carrier"), at_rows(list(range(90)), None, "fare", pl.Float64)
    )
    run = Run(tmp_path, frame, contract, reference=LocalArtifact(str(reference)), checks={"extra_column": "off"})
    assert run.one("shift")["column"] == "carrier"
    assert "30.0% of 'fare' is missing, against 0.0% in the reference" in run.one("null_shift")["message"]


def test_a_model_without_a_champion_is_no_reference(tmp_path):
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "headway.json").write_text(
        '{"schema_version": 1, "kind": "no_champion", "reason": "none"}'
    )
    run = Run(tmp_path, trips(), reference=LocalArtifact(str(tmp_path / "champion")))
    assert run.error is None
    assert "no reference" in run.report


def test_a_model_folder_brings_its_own_profile(tmp_path):
    (tmp_path / "model").mkdir()
    write_profile(profile_of(trips().lazy(), Schema.model_validate(CONTRACT)), tmp_path / "model" / "profile.json")
    run = Run(tmp_path, trips(), reference=LocalArtifact(str(tmp_path / "model")))
    assert "Compared with the reference" in run.report


def test_a_reference_without_a_profile_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(HeadwayError, match=r"\[reference.without_profile\]"):
        Run(tmp_path, trips(), reference=LocalArtifact(str(tmp_path / "model")))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(HeadwayError, match=r"\[profile.unreadable\]"):
        Run(tmp_path, trips(), reference=LocalArtifact(str(tmp_path / "broken.json")))


def test_scores_are_kept_over_time_and_the_same_data_counts_once(tmp_path):
    state = {"model_name": "flights", "state_uri": str(tmp_path / "state")}
    worse = trips(1_500).with_columns(at_rows([7], -1, "distance"))
    Run(tmp_path / "a", worse, **state)
    first = Run(tmp_path / "b", trips(), **state)
    Run(tmp_path / "c", trips(), **state)
    entries = sorted((tmp_path / "state" / "history" / "flights" / "quality").iterdir())
    scores = [json.loads(entry.read_text())["score"] for entry in entries]
    assert scores == [pytest.approx(0.995), 1.0]
    assert "2013-01-21T19:40:00Z" in first.report
    (entries[0].parent / "2012.json").write_text("{")
    assert Run(tmp_path / "d", trips(), **state).error is None


def test_without_a_contract_a_schema_is_inferred_and_a_warning_says_so(tmp_path):
    run = Run(tmp_path, trips(), {"roles": {"target": "late", "time": "at", "personal": "mail", "label_time": "known"}})
    assert run.error is None
    assert [f["check"] for f in run.findings] == ["contract"]
    assert run.artifacts["schema"].metadata["curated_by"] == "inferred"
    assert read_schema(run.artifacts["schema"].path).one("target") == "late"
    assert "inferred from these very rows" in run.report


def test_a_contract_may_lie_elsewhere_and_be_bound_by_its_hash(tmp_path):
    import hashlib

    import yaml

    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(CONTRACT))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert Run(tmp_path / "a", trips(), {"uri": str(path), "sha256": digest}).findings == []
    with pytest.raises(HeadwayError, match=r"\[contract.changed\]"):
        Run(tmp_path / "b", trips(), {"uri": str(path), "sha256": "0" * 64})
    with pytest.raises(HeadwayError, match=r"\[storage.not_found\]"):
        Run(tmp_path / "c", trips(), {"uri": str(tmp_path / "nowhere.yaml")})
    path.write_text("- a\n- list")
    with pytest.raises(HeadwayError, match=r"\[contract.unreadable\]"):
        Run(tmp_path / "d", trips(), {"uri": str(path)})


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"null": "error"}, "checks.null: there is no such field"),
        ({"nulls": "fatal"}, "checks.nulls: must be 'error', 'warning', 'info' or 'off'"),
        ({"shift": {"psi": 1}}, "checks.shift.psi: there is no such field; did you mean 'min_psi'"),
        ({"freshness": {"max_age": "soon"}}, "checks.freshness.max_age: .*not a duration"),
        ({"window": {"start": "soon"}}, "checks.window.start: .*not an ISO 8601 time"),
        ({"as_of": "[[ScheduledTime]]"}, "checks.as_of: .*KFP macro arrived unreplaced"),
    ],
)
def test_a_bad_configuration_names_its_field(tmp_path, checks, message):
    with pytest.raises(HeadwayError, match=message):
        Run(tmp_path, trips(), checks=checks)


def test_one_row_is_too_few(tmp_path):
    run = Run(tmp_path, trips(1))
    assert run.one("rows")["message"] == "1 row is too few; at least 30 are needed."
    assert run.error is not None


def test_data_of_another_kind_is_named_so(tmp_path):
    with pytest.raises(HeadwayError, match=r"\[data.other\] No column of the contract is in the data"):
        Run(tmp_path, pl.DataFrame({"x": [1, 2]}))


def test_the_same_data_gives_the_same_metadata_and_findings(tmp_path):
    first, second = Run(tmp_path / "a", trips()), Run(tmp_path / "b", trips())
    for name in ("schema", "profile", "findings"):
        assert first.artifacts[name].metadata == second.artifacts[name].metadata
        one, two = (Path(run.artifacts[name].path).read_bytes() for run in (first, second))
        assert one == two

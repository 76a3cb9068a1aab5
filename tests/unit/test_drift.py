"""detect_drift: windows as they come, good and broken."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.datasets import write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import profile_of, read_profile, write_profile
from headway.components._shared.schemas import Column, Schema, type_of
from headway.components.monitoring.config import Drift
from headway.components.monitoring.drift.detect import detect_drift, judge
from tests.real_rows import bikeshare
from tests.tabular_samples import customer_schema, customers, trained

OUTPUTS = ("findings.json", "profile.json", "metrics.json", "report.html")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of customers, with the profile of what it has learned from."""
    schema = Schema(columns=(*customer_schema().columns, Column(name="plan", type="string")))
    return trained(tmp_path_factory.mktemp("model"), customers(2_000), schema)[0]


def detect(folder, rows, reference, **options):
    """Runs the step; gives the document and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dataset({"rows": rows}, folder / "data")
    outputs = [LocalArtifact(str(folder / name)) for name in OUTPUTS]
    options = {"drift": {}, **options}
    detect_drift(LocalArtifact(str(folder / "data")), LocalArtifact(str(reference)), *outputs, **options)
    return json.loads((folder / "findings.json").read_text()), (folder / "report.html").read_text()


def drifted(found):
    return [column["name"] for column in found["columns"] if column["drifted"]]


def found_of(found, name):
    (column,) = (column for column in found["columns"] if column["name"] == name)
    return {finding["what"]: finding for finding in column["findings"] if finding["found"]}


def test_a_window_like_the_training_data_has_no_drift(tmp_path, model):
    found, report = detect(tmp_path, customers(1_000, seed=4), model)
    assert (drifted(found), found["enough"], found["by_importance"]) == ([], True, True)
    assert found["drifted_share"] == 0
    assert not found["separation"]["found"]
    assert "No drift" in report
    assert {column["name"] for column in found["columns"]} == {"charge", "months", "contract", "paperless", "plan"}
    assert "example.org" not in json.dumps(found) + report


def test_each_kind_of_change_is_found_named_and_drawn(tmp_path, model):
    rows = customers(1_000, seed=4).with_columns(
        charge=pl.col("charge") + 30,
        months=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.col("months")),
        contract=pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("week")).otherwise("contract"),
        plan=pl.lit("basic"),
    )
    found, report = detect(tmp_path, rows, model)
    assert set(drifted(found)) == {"charge", "months", "contract", "plan"}
    assert found_of(found, "charge")["values"]["value"] > 1
    assert found_of(found, "months")["missing"]["value"] > 0.5
    assert found_of(found, "contract")["new"]["examples"] == ["week"]
    assert found_of(found, "plan")["lost"]["examples"] == ["plus", "pro"]
    assert found["drifted_share"] > 0.9, "what is important counts most"
    assert found["separation"]["found"]
    assert "charge, now and in the reference" in report
    assert "week" in report


def test_what_is_broken_in_the_feed_is_named_and_the_rest_is_judged(tmp_path, model):
    rows = customers(1_000, seed=4).with_columns(
        months=pl.col("months").cast(pl.String), charge=pl.lit(None, dtype=pl.Float64)
    )
    found, report = detect(tmp_path, rows.drop("plan"), model)
    why = {column["name"]: column["not_compared"] for column in found["columns"] if column["not_compared"]}
    assert why["plan"] == "it is not in the window"
    assert "string in the window and integer in the reference" in why["months"]
    assert found_of(found, "charge")["missing"]["value"] > 0.9
    assert "What could not be compared" in report


def test_of_a_window_with_few_rows_nothing_is_said(tmp_path, model):
    found, report = detect(tmp_path, customers(1), model)
    assert (found["enough"], found["columns"], found["drifted_share"]) == (False, [], None)
    assert "Nothing can be said" in report


def test_a_column_can_be_judged_otherwise_or_not_at_all(tmp_path, model):
    rows = customers(1_000, seed=4).with_columns(charge=pl.col("charge") + 5, plan=pl.lit("basic"))
    assert drifted(detect(tmp_path / "usual", rows, model)[0]) == ["charge", "plan"]
    drift = {"columns": {"charge": {"measure": "psi", "limit": 50}, "plan": {"ignore": True}}, "classifier": None}
    found, report = detect(tmp_path / "otherwise", rows, model, drift=drift)
    assert drifted(found) == []
    assert "plan" not in {column["name"] for column in found["columns"]}
    assert found["separation"] is None
    assert "It was not looked at." in report


def test_the_window_before_tells_what_is_new(tmp_path, model):
    rows = customers(1_000, seed=4).with_columns(charge=pl.col("charge") + 30)
    detect(tmp_path / "one", rows, model)
    before = LocalArtifact(str(tmp_path / "one" / "profile.json"))
    later = customers(1_000, seed=5).with_columns(charge=pl.col("charge") + 30, plan=pl.lit("basic"))
    found, report = detect(tmp_path / "two", later, model, before=before)
    assert set(drifted(found)) == {"charge", "plan"}
    assert found["since_before"] == ["plan"]
    assert "Since the window before" in report


def test_the_profile_of_shards_merged_gives_the_same_findings(tmp_path, model):
    from headway.components._shared.artifacts import read_manifest
    from headway.components._shared.profiles import merge
    from headway.components.monitoring.config import Drift
    from headway.components.monitoring.drift.detect import judge

    rows, manifest = customers(1_000, seed=4), read_manifest(model)
    schema = Schema(columns=tuple(c for c in manifest.schema_.columns if c.name in rows.columns))
    reference = read_profile(f"{model}/{manifest.reference_profile}")
    parts = [profile_of(rows[start : start + 250].lazy(), schema) for start in (750, 0, 500, 250)]
    whole = profile_of(rows.lazy(), schema)
    assert judge(reference, merge(parts), Drift(), manifest=manifest) == judge(
        reference, whole, Drift(), manifest=manifest
    )


@pytest.mark.parametrize("content", ["champion", "nothing"])
def test_without_a_reference_it_says_so(tmp_path, content):
    place = tmp_path / "reference"
    place.mkdir()
    if content == "champion":
        (place / "headway.json").write_text(json.dumps({"kind": "no_champion"}))
    with pytest.raises(HeadwayError) as error:
        detect(tmp_path / "step", customers(50), place)
    assert error.value.code == {"champion": "drift.no_reference", "nothing": "reference.without_profile"}[content]


def test_a_window_of_another_model_is_refused(tmp_path, model):
    with pytest.raises(HeadwayError, match=r"data\.other"):
        detect(tmp_path, pl.DataFrame({"elsewhere": np.arange(50)}), model)


def test_on_bicycles_the_drift_of_the_temperature_is_found_in_the_first_window_that_has_it(tmp_path):
    rows = bikeshare().select("temp", "windspeed", "weathersit", "quarter", "day")
    schema = Schema(
        columns=tuple(Column(name=n, type=type_of(t)) for n, t in rows.schema.items() if n not in ("quarter", "day"))
    )
    first = rows.filter(pl.col("quarter") == 0)
    write_profile(profile_of(first.lazy(), schema), tmp_path / "reference.json")
    half = first.filter(pl.col("day") % 2 == 0)
    found, _ = detect(tmp_path / "0", half, tmp_path / "reference.json")
    assert drifted(found) == []
    found, _ = detect(tmp_path / "1", rows.filter(pl.col("quarter") == 1), tmp_path / "reference.json")
    assert "temp" in drifted(found)
    assert found_of(found, "temp")["values"]["value"] > 1


def test_on_a_year_of_bicycles_warmth_is_found_in_the_first_fortnight_and_wind_not_before_it_changes():
    rows, names = bikeshare(), ("temp", "windspeed", "hr", "weekday")
    schema = Schema(columns=tuple(Column(name=name, type=type_of(rows.schema[name])) for name in names))
    reference = profile_of(rows.filter(pl.col("quarter") == 0).lazy(), schema)
    found = []
    for first in range(93, 359, 14):
        fortnight = rows.filter(pl.col("day").is_between(first, first + 13))
        result = judge(reference, profile_of(fortnight.lazy(), schema), Drift())
        found.append({column.name for column in result.drifted})
    assert all("temp" in names for names in found)
    assert found[0] == {"temp"}
    # Summer is calmer than winter: later on that is found, too. Hours and weekdays are the same all year.
    assert sum("windspeed" in names for names in found) > 10
    assert not any({"hr", "weekday"} & names for names in found)

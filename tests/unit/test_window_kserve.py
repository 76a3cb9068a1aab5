"""A window out of what KServe's logger wrote: the same rows as in our own log, and what that logger cannot know."""

import json
import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest
from headway.components._shared.datasets import open_dataset
from headway.components._shared.endpoints.inference import DIGEST_ANNOTATION, request_of
from headway.components._shared.estimators import load_model
from headway.components._shared.inference_logs import log_columns
from headway.components._shared.times import format_time
from headway.components.monitoring.config.limits import Service
from headway.components.monitoring.service.measure import judge
from headway.components.monitoring.window.collect import collect_window
from headway.components.monitoring.window.log import Log
from headway.components.monitoring.window.span import Span
from tests.deployment_samples import flights, served, train_sample
from tests.kserve_logger import Agent

INFER, PREDICT = "/v2/models/flights/infer", "/v1/models/flights:predict"
HEADERS = ("X-Request-Id", "Headway-Probe")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_sample(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def features(model):
    return load_model(model).manifest.features


@pytest.fixture(scope="module", params=["json", "csv", "parquet"])
def place(request, model, features, tmp_path_factory):
    """What callers did, in our log and in KServe's."""
    folder = tmp_path_factory.mktemp(request.param)
    annotations = {DIGEST_ANNOTATION: read_manifest(model).model_digest}
    with served(model, "--log-uri", str(folder / "ours")) as url:
        agent = Agent(url, folder / "theirs", request.param, batch=3, headers=HEADERS, annotations=annotations)
        rows = flights(40, seed=2)
        agent.post(INFER, {"id": "batch-1", **request_of(rows, features)})
        named = request_of(rows[:2], features)
        named["inputs"].append({"name": "id", "shape": [2], "datatype": "BYTES", "data": ["order 7", "order 8"]})
        agent.post(INFER, named)
        instance = rows[:1].select(f.name for f in features).with_columns(pl.col("day").cast(pl.String)).to_dicts()
        agent.post(PREDICT, {"instances": instance}, {"X-Request-Id": "web-5"})
        assert agent.post(INFER, {"inputs": []}, {"X-Request-Id": "wrong-1"})[0] == 400
        agent.post(INFER, {"id": "probe", **request_of(rows, features)}, {"Headway-Probe": "1"})
        for number in range(2):
            agent.post(INFER, {"id": f"again-{number}", **request_of(rows[:1], features)}, {"Ce-Id": "one name"})
        agent.close()
    return folder


def window(place, manifest, which, **more):
    uri = {"ours": str(place / "ours"), "theirs": f"kserve+{place / 'theirs'}"}[which]
    at = datetime.now(UTC)
    return Log(uri, manifest, Span(at - timedelta(hours=1), at + timedelta(hours=1)), **more)


def rows_of(log):
    return pl.concat([*log.parts()]).sort("_id")


def test_the_rows_are_those_of_our_own_log(place, model):
    manifest = read_manifest(model)
    ours, theirs = window(place, manifest, "ours"), window(place, manifest, "theirs")
    known = [name for name in log_columns(manifest) if name not in ("_time", "_latency_ms")]
    expected, found = rows_of(ours), rows_of(theirs)
    assert expected.height == 45
    assert found.select(known).equals(expected.select(known))
    assert ((found["_time"] - expected["_time"]).dt.total_milliseconds().abs() < 5_000).all()
    assert theirs.counted.requests == ours.counted.requests
    assert (theirs.counted.damaged, theirs.counted.foreign, theirs.counted.duplicates) == ([], [], 0)
    # That a request was refused is not logged, only that there is no answer.
    assert (ours.counted.refused, theirs.counted.refused) == ({400: 1}, {0: 1})


def test_latency_is_known_where_records_have_a_time_and_nothing_is_said_of_it_elsewhere(place, model):
    result = judge(window(place, read_manifest(model), "theirs"), Service(p99_ms=10_000))
    assert (result.requests, result.statuses) == (6, {"200": 5, "0": 1})
    if place.name.startswith("json"):
        assert 0 < result.latency_ms["p99"] < 10_000
        assert result.slower is not None
    else:
        assert (result.latency_ms, result.slower) == ({}, None)
    assert (result.errors.share.value, result.refused.share.value) == (0, 0)


def test_the_component_reads_such_a_log_too(place, model, tmp_path):
    at = datetime.now(UTC)
    span = {"start": format_time(at - timedelta(hours=1)), "end": format_time(at + timedelta(hours=1))}
    made = {name: LocalArtifact(str(tmp_path / name)) for name in ("window", "summary", "metrics", "report")}
    given = LocalArtifact(str(model))
    collect_window(given, **made, model_name="flights", log_uri=f"kserve+{place / 'theirs'}", **span)
    summary = json.loads((tmp_path / "summary").read_text())
    assert (summary["rows"], summary["refused"]) == (45, {"0": 1})
    assert open_dataset(tmp_path / "window").rows == 45


def test_rows_of_other_versions_are_counted_by_what_answered(place, model):
    manifest = read_manifest(model)
    other = window(place, manifest.model_copy(update={"model_digest": "a" * 64}), "theirs")
    assert [*other.parts()] == []
    # With the annotation of its version, a request that nobody answered is that version's too.
    assert other.counted.other_models == {manifest.model_digest: 46}


def test_without_the_annotation_nobody_knows_whose_an_unanswered_request_is(model, features, tmp_path):
    with served(model) as url:
        agent = Agent(url, tmp_path, "json")
        agent.post(INFER, request_of(flights(3), features))
        agent.post(INFER, {"inputs": []})
    log = Log(f"kserve+{tmp_path}", read_manifest(model), _now())
    assert rows_of(log).height == 3
    assert log.counted.other_models == {"unknown": 1}


def test_what_lies_outside_of_the_window_is_not_in_it(model, features, tmp_path):
    with served(model) as url:
        agent = Agent(url, tmp_path, "csv")
        for number in range(3):
            agent.post(INFER, {"id": f"r{number}", **request_of(flights(1), features)})
    start = datetime(2026, 3, 1, tzinfo=UTC)
    requests = sorted(tmp_path.glob("*-request.csv"))
    for hours, file in zip((0, 23.99, 24), requests, strict=True):
        for kind in ("request", "response"):
            # The last answer of the window was written after its end.
            late = 60 if kind == "response" else 0
            path = file.with_name(file.name.replace("request", kind))
            os.utime(path, (start.timestamp() + 3600 * hours + late,) * 2)
    log = Log(f"kserve+{tmp_path}", read_manifest(model), Span(start, start + timedelta(days=1)))
    assert rows_of(log).height == 2
    assert log.counted.refused == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"reqType": 1}', b'[{"reqType": "x", "id": "1", "bytes": "%"}]'])
def test_what_cannot_be_read_is_named_and_the_rest_is_used(model, features, tmp_path, content):
    with served(model) as url:
        Agent(url, tmp_path, "json").post(INFER, request_of(flights(3), features))
    (tmp_path / "half.json").write_bytes(content)
    (tmp_path / "notes.txt").write_text("of no known format")
    log = Log(f"kserve+{tmp_path}", read_manifest(model), _now())
    assert rows_of(log).height == 3
    assert [file.rpartition("/")[2] for file in log.counted.damaged] == ["half.json", "notes.txt"]


def test_an_answer_of_which_only_a_part_was_asked_for_is_named(model, features, tmp_path):
    with served(model) as url:
        agent = Agent(url, tmp_path, "json")
        agent.post(INFER, request_of(flights(3), features))
        agent.post(INFER, {**request_of(flights(3), features), "outputs": [{"name": "prediction"}]})
    log = Log(f"kserve+{tmp_path}", read_manifest(model), _now())
    assert rows_of(log).height == 3
    assert len(log.counted.foreign) == 1


def _now():
    at = datetime.now(UTC)
    return Span(at - timedelta(hours=1), at + timedelta(hours=1))

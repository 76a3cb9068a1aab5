"""The inference log of a model server: complete, off the request path, without personal values."""

import hashlib
import json
import socket
import threading
import urllib.request
from datetime import UTC, datetime

import polars as pl
import pytest
from prometheus_client import REGISTRY

from headway.components._shared.endpoints.inference import request_of
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.inference_logs import log_columns
from headway.components._shared.schemas import Column, Schema
from headway.components.deployment.caller import Caller
from headway.components.deployment.engines import Address
from headway.components.serving.log import LogWriter
from tests.deployment_samples import ask, flights, served, train_sample


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_sample(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded(model):
    return load_model(model)


def logged(folder):
    """All rows of a log, by file in order of their names."""
    files = sorted(folder.glob("date=*/hour=*/*.parquet"))
    return pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files])


def post(url, body, headers=None, path="/v2/models/flights/infer"):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers or {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read()), answer.headers


def count(outcome):
    return REGISTRY.get_sample_value("headway_inference_log_rows_total", {"outcome": outcome}) or 0.0


def test_every_row_that_is_answered_is_in_the_log_once_the_server_has_ended(model, loaded, tmp_path):
    features = loaded.manifest.features
    with served(model, "--threshold", "0.3", "--log-uri", str(tmp_path / "log")) as url:
        rows = flights(50, seed=2)
        answer, headers = post(url, {"id": "batch-1", **request_of(rows, features)})
        assert headers["x-request-id"] == "batch-1"
        named = {"inputs": [*request_of(rows[:2], features)["inputs"]]}
        named["inputs"].append({"name": "id", "shape": [2], "datatype": "BYTES", "data": ["order 7", "order 8"]})
        post(url, named)
        instance = rows[:1].select(f.name for f in features).with_columns(pl.col("day").cast(pl.String)).to_dicts()
        _, headers = post(url, {"instances": instance}, {"x-request-id": "web-5"}, "/v1/models/flights:predict")
        assert headers["x-request-id"] == "web-5"
        assert ask(url, {"inputs": []})[0] == 400
        Caller(Address(url), "flights").infer(json.dumps(request_of(rows, features)).encode())
    log = logged(tmp_path / "log")
    assert dict(log.schema) == log_columns(loaded.manifest)
    assert log["_id"].to_list()[:50] == [f"batch-1/{row}" for row in range(50)]
    assert log["_id"].to_list()[50:53] == ["order 7", "order 8", "web-5"]
    assert log.height == 54
    first, outputs = log[:50], {output["name"]: output["data"] for output in answer["outputs"]}
    assert first["_prediction"].to_list() == outputs["prediction"]
    assert first["_probability_late"].to_list() == outputs["probability_late"]
    assert first.select(f.name for f in features).equals(
        rows.select(f.name for f in features).cast(dict(first.select(f.name for f in features).schema))
    )
    assert set(log["_model"]) == {loaded.manifest.model_digest}
    refused = log[53]
    assert (refused["_status"].item(), refused["_prediction"].item(), refused["carrier"].item()) == (400, None, None)
    assert (log[:53]["_status"] == 200).all()
    assert log["_latency_ms"].is_between(0.01, 10_000).all()
    assert abs((log["_time"].max() - datetime.now(UTC)).total_seconds()) < 60


def test_grpc_requests_are_logged_too(model, loaded, tmp_path):
    import grpc
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    request = pb.ModelInferRequest(model_name="flights", id="call-1")
    kinds = {"BYTES": "bytes_contents", "INT64": "int64_contents", "FP64": "fp64_contents", "BOOL": "bool_contents"}
    for t in request_of(flights(1).with_columns(distance=pl.lit(1.0)), loaded.manifest.features)["inputs"]:
        data = [v.encode() if isinstance(v, str) else v for v in t["data"]]
        contents = pb.InferTensorContents(**{kinds[t["datatype"]]: data})
        request.inputs.add(name=t["name"], datatype=t["datatype"], shape=t["shape"], contents=contents)
    options = ("--grpc-port", str(port), "--log-uri", str(tmp_path / "log"))
    with served(model, *options), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.ModelInfer(request, timeout=20)
        del request.inputs[0]
        with pytest.raises(grpc.RpcError):
            stub.ModelInfer(request, timeout=20)
    log = logged(tmp_path / "log")
    assert log["_id"].to_list() == ["call-1", "call-1"]
    assert log["_status"].to_list() == [200, 400]


def test_what_waits_is_written_after_a_while_without_being_told(model, loaded, tmp_path):
    with served(model, "--log-uri", str(tmp_path / "log"), "--log-flush-s", "0.2") as url:
        ask(url, request_of(flights(3), loaded.manifest.features))
        wait_for(lambda: list(tmp_path.glob("log/date=*/hour=*/*.parquet")))
        assert logged(tmp_path / "log").height == 3
        metrics = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    assert 'headway_inference_log_rows_total{outcome="written"} 3.0' in metrics


def test_a_store_that_is_away_costs_no_row_and_no_request_until_the_room_is_used_up(loaded, tmp_path):
    (tmp_path / "log").write_text("a file where the folder should be")
    log = LogWriter(str(tmp_path / "log"), loaded.manifest, flush_s=0.05, max_rows=10)
    dropped, written = count("dropped"), count("written")
    for _ in range(5):
        log.put(answered(loaded, 3))
    assert count("dropped") - dropped == 6  # 9 of 15 rows wait
    wait_for(lambda: (REGISTRY.get_sample_value("headway_inference_log_failures_total") or 0) > 0)
    (tmp_path / "log").unlink()
    wait_for(lambda: count("written") - written == 9)
    log.put(answered(loaded, 3))
    log.close()
    assert logged(tmp_path / "log").height == 12


def test_requests_of_two_hours_lie_in_two_folders(loaded, tmp_path):
    log = LogWriter(str(tmp_path), loaded.manifest, flush_s=60, max_rows=100)
    for hour in (5, 6, 5):
        log.put(answered(loaded, 2, time=datetime(2026, 1, 2, hour, 59, tzinfo=UTC)))
    log.close()
    found = {
        file.parent.relative_to(tmp_path).as_posix(): pl.read_parquet(file).height
        for file in tmp_path.rglob("*.parquet")
    }
    assert found == {"date=2026-01-02/hour=05": 4, "date=2026-01-02/hour=06": 2}


def test_requests_from_many_threads_are_all_there(loaded, tmp_path):
    log = LogWriter(str(tmp_path), loaded.manifest, flush_s=0.01, max_rows=100_000)
    threads = [threading.Thread(target=lambda: [log.put(answered(loaded, 1)) for _ in range(300)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    rows = logged(tmp_path)
    assert (rows.height, rows["_id"].n_unique()) == (1200, 1200)


def test_an_id_that_is_personal_is_written_as_its_hash(loaded, tmp_path):
    columns = [
        c.model_copy(update={"roles": ("id", "personal")}) if c.name == "id" else c
        for c in loaded.manifest.schema_.columns
    ]
    manifest = loaded.manifest.model_copy(update={"schema_": Schema(columns=tuple(columns))})
    log = LogWriter(str(tmp_path), manifest, flush_s=60, max_rows=100)
    entry = answered(loaded, 1)
    entry.frame = entry.frame.with_columns(id=pl.lit("jane.doe@example.org"))
    log.put(entry)
    log.close()
    assert logged(tmp_path)["_id"].item() == hashlib.sha256(b"jane.doe@example.org").hexdigest()
    assert not any(b"jane" in file.read_bytes() for file in tmp_path.rglob("*.parquet"))


def test_a_feature_that_is_called_like_a_column_of_the_log_is_refused(loaded):
    feature = loaded.manifest.features[0].model_copy(update={"name": "_time"})
    schema = Schema(columns=(*loaded.manifest.schema_.columns, Column(name="_time", type="string")))
    manifest = loaded.manifest.model_copy(update={"features": (feature,), "schema_": schema})
    with pytest.raises(HeadwayError, match=r"log\.name_taken"):
        log_columns(manifest)


def answered(loaded, rows, **fields):
    frame = flights(rows, seed=3).select(f.name for f in loaded.manifest.features)
    predictions = loaded.predict(frame)
    values = predictions.values.tolist()
    return Served(frame=frame, values=values, probabilities=predictions.probabilities, **fields)


def wait_for(condition):
    tick = threading.Event()
    for _ in range(400):
        if condition():
            return
        tick.wait(0.05)
    raise AssertionError("it does not happen")

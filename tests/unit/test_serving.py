"""The model server as a process, asked over HTTP and gRPC as any client would."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import polars as pl
import pytest

from headway.components._shared.artifacts import read_manifest, write_manifest
from headway.components._shared.endpoints.inference import request_of
from headway.components._shared.estimators import load_model
from headway.components.deployment.caller import Caller
from headway.components.deployment.checks import failure, memory
from headway.components.deployment.engines import Address
from tests.deployment_samples import PLANTED, ask, broken_model, flights, served, train_sample

COMMAND = [sys.executable, "-m", "headway.components.serving", "--model-name", "flights"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_sample(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def url(model):
    with served(model, "--threshold", "0.3", "--max-rows", "100") as address:
        yield address


@pytest.fixture(scope="module")
def loaded(model):
    return load_model(model)


def good(loaded, rows=3):
    return request_of(flights(rows, seed=2), loaded.manifest.features)


def test_answers_have_the_predictions_and_probabilities_of_the_model(url, loaded):
    rows = flights(50, seed=2)
    status, answer = ask(url, request_of(rows, loaded.manifest.features))
    assert status == 200
    outputs = {o["name"]: o["data"] for o in answer["outputs"]}
    expected = loaded.predict(rows).probabilities
    assert list(outputs) == ["prediction", "probability_late", "probability_on time"]
    assert outputs["probability_on time"] == expected[:, 1].tolist()
    assert outputs["prediction"] == ["on time" if p >= 0.3 else "late" for p in expected[:, 1]]


def test_without_a_threshold_the_more_probable_class_is_predicted(model, loaded):
    with served(model) as address:
        _, answer = ask(address, good(loaded))
    assert answer["outputs"][0]["data"] == loaded.predict(flights(3, seed=2)).values.tolist()


def test_classes_that_are_numbers_keep_their_type(tmp_path):
    model = train_sample(tmp_path, target=flights()["hour"].alias("part") // 8)
    with served(model) as address:
        _, answer = ask(address, good(load_model(model)))
    types = [(o["name"], o["datatype"]) for o in answer["outputs"]]
    probabilities = [(f"probability_{part}", "FP64") for part in (0, 1, 2)]
    assert types == [("prediction", "INT64"), *probabilities]
    assert answer["outputs"][0]["data"] == load_model(model).predict(flights(3, seed=2)).values.tolist()


def test_a_regression_answers_with_numbers(tmp_path):
    model = train_sample(tmp_path, target=flights()["hour"].cast(pl.Float64).alias("delay"))
    with served(model) as address:
        _, answer = ask(address, good(load_model(model)))
        _, metadata = ask(address, None, path="/v2/models/flights", method="GET")
    assert [o["name"] for o in answer["outputs"]] == ["prediction"]
    assert answer["outputs"][0]["data"] == load_model(model).predict(flights(3, seed=2)).values.tolist()
    assert metadata["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]


def test_every_answer_says_which_model_gave_it(url, loaded):
    digest = loaded.manifest.model_digest
    _, answer = ask(url, good(loaded))
    assert answer["model_version"] == digest[:12]
    assert answer["parameters"] == {"model_digest": digest}
    assert urllib.request.urlopen(f"{url}/metrics", timeout=10).headers["headway-model-digest"] == digest


def test_the_v1_protocol_gives_predictions_in_the_order_of_the_instances(url, loaded):
    rows = (
        flights(4, seed=2).select(f.name for f in loaded.manifest.features).with_columns(pl.col("day").cast(pl.String))
    )
    status, answer = ask(url, {"instances": rows.to_dicts()}, path="/v1/models/flights:predict")
    assert status == 200
    assert answer["classes"] == ["late", "on time"]
    assert answer["probabilities"] == loaded.predict(flights(4, seed=2)).probabilities.tolist()
    assert len(answer["predictions"]) == 4


def test_a_category_that_training_never_saw_is_answered(url, loaded):
    body = good(loaded, 1)
    body["inputs"][0]["data"] = ["ZZ"]
    assert ask(url, body)[0] == 200


def test_requested_outputs_are_picked(url, loaded):
    status, answer = ask(url, {**good(loaded), "outputs": [{"name": "prediction"}]})
    assert (status, [o["name"] for o in answer["outputs"]]) == (200, ["prediction"])
    status, answer = ask(url, {**good(loaded), "outputs": [{"name": "weather"}]})
    assert (status, answer["code"]) == (400, "request.output_unknown")


def test_metadata_names_every_input_and_output(url, loaded):
    _, answer = ask(url, None, path="/v2/models/flights", method="GET")
    assert [i["name"] for i in answer["inputs"]] == [f.name for f in loaded.manifest.features]
    assert [i["datatype"] for i in answer["inputs"]] == ["BYTES", "INT64", "FP64", "BOOL", "BYTES"]
    assert [o["datatype"] for o in answer["outputs"]] == ["BYTES", "FP64", "FP64"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v2/models/flights/infer", b"{", 400, "request.malformed"),
        ("/v2/models/flights/infer", b"", 400, "request.malformed"),
        ("/v2/models/flights/infer", b"[]", 400, "request.malformed"),
        ("/v2/models/flights/infer", b'{"inputs": 1}', 400, "request.malformed"),
        ("/v2/models/flights/infer", b'{"inputs": []}', 400, "request.column_missing"),
        ("/v2/models/flights/infer", b"[" * 100_000, 400, "request.malformed"),
        ("/v2/models/flights/infer", b" " * 17_000_000, 413, "request.too_large"),
        ("/v1/models/flights:predict", b"x", 400, "request.malformed"),
        ("/v1/models/flights:predict", b"[1]", 400, "request.malformed"),
        ("/v1/models/flights:predict", b'{"instances": [[1]]}', 400, "request.shape_invalid"),
        ("/v1/models/flights:predict", json.dumps({"instances": [0] * 101}).encode(), 413, "request.too_large"),
        ("/v2/models/other/infer", b'{"inputs": []}', 404, "request.model_unknown"),
        ("/v2/models/flights/versions/1/infer", b"{}", 404, "request.route_unknown"),
        ("/v1/models/flights:explain", b"{}", 404, "request.route_unknown"),
        ("/v2/repository/models/flights/load", b"", 404, "request.route_unknown"),
        ("/v2/repository/models/flights/unload", b"", 404, "request.route_unknown"),
        ("/docs", b"", 404, "request.route_unknown"),
    ],
)
def test_a_bad_request_gets_a_4xx_and_our_message(url, loaded, path, body, status, code):
    got, answer = ask(url, body, path=path)
    assert (got, answer["code"]) == (status, code)
    assert "Remedy:" in answer["error"]
    assert ask(url, good(loaded))[0] == 200


def test_binary_tensors_are_refused_and_other_content_types_read_as_json(url, loaded):
    body = json.dumps(good(loaded)).encode()
    for header, status in (({"inference-header-content-length": "x"}, 400), ({"content-type": "text/csv"}, 200)):
        request = urllib.request.Request(f"{url}/v2/models/flights/infer", data=body, headers=header)
        try:
            got = urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as error:
            got = error.code
        assert got == status


def test_metrics_count_requests_by_route_and_status(url, loaded):
    ask(url, b"{")
    metrics = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    assert 'headway_requests_total{route="/v2/models/{name}/infer",status="400"}' in metrics
    assert "request_predict_seconds_bucket" in metrics


def test_the_log_has_no_value_of_a_request(model, loaded):
    with served(model) as address:
        body = good(loaded, 1)
        body["inputs"][0]["data"] = [PLANTED]
        assert ask(address, body)[0] == 200
        body["inputs"][1]["data"] = [PLANTED]
        assert ask(address, body)[0] == 400
        ask(address, f'{{"inputs": [{{"name": "{PLANTED}"}}]}}'.encode())
        ask(address, {"instances": [PLANTED]}, path="/v1/models/flights:predict")
    log = (model.parent / "server.log").read_text()
    assert "serving flights" in log
    assert PLANTED not in log


def test_a_server_that_is_about_to_end_lets_callers_go_from_the_connections_that_they_keep(model, tmp_path):
    ending = tmp_path / "ending"
    with served(model, "--ending-file", str(ending)) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        kept = [connects(connection) for _ in range(2)]
        ending.touch()
        last = [connects(connection) for _ in range(2)]
    assert kept == [(True, None), (False, None)]
    assert last == [(False, "close"), (True, "close")]


def connects(connection):
    """Whether a request had to make a connection, and what the answer says about keeping it."""
    made = connection.sock is None
    connection.request("GET", "/v2/models/flights/ready")
    answer = connection.getresponse()
    assert answer.read() is not None
    return made, answer.headers["connection"]


def test_a_model_whose_files_changed_is_not_served(model, tmp_path):
    changed = broken_model(model, tmp_path / "changed")
    (changed / "model.skops").write_bytes(b"something else")
    result = run_server(changed)
    assert result.returncode == 1
    assert "[model.changed]" in result.stdout.splitlines()[-1]
    assert "model.skops" in result.stdout


def test_a_model_that_other_versions_of_its_libraries_would_load_is_not_served(model, tmp_path):
    changed = broken_model(model, tmp_path / "changed")
    manifest = read_manifest(changed)
    other = {**manifest.libraries, "scikit-learn": "0.24.2", "polars": "0.1", "nowhere": "1.0"}
    write_manifest(changed, manifest.model_copy(update={"libraries": other}))
    result = run_server(changed)
    assert result.returncode == 1
    said = result.stdout.splitlines()[-1]
    assert re.search(r"\[model.library_differs\] .* here: scikit-learn [\d.]+ instead of 0.24.2\.", said), said


def test_a_model_of_another_verdict_is_not_served(model):
    result = run_server(model, "--manifest-sha256", "0" * 64)
    assert result.returncode == 1
    assert "[model.changed]" in result.stdout


def test_a_port_that_is_taken_ends_the_server_with_the_reason(model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run_server(model, "--host", "127.0.0.1", "--port", str(taken.getsockname()[1]))
    assert result.returncode != 0
    assert "address already in use" in result.stdout


def test_a_request_in_progress_is_answered_after_sigterm(model, loaded):
    process = None
    answers = []
    with socket.socket() as address:
        address.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{address.getsockname()[1]}"
        command = [
            sys.executable,
            "-m",
            "headway.components.serving",
            "--model-dir",
            str(model),
            "--model-name",
            "flights",
        ]
        command += ["--fd", str(address.fileno())]
        process = subprocess.Popen(command, pass_fds=[address.fileno()], stderr=subprocess.DEVNULL)
    wait_until_ready(url)
    body = {"instances": [["AA", 1, 1.0, True, "2013-01-01"]] * 10_000}
    thread = threading.Thread(target=lambda: answers.append(ask(url, body, path="/v1/models/flights:predict")))
    thread.start()
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    thread.join()
    assert answers[0][0] == 200
    assert process.wait(20) is not None


def test_grpc_answers_like_rest_and_keeps_its_repository_closed(model, loaded):
    import grpc
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    contents = {"BYTES": "bytes_contents", "INT64": "int64_contents", "FP64": "fp64_contents", "BOOL": "bool_contents"}
    rows = flights(1, seed=2).with_columns(distance=pl.lit(1.0))
    request = pb.ModelInferRequest(model_name="flights")
    for t in request_of(rows, loaded.manifest.features)["inputs"]:
        data = [v.encode() if isinstance(v, str) else v for v in t["data"]]
        request.inputs.add(
            name=t["name"],
            datatype=t["datatype"],
            shape=t["shape"],
            contents=pb.InferTensorContents(**{contents[t["datatype"]]: data}),
        )
    with served(model, "--grpc-port", str(port)) as url, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request, timeout=20)
        assert answer.outputs[0].contents.bytes_contents[0].decode() == loaded.predict(rows).values[0]
        assert answer.outputs[1].contents.fp64_contents[0] == loaded.predict(rows).probabilities[0, 0]
        del request.inputs[0]
        for call, refused in (
            (stub.ModelInfer, request),
            (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="flights")),
        ):
            with pytest.raises(grpc.RpcError) as error:
                call(refused, timeout=20)
            assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "[request." in error.value.details()
        assert ask(url, good(loaded))[0] == 200


def run_server(model, *arguments):
    command = [*COMMAND, "--model-dir", str(model), *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )


def wait_until_ready(url):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/v2/models/flights/ready", timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not come up")


def test_its_memory_is_what_it_says_of_itself_and_is_held_to_a_limit(url):
    caller = Caller(Address(url), "flights")
    free, wide, narrow = (memory(caller, limit) for limit in (None, 10_000, 50))
    assert (free.passed, wide.passed, narrow.passed) == (True, True, False)
    assert 100 < free.measured["bytes"] / 2**20 < 2000
    assert (free.limit, narrow.limit) == ("no limit", "at most 50 MiB")
    assert failure(narrow, "").code == "deployment.too_big"

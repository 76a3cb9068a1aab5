"""Real deployments on this machine: real servers, real requests, real kills."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import polars as pl
import pytest
from click.testing import CliRunner

from headway.components._shared.artifacts import read_manifest
from headway.components._shared.audit import verify_events
from headway.components._shared.endpoints import (
    ROUTER,
    deploying,
    list_endpoints,
    processes,
    read_endpoint,
    remove_endpoint,
    stop_endpoint,
)
from headway.components._shared.endpoints.inference import request_of
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.state import State
from headway.components._shared.tracking.client import Client, tracking_address
from headway.components.deployment.config import Serving
from headway.components.deployment.local.engine import LocalEngine
from headway.pipelines.cli.endpoint import endpoint_command
from tests.deployment_samples import PLANTED, Delivery, Load, ask, broken_model, flights, prepare, train_sample

# One request of one row is enough where a test is not about latency.
QUICK = {"latency": {"requests": 20, "warm_up": 1, "p50_ms": 10_000, "p99_ms": 60_000}}

FIRST, SECOND = "1", "2"  # versions in the registry


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Two good models and one that cannot be loaded, all released and registered; tests work on copies."""
    folder = tmp_path_factory.mktemp("registered")
    stable = train_sample(folder / "a")
    models = {"first": stable, "second": train_sample(folder / "b", depth=2)}
    models["broken"] = broken_model(stable, folder / "broken")
    for name, model in models.items():
        prepare(folder / name / "artifacts", folder / "state", model, judged_by=stable if name == "broken" else None)
    return folder, models


@pytest.fixture
def deliveries(registered, state, tmp_path):
    def delivery(name):
        shutil.copytree(registered[0] / name / "artifacts", tmp_path / name)
        judged_by = registered[1]["first"] if name == "broken" else None
        return Delivery(tmp_path / name, state, registered[1][name], judged_by=judged_by, serving=QUICK)

    return {name: delivery(name) for name in registered[1]}


@pytest.fixture
def first(deliveries):
    return deliveries["first"]


@pytest.fixture
def second(deliveries):
    return deliveries["second"]


@pytest.fixture
def broken(deliveries):
    return deliveries["broken"]


def folder_of(delivery):
    return delivery.state / "endpoints" / "flights"


def answering(url):
    """Digest of the model that answers at an address."""
    status, answer = ask(url, None, path="/v2/models/flights/ready", method="GET")
    assert status == 200, answer
    return urllib.request.urlopen(f"{url}/v2/models/flights/ready", timeout=10).headers["headway-model-digest"]


def actions(delivery):
    return [event["action"] for event in verify_events(State(str(delivery.state)), "flights")]


def champion(delivery):
    client = Client(tracking_address("auto", str(delivery.state)))
    return str(client.get_registered_model("dev.flights").aliases.get("champion"))


def body_of(deployment):
    return shlex.split(deployment.example_request)[-1].encode()


def kill(delivery, name):
    pid = processes.pid_of(folder_of(delivery), name)
    os.kill(pid, signal.SIGKILL)
    while processes.pid_of(folder_of(delivery), name):
        time.sleep(0.01)


def no_orphans(delivery):
    record = read_endpoint(folder_of(delivery))
    return set(processes.living(folder_of(delivery))) == {ROUTER, record.current.process}


def test_a_model_goes_to_traffic_and_the_same_again_is_unchanged(first):
    result = first.deploy()
    assert result.outcome == "deployed"
    assert all(check.passed for check in result.checks)
    assert [c.check for c in result.checks][:2] == ["golden rows", "bad requests"]
    assert answering(result.endpoint) == first.digest
    assert champion(first) == FIRST
    again = first.deploy()
    assert (again.outcome, again.endpoint, again.previous_digest) == ("unchanged", result.endpoint, None)
    assert again.reason == "this model has the traffic already"
    assert actions(first).count("deployed") == 1
    assert no_orphans(first)


def test_labels_are_served_by_the_threshold_of_the_verdict(first):
    result = first.deploy()
    rows = flights(200, seed=3)
    probable = load_model(first.model).predict(rows).probabilities[:, 1]
    _, answer = ask(result.endpoint, request_of(rows, read_manifest(first.model).features))
    assert answer["outputs"][0]["data"] == ["on time" if p >= first.threshold else "late" for p in probable]
    assert any(first.threshold <= p < 0.5 for p in probable)


def test_the_example_request_works_when_pasted_and_holds_no_personal_value(first):
    first.deploy()
    record = json.loads((first.folder / "deployment.json").read_text())
    output = subprocess.run(record["example_request"], shell=True, capture_output=True, text=True, check=True).stdout
    assert json.loads(output)["parameters"]["model_digest"] == first.digest
    files = [p for p in [*first.folder.glob("*.*"), *folder_of(first).glob("*.*")] if p.is_file()]
    assert len(files) >= 6
    assert PLANTED not in "".join(p.read_text() for p in files)


def test_no_request_is_lost_while_another_model_takes_over(first, second):
    before = first.deploy()
    with Load(before.endpoint, body_of(before)) as load:
        time.sleep(0.5)
        after = second.deploy()
        time.sleep(0.5)
    assert (after.outcome, after.endpoint) == ("deployed", before.endpoint)
    assert after.previous_digest == first.digest
    assert load.failures == []
    assert set(load.digests) == {first.digest, second.digest}
    assert load.digests[-1] == second.digest
    assert champion(second) == SECOND
    assert no_orphans(second)


def test_no_request_is_lost_while_the_server_behind_it_is_slow_to_finish(first, second):
    """A long request that began before the traffic moved gets its answer from the model that it began with."""
    before = first.deploy()
    rows = json.dumps({"instances": [["AA", 1, 1.0, True, "2013-01-01"]] * 10_000}).encode()
    with Load(before.endpoint, rows, "/v1/models/flights:predict") as load:
        time.sleep(1)
        second.deploy()
        time.sleep(1)
    assert load.failures == []


@pytest.mark.parametrize("reason", ["golden", "latency", "load", "timeout"])
def test_a_candidate_that_fails_leaves_the_stable_version_where_it_is(first, second, broken, reason):
    stable = first.deploy()
    bad, code, says = second, "deployment.golden_differ", "60 of 60 rows differ (positions 0, 1, 2, 3, 4, ...)"
    if reason == "golden":
        bad.judge(skew=0.01)
    elif reason == "latency":
        bad.serving = {"latency": {"p50_ms": 0.001, "requests": 20}}
        code, says = "deployment.too_slow", "allowed: at most 0.001 ms"
    elif reason == "timeout":
        bad.serving = {**QUICK, "start_timeout_s": 0.01}
        code, says = "deployment.server_slow", "within 0.01 s. The end of its log:"
    else:
        bad = broken
        code, says = "deployment.server_died", "The model server of flights ended instead of answering at http://127."
    with Load(stable.endpoint, body_of(stable)) as load, pytest.raises(HeadwayError) as error:
        bad.deploy()
    assert error.value.code == code
    assert says in str(error.value)
    if reason == "load":
        assert "not a zip file" in str(error.value).lower()
    assert load.failures == []
    assert set(load.digests) == {first.digest}
    assert answering(stable.endpoint) == first.digest
    assert champion(first) == FIRST
    assert no_orphans(first)
    assert actions(first)[-1] == "deployment_failed"
    assert "the candidate failed" in (bad.folder / "report.html").read_text()


def test_a_first_candidate_that_fails_leaves_no_endpoint(broken):
    with pytest.raises(HeadwayError, match=r"\[deployment.server_died\]"):
        broken.deploy()
    assert list_endpoints(str(broken.state)) == []
    assert processes.living(folder_of(broken)) == []


def test_the_same_model_with_other_settings_is_started_anew(first):
    before = first.deploy()
    first.serving = {**QUICK, "max_rows": 5}
    after = first.deploy()
    assert (after.outcome, after.endpoint) == ("deployed", before.endpoint)
    rows = {"instances": [["AA", 1, 1.0, True, "2013-01-01"]] * 6}
    assert ask(after.endpoint, rows, path="/v1/models/flights:predict")[0] == 413
    assert first.deploy().outcome == "unchanged"


def test_the_log_has_what_callers_asked_and_nothing_of_the_deployments_own_checks(first):
    first.serving = {**QUICK, "log": {"flush_s": 60}}
    url = first.deploy().endpoint
    assert first.deploy().outcome == "unchanged"
    status, _ = ask(url, {"id": "order-7", **request_of(flights(1), read_manifest(first.model).features)})
    assert status == 200
    first.serving = {**QUICK, "max_rows": 5}
    assert first.deploy().outcome == "deployed"  # the server before has ended
    (file,) = (first.state / "logs" / "flights").rglob("*.parquet")
    logged = pl.read_parquet(file)
    assert (logged["_id"].to_list(), logged["_model"].to_list()) == (["order-7"], [first.digest])


def test_an_address_passes_on_large_bodies_and_refuses_too_large_ones(first):
    url = first.deploy().endpoint
    for size, status in ((15_000_000, 400), (20_000_000, 413)):
        assert ask(url, b" " * size)[0] == status


@pytest.mark.parametrize("died", [["router"], ["server"], ["router", "server"]])
def test_what_died_is_brought_back_at_the_same_address(first, died):
    before = first.deploy()
    for name in died:
        kill(first, ROUTER if name == "router" else read_endpoint(folder_of(first)).current.process)
    status = list_endpoints(str(first.state))[0]
    ended = read_endpoint(folder_of(first)).current.process if "server" in died else ROUTER
    assert (status.state, status.log) == ("dead", folder_of(first) / f"{ended}.log")
    assert status.log.is_file()
    after = first.deploy()
    assert (after.outcome, after.endpoint) == ("unchanged", before.endpoint)
    assert after.reason.endswith("its server had ended; it was started again and answers as it did")
    assert answering(after.endpoint) == first.digest
    assert no_orphans(first)


def test_after_a_reboot_the_stable_version_is_back_even_if_the_candidate_fails(first, second):
    before = first.deploy()
    kill(first, ROUTER)
    kill(first, read_endpoint(folder_of(first)).current.process)
    second.judge(skew=0.01)
    with pytest.raises(HeadwayError, match=r"\[deployment.golden_differ\]"):
        second.deploy()
    assert answering(before.endpoint) == first.digest


def test_a_dead_server_answers_503_until_it_is_replaced(first):
    before = first.deploy()
    kill(first, read_endpoint(folder_of(first)).current.process)
    status, answer = ask(before.endpoint, body_of(before))
    assert (status, answer["code"]) == (503, "endpoint.down")


PHASES = {
    "candidate started": lambda d: len(list(folder_of(d).glob("server-*.pid"))) == 2,
    "candidate being checked": lambda d: any("serving flights" in log.read_text() for log in newest_log(d)),
    "traffic moved": lambda d: read_endpoint(folder_of(d)).current.model_digest == d.digest,
}


def newest_log(delivery):
    return list(folder_of(delivery).glob(f"server-{delivery.digest[:12]}-*.log"))


@pytest.mark.parametrize("phase", PHASES)
def test_a_step_killed_in_the_middle_and_run_again_ends_as_if_nothing_had_happened(first, second, phase):
    before = first.deploy()
    with Load(before.endpoint, body_of(before)) as load:
        process = subprocess.Popen(second.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not PHASES[phase](second):
            assert process.poll() is None, "the step ended before it could be killed"
            time.sleep(0.001)
        process.kill()
        process.wait()
        after = second.deploy()
    assert after.endpoint == before.endpoint
    assert after.previous_digest == first.digest
    assert load.failures == []
    assert answering(after.endpoint) == second.digest
    assert champion(second) == SECOND
    assert actions(second).count("deployed") == 2
    assert no_orphans(second)


def test_a_first_deployment_killed_when_the_record_was_written_is_finished_by_the_next(first):
    process = subprocess.Popen(first.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while read_endpoint(folder_of(first)) is None:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    result = first.deploy()
    assert answering(result.endpoint) == first.digest
    assert actions(first).count("deployed") == 1
    assert champion(first) == FIRST
    assert no_orphans(first)


def test_a_registry_that_fails_after_the_traffic_moved_is_told_by_the_next_run(first, second):
    first.deploy()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nothing listens there
        with pytest.raises(HeadwayError, match=r"registry\.unreachable"):
            second.deploy(tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
    url = read_endpoint(folder_of(second)).url
    assert answering(url) == second.digest
    assert champion(second) == FIRST
    assert actions(second)[-1] == "deployed"
    assert actions(second).count("deployed") == 1
    again = second.deploy()
    assert again.outcome == "unchanged"
    assert champion(second) == SECOND
    assert actions(second)[-2:] == ["promoted", "deployed"]
    assert second.deploy().outcome == "unchanged"
    assert actions(second).count("deployed") == 2


def test_two_deployments_at_the_same_time_take_turns(first, second):
    running = [subprocess.Popen(d.command(), stderr=subprocess.PIPE, text=True) for d in (first, second)]
    for process in running:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    endpoint = list_endpoints(str(first.state))[0].endpoint
    history = LocalEngine(str(first.state), "flights", Serving()).history()
    assert {served.model_digest for served in history.served} == {first.digest, second.digest}
    assert answering(endpoint.url) == endpoint.current.model_digest
    assert no_orphans(first)


def test_a_deployment_that_waits_too_long_for_another_says_so(first):
    first.serving = {**QUICK, "busy_timeout_s": 0.1}
    with deploying(folder_of(first), "flights", patience_s=1), pytest.raises(HeadwayError) as error:
        first.deploy()
    assert error.value.code == "endpoint.busy"
    assert "under way for 0 s" in str(error.value)


def test_a_lock_whose_holder_died_is_free(first):
    code = "import sys, time\nfrom pathlib import Path\n"
    code += "from headway.components._shared.endpoints.processes import exclusive\n"
    code += "with exclusive(Path(sys.argv[1]), patience_s=0): print('held', flush=True); time.sleep(60)"
    lock = folder_of(first) / "deploy.lock"
    holder = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with processes.exclusive(lock, patience_s=0) as mine:
        assert not mine
    holder.kill()
    holder.wait()
    with processes.exclusive(lock, patience_s=0) as mine:
        assert mine


def test_a_port_that_is_taken_is_named(first):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        first.serving = {**QUICK, "port": port}
        with pytest.raises(HeadwayError) as error:
            first.deploy()
    assert error.value.code == "deployment.port_taken"
    assert error.value.value == port
    assert f"Port {port} of 127.0.0.1, the address of the endpoint flights, cannot be opened" in error.value.message
    assert "serving.port" in error.value.remedy
    assert first.deploy().endpoint == f"http://127.0.0.1:{port}"


def test_a_port_that_someone_took_from_a_stopped_endpoint_is_named(first):
    port = int(first.deploy().endpoint.rpartition(":")[2])
    stop_endpoint(str(first.state), "flights")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(HeadwayError, match=r"\[deployment.port_taken\]"):
            first.deploy()


def test_another_port_moves_the_endpoint_and_a_taken_one_leaves_it(first):
    before = first.deploy()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        first.serving = {**QUICK, "port": port}
        with pytest.raises(HeadwayError, match=r"\[deployment.port_taken\]"):
            first.deploy()
        assert answering(before.endpoint) == first.digest
    after = first.deploy()
    assert (after.outcome, after.endpoint) == ("unchanged", f"http://127.0.0.1:{port}")
    assert answering(after.endpoint) == first.digest
    assert no_orphans(first)


def endpoint(delivery, *arguments):
    """What `headway endpoint` says; the state folder of the tests is `state` in its home."""
    return CliRunner().invoke(endpoint_command, [*arguments, "--home", str(delivery.state.parent)])


def test_endpoints_are_listed_and_stopped_from_the_command_line(first):
    result = first.deploy()
    listed = endpoint(first, "list").output
    assert re.search(rf"flights +serving +{result.endpoint} +{first.digest[:12]} +dev 1 +100 % +-", listed)
    assert CliRunner().invoke(endpoint_command, ["list", "--state", str(first.state)]).output == listed
    assert endpoint(first, "stop", "flights").output == f"stopped flights at {result.endpoint}\n"
    assert " stopped " in endpoint(first, "list").output
    assert processes.living(folder_of(first)) == []
    with pytest.raises(OSError):
        ask(result.endpoint, body_of(result))
    again = endpoint(first, "stop", "--all")
    assert again.output == "flights was stopped already; `headway endpoint remove flights` forgets it\n"
    assert actions(first).count("stopped") == 1
    back = first.deploy()
    assert (back.outcome, back.endpoint) == ("deployed", result.endpoint)
    assert back.reason.endswith("took the traffic; the endpoint had not been answering")


def test_an_endpoint_that_died_is_listed_with_its_log_and_can_be_stopped(first):
    url = first.deploy().endpoint
    server = read_endpoint(folder_of(first)).current.process
    kill(first, server)
    listed = endpoint(first, "list").output
    assert re.search(r"flights +down +http", listed)
    assert f"flights is down: its process {server} ended by itself" in listed
    assert f"the end of its log is in {folder_of(first) / server}.log" in listed
    assert endpoint(first, "stop", "flights").output == f"flights at {url} had died; it is stopped now\n"
    assert processes.living(folder_of(first)) == []


def test_an_endpoint_is_looked_at_and_rolled_back_from_the_command_line(first, second):
    url = first.deploy().endpoint
    second.deploy()
    said = endpoint(first, "rollback", "flights", "--reason", "it was too slow").output
    assert said.startswith(f"flights is at {url} with {first.digest[:12]}: rolled_back, the candidate passed")
    lines = endpoint(first, "status", "flights").output.splitlines()
    assert lines[:2] == ["flights is serving: it answers", f"address    {url}"]
    assert re.fullmatch(rf"stable +{first.digest[:12]}  dev 1  1 of 1 ready, 100 % of the traffic", lines[2])
    assert re.fullmatch(rf"served +{first.digest[:12]}  \S+Z to now", lines[3])
    assert re.fullmatch(rf"served +{second.digest[:12]}  \S+Z to \S+Z  rolled back: it was too slow", lines[4])
    params = first.state.parent / "prod.yaml"
    params.write_text(f"parameters: {{state_uri: {first.state}, serving_engine: local}}")
    said = endpoint(first, "rollback", "flights", "--reason", "no", "--to", second.digest[:6], "--params", str(params))
    assert second.digest[:12] in said.output


def test_a_removed_endpoint_is_forgotten_and_its_model_can_be_deployed_anew(first):
    url = first.deploy().endpoint
    assert endpoint(first, "remove", "flights").output == f"removed flights at {url}\n"
    assert endpoint(first, "list").output == f"No endpoint in {first.state}.\n"
    assert processes.living(folder_of(first)) == []
    assert [path.name for path in folder_of(first).iterdir()] == ["deploy.lock"]
    assert actions(first)[-2:] == ["stopped", "removed"]
    assert endpoint(first, "remove", "--all").output == f"No endpoint in {first.state}.\n"
    assert first.deploy().outcome == "deployed"


def test_an_unknown_endpoint_is_named_with_those_there_are(first, state):
    for change in (stop_endpoint, remove_endpoint):
        with pytest.raises(HeadwayError, match=r"\[endpoint.unknown\] There is no endpoint trains in .*--home"):
            change(str(state), "trains")
    first.deploy()
    with pytest.raises(HeadwayError, match=r"\[endpoint.unknown\].*Name one of these: flights"):
        stop_endpoint(str(state), "trains")
    with pytest.raises(HeadwayError, match=r"\[endpoint.state_remote\].*gs://bucket"):
        list_endpoints("gs://bucket/state")


PIPELINE = """
import sys
from kfp import dsl, local
from headway.components.deployment.component import deploy_model

folder, state, root = sys.argv[1:]
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root)


@dsl.pipeline
def deliver(state_uri: str, serving: dict):
    def bring(name, kind):
        return dsl.importer(artifact_uri=f"{folder}/{name}", artifact_class=kind).output

    deploy_model(
        registration=bring("registration.json", dsl.Artifact),
        verdict=bring("verdict.json", dsl.Artifact),
        golden=bring("golden", dsl.Dataset),
        model_name="flights",
        serving=serving,
        state_uri=state_uri,
    )


deliver(state_uri=state, serving={"latency": {"requests": 20.0, "p50_ms": 10000, "p99_ms": 60000}})
"""


def test_a_step_of_a_local_pipeline_ends_while_the_endpoint_goes_on_answering(first, tmp_path):
    script = tmp_path / "deliver.py"
    script.write_text(PIPELINE)
    arguments = [str(first.folder), str(first.state), str(tmp_path / "root")]
    run = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    record = next((tmp_path / "root").rglob("deployment")).read_text()
    assert "auto: the step runs on a machine, not in a cluster" in record
    endpoint = list_endpoints(str(first.state))[0]
    assert endpoint.state == "serving"
    assert answering(endpoint.endpoint.url) == first.digest

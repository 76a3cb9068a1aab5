"""Rollouts on this machine: what every engine promises, and what only processes can show."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from headway.components._shared.audit import verify_events
from headway.components._shared.datasets import open_dataset
from headway.components._shared.endpoints import processes, read_endpoint, stop_endpoint
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.components.deployment.golden import kept_golden
from tests.operation_cases import kept
from tests.rollout_cases import RolloutCases, failed, plan


def folder_of(delivery):
    return delivery.state / "endpoints" / "flights"


class TestRolloutsOnThisMachine(RolloutCases):
    """The cases of every engine."""


def test_a_candidate_that_dies_with_most_of_the_traffic_costs_no_request(first, second):
    before = first.deploy()
    plan(second, {"set_weight": 90}, {"pause": "10m"})

    def kill_candidate():
        while (record := read_endpoint(folder_of(first))) is None or record.weight < 90:
            time.sleep(0.01)
        time.sleep(1)
        os.kill(processes.pid_of(folder_of(first), record.candidate.process), signal.SIGKILL)

    killer = threading.Thread(target=kill_candidate)
    killer.start()
    with RolloutCases().load(before) as load:
        error = failed(second)
    killer.join()
    assert error.code == "deployment.server_died"
    assert "The model server of flights ended by itself. The end of its log:" in error.message
    assert load.failures == []
    assert {first.digest, second.digest} == set(load.digests)
    events = verify_events(State(str(first.state)), "flights")
    assert (events[-1]["action"], events[-1]["evidence"]["code"]) == ("deployment_failed", "deployment.server_died")


def test_a_candidate_that_died_while_nobody_led_it_is_taken_back_by_the_keeper_before_the_deadline(first, second):
    first.deploy()
    plan(second, {"set_weight": 50}, {"pause": "10m"}, deadline="1d")
    RolloutCases().killed_in(second, step=1)
    assert kept(second)["outcome"] == "left_alone"
    process = read_endpoint(folder_of(first)).candidate.process
    os.kill(processes.pid_of(folder_of(first), process), signal.SIGKILL)
    while processes.pid_of(folder_of(first), process):
        time.sleep(0.01)
    told = kept(second)
    assert (told["outcome"], told["state"]) == ("taken_back", "serving")
    assert "was left to a candidate that fails: The model server of flights ended by itself" in told["decision"]
    RolloutCases().settled(first)


def test_the_pipeline_rollout_keeper_takes_back_what_is_late_and_fails_where_the_endpoint_does_not_serve(
    first, second, tmp_path
):
    first.deploy()
    plan(second, {"set_weight": 50}, {"pause": "10m"})
    RolloutCases().killed_in(second, step=1)
    engine = RolloutCases().engine(second)
    with engine.deploying():
        engine.note(engine.progress().model_copy(update={"begun": "2026-01-01T00:00:00Z"}))
    where = {"model_name": "flights", "state_uri": str(first.state), "serving_engine": "local"}
    params = tmp_path / "keeper.yaml"
    params.write_text(json.dumps({"pipeline": "rollout_keeper", "parameters": where}))
    command = [sys.executable, "-m", "headway.pipelines.cli", "run", "rollout_keeper"]
    command += ["--params", str(params), "--home", str(tmp_path / "home")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "taken_back: the rollout that began at 2026-01-01T00:00:00Z was not finished in time" in run.stdout
    RolloutCases().settled(first)
    stop_endpoint(str(first.state), "flights")
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "flights is stopped: somebody stopped it" in run.stdout


def test_golden_rows_are_kept_with_the_release_and_are_those_of_the_evaluation(first):
    first.deploy()
    release = first.state / "releases" / "flights" / first.digest
    fingerprint = open_dataset(first.folder / "golden").fingerprint
    kept = kept_golden(f"{release}/golden/{fingerprint}.json")
    assert kept.fingerprint == fingerprint
    assert kept.read().equals(open_dataset(first.folder / "golden").read())
    other = release / "golden" / f"{'0' * 64}.json"
    shutil.copy(release / "golden" / f"{fingerprint}.json", other)
    with pytest.raises(HeadwayError, match=r"\[deployment.other_golden\] The golden rows of a release are not those"):
        kept_golden(str(other))


def test_a_first_deployment_has_nothing_to_compare_with_and_takes_no_steps(first):
    plan(first, {"set_weight": 10}, {"analysis": {}})
    result = first.deploy()
    assert result.outcome == "deployed"
    assert not [p for p in result.phases if p.phase.startswith(("give", "analysis"))]
    assert result.phases[-1].phase == "promote"


def test_a_shadow_without_logged_requests_is_refused_before_anything_starts(first, second):
    first.deploy()
    plan(second, {"analysis": {}}, strategy="shadow")
    assert failed(second).code == "deployment.requests_missing"
    assert processes.living(folder_of(first)) == sorted(["router", read_endpoint(folder_of(first)).current.process])


def test_a_first_version_that_is_only_looked_at_leaves_nothing(first):
    plan(first, {"analysis": {}}, on_passed="withdraw")
    result = first.deploy()
    assert (result.outcome, result.endpoint) == ("withdrawn", None)
    assert "there was nothing to compare it with" in result.reason
    assert [name for name in processes.living(folder_of(first)) if name.startswith("server")] == []

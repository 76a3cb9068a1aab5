"""Steps that are killed: before and after everything that they write, and run again, under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.faulty_api import Asked, FaultyApi, faulty_api
from tests.cluster.katib import kubeconfig_for
from tests.cluster.kserve_home import Home, lost
from tests.deployment_samples import Delivery

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def pods_end_sooner_than_the_gateway_follows(endpoint: Home) -> None:
    endpoint.drain_s = 1


def written(asked: Asked) -> str | None:
    """What a request changes, in a few words; None for one that changes nothing."""
    if asked.method == "GET" or "dryRun" in asked.path or not asked.body:
        return None
    body = json.loads(asked.body)
    if body.get("kind") == "InferenceService":
        canary = next(iter(body["spec"].get("canary", ())), {"predictor": {}})
        names = body["spec"]["predictor"]["name"], canary["predictor"].get("name")
        return f"service: {names[0]} beside {names[1]} at {canary.get('trafficPercent')} %"
    if body.get("kind") != "Lease":
        return None
    record = json.loads((body["metadata"].get("annotations") or {}).get("headway/record", "{}"))
    versions = [(record.get(which) or {}).get("name") for which in ("stable", "candidate")]
    progress = record.get("progress") or {}
    told = {key: progress.get(key) for key in ("step", "weight", "failure")}
    return f"lease: {'held' if body['spec']['holderIdentity'] else 'free'}, {versions[0]}, {versions[1]}, {told}"


class Killer:
    """Runs a step as often as it takes, and kills it each time at a write at which it was not killed before.

    Args:
        home: Where.
        api: The way to the API server.
        wanted: Which writes, by what they change.
    """

    def __init__(self, home: Home, api: FaultyApi, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self.home = home
        self.api = api
        self.wanted = wanted
        self.killed: list[tuple[str, str]] = []
        self._process: subprocess.Popen[str] | None = None
        self._last = ""
        api.look = self._look

    def run(self, delivery: Delivery) -> subprocess.CompletedProcess[str]:
        """Until the step ends by itself."""
        env = {**os.environ, "KUBECONFIG": str(self.api.kubeconfig)}
        while True:
            self._last = ""
            self._process = subprocess.Popen(
                delivery.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
            )
            said = self._process.communicate()[1]
            if self._process.returncode != -9:
                return subprocess.CompletedProcess([], self._process.returncode, stderr=said)
            self.home.free_the_lease()

    def _look(self, asked: Asked) -> bool:
        process, what = self._process, written(asked)
        if process is None or what is None:
            return False
        if process.poll() is not None:
            return True  # killed, and its other thread had one more request
        # What was written before, and a lease that is only renewed, is no new place.
        new = what != self._last and self.wanted(what) and (asked.moment, what) not in self.killed
        if new:
            self.killed.append((asked.moment, what))
            process.kill()
        elif asked.moment == "after":
            self._last = what
        return new


@pytest.fixture
def api(home: Home, tmp_path: Path):  # type: ignore[no-untyped-def]
    own = kubeconfig_for(home.place.kube, home.place.namespace, tmp_path)
    with faulty_api(str(own), tmp_path) as found:
        yield found


def test_a_step_killed_before_and_after_each_of_its_writes_and_run_again_loses_no_request(
    home: Home, api: FaultyApi
) -> None:
    second = home.delivery(home.second, {"set_weight": 50}, {"pause": "1s"})
    killer = Killer(home, api)
    with home.load() as load:
        done = killer.run(second)
    assert done.returncode == 0, done.stderr
    assert lost(load) == {}
    home.settled(second)
    moments = [moment for moment, _ in killer.killed]
    assert min(moments.count("before"), moments.count("after")) >= 12, killer.killed
    for place in ("at 0 %", "at 50 %", "at 100 %", "beside None at None %", "'weight': 100", "lease: free"):
        assert any(place in what for _, what in killer.killed), (place, killer.killed)


def test_a_rollback_killed_before_and_after_each_of_its_writes_is_finished_by_the_next_step(
    home: Home, api: FaultyApi
) -> None:
    undecided = {"latency_ratio": 100, "min_requests": 1, "max_requests": 10}
    second = home.delivery(home.second, {"set_weight": 50}, {"analysis": undecided})
    backwards = [False]

    def is_of_the_way_back(what: str) -> bool:
        backwards[0] = "It could not be decided" in what or (backwards[0] and "'step': 0" not in what)
        return backwards[0]

    killer = Killer(home, api, is_of_the_way_back)
    with home.load() as load:
        done = killer.run(second)
    assert done.returncode == 1
    assert "[deployment.analysis_inconclusive]" in done.stderr.splitlines()[-1], done.stderr
    assert lost(load) == {}
    home.settled(home.delivery(home.first))
    for place in ("could not", "at 0 %", "beside None at None %"):
        assert {moment for moment, what in killer.killed if place in what} == {"before", "after"}, killer.killed


def test_a_step_that_is_told_to_end_gives_the_traffic_back_with_its_first_write(home: Home, api: FaultyApi) -> None:
    second = home.delivery(home.second, {"set_weight": 50}, {"pause": "10m"})
    writes: list[tuple[float, str]] = []

    def look(asked: Asked) -> bool:
        if asked.moment == "before" and (what := written(asked)):
            writes.append((time.monotonic(), what))
        return False

    api.look = look
    env = {**os.environ, "KUBECONFIG": str(api.kubeconfig)}
    with home.load() as load:
        process = subprocess.Popen(second.command(), stderr=subprocess.PIPE, text=True, env=env)
        home.until(lambda: home.rolled_to(50))
        process.terminate()
        told = time.monotonic()
        said = process.communicate()[1]
        assert process.returncode == 128 + signal.SIGTERM
        home.until(lambda: home.weight() == 0)
        assert home.delivery(home.first).deploy().outcome == "unchanged"
    assert "the stable version has the 50 % back" in said
    (back, at_0), (_, freed) = [(at - told, what) for at, what in writes if at > told]
    assert "at 0 %" in at_0
    assert "lease: free" in freed
    assert "'weight': 50" in freed
    assert back < 2, "0.1 s on a machine that does nothing else"
    assert lost(load) == {}


def test_two_steps_at_once_deploy_one_after_the_other(home: Home) -> None:
    begun = home.digest()
    deliveries = [home.delivery(name, {"set_weight": 50}) for name in (home.second, home.first)]
    with home.load() as load:
        processes = [subprocess.Popen(d.command(), stderr=subprocess.PIPE, text=True) for d in deliveries]
        said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert lost(load) == {}
    # Whichever was first: the one that had the traffic was either left alone or brought back.
    outcomes = [json.loads((d.folder / "deployment.json").read_text())["outcome"] for d in deliveries]
    assert outcomes in (["deployed", "unchanged"], ["deployed", "deployed"])
    assert (home.digest() == begun) == (outcomes[1] == "deployed")

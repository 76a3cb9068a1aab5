"""Rollouts judged by what callers get in a cluster: pods behind the gateway, scraped by a real Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.components._shared.artifacts import read_manifest
from headway.components.deployment.golden import Golden
from headway.components.deployment.record import Deployment
from tests.cluster.kserve_home import Home
from tests.deployment_samples import Delivery, Load, flights
from tests.prometheus import Application, Prometheus, needs_prometheus, prometheus
from tests.rollout_cases import failed

pytestmark = [pytest.mark.timeout(900), needs_prometheus]

ROWS = 20


@pytest.fixture
def server(home: Home, tmp_path: Path) -> Iterator[Prometheus]:
    """Scrapes the model servers of the namespace, with the labels `namespace` and `pod`.

    Debian's Prometheus is built without its discovery of pods, so a thread tells it what that would find.
    """
    place, over = home.place, threading.Event()

    def discover(running: Prometheus) -> None:
        while not over.wait(0.5):
            pods = [pod for pod in place.kube.get(place.namespace, "pods") if pod["status"].get("podIP")]
            running.find(
                {
                    f"{pod['status']['podIP']}:8080": {"namespace": place.namespace, "pod": pod["metadata"]["name"]}
                    for pod in pods
                }
            )

    with prometheus(tmp_path / "prometheus") as running:
        discovery = threading.Thread(target=discover, args=(running,))
        discovery.start()
        yield running
        over.set()
        discovery.join()


def delivery(home: Home, server: Prometheus, **serving: Any) -> Delivery:
    """The other model, which is to have half of the traffic and be judged by it."""
    metrics = [{"kind": "errors", "limit": 0.1}, {"kind": "latency", "above_s": 10, "limit": 0.1}]
    asked = {"address": server.address, "interval": "0.5s", "query_offset": "0.5s", "metrics": metrics}
    analysis = {"prometheus": asked, "max_duration": "2m", "min_requests": 50}
    return home.delivery(home.second, {"set_weight": 50}, {"analysis": analysis}, serving=serving)


def callers(made: Delivery, deployment: Deployment) -> Load:
    """Callers who ask for twenty rows at once."""
    rows = flights(ROWS)
    body = Golden(rows.with_columns(prediction=rows["late"]), read_manifest(made.model)).request()
    assert deployment.endpoint
    return Load(deployment.endpoint, body, headers=deployment.headers, pause_s=0.1)


def test_a_candidate_whose_callers_get_what_they_got_before_takes_the_traffic(home: Home, server: Prometheus) -> None:
    first, second = home.delivery(home.first), delivery(home, server)
    with callers(first, first.deploy()) as load:
        after = second.deploy()
    assert load.failures == []
    assert after.outcome == "deployed"
    checks = {check.check: check for check in after.checks}
    errors = checks["analysis at 50 %: errors"]
    assert errors.passed
    assert checks["analysis at 50 %: latency"].passed
    assert min(errors.measured["requests"], errors.measured["stable_requests"]) >= 50
    assert errors.measured["candidate"] == errors.measured["stable"] == 0


def test_a_candidate_that_refuses_what_callers_send_is_found_out_and_rolled_back(
    home: Home, server: Prometheus
) -> None:
    first, second = home.delivery(home.first), delivery(home, server, max_rows=ROWS - 1)
    with callers(first, first.deploy()) as load:
        error = failed(second)
    assert error.code == "deployment.analysis_failed"
    assert "(analysis at 50 %). errors: +" in error.message
    assert set(load.failures) == {"413"}
    assert set(load.digests[-5:]) == {first.digest}


def test_an_ab_test_gives_the_traffic_to_what_sells_better(home: Home, server: Prometheus) -> None:
    first = home.delivery(home.first)
    metric = {"kind": "share", "name": "sold", "limit": 0, "min_effect": 0.05}
    metric |= {"successes": 'offers_total{model="$model_digest",sold="yes"}'}
    metric |= {"total": 'offers_total{model="$model_digest"}'}
    asked = {"address": server.address, "interval": "0.5s", "query_offset": "0.5s", "metrics": [metric]}
    test = {"prometheus": asked, "max_duration": "3m", "min_requests": 50}
    second = home.delivery(home.second, {"set_weight": 50}, {"analysis": test}, strategy="ab")
    with callers(first, first.deploy()) as load, Application() as application:
        application.count(lambda _: offers(load.digests, {first.digest: 0.2, second.digest: 0.8}))
        server.always = (application.address,)
        after = second.deploy()
    assert load.failures == []
    assert after.outcome == "deployed"
    check = next(check for check in after.checks if check.check == "analysis at 50 %: sold")
    assert check.measured["low"] > 0
    assert min(check.measured["requests"], check.measured["stable_requests"]) >= 50


def offers(answered_by: Sequence[str], sold: dict[str, float]) -> str:
    """What an application counts that reads in each answer which model it came from."""
    counts = Counter(answered_by)
    both = [(digest, counts[digest], int(counts[digest] * share)) for digest, share in sold.items()]
    yes = [f'offers_total{{model="{digest}",sold="yes"}} {won}' for digest, _, won in both]
    no = [f'offers_total{{model="{digest}",sold="no"}} {asked - won}' for digest, asked, won in both]
    return "\n".join([*yes, *no, ""])

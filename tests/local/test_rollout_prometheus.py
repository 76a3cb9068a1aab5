"""Rollouts judged by what callers get: real model servers, scraped by a real Prometheus."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from headway.components._shared.artifacts import read_manifest
from headway.components._shared.endpoints import processes, read_endpoint
from headway.components.deployment.golden import Golden
from tests.deployment_samples import Load, flights
from tests.prometheus import Application, needs_prometheus, prometheus
from tests.rollout_cases import failed, plan

pytestmark = needs_prometheus

ROWS = 20


@pytest.fixture
def server(tmp_path):
    with prometheus(tmp_path / "prometheus") as running:
        yield running


@contextmanager
def callers(server, delivery, deployment):
    """Callers who ask for twenty rows at once, while Prometheus scrapes whatever versions there are."""
    rows = flights(ROWS)
    body = Golden(rows.with_columns(prediction=rows["late"]), read_manifest(delivery.model)).request()
    over = threading.Event()

    def follow():
        known = ()
        while not over.is_set():
            record = read_endpoint(delivery.state / "endpoints" / "flights")
            found = tuple(b.address for b in (record.current, record.candidate) if b)
            if found != known:
                server.scrape(*found)
                known = found
            time.sleep(0.2)

    follower = threading.Thread(target=follow)
    follower.start()
    with Load(deployment.endpoint, body) as load:
        try:
            yield load
        finally:
            over.set()
            follower.join()


def analysis(server, fewest=50, **more):
    """Compares by the built-in queries."""
    given = {"address": server.address, "interval": "0.5s", "query_offset": "0.5s"}
    given |= {"metrics": [{"kind": "errors", "limit": 0.1}, {"kind": "latency", "above_s": 10, "limit": 0.1}]}
    return {"analysis": {"prometheus": {**given, **more}, "max_duration": "60s", "min_requests": fewest}}


def test_a_candidate_whose_callers_get_what_they_got_before_takes_the_traffic(server, first, second):
    before = first.deploy()
    # Enough requests that it does not matter which target was scraped first.
    plan(second, {"set_weight": 30}, analysis(server, fewest=400))
    with callers(server, first, before) as load:
        after = second.deploy()
    assert load.failures == []
    assert after.outcome == "deployed"
    checks = {check.check: check for check in after.checks}
    errors, latency = checks["analysis at 30 %: errors"], checks["analysis at 30 %: latency"]
    assert errors.passed
    assert latency.passed
    assert errors.limit == "share of failed requests at most 0.1 above the stable version's"
    assert errors.measured["candidate"] == errors.measured["stable"] == 0
    assert errors.measured["requests"] >= 400
    # About 30 %: what the step itself has sent to the candidate before is not among it.
    share = errors.measured["requests"] / (errors.measured["requests"] + errors.measured["stable_requests"])
    assert 0.15 < share < 0.45


def test_a_candidate_that_refuses_what_callers_send_is_found_out_and_rolled_back(server, first, second):
    before = first.deploy()
    plan(second, {"set_weight": 50}, analysis(server))
    second.serving = {**second.serving, "max_rows": ROWS - 1}
    with callers(server, first, before) as load:
        error = failed(second)
        time.sleep(0.5)
    assert error.code == "deployment.analysis_failed"
    assert "(analysis at 50 %). errors: +" in error.message
    assert "the limit is broken" in error.message
    assert set(load.failures) == {"413"}
    assert set(load.digests[-10:]) == {first.digest}


def test_a_candidate_that_dies_during_the_analysis_is_found_out_though_it_counts_no_failure(server, first, second):
    """What callers then miss is in nobody's counters."""
    before = first.deploy()
    plan(second, {"set_weight": 30}, analysis(server, fewest=1_000_000))
    place = first.state / "endpoints" / "flights"

    def kill():
        while not ((record := read_endpoint(place)).candidate and record.weight):
            time.sleep(0.1)
        time.sleep(6)  # Prometheus has seen it
        os.kill(processes.pid_of(place, record.candidate.process), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    begun = time.monotonic()
    with callers(server, first, before):
        error = failed(second)
    killer.join()
    assert error.code == "deployment.server_died"
    assert time.monotonic() - begun < 50, "it does not wait for the end of the analysis"


def test_without_prometheus_nothing_is_proven_and_the_policy_decides(tmp_path, first, second):
    first.deploy()
    with prometheus(tmp_path / "gone") as gone:
        pass
    plan(second, {"set_weight": 50}, analysis(gone, patience="1s"))
    error = failed(second)
    assert (error.code, error.value) == ("prometheus.unreachable", gone.address)
    assert "could not be decided whether the candidate is as good" in error.message
    plan(second, {"set_weight": 50}, analysis(gone, patience="1s"), on_inconclusive="go_on")
    after = second.deploy()
    assert after.outcome == "deployed"
    assert [(c.check, c.passed) for c in after.checks if "prometheus" in c.check] == [
        ("analysis at 50 %: prometheus", False)
    ]
    assert "Prometheus cannot be asked" in (second.folder / "report.html").read_text()


def test_an_ab_test_gives_the_traffic_only_to_what_sells_better(server, first, second):
    first.deploy()
    metric = {
        "kind": "share",
        "name": "sold",
        "successes": 'offers_total{model="$model_digest",sold="yes"}',
        "total": 'offers_total{model="$model_digest"}',
        "limit": 0,
        "min_effect": 0.05,
    }

    def sells(share):
        def counts(seconds):
            offers = int(5000 * (1 + seconds))
            both = ((first.digest, int(0.3 * offers)), (second.digest, int(share * offers)))
            yes = [f'offers_total{{model="{digest}",sold="yes"}} {sold}' for digest, sold in both]
            no = [f'offers_total{{model="{digest}",sold="no"}} {offers - sold}' for digest, sold in both]
            return "\n".join([*yes, *no, ""])

        return counts

    test = analysis(server, metrics=[metric])
    plan(second, {"set_weight": 50}, test, strategy="ab")
    with Application() as application:
        application.count(sells(0.25))
        server.scrape(application.address)
        error = failed(second)
        assert (error.code, "not proven to be better" in error.message) == ("deployment.not_better", True)
        application.count(sells(0.4))
        after = second.deploy()
    assert after.outcome == "deployed"
    check = next(check for check in after.checks if check.check == "analysis at 50 %: sold")
    assert check.measured["low"] > 0
    assert check.measured["requests_needed"] > 1000

"""The analysis of a candidate against the stable version, over real requests to small servers."""

import http.server
import json
import threading
import time

import pytest

from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.analysis.pairs import analyse_pairs
from headway.components.deployment.caller import Caller
from headway.components.deployment.engines import Address
from tests.deployment_samples import answering, golden_of, outputs, train_sample


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return golden_of(train_sample(tmp_path_factory.mktemp("model")))


QUICK = {"requests_per_second": 100_000, "latency_ratio": 1000}


def late(golden):
    """What a server answers that predicts the same class whatever it is asked."""
    return outputs(golden.part(0, 1), prediction=["late"])


def compare(golden, candidate, stable, **changes):
    """An analysis of two servers, each (status, body, seconds); changes are of the Analysis."""
    go_on = changes.pop("go_on", lambda: True)
    with answering(*candidate[:2], delay_s=candidate[2]) as ours, answering(*stable[:2], delay_s=stable[2]) as theirs:
        outcome = analyse_pairs(
            Caller(ours, "flights"),
            Caller(theirs, "flights"),
            golden,
            Analysis.model_validate({**QUICK, **changes}),
            false_alarm=0.01,
            seed=0,
            go_on=go_on,
        )
    return outcome.decision, outcome.checks


def test_a_candidate_that_answers_as_the_stable_version_passes_with_evidence(golden):
    decision, checks = compare(golden, (200, late(golden), 0), (200, late(golden), 0))
    assert decision == "passed"
    assert [(c.check, c.passed) for c in checks] == [("errors", True), ("latency", True), ("predictions", True)]
    assert checks[0].limit == "share of failed requests at most 0.02 above the stable version's"
    assert checks[0].measured["requests"] >= 100
    assert checks[0].measured["high"] < 0.02
    assert "+0.000 (" in checks[0].value


def test_a_candidate_that_fails_its_requests_is_found_out_after_a_few(golden):
    decision, checks = compare(golden, (500, {"error": "out of memory"}, 0), (200, late(golden), 0))
    assert decision == "failed"
    assert checks[0].measured["requests"] <= 20
    assert checks[0].value.endswith("requests to each; the limit is broken")


def test_errors_that_both_have_are_not_held_against_the_candidate_and_prove_nothing(golden):
    decision, checks = compare(golden, (503, {}, 0), (503, {}, 0), max_requests=400)
    assert decision == "inconclusive"
    assert [c.passed for c in checks] == [True, False, False]
    assert checks[1].value == "nothing was answered over 400 requests to each; not decided"


def test_a_candidate_that_answers_where_the_stable_version_fails_every_request_is_let_through(golden):
    decision, checks = compare(golden, (200, late(golden), 0), (503, {}, 0), max_requests=400)
    assert decision == "passed"
    assert [(c.check, c.passed) for c in checks] == [("errors", True)]
    assert checks[0].value.startswith("-1.000")


def test_a_candidate_that_is_slower_is_found_out(golden):
    decision, checks = compare(golden, (200, late(golden), 0.2), (200, late(golden), 0), latency_ratio=1.5)
    assert decision == "failed"
    latency = checks[1]
    assert latency.check == "latency"
    assert latency.measured["median_ratio"] > 1.5
    assert "times over" in latency.value


def test_a_candidate_that_predicts_otherwise_is_found_out(golden):
    other = outputs(golden.part(0, 1), prediction=["on time"])
    decision, checks = compare(golden, (200, other, 0), (200, late(golden), 0))
    assert decision == "failed"
    assert (checks[2].check, checks[2].passed) == ("predictions", False)
    decision, checks = compare(golden, (200, other, 0), (200, late(golden), 0), predictions=None)
    assert decision == "passed"
    assert [c.check for c in checks] == ["errors", "latency"]


def test_a_stable_version_that_takes_other_inputs_leaves_the_errors_to_judge_by(golden):
    decision, checks = compare(golden, (200, late(golden), 0), (400, {"error": "unknown column"}, 0))
    assert decision == "passed"
    assert [c.check for c in checks] == ["errors"]
    assert "(the stable version takes other inputs)" in checks[0].limit


def test_too_few_requests_decide_nothing(golden):
    decision, checks = compare(golden, (200, late(golden), 0), (200, late(golden), 0), min_requests=1, max_requests=12)
    assert decision == "inconclusive"
    assert checks[0].value.endswith("over 12 requests to each; not decided")


def test_an_analysis_ends_in_time_or_when_it_is_told_to(golden):
    started = time.monotonic()
    decision, _ = compare(
        golden, (200, late(golden), 0.01), (200, late(golden), 0.01), max_duration="0.5s", max_requests=100_000
    )
    assert decision == "inconclusive"
    assert time.monotonic() - started < 20
    decision, checks = compare(golden, (200, late(golden), 0), (200, late(golden), 0), go_on=lambda: False)
    assert (decision, checks[0].measured["requests"]) == ("inconclusive", 10)


def test_no_more_requests_are_sent_than_a_second_may_have(golden):
    started = time.monotonic()
    compare(golden, (200, late(golden), 0), (200, late(golden), 0), requests_per_second=50, max_requests=100)
    assert time.monotonic() - started >= 1.9


def test_a_caller_goes_through_a_gateway_by_path_and_headers():
    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.send_header(DIGEST_HEADER, "abc")
            self.end_headers()
            self.wfile.write(json.dumps({"path": self.path, "host": self.headers["Host"]}).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = Address(f"http://127.0.0.1:{server.server_port}/serving/", {"Host": "flights.example.com"})
        answer = Caller(address, "flights").infer(b"{}")
    assert answer.body == {"path": "/serving/v2/models/flights/infer", "host": "flights.example.com"}
    assert (answer.status, answer.model_digest) == (200, "abc")

"""Prometheus asked for counters: a real server, its refusals, and addresses that are something else."""

import http.server
import threading
import time
from contextlib import contextmanager

import pytest

from headway.components._shared.config import parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.prometheus import Server
from headway.components.deployment.analysis.config import Analysis, Prometheus
from headway.components.deployment.analysis.counters import Counters
from headway.components.deployment.analysis.traffic import analyse_traffic
from tests.prometheus import Application, needs_prometheus, prometheus

TOKEN = "s3cr3t-of-the-monitoring"


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """A server, and an application that it scrapes."""
    with prometheus(tmp_path_factory.mktemp("prometheus")) as running, Application() as application:
        running.scrape(application.address)
        yield running, application


@pytest.fixture
def server(scraped):
    return scraped[0]


@pytest.fixture
def application(scraped):
    return scraped[1]


def settings(address, **more):
    return parse(Prometheus, {"address": address, "interval": "0.2s", "timeout": "1s", **more}, parameter="prometheus")


def fault(address, query="up", **more):
    with pytest.raises(HeadwayError) as error:
        Server(settings(address, **more)).query(query, 1e9)
    return error.value


@contextmanager
def something(status, body=b"", headers=(), delay_s=0.0):
    """A server that is no Prometheus; gives its address and the requests that it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["content-length"])).decode()))
            time.sleep(delay_s)
            self.send_response(status)
            for name, value in (("content-length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", got
        running.shutdown()


@needs_prometheus
def test_values_that_are_not_finite_and_queries_without_a_series_are_no_numbers(server, application):
    application.count(lambda _: 'good{x="1"} 5\ngood{x="2"} NaN\ngood{x="3"} +Inf\n')
    time.sleep(1)
    asked = Server(settings(server.address))
    labels = {"x": "1", "instance": application.address.removeprefix("http://"), "job": "tests"}
    assert asked.query("good", asked.now()) == {frozenset(labels.items()): 5.0}
    assert asked.query("no_such_metric", asked.now()) == {}


@needs_prometheus
@pytest.mark.parametrize(
    ("query", "says"),
    [("sum(", "it answered 400: invalid parameter"), ("up[5m]", "it gives a matrix"), ("time()", "it gives a scalar")],
)
def test_a_query_that_gives_no_vector_is_named(server, query, says):
    error = fault(server.address, query)
    assert (error.code, error.value) == ("prometheus.query", query)
    assert says in error.message


@needs_prometheus
def test_a_server_that_wants_an_account_refuses_and_the_token_is_told_nowhere(tmp_path, caplog):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with prometheus(tmp_path / "server", accounts=True) as server:
        given = {"token_file": str(tmp_path / "token"), "patience": "0.5s"}
        error = fault(server.address, **given)
        outcome = analyse_traffic(
            {"selector": 'instance="a"'},
            {"selector": 'instance="b"'},
            traffic(server.address, **given),
            false_alarm=0.01,
        )
    assert (error.code, error.value) == ("prometheus.refused", server.address)
    assert "token_file" in error.remedy
    assert outcome.decision == "inconclusive"
    assert [(c.check, c.passed) for c in outcome.checks] == [
        ("errors", False),
        ("latency", False),
        ("prometheus", False),
    ]
    assert outcome.checks[-1].value == "Prometheus refuses to answer: status 401."
    assert "refuses" in outcome.error("analysis at 10 %").message
    everything = f"{error!r}{outcome!r}{outcome.error('x')!r}{caplog.text}"
    assert TOKEN not in everything


def traffic(address, metrics=(), **more):
    given = {"address": address, "interval": "0.2s", "query_offset": "0.3s", "timeout": "1s", "patience": "0.3s"}
    given |= more
    given |= {"metrics": metrics} if metrics else {}
    return parse(Analysis, {"prometheus": given, "max_duration": "20s", "min_requests": 50}, parameter="analysis")


def test_a_token_is_sent_to_the_address_alone_and_no_redirect_is_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("MONITORING_TOKEN", TOKEN)
    with something(200) as (elsewhere, reached), something(302, headers=[("Location", elsewhere)]) as (address, got):
        error = fault(f"{address}/tenant", token_env="MONITORING_TOKEN", headers={"X-Scope-OrgID": "team"})
    assert error.code == "prometheus.refused"
    assert reached == []
    path, headers, body = got[0]
    assert (path, headers["Authorization"], headers["X-Scope-OrgID"]) == (
        "/tenant/api/v1/query",
        f"Bearer {TOKEN}",
        "team",
    )
    assert body == "query=up&timeout=1s&time=1000000000.000"
    assert TOKEN not in str(error)


def test_what_is_no_prometheus_is_told_without_a_word_of_what_it_says():
    page = b'{"AccessKeyId": "planted", "Token": "planted"}'
    with something(200, page) as (address, _):
        error = fault(address)
    assert (error.code, error.value) == ("prometheus.unreachable", address)
    assert "does not speak the HTTP API" in error.message
    with something(400, page) as (address, _):
        refused = fault(address)
    assert "planted" not in f"{error}{refused}"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "prometheus.refused"),
        (403, "prometheus.refused"),
        (404, "prometheus.refused"),
        (422, "prometheus.query"),
        (429, "prometheus.unreachable"),
        (503, "prometheus.unreachable"),
    ],
)
def test_each_refusal_has_its_name(status, code):
    with something(status) as (address, _):
        assert fault(address).code == code


def test_silence_and_absence_are_told_apart():
    with something(200, delay_s=2) as (address, _):
        assert "no answer within 0.3 s" in fault(address, timeout="0.3s").message
    assert "Connection refused" in fault("http://127.0.0.1:9").message


@pytest.mark.parametrize("content", [b"", b"two words", b"line\nX-Evil: 1", b"\xff\xfe"])
def test_a_file_that_holds_no_token_is_named_and_not_quoted(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    error = fault("http://127.0.0.1:9", token_file=str(tmp_path / "token"))
    assert error.code == "prometheus.token"
    assert "Evil" not in str(error)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"address": "http://user:password@host"}, "address"),
        ({"address": "file:///etc/passwd"}, "address"),
        ({"headers": {"Authorization": "Bearer x"}}, "looks like a secret"),
        ({"headers": {"X-Scope-OrgID": "a\r\nX: y"}}, "must be printable"),
        ({"token_file": "a", "token_env": "B"}, "not both"),
        ({"metrics": [{"kind": "latency", "above_s": 0.3}]}, "must be an edge of the histogram: 0.005"),
        ({"metrics": [{"kind": "errors", "failed": "a$"}]}, r"is written \$\$"),
        ({"metrics": [{"kind": "errors"}, {"kind": "errors"}]}, "two metrics have the same name"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(given, says):
    with pytest.raises(HeadwayError, match=says):
        settings(**{"address": "http://prometheus:9090", **given})


def test_a_limit_that_has_no_meaning_beside_prometheus_is_refused():
    with pytest.raises(HeadwayError, match="predictions are of requests that the step sends"):
        parse(Analysis, {"predictions": 0.2, "prometheus": {"address": "http://p:9090"}}, parameter="analysis")


def series(**values):
    """Series of one target, by status."""
    return {frozenset({("instance", "a"), ("status", name.removeprefix("s"))}): float(v) for name, v in values.items()}


def stamps(answer, time_s):
    return dict.fromkeys(answer, time_s)


def test_counters_count_from_their_first_scrape_and_begin_anew_when_a_server_does():
    counters = Counters()

    def grown(answer, time_s):
        return counters.grown({"q": answer}, {"q": stamps(answer, time_s)}, 100)["q"]

    assert grown({}, 100) is None
    assert grown(series(s200=50, s400=17), 99) == 0  # scraped before the analysis began: the checks are in it
    assert grown(series(s200=70, s400=17), 101) == 0
    assert grown(series(s200=75, s400=17), 102) == 5
    assert grown(series(s200=75, s400=17, s500=3), 103) == 3  # the first failures of a target that is known
    assert grown(series(s200=4, s500=1), 104) == 5  # the server was started again
    assert grown({}, 105) is None
    assert grown(series(s200=6, s500=1), 106) == 2
    other = {frozenset({("instance", "b"), ("status", "200")}): 1000.0}
    assert grown(series(s200=6, s500=1) | other, 107) == 0  # another pod, with a past of its own
    assert grown(series(s200=6, s500=1) | {next(iter(other)): 1010.0}, 108) == 10


SOLD = [
    {
        "kind": "share",
        "name": "sold",
        "successes": 'offers_total{digest="$model_digest",sold="yes"}',
        "total": 'offers_total{digest="$model_digest"}',
        "limit": 0.05,
    }
]
BASKET = [
    {
        "kind": "mean",
        "name": "basket",
        "sum": 'basket_sum{digest="$model_digest"}',
        "count": 'basket_count{digest="$model_digest"}',
        "range": [0, 100],
        "limit": 5,
    }
]
NAMES = {"model_digest": "new"}, {"model_digest": "old"}


def shop(new, old, basket=(0, 0), restart_s=1e9):
    """An application that has 20,000 offers a second by each model, of which these shares are sold; it may restart."""

    def metrics(seconds):
        seconds = seconds - restart_s if seconds >= restart_s else seconds
        lines = []
        for digest, share, mean in (("new", new, basket[0]), ("old", old, basket[1])):
            offers = int(seconds * 20_000)
            sold = int(offers * share)
            lines += [f'offers_total{{digest="{digest}",sold="yes"}} {sold}'] * (sold > 0)
            lines += [f'offers_total{{digest="{digest}",sold="no"}} {offers - sold}']
            lines += [f'basket_sum{{digest="{digest}"}} {offers * mean}', f'basket_count{{digest="{digest}"}} {offers}']
        return "\n".join(lines) + "\n"

    return metrics


def judged(server, application, counts, metrics, **more):
    application.count(counts)
    changes = {name: more.pop(name) for name in ("max_duration", "min_requests") if name in more}
    analysis = traffic(server.address, metrics, **more).model_copy(update=changes)
    return analyse_traffic(*NAMES, analysis, false_alarm=0.01)


@needs_prometheus
@pytest.mark.parametrize(
    ("metrics", "counts", "decision", "difference"),
    [
        (SOLD, shop(0.3, 0.3), "passed", 0.0),
        (SOLD, shop(0.2, 0.3), "failed", -0.1),
        (SOLD, shop(0.2, 0.3, restart_s=0.9), "failed", -0.1),
        (BASKET, shop(0, 0, (40, 40)), "passed", 0.0),
        (BASKET, shop(0, 0, (20, 40)), "failed", -20.0),
    ],
)
def test_a_metric_of_the_business_decides(server, application, metrics, counts, decision, difference):
    outcome = judged(server, application, counts, metrics)
    (check,) = outcome.checks
    assert outcome.decision == decision
    assert check.measured["difference"] == pytest.approx(difference, abs=0.01)
    assert check.looks[-1].low <= check.looks[-1].value <= check.looks[-1].high
    assert "to the candidate" in check.value


@needs_prometheus
@pytest.mark.parametrize(
    ("counts", "decision"), [(shop(0.36, 0.3), "passed"), (shop(0.3, 0.3), "inconclusive"), (shop(0.2, 0.3), "failed")]
)
def test_a_test_for_something_better_says_beforehand_what_it_takes(server, application, counts, decision):
    better = [{**SOLD[0], "limit": 0, "min_effect": 0.05}]
    application.count(counts)
    time.sleep(1)
    outcome = judged(server, application, counts, better, max_requests=30_000, confidence=0.99)
    (check,) = outcome.checks
    assert outcome.decision == decision
    assert check.limit == "share sold above the stable version's"
    assert 2000 < check.measured["requests_needed"] < 8000
    assert "to the candidate were thought to be needed" in check.value
    if decision != "passed":
        error = outcome.error("analysis at 50 %", must_be_better=True)
        assert (error.code, "was not proven to be better" in error.message) == ("deployment.not_better", True)


@needs_prometheus
def test_a_version_without_series_proves_nothing_and_is_told(server, application):
    def counts(seconds):
        return f'offers_total{{digest="old",sold="yes"}} {int(seconds * 1000)}\n'

    application.count(counts)
    time.sleep(1)
    outcome = judged(server, application, counts, SOLD, max_duration="2s")
    assert outcome.decision == "inconclusive"
    assert outcome.checks[0].value == "Prometheus has no series of the candidate; not decided"
    assert outcome.error("here").code == "deployment.analysis_inconclusive"


@needs_prometheus
def test_a_version_without_traffic_proves_nothing_and_is_told(server, application):
    def idle(seconds):
        return 'offers_total{digest="new"} 5\n' + f'offers_total{{digest="old"}} {int(seconds * 1000)}\n'

    application.count(idle)
    time.sleep(1)
    outcome = judged(server, application, idle, SOLD, max_duration="2s")
    assert outcome.checks[0].value == "no request to the candidate was counted; not decided"


@needs_prometheus
def test_too_few_requests_do_not_pass_and_a_bad_query_is_not_waited_for(server, application):
    started = time.monotonic()
    outcome = judged(server, application, shop(0.3, 0.3), [{**SOLD[0], "total": "sum("}], patience="1h")
    assert time.monotonic() - started < 10
    assert (outcome.decision, outcome.error("here").code) == ("inconclusive", "prometheus.query")
    outcome = judged(server, application, shop(0.3, 0.3), SOLD, max_requests=5000, min_requests=10**6)
    assert (outcome.decision, outcome.fault) == ("inconclusive", None)


def test_a_prometheus_that_fails_is_asked_again_until_patience_ends():
    with something(503) as (address, got):
        started = time.monotonic()
        outcome = analyse_traffic(*NAMES, traffic(address, SOLD, patience="1s"), false_alarm=0.01)
    assert 1 <= time.monotonic() - started < 5
    assert len(got) >= 4
    assert (outcome.decision, outcome.error("here").code) == ("inconclusive", "prometheus.unreachable")


def test_a_name_that_the_engine_does_not_know_is_told():
    with pytest.raises(HeadwayError, match=r"names \$pods, which this engine does not know") as error:
        analyse_traffic(*NAMES, traffic("http://p:9", [{**SOLD[0], "total": "x{$pods}"}]), false_alarm=0.01)
    assert error.value.code == "deployment.query_name_unknown"

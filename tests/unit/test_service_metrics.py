"""What measure_service asks of a real Prometheus: the names of KServe, of Knative old and new, and of Kubernetes."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest
from headway.components._shared.config import parse
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components.monitoring.config import Policy, Service, ServiceMetrics
from headway.components.monitoring.decision.signals import signals_of
from headway.components.monitoring.service.measure import measure_service
from headway.components.monitoring.service.metrics import ask
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.result import WindowResult
from headway.components.serving.log import LogWriter
from tests.deployment_samples import train_sample
from tests.prometheus import Application, needs_prometheus, prometheus

pytestmark = needs_prometheus

RATE = 100  # requests a second


def exported(seconds, restarts=0):
    """One endpoint's series as each exporter has them, and another endpoint's beside."""
    asked = int(1000 + RATE * seconds)
    lines = []
    for pod, count in (
        ("flights-v0123abcd-predictor-6f-x", asked),
        ("flights-eu-v0123abcd-predictor-6f-x", 10 * asked),
    ):
        ours = f'namespace="models",pod="{pod}"'
        lines += [f'headway_requests_total{{{ours},status="200"}} {int(0.9 * count)}']
        lines += [f'headway_requests_total{{{ours},status="500"}} {count - int(0.9 * count)}']
        for le, share in (("0.01", 0.5), ("0.1", 0.98), ("1", 1), ("+Inf", 1)):
            lines += [f'request_predict_seconds_bucket{{{ours},le="{le}"}} {int(share * count)}']
        lines += [f"kube_pod_container_status_restarts_total{{{ours}}} {restarts}"]
        container = f'{ours},container="kserve-container"'
        lines += [f"container_memory_working_set_bytes{{{container}}} 950"]
        lines += [f'kube_pod_container_resource_limits{{{container},resource="memory"}} 1000']
        lines += [f"container_cpu_cfs_periods_total{{{ours}}} {int(10 * seconds)}"]
        lines += [f"container_cpu_cfs_throttled_periods_total{{{ours}}} {int(2 * seconds)}"]
        name = pod.partition("-v")[0]
        old = f'namespace_name="models",service_name="{name}-predictor"'
        lines += [f'revision_request_count{{{old},response_code_class="2xx"}} {count}']
        lines += [f'revision_request_count{{{old},response_code_class="5xx"}} {count // 4}']
        new = f'kn_service_name="{name}-predictor"'
        lines += [f'kn_serving_invocation_duration_seconds_count{{{new},http_response_status_code="200"}} {count}']
        for le, share in (("10", 0.5), ("100", 1), ("+Inf", 1)):
            lines += [f'revision_request_latencies_bucket{{{old},le="{le}"}} {int(share * count)}']
            second = le if le == "+Inf" else float(le) / 1000
            lines += [f'kn_serving_invocation_duration_seconds_bucket{{{new},le="{second}"}} {int(share * count)}']
    return "\n".join([*lines, ""])


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """A server that has scraped for some seconds, and the window in which it did."""
    with prometheus(tmp_path_factory.mktemp("prometheus")) as server, Application() as application:
        restarted = []
        application.count(lambda seconds: exported(seconds, len(restarted)))
        server.scrape(application.address)
        begin = datetime.now(UTC)
        time.sleep(4)
        restarted.append("the container")
        time.sleep(4)
        yield server.address, begin, datetime.now(UTC)


def test_each_set_of_names_tells_of_this_endpoint_alone(window):
    address, begin, end = window
    found = ask(ServiceMetrics(address=address, namespace="models"), "flights", begin, end)
    assert set(found) == {"model server", "knative", "knative since 1.20", "kubernetes"}
    asked = RATE * (end - begin).total_seconds()
    for name in ("model server", "knative since 1.20"):
        assert found[name]["requests"] == pytest.approx(asked, rel=0.2), name
    assert found["knative"]["requests"] == pytest.approx(1.25 * asked, rel=0.2)
    assert found["model server"]["failed"] == pytest.approx(0.1 * asked, rel=0.3)
    assert found["knative"]["failed"] == pytest.approx(0.25 * asked, rel=0.3)
    assert found["model server"]["p50_ms"] == pytest.approx(10, rel=0.1)
    assert 100 < found["model server"]["p99_ms"] < 1000
    assert found["knative"]["p50_ms"] == pytest.approx(10, rel=0.1)
    assert found["knative since 1.20"]["p50_ms"] == pytest.approx(10, rel=0.1)
    kubernetes = found["kubernetes"]
    assert round(kubernetes["restarts"]) == 1
    assert kubernetes["memory_share"] == 0.95
    assert kubernetes["throttled_share"] == pytest.approx(0.2, rel=0.3)


def test_an_endpoint_without_series_has_no_figures(window):
    address, begin, end = window
    assert ask(ServiceMetrics(address=address, namespace="models"), "churn", begin, end) == {}


def test_the_step_holds_restarts_and_memory_against_their_limits(window, tmp_path):
    address, begin, end = window
    model = train_sample(tmp_path / "model")
    writer = LogWriter(str(tmp_path / "log"), read_manifest(model), flush_s=3600, max_rows=1000)
    for number in range(40):
        writer.put(Served(time=begin + timedelta(milliseconds=100 * number), request_id=str(number), status=500))
    writer.close()
    places = [LocalArtifact(str(tmp_path / name)) for name in ("findings.json", "metrics", "report.html")]
    measure_service(
        LocalArtifact(str(model)),
        *places,
        model_name="flights",
        start=begin.isoformat(),
        end=end.isoformat(),
        service={"prometheus": {"address": address, "namespace": "models"}},
        log_uri=str(tmp_path / "log"),
    )
    found = ServiceResult.model_validate_json((tmp_path / "findings.json").read_bytes())
    about = {"model_name": "flights", "model_digest": found.model_digest, "start": found.start, "end": found.end}
    told = signals_of(WindowResult(**about, rows=1, requests=1, fingerprint=""), None, None, Policy(), found)
    assert (told["restarts"].fired, told["restarts"].told) == (True, "1 restarts of containers")
    assert (told["memory"].fired, told["memory"].told) == (True, "a pod used 95% of its memory")
    assert "errors" not in told, "40 requests are too few"
    assert "restarts of containers" in (tmp_path / "report.html").read_text()


def test_a_prometheus_that_is_away_is_told(window):
    _, begin, end = window
    with pytest.raises(HeadwayError, match=r"prometheus\.unreachable"):
        ask(ServiceMetrics(address="http://127.0.0.1:9"), "flights", begin, end)
    with pytest.raises(HeadwayError, match="looks like a secret"):
        parse(Service, {"prometheus": {"address": "http://x", "headers": {"Authorization": "x"}}}, parameter="service")

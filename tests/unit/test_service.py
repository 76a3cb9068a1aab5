"""measure_service: latency, throughput and errors of a window, out of what a real writer logged."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components.monitoring.config import Policy, Service
from headway.components.monitoring.decision.signals import signals_of
from headway.components.monitoring.service.measure import judge, measure_service
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.log import Log
from headway.components.monitoring.window.result import WindowResult
from headway.components.monitoring.window.span import Span
from headway.components.serving.log import LogWriter
from tests.deployment_samples import flights, train_sample

DAY = datetime(2026, 3, 2, tzinfo=UTC)
END = DAY + timedelta(days=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_sample(tmp_path_factory.mktemp("model"))


@pytest.fixture
def logged(model, tmp_path):
    """Writes requests (seconds since midnight, status, latency in ms) of one row each, and opens the log."""
    manifest = read_manifest(model)
    frame = flights(1).select("id", *(feature.name for feature in manifest.features)).cast({"distance": pl.Float64})

    def write(requests, **changes):
        about = manifest.model_copy(update=changes)
        writer = LogWriter(str(tmp_path / "log"), about, flush_s=3600, max_rows=1_000_000)
        for number, (second, status, latency_ms) in enumerate(requests):
            known = {"time": DAY + timedelta(seconds=float(second)), "seconds": latency_ms / 1000}
            known["request_id"] = f"{about.model_digest[:4]}-{number}"
            if status < 400:
                known |= {"frame": frame, "values": ["late"], "probabilities": np.array([[0.9, 0.1]])}
            writer.put(Served(status=status, **known))
        writer.close()
        return Log(str(tmp_path / "log"), manifest, Span(DAY, END))

    return write


def even(count, latency=lambda i: 10.0, status=lambda i: 200):
    """Requests that are spread evenly over the day."""
    return [(86_400 * i / count, status(i), latency(i)) for i in range(count)]


def test_latency_throughput_and_shares_are_those_of_the_log(logged):
    log = logged(even(2000, latency=lambda i: 1 + i % 100, status=lambda i: 400 if i % 20 == 0 else 200))
    found = judge(log, Service(p99_ms=200))
    kept = [1 + i % 100 for i in range(2000) if i % 20]
    assert (found.requests, found.statuses) == (2000, {"200": 1900, "400": 100})
    assert found.latency_ms["p50"] == pytest.approx(np.quantile(kept, 0.5))
    assert found.latency_ms["p99"] == pytest.approx(np.quantile(kept, 0.99))
    assert found.per_second == pytest.approx(2000 / 86_400)
    assert found.busiest_minute == pytest.approx(2 / 60)
    assert found.refused.share.value == 0.05
    assert not found.refused.exceeded, "the limit is 10 %"
    assert found.slower.share.value == 0
    assert len(found.hourly) == 24


@pytest.mark.parametrize(("every", "exceeded"), [(10, True), (80, False)])
def test_slow_and_failed_requests_count_when_it_is_proven_that_they_are_too_many(logged, every, exceeded):
    log = logged(even(2000, latency=lambda i: 500.0 if i % every == 0 else 5.0))
    assert judge(log, Service(p99_ms=100)).slower.exceeded is exceeded
    assert not judge(log, Service(p99_ms=1000)).slower.exceeded


def test_errors_of_a_few_bad_minutes_weigh_less_than_as_many_all_day(logged, tmp_path):
    burst = logged(even(2000, status=lambda i: 500 if i < 40 else 200))
    found = judge(burst, Service(errors=0.01))
    assert found.errors.share.value == 0.02
    assert found.errors.share.low < 0.013, "requests of the same minutes fail together"


def test_all_day_they_are_an_alarm(logged):
    found = judge(logged(even(2000, status=lambda i: 500 if i % 25 == 0 else 200)), Service(errors=0.01))
    assert found.errors.exceeded
    window = {"model_name": "flights", "model_digest": found.model_digest, "start": found.start, "end": found.end}
    told = signals_of(WindowResult(**window, rows=1, requests=1, fingerprint=""), None, None, Policy(), found)
    assert told["errors"].fired
    assert told["errors"].told == "4.00% of the requests failed"
    assert not told["slow"].fired


def test_other_versions_requests_are_not_counted(logged):
    logged(even(50), model_digest="b" * 64)
    assert judge(logged(even(30)), Service()).requests == 30


def test_few_requests_are_measured_and_not_judged(logged):
    found = judge(logged(even(40, status=lambda i: 500)), Service())
    assert (found.enough, found.errors.exceeded) == (False, False)


def test_the_step_writes_findings_and_a_page(logged, model, tmp_path):
    log = logged(even(500, latency=lambda i: 5000.0))
    places = [LocalArtifact(str(tmp_path / name)) for name in ("findings.json", "metrics", "report.html")]
    given = {"model_name": "flights", "service": {"p99_ms": 100}, "log_uri": log.uri}
    measure_service(LocalArtifact(str(model)), *places, start="2026-03-02", end="2026-03-03", **given)
    kept = ServiceResult.model_validate(json.loads((tmp_path / "findings.json").read_text()))
    assert kept.slower.exceeded, "where all are slow, too"
    assert kept.slower.share.low > 0.9
    page = (tmp_path / "report.html").read_text()
    assert "Beyond its limits" in page
    assert "Latency by the hour" in page
    with pytest.raises(HeadwayError, match=r"service\.no_requests"):
        measure_service(LocalArtifact(str(model)), *places, start="2026-03-05", end="2026-03-06", **given)

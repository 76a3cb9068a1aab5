"""What Prometheus knows of an endpoint that its own log does not: failed requests, restarts, how full its pods are.

Names differ by what serves: KServe's model servers, Knative's queue proxy before and since its change to OpenTelemetry
(Knative Serving 1.20), and the exporters of Kubernetes. Each set is asked for; one that is not there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from string import Template

from headway.components._shared.prometheus import Server
from headway.components.monitoring.config import ServiceMetrics


@dataclass(frozen=True)
class Query:
    """One figure.

    Attributes:
        name: Of the figure.
        promql: With `$pods`, `$service` or `$kn_service` for the labels that pick the endpoint's series, and `$window`.
        scale: What its value is multiplied by.
    """

    name: str
    promql: str
    scale: float = 1.0


def _quantile(share: float, buckets: str) -> str:
    return f"histogram_quantile({share:g}, sum by (le) (rate({buckets}[$window])))"


_SERVER = "request_predict_seconds_bucket{$pods}"
_OLD, _OLD_MS = "revision_request_count{$service}", "revision_request_latencies_bucket{$service}"
_NEW = "kn_serving_invocation_duration_seconds"
_NEW_BUCKETS = f"{_NEW}_bucket{{$kn_service}}"

SETS: Mapping[str, tuple[Query, ...]] = {
    "model server": (
        Query("requests", "sum(increase(headway_requests_total{$pods}[$window]))"),
        Query("failed", 'sum(increase(headway_requests_total{$pods,status=~"5.."}[$window]))'),
        Query("p50_ms", _quantile(0.5, _SERVER), 1000),
        Query("p99_ms", _quantile(0.99, _SERVER), 1000),
    ),
    "knative": (
        Query("requests", f"sum(increase({_OLD}[$window]))"),
        Query("failed", 'sum(increase(revision_request_count{$service,response_code_class="5xx"}[$window]))'),
        Query("p50_ms", _quantile(0.5, _OLD_MS)),
        Query("p99_ms", _quantile(0.99, _OLD_MS)),
    ),
    "knative since 1.20": (
        Query("requests", f"sum(increase({_NEW}_count{{$kn_service}}[$window]))"),
        Query("failed", f'sum(increase({_NEW}_count{{$kn_service,http_response_status_code=~"5.."}}[$window]))'),
        Query("p50_ms", _quantile(0.5, _NEW_BUCKETS), 1000),
        Query("p99_ms", _quantile(0.99, _NEW_BUCKETS), 1000),
    ),
    "kubernetes": (
        Query("restarts", "sum(increase(kube_pod_container_status_restarts_total{$pods}[$window]))"),
        Query(
            "memory_share",
            'max(max_over_time(container_memory_working_set_bytes{$pods,container="kserve-container"}[$window])'
            " / on (namespace, pod, container) group_left ()"
            ' kube_pod_container_resource_limits{$pods,container="kserve-container",resource="memory"})',
        ),
        Query(
            "throttled_share",
            "sum(increase(container_cpu_cfs_throttled_periods_total{$pods}[$window]))"
            " / sum(increase(container_cpu_cfs_periods_total{$pods}[$window]))",
        ),
    ),
}


def ask(settings: ServiceMetrics, model_name: str, start: datetime, end: datetime) -> dict[str, dict[str, float]]:
    """The figures of a window, by set; a set without any series is not there.

    Args:
        settings: The server, and which series are the endpoint's.
        model_name: The endpoint.
        start: Of the window.
        end: Of the window.

    Raises:
        HeadwayError: `prometheus.unreachable`, `prometheus.refused`, `prometheus.query`, `prometheus.token`.
    """
    server = Server(settings)
    space = settings.namespace
    # As deploy_model and KServe name them; of another endpoint whose name begins alike these are none.
    pods, service = f'pod=~"{model_name}-(v[0-9a-f]{{8}}.*|predictor)-.*"', f'service_name=~"{model_name}(-predictor)?"'
    known = {
        "pods": settings.selector or _labels(pods, f'namespace="{space}"' if space else ""),
        "service": settings.selector or _labels(service, f'namespace_name="{space}"' if space else ""),
        "kn_service": settings.selector or f"kn_{service}",
        "window": f"{int((end - start).total_seconds())}s",
    }
    found: dict[str, dict[str, float]] = {}
    for name, queries in SETS.items():
        answers = {
            query.name: value * query.scale
            for query in queries
            for value in server.query(Template(query.promql).substitute(known), end.timestamp()).values()
        }
        if answers:
            found[name] = answers
    return found


def _labels(*matchers: str) -> str:
    return ",".join(filter(None, matchers))

"""The parameter `serving`: where the endpoint listens, and what a candidate must show before it gets traffic."""

from __future__ import annotations

from pydantic import Field

from headway.components._shared.config import Config
from headway.components.deployment.kserve.config import KServe


class LatencyGate(Config):
    """How fast a candidate must answer requests of one row, one after the other.

    Attributes:
        p50_ms: Limit of the median.
        p99_ms: Limit of the 99th percentile.
        requests: Requests that are measured.
        warm_up: Requests before that, which are not.
        max_seconds: When measuring ends, however many requests were made by then (20 at least).
    """

    p50_ms: float = Field(default=100, gt=0)
    p99_ms: float = Field(default=1000, gt=0)
    requests: int = Field(default=200, ge=20, le=100_000)
    warm_up: int = Field(default=20, ge=0, le=10_000)
    max_seconds: float = Field(default=30, gt=0)


class Serving(Config):
    """How a model is served.

    Attributes:
        port: The endpoint's port on a laptop; 0 picks a free one, which the endpoint then keeps.
        max_rows: Most rows of one request.
        tolerance: Largest allowed distance between a golden row's probability (or number) here and in the evaluation.
        latency: The latency gate.
        start_timeout_s: Time for the candidate to come up.
        drain_timeout_s: Time for the server before it to finish the requests that it has.
        busy_timeout_s: Time to wait for another deployment to the same endpoint.
        kserve: How pods, storage and gateway are to be, for the engine `kserve`.
    """

    port: int = Field(default=0, ge=0, le=65535)
    max_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    tolerance: float = Field(default=1e-9, ge=0)
    latency: LatencyGate = LatencyGate()
    start_timeout_s: float = Field(default=60, gt=0)
    drain_timeout_s: float = Field(default=30, gt=0)
    busy_timeout_s: float = Field(default=180, ge=0)
    kserve: KServe | None = None

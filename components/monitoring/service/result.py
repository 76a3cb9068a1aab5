"""What measure_service finds out."""

from __future__ import annotations

from typing import Literal

from headway.components._shared.config import Config
from headway.components.monitoring.performance.measures import Span


class Level(Config):
    """A share of requests that is to stay below a limit.

    Attributes:
        share: Of the requests, with its interval.
        limit: Largest share that is fine; None where nothing was asked for.
        exceeded: Whether more than that is proven.
    """

    share: Span
    limit: float | None = None
    exceeded: bool = False


class ServiceResult(Config):
    """The document of the output `findings`.

    Attributes:
        model_digest: Whose requests these are.
        start: Of the window.
        end: Of the window.
        requests: That the model's servers logged.
        per_second: Requests a second on average.
        busiest_minute: Requests a second in the minute that had most.
        latency_ms: Quantile (`p50`, `p90`, `p99`, `p999`) to milliseconds, of the requests that were answered.
        slower: Share of the answered requests that took longer than the limit of the 99th percentile.
        errors: Share with a status of 500 and above.
        refused: Share with a status of 400 to 499.
        statuses: Status to requests.
        hourly: Hour to requests, the median and the 99th percentile of their latency in milliseconds.
        metrics: What Prometheus knows: set of names (`model server`, `knative`, `knative since 1.20`, `kubernetes`) to
            figures; None where it was not asked.
        restarts: Of containers, and how many are fine; None where that is not known.
        memory: Largest share of its memory limit that a pod used, and how much is fine.
        enough: Whether there are the requests that the settings ask for; else nothing is judged.
    """

    schema_version: Literal[1] = 1
    kind: Literal["service"] = "service"
    model_digest: str
    start: str
    end: str
    requests: int
    per_second: float = 0.0
    busiest_minute: float = 0.0
    latency_ms: dict[str, float] = {}
    slower: Level | None = None
    errors: Level | None = None
    refused: Level | None = None
    statuses: dict[str, int] = {}
    hourly: dict[str, tuple[int, float, float]] = {}
    metrics: dict[str, dict[str, float]] | None = None
    restarts: tuple[float, int] | None = None
    memory: tuple[float, float] | None = None
    enough: bool = False

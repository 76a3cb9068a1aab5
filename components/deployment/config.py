"""The parameter `serving`: where a model is served, what a candidate must show, and how it gets the traffic."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from headway.components._shared.config import Config, Duration
from headway.components._shared.endpoints.log import InferenceLog
from headway.components._shared.times import parse_duration
from headway.components.deployment.analysis.config import Analysis
from headway.components.deployment.kserve.config import KServe

# No rollout lasts longer, and the pipelines' steps are not stopped before that.
LONGEST = timedelta(days=14)


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


class Step(Config):
    """One step of a rollout: exactly one of its fields.

    Attributes:
        set_weight: Gives the candidate this percentage of the traffic.
        pause: Waits, such as `10m`.
        analysis: Compares the candidate with the stable version.
    """

    set_weight: int | None = Field(default=None, ge=0, le=100)
    pause: Duration | None = None
    analysis: Analysis | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Step:
        if len(self.model_fields_set) != 1 or None in (getattr(self, name) for name in self.model_fields_set):
            raise ValueError("give exactly one of set_weight, pause and analysis")
        return self

    def __str__(self) -> str:
        """The step in words."""
        if self.set_weight is not None:
            return f"give the candidate {self.set_weight} %"
        return f"pause for {self.pause}" if self.pause else "compare with the stable version"


class RolloutPlan(Config):
    """How a candidate that passed its checks gets the traffic.

    Attributes:
        strategy: `canary` gives it more and more by `set_weight`; `blue_green` runs it in full size beside the stable
            version, does every step before it has any traffic, and then gives it all; `shadow` gives it none, and asks
            it and the stable version for logged requests; `ab` splits the traffic, and gives it all only to a candidate
            that is proven to be better by a metric of the business.
        steps: In order; all the traffic and promotion follow the last one.
        on_passed: What follows the last step: `promote`, or `withdraw`, which ends the candidate again; by default
            `withdraw` for shadow and `promote` for the others.
        false_alarm: Highest probability that a candidate within every limit is rolled back by any analysis.
        on_inconclusive: What an analysis that ends without a decision does: `roll_back` or `go_on`.
        deadline: Time for the whole rollout, over all tries of the step; after that it is rolled back. 14 days at most.
    """

    strategy: Literal["canary", "blue_green", "shadow", "ab"] = "canary"
    steps: tuple[Step, ...] = ()
    on_passed: Literal["promote", "withdraw"] | None = None
    false_alarm: float = Field(default=0.01, gt=0, lt=0.5)
    on_inconclusive: Literal["roll_back", "go_on"] = "roll_back"
    deadline: Duration = "1h"

    @property
    def withdraws(self) -> bool:
        """Whether a candidate that passes is withdrawn."""
        return self.on_passed == "withdraw" or (self.on_passed is None and self.strategy == "shadow")

    @field_validator("deadline")
    @classmethod
    def _check_deadline(cls, deadline: str) -> str:
        if parse_duration(deadline) > LONGEST:
            raise ValueError(f"{deadline} is more than 14 days")
        return deadline

    @field_validator("steps")
    @classmethod
    def _check_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        weights = [step.set_weight for step in steps if step.set_weight is not None]
        if weights != sorted(weights):
            raise ValueError(f"the weights must rise, and they are {', '.join(map(str, weights))}")
        return steps

    @model_validator(mode="after")
    def _check_strategy(self) -> RolloutPlan:
        weights, analyses = (
            [value for step in self.steps if (value := getattr(step, name))] for name in ("set_weight", "analysis")
        )
        if self.strategy == "blue_green" and weights:
            raise ValueError("blue_green moves all the traffic at once; leave out set_weight, or use canary")
        if self.strategy == "shadow" and (weights or not analyses or any(a.prometheus for a in analyses)):
            raise ValueError("shadow needs steps with an analysis, and none with set_weight or prometheus")
        if self.strategy == "ab":
            self._check_ab()
        self._check_traffic()
        self._check_times()
        return self

    def _check_times(self) -> None:
        for step in self.steps:
            longest = step.pause or (step.analysis and step.analysis.max_duration)
            if longest and parse_duration(longest) >= parse_duration(self.deadline):
                what = "pause" if step.pause else "max_duration"
                raise ValueError(f"deadline {self.deadline} must be longer than {what} {longest}")

    def _check_traffic(self) -> None:
        weight = 0
        for step in self.steps:
            weight = step.set_weight if step.set_weight is not None else weight
            if step.analysis and step.analysis.prometheus and not 0 < weight < 100:
                raise ValueError("an analysis with prometheus needs traffic on both versions: set_weight before it")

    def _check_ab(self) -> None:
        analysis = self.steps[-1].analysis if len(self.steps) == 2 else None
        if not analysis or not 0 < (self.steps[0].set_weight or 0) < 100:
            raise ValueError("ab needs two steps: set_weight between 0 and 100, and an analysis")
        if not analysis.prometheus:
            raise ValueError("ab needs an analysis with prometheus, since it decides by what callers do")
        if not any(metric.kind in ("share", "mean") and metric.limit <= 0 for metric in analysis.prometheus.metrics):
            raise ValueError("ab needs a metric of the kind share or mean with a limit of 0 or below")
        if self.on_inconclusive != "roll_back":
            raise ValueError("ab gives no traffic to a candidate that is not proven to be better")


class Serving(Config):
    """How a model is served.

    Attributes:
        port: The endpoint's port on a laptop; 0 picks a free one, which the endpoint then keeps.
        max_rows: Most rows of one request.
        tolerance: Largest allowed distance between a golden row's probability (or number) here and in the evaluation.
        latency: The latency gate.
        max_memory_mib: Most memory that a candidate's server may have after all checks; None sets no limit.
        rollout: How the candidate gets the traffic; by default all at once after the checks.
        start_timeout_s: Time for the candidate to come up; in a cluster also for a new node, and to pull the image.
        drain_timeout_s: Time for the server before it to finish the requests that it has.
        busy_timeout_s: Time to wait for another deployment to the same endpoint.
        log: The inference log, for monitoring; None writes none. A deployment's own requests are not in it.
        kserve: How pods, storage and gateway are to be, for the engine `kserve`.
    """

    port: int = Field(default=0, ge=0, le=65535)
    max_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    tolerance: float = Field(default=1e-9, ge=0)
    latency: LatencyGate = LatencyGate()
    max_memory_mib: float | None = Field(default=None, gt=0)
    rollout: RolloutPlan = RolloutPlan()
    start_timeout_s: float = Field(default=300, gt=0)
    drain_timeout_s: float = Field(default=30, gt=0)
    busy_timeout_s: float = Field(default=180, ge=0)
    log: InferenceLog | None = None
    kserve: KServe | None = None

    def logging_to(self, uri: str) -> Serving:
        """The same, with the place of the inference log where it has one and none was said."""
        log = self.log and self.log.model_copy(update={"uri": self.log.uri or uri})
        return self.model_copy(update={"log": log})

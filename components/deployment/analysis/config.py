"""What `serving.rollout` may say about an analysis: limits, and where Prometheus is."""

from __future__ import annotations

from string import Template
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, model_validator

from headway.components._shared.config import Config, Duration
from headway.components._shared.prometheus import Access

# What the suite's own model server counts: each answer by route and status, and kserve's histogram of predictions.
_INFERENCE = r'route=~".*(/infer|:predict)"'
# With which a limit must be proven to be kept.
CONFIDENCE = 0.95
# The edges of kserve's histogram, in seconds.
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_WITHIN = 'request_predict_seconds_bucket{$selector,le=~"$le"}'


def _check_query(query: str) -> str:
    if not Template(query).is_valid():
        raise ValueError("a $ that begins no name is written $$")
    return query


Query = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_check_query)]


class Errors(Config):
    """The share of requests that failed, from two counters.

    Attributes:
        kind: `errors`.
        name: What the report calls it.
        limit: By how much the candidate's share may be above the stable version's.
        failed: PromQL of the counter of failed requests; by default answers of our server other than 2xx.
        total: PromQL of the counter of all requests.
    """

    kind: Literal["errors"] = "errors"
    name: str = "errors"
    limit: float = Field(default=0.02, gt=0, lt=1)
    failed: Query = f'headway_requests_total{{$selector,{_INFERENCE},status!~"2.."}}'
    total: Query = f"headway_requests_total{{$selector,{_INFERENCE}}}"


class Latency(Config):
    """The share of requests that took longer than so many seconds, from a histogram.

    Attributes:
        kind: `latency`.
        name: What the report calls it.
        above_s: Seconds that are too long; an edge of the histogram.
        limit: By how much the candidate's share of slow requests may be above the stable version's.
        within: PromQL of the bucket up to `above_s`; by default that of kserve's histogram.
        total: PromQL of the histogram's count.
    """

    kind: Literal["latency"] = "latency"
    name: str = "latency"
    above_s: float = Field(default=0.25, gt=0)
    limit: float = Field(default=0.05, gt=0, lt=1)
    within: Query = _WITHIN
    total: Query = "request_predict_seconds_count{$selector}"

    @model_validator(mode="after")
    def _check_edge(self) -> Latency:
        if self.within == _WITHIN and self.above_s not in _EDGES:
            raise ValueError(f"above_s must be an edge of the histogram: {', '.join(f'{e:g}' for e in _EDGES)}")
        return self


class Share(Config):
    """A share that the business knows, such as that of offers which were taken, from two counters.

    Attributes:
        kind: `share`.
        name: What the report calls it.
        successes: PromQL of the counter of what was counted among `total`.
        total: PromQL of the counter of all.
        direction: `maximize` where more is better, `minimize` where less is.
        limit: By how much the candidate may be worse than the stable version; 0 asks for a better one, a negative one
            for one that is better by more than that.
        min_effect: An improvement that must not be missed; how many requests that takes is told beforehand.
    """

    kind: Literal["share"] = "share"
    name: str
    successes: Query
    total: Query
    direction: Literal["maximize", "minimize"] = "maximize"
    limit: float = Field(default=0.02, gt=-1, lt=1)
    min_effect: float | None = Field(default=None, gt=0, lt=1)


class Mean(Config):
    """A mean that the business knows, such as that of a basket, from the `_sum` and `_count` of a summary or histogram.

    Attributes:
        kind: `mean`.
        name: What the report calls it.
        sum: PromQL of the sum of the values.
        count: PromQL of their number.
        range: Lowest and highest value that may occur; the closer they are, the sooner there is a decision.
        direction: `maximize` where more is better, `minimize` where less is.
        limit: As of `share`, in the unit of the values.
        min_effect: The same.
    """

    kind: Literal["mean"] = "mean"
    name: str
    sum: Query
    count: Query
    range: tuple[float, float]
    direction: Literal["maximize", "minimize"] = "maximize"
    limit: float
    min_effect: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check_range(self) -> Mean:
        width = self.range[1] - self.range[0]
        if not width > abs(self.limit):
            raise ValueError(f"range must go up, and be wider than the limit {self.limit:g}")
        return self


Metric = Annotated[Errors | Latency | Share | Mean, Discriminator("kind")]


class Prometheus(Access):
    """Where the metrics of both versions are, and which are compared.

    In a query `$selector` stands for the labels that pick a version's series: of the engine kserve
    `namespace="$namespace",pod=~"$pods"`, of the engine local `instance="$instance"`. `$model_digest`, `$model_name`
    and, of kserve, `$service` are known too. A query gives counters, one series or many, without `rate`, `increase` or
    `sum`: only so it is seen when one of them begins anew.

    Attributes:
        selector: Other labels that pick a version's series, where Prometheus names them otherwise.
        interval: Time between two looks.
        query_offset: How far back each look is taken, so that every sample of that moment has arrived: more than a
            scrape takes, and with remote write more than that lags.
        patience: For how long Prometheus may fail; after that nothing is decided.
        max_requests: Requests to the candidate after which the analysis ends; None leaves that to `max_duration`.
        confidence: With which each limit must be proven to be kept before the candidate goes on.
        metrics: What is compared, every one within its limit.
    """

    selector: Query | None = None
    interval: Duration = "15s"
    query_offset: Duration = "2s"
    patience: Duration = "2m"
    max_requests: int | None = Field(default=None, ge=1)
    confidence: float = Field(default=CONFIDENCE, ge=0.5, lt=1)
    metrics: tuple[Metric, ...] = Field(default=(Errors(), Latency()), min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Prometheus:
        for metric in self.metrics:
            if isinstance(metric, Share | Mean) and metric.min_effect and metric.min_effect <= -metric.limit:
                raise ValueError(f"min_effect of {metric.name} must be more than its limit asks for")
        names = [metric.name for metric in self.metrics]
        if len(names) != len(set(names)):
            raise ValueError(f"two metrics have the same name: {', '.join(names)}")
        return self


class Analysis(Config):
    """Compares the candidate with the stable version in the same minutes.

    By itself it asks both for the same rows; with `prometheus` it sends nothing, and looks at what callers get.

    Attributes:
        errors: By how much the candidate's share of failed requests may be above the stable version's.
        latency_ratio: How many times as long as the stable version the candidate may take for a typical request.
        predictions: By how much the share of any predicted class may differ (of a regression: of any fifth of the
            evaluation's predictions); None compares no predictions.
        disagreement: Largest share of rows that candidate and stable version may predict otherwise; None sets no limit.
        distance: How far apart their probabilities may be on average, 0 to 1 (of a regression, their predictions, in
            widths of the evaluation's); None sets no limit.
        min_requests: Requests to each before the candidate can pass; it can fail from the first.
        max_requests: Requests to each after which nothing more is asked.
        max_duration: Time after which nothing more is asked.
        requests_per_second: To each, at most.
        prometheus: Metrics of the traffic that both have; they have limits of their own.
    """

    errors: float = Field(default=0.02, gt=0, lt=1)
    latency_ratio: float = Field(default=1.5, ge=1)
    predictions: float | None = Field(default=0.1, gt=0, lt=1)
    disagreement: float | None = Field(default=None, gt=0, lt=1)
    distance: float | None = Field(default=None, gt=0, lt=1)
    min_requests: int = Field(default=100, ge=1)
    max_requests: int = Field(default=3000, ge=1, le=100_000)
    max_duration: Duration = "5m"
    requests_per_second: float = Field(default=100, gt=0)
    prometheus: Prometheus | None = None

    @model_validator(mode="after")
    def _check_requests(self) -> Analysis:
        if self.min_requests > self.max_requests and not self.prometheus:
            raise ValueError(f"min_requests {self.min_requests} is more than max_requests {self.max_requests}")
        return self

    @model_validator(mode="after")
    def _check_prometheus(self) -> Analysis:
        fields = Analysis.model_fields
        idle = [name for name in _OWN_REQUESTS if getattr(self, name) != fields[name].default]
        if self.prometheus and idle:
            raise ValueError(f"{', '.join(idle)} are of requests that the step sends; prometheus.metrics have limits")
        return self


_OWN_REQUESTS = (
    "errors",
    "latency_ratio",
    "predictions",
    "disagreement",
    "distance",
    "max_requests",
    "requests_per_second",
)

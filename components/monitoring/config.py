"""The structured parameters of the room."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from headway.components._shared.config import Config, Duration, parse, readable
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import checked_model_name
from headway.components._shared.times import parse_duration, parse_time
from headway.components.monitoring.drift.measures import Measure


class ColumnDrift(Config):
    """How one column is judged, where that differs from the others.

    Attributes:
        measure: How far apart it is; by default as of its type.
        limit: What it must reach.
        ignore: Leaves the column out, such as one that always moves on.
    """

    measure: Measure | None = None
    limit: float | None = Field(default=None, gt=0)
    ignore: bool = False


class Classifier(Config):
    """Of all features at once: can a classifier tell the window's rows from those of the reference?

    Attributes:
        min_auc: Smallest area under the ROC curve that matters; 0.5 is guessing.
        confidence: Of the one-sided bound that must lie above 0.5.
        min_rows: Fewest rows of each side's sample.
    """

    min_auc: float = Field(default=0.7, gt=0.5, lt=1)
    confidence: float = Field(default=0.99, gt=0.5, lt=1)
    min_rows: int = Field(default=200, ge=40)


class Limits(Config):
    """What each measure must reach for a shift to matter.

    Attributes:
        psi: Population stability index.
        jensen_shannon: Jensen-Shannon distance.
        kullback_leibler: In nats.
        wasserstein: In standard deviations of the reference.
        kolmogorov_smirnov: Largest distance of the distribution functions.
        total_variation: Share of the rows that would have to change.
    """

    psi: float = Field(default=0.1, gt=0)
    jensen_shannon: float = Field(default=0.1, gt=0, le=1)
    kullback_leibler: float = Field(default=0.1, gt=0)
    wasserstein: float = Field(default=0.1, gt=0)
    kolmogorov_smirnov: float = Field(default=0.1, gt=0, le=1)
    total_variation: float = Field(default=0.1, gt=0, le=1)


class Drift(Config):
    """When a window counts as drifted.

    Attributes:
        numbers: Measure of numbers with more than 20 values in the reference.
        categories: Measure of everything else.
        limits: Of each measure.
        columns: Name to what is judged otherwise.
        false_discovery_rate: Largest expected share of false findings among the findings of a window.
        missing: Smallest difference of the shares of missing values that matters.
        outside: Smallest share of values that the reference does not have (new categories, numbers out of its range)
            that matters.
        min_rows: Fewest rows of a window of which anything is said.
        classifier: Of all features at once; None leaves it out.
    """

    numbers: Measure = "wasserstein"
    categories: Literal["psi", "jensen_shannon", "kullback_leibler", "total_variation"] = "jensen_shannon"
    limits: Limits = Limits()
    columns: dict[str, ColumnDrift] = {}
    false_discovery_rate: float = Field(default=0.01, gt=0, lt=1)
    missing: float = Field(default=0.05, gt=0, le=1)
    outside: float = Field(default=0.01, gt=0, le=1)
    min_rows: int = Field(default=30, ge=1)
    classifier: Classifier | None = Classifier()


class Performance(Config):
    """When a model counts as worse than its evaluation promised.

    Attributes:
        metrics: What decides; by default what the verdict's gates are about, else the primary metric.
        primary_metric: Leads the report and measures slices and calibration; roc_auc, log_loss or rmse by task.
        relative_tolerance: Loss that does not matter, as a share of the promised value.
        tolerance: Metric to the same in its own unit, where that is to be another.
        confidence: Of every two-sided interval; those that decide hold together with it.
        min_rows: Fewest rows with a label of which anything is measured.
        slices: Columns whose values are measured apart; `auto` takes text and booleans with 2 to 20 values.
    """

    metrics: tuple[str, ...] = ()
    primary_metric: str | None = None
    relative_tolerance: float = Field(default=0.05, gt=0, lt=1)
    tolerance: dict[str, Annotated[float, Field(ge=0)]] = {}
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    min_rows: int = Field(default=100, ge=30)
    slices: tuple[str, ...] | Literal["auto"] = "auto"


class Service(Config):
    """When an endpoint counts as too slow, or as failing.

    Attributes:
        p99_ms: 99 of 100 answered requests must be faster, in milliseconds.
        errors: Largest share of requests with a status of 500 and above.
        refused: Largest share of requests with a status of 400 to 499.
        confidence: Of the intervals against whose lower ends limits are held.
        min_requests: Fewest requests of which anything is judged.
    """

    p99_ms: float = Field(default=1000, gt=0)
    errors: float = Field(default=0.01, ge=0, lt=1)
    refused: float = Field(default=0.1, ge=0, lt=1)
    confidence: float = Field(default=0.99, ge=0.5, le=0.999)
    min_requests: int = Field(default=100, ge=30)


SignalName = Literal[
    "drift",
    "much_drift",
    "separation",
    "worse",
    "unclear",
    "too_high",
    "too_low",
    "estimate",
    "data",
    "few_labels",
    "no_rows",
    "slow",
    "errors",
    "refused",
]


class Rule(Config):
    """M of N windows.

    Attributes:
        name: For people; the decision says which one fired.
        when: Signals that a window must have, all of them.
        at_least: In how many windows.
        of_last: Of how many, this one and those before it; this one must be among those that have the signals.
        outcome: What follows.
    """

    name: str
    when: tuple[SignalName, ...] = Field(min_length=1)
    at_least: int = Field(default=1, ge=1)
    of_last: int = Field(default=1, ge=1, le=1000)
    outcome: Literal["watch", "alert", "retrain", "roll_back"]

    @model_validator(mode="after")
    def _can_fire(self) -> Rule:
        if self.at_least > self.of_last:
            raise ValueError(f"at_least {self.at_least} is more than of_last {self.of_last}")
        return self


class Budget(Config):
    """How often at most.

    Attributes:
        retrainings: So many.
        per: Within this time.
    """

    retrainings: int = Field(default=2, ge=0)
    per: Duration = "30d"


class BusinessHours(Config):
    """When somebody is there to look at what happens; retraining and rolling back wait for that.

    Attributes:
        timezone: Such as `Europe/Berlin`.
        days: Of the week, 0 is Monday.
        start: Hour of the day at which they begin.
        end: Hour of the day at which they end.
    """

    timezone: str = "UTC"
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4)
    start: int = Field(default=9, ge=0, le=23)
    end: int = Field(default=17, ge=1, le=24)

    @model_validator(mode="after")
    def _there_are_some(self) -> BusinessHours:
        if self.start >= self.end or not self.days:
            raise ValueError("there must be a day and an hour in it")
        if self.timezone not in available_timezones():
            raise ValueError(f"there is no timezone {self.timezone!r}")
        return self


RULES = (
    Rule(name="worse twice", when=("worse",), at_least=2, of_last=3, outcome="retrain"),
    Rule(name="probabilities too high twice", when=("too_high",), at_least=2, of_last=3, outcome="retrain"),
    Rule(name="probabilities too low twice", when=("too_low",), at_least=2, of_last=3, outcome="retrain"),
    Rule(name="worse than promised", when=("worse",), outcome="alert"),
    Rule(name="probabilities too high", when=("too_high",), outcome="alert"),
    Rule(name="probabilities too low", when=("too_low",), outcome="alert"),
    Rule(name="estimated to be worse", when=("estimate",), at_least=2, of_last=3, outcome="alert"),
    Rule(name="the data feed", when=("data",), outcome="alert"),
    Rule(name="drift that stays", when=("much_drift",), at_least=3, of_last=4, outcome="alert"),
    Rule(name="drift", when=("drift",), outcome="watch"),
    Rule(name="all features together", when=("separation",), outcome="watch"),
    Rule(name="errors", when=("errors",), outcome="alert"),
    Rule(name="slow twice", when=("slow",), at_least=2, of_last=3, outcome="alert"),
    Rule(name="slow", when=("slow",), outcome="watch"),
    Rule(name="many requests refused", when=("refused",), outcome="watch"),
    Rule(name="nobody asks", when=("no_rows",), outcome="watch"),
)


class Policy(Config):
    """What follows from what.

    Attributes:
        rules: Of those that fire the most severe outcome holds.
        much_drift: Share of the columns, by importance, from which on `much_drift` is a signal.
        few_labels: Share of rows with a label below which `few_labels` is one.
        bias: How far the mean probability may lie from the share that came true before `too_high` or `too_low` is one.
        cooldown: No retraining within this time after one; an alert takes its place.
        budget: No more retrainings than that; an alert takes their place.
        business_hours: When retraining and rolling back may begin; None is always.
    """

    rules: tuple[Rule, ...] = RULES
    much_drift: float = Field(default=0.3, gt=0, le=1)
    few_labels: float = Field(default=0.1, gt=0, le=1)
    bias: float = Field(default=0.05, gt=0, lt=1)
    cooldown: Duration = "7d"
    budget: Budget = Budget()
    business_hours: BusinessHours | None = None


class Labels(Config):
    """Where a model's labels come from, and when.

    Attributes:
        uris: Parquet or CSV files, with `*`; local, `gs://` or `s3://`. They hold the column that has the role `id` in
            the model's schema, the target, and the one with the role `label_time`, if there is one.
        columns: Name in the model's schema to the name that it has in these files, where that differs.
        after: How long after its end a window is judged, once for each: labels that came later give a new judgement.
    """

    uris: tuple[str, ...] = Field(min_length=1)
    columns: dict[str, str] = {}
    after: tuple[Duration, ...] = Field(default=("0s",), min_length=1)


class Windows(Config):
    """Which spans of an endpoint's life are judged.

    Attributes:
        every: Length of a window; without `since` days begin at midnight UTC and weeks on Monday.
        grace: How long after its end a window counts as closed: servers write their log with a delay.
        since: Start of the first window; by default that in which the model was deployed.
        at_most: Most windows that one run judges; what is left is for the next one.
    """

    every: Duration = "1d"
    grace: Duration = "10m"
    since: str | None = None
    at_most: int = Field(default=100, ge=1)

    @field_validator("every")
    @classmethod
    def _long_enough(cls, every: str) -> str:
        if parse_duration(every).total_seconds() < 60:
            raise ValueError("a window is a minute long at least")
        return every

    @field_validator("since")
    @classmethod
    def _a_time(cls, since: str | None) -> str | None:
        return readable(parse_time, since)


class PipelinesApi(Config):
    """Kubeflow Pipelines.

    Attributes:
        address: Of its API, such as `http://ml-pipeline.kubeflow:8888`, or of its UI.
        namespace: Of the runs, in a multi-user installation.
        experiment: That the runs belong to; made if it is not there. A multi-user installation wants one.
        service_account: Of the runs; by default that of the installation.
        token_file: With a token for the audience `pipelines.kubeflow.org`; by default where Kubeflow's PodDefault
            `access-ml-pipeline` puts it.
    """

    address: str = "http://ml-pipeline.kubeflow:8888"
    namespace: str | None = None
    experiment: str | None = None
    service_account: str | None = None
    token_file: str | None = None


class Retraining(Config):
    """What is run where retraining was decided.

    Attributes:
        pipeline: Its name; in Kubeflow Pipelines the latest version is run.
        parameters: Of the run. `{window_start}`, `{window_end}`, `{label_cutoff}` and `{incident}` in a text stand for
            those of the window that asks; `model_name` and `state_uri` are filled in.
        api: Where it runs; None runs it on this machine, to its end.
    """

    pipeline: str = "delivery"
    parameters: dict[str, Any] = {}
    api: PipelinesApi | None = None


class Monitoring(Config):
    """How an endpoint is watched.

    Attributes:
        windows: What is judged.
        labels: What really happened; None where that is never known.
        log_uri: The inference log; by default `logs/NAME` below the state folder.
        drift: When a window counts as drifted; None leaves that out.
        performance: When the model counts as worse than promised; None leaves that out.
        service: When the endpoint counts as too slow or failing; None leaves that out.
        policy: What follows from what.
        retraining: What is run where it was decided; None leaves that to people.
    """

    windows: Windows = Windows()
    labels: Labels | None = None
    log_uri: str | None = None
    drift: Drift | None = Drift()
    performance: Performance | None = Performance()
    service: Service | None = Service()
    policy: Policy = Policy()
    retraining: Retraining | None = None


def settings_of(models: Mapping[str, Any], monitoring: Mapping[str, Any]) -> dict[str, Monitoring]:
    """The settings of each model: what it says itself, laid over what holds for all.

    Raises:
        HeadwayError: `config.invalid`, `model.name_invalid`, `monitoring.no_model`.
    """
    parse(Monitoring, monitoring, parameter="monitoring")
    if not models:
        raise HeadwayError(
            "monitoring.no_model",
            "No model is named, so there is nothing to watch.",
            remedy='Give `models`, such as {"flights": {}}.',
        )
    merged = {checked_model_name(name): _over(monitoring, given or {}) for name, given in models.items()}
    return {name: parse(Monitoring, given, parameter=f"models.{name}") for name, given in merged.items()}


def _over(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping laid over another one, field by field."""
    merged = copy.deepcopy(dict(common))
    for key, value in own.items():
        known = merged.get(key)
        merged[key] = _over(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged

"""When a window is beyond what is fine: drift, performance, service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway.components._shared.config import Config
from headway.components._shared.prometheus import Access
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
        importance_rows: Labelled rows, at most, on which the importance of features is measured anew by shuffling each
            of them; 0 leaves that out. Takes three predictions of these rows a feature.
    """

    metrics: tuple[str, ...] = ()
    primary_metric: str | None = None
    relative_tolerance: float = Field(default=0.05, gt=0, lt=1)
    tolerance: dict[str, Annotated[float, Field(ge=0)]] = {}
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    min_rows: int = Field(default=100, ge=30)
    slices: tuple[str, ...] | Literal["auto"] = "auto"
    importance_rows: int = Field(default=0, ge=0, le=20_000)


class ServiceMetrics(Access):
    """Prometheus, and which of its series are the endpoint's.

    Attributes:
        namespace: Of the endpoint's pods; None takes every one.
        selector: Labels that pick the series, where they are not told by `namespace` and a pod's or service's name.
    """

    namespace: str | None = None
    selector: str | None = None


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
    prometheus: ServiceMetrics | None = None
    restarts: int = Field(default=0, ge=0)
    memory: float = Field(default=0.9, gt=0, le=1)

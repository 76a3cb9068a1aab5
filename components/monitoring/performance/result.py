"""What measure_performance finds out about a window."""

from __future__ import annotations

from typing import Literal

from headway.components._shared.config import Config
from headway.components._shared.verdicts import SliceOutcome
from headway.components.monitoring.performance.estimates import EstimateResult
from headway.components.monitoring.performance.measures import MetricResult, Span, State


class SliceState(Config):
    """A slice whose deviation from all rows is not by chance.

    Attributes:
        slice: Which part of the rows.
        now: The primary metric there.
        promised: What the evaluation measured there; None where it did not.
        rows: How many have a label.
        p_value: Of no deviation from all rows, adjusted for the number of slices (Holm).
    """

    slice: str
    now: SliceOutcome
    promised: SliceOutcome | None = None
    rows: int
    p_value: float


class FeatureImportance(Config):
    """How much the model looks at a feature.

    Attributes:
        name: Of the feature.
        loss: What the primary metric loses when the feature is shuffled.
        share: Of what all features lose, 0 to 1.
        trained: The same share in training; None where the model does not know it.
    """

    name: str
    loss: float
    share: float
    trained: float | None = None


class PerformanceResult(Config):
    """The document of the output `findings`.

    Attributes:
        model_digest: The model.
        fingerprint: Of the window.
        start: Earliest time of the rows, ISO 8601.
        end: Latest time of the rows, ISO 8601.
        rows: Of the window.
        labelled: With a label.
        enough: Whether that is enough to measure anything.
        blocks: What rows that may depend on each other have in common; None where all count as independent.
        primary: Name of the leading metric.
        metrics: Each metric that these rows define.
        slices: Where the leading metric deviates.
        calibration_error: Expected calibration error, less the noise of its bins; None without probabilities.
        estimates: What the judged metrics will come out as once all labels are there.
        selection: Mean prediction of the labelled rows less that of the others; where zero lies outside of its
            interval, the labels do not stand for the window. None where one side is empty.
        since_before: Metric to its gain over the window before; None without one.
        importance: Of each feature on these rows, where that was asked for; the most important one first.
    """

    schema_version: Literal[1] = 1
    kind: Literal["performance"] = "performance"
    model_digest: str
    fingerprint: str
    start: str
    end: str
    rows: int
    labelled: int
    enough: bool
    blocks: str | None = None
    primary: str
    metrics: tuple[MetricResult, ...] = ()
    slices: tuple[SliceState, ...] = ()
    calibration_error: Span | None = None
    estimates: tuple[EstimateResult, ...] = ()
    selection: Span | None = None
    since_before: dict[str, Span] | None = None
    importance: tuple[FeatureImportance, ...] = ()

    @property
    def judged(self) -> tuple[MetricResult, ...]:
        """The metrics that decide."""
        return tuple(metric for metric in self.metrics if metric.tolerance is not None)

    @property
    def state(self) -> State | None:
        """The worst of the judged metrics; None where none could be judged."""
        states = {metric.state for metric in self.judged}
        return next((state for state in ("worse", "unclear", "held") if state in states), None)

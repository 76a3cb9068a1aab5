"""Metrics of labelled rows against what the evaluation promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from headway.components._shared.config import Config
from headway.components._shared.statistics.blocks import Blocks, numbers_of
from headway.components._shared.statistics.intervals import Interval, difference_of, interval
from headway.components._shared.statistics.metrics import Metric, Outcomes

State = Literal["held", "worse", "unclear"]


class Span(Config):
    """A value with its two-sided confidence interval.

    Attributes:
        value: Measured.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def span_of(found: Interval | None) -> Span | None:
    """An interval as it is written down."""
    return None if found is None else Span(value=found.value, low=found.low, high=found.high)


class MetricResult(Config):
    """One metric of a window.

    Attributes:
        name: Of the metric.
        label: For people.
        better: Whether more or less of it is better; None where neither is.
        now: On the labelled rows; None where they do not define it.
        promised: By the evaluation; None where it did not measure it.
        gain: Now less promised, turned so that positive is better; None without both, or where nothing is better.
        tolerance: How much worse than promised does not matter.
        state: `worse`: by more than the tolerance, and not by chance; `held`: not worse by more than that, and this not
            by chance; `unclear`: the rows do not tell. None where it is not judged.
    """

    name: str
    label: str
    better: Literal["higher", "lower"] | None
    now: Span | None = None
    promised: Span | None = None
    gain: Span | None = None
    tolerance: float | None = None
    state: State | None = None


def measured(
    metrics: Mapping[str, Metric],
    outcomes: Outcomes | None,
    blocks: Blocks | None,
    promised: Mapping[str, Mapping[str, float]],
    tolerance: Mapping[str, float],
    *,
    confidence: float,
) -> tuple[MetricResult, ...]:
    """Each metric on the labelled rows, judged where its tolerance is given.

    Args:
        metrics: By name.
        outcomes: Of the labelled rows; None where there are too few.
        blocks: Rows that may depend on each other.
        promised: Metric to `value`, `low` and `high` in the evaluation.
        tolerance: Metric to the loss that does not matter, in the metric's unit; a loss of more counts.
        confidence: Of each interval; those that are judged hold together with it (Bonferroni).
    """
    found = []
    for name, metric in metrics.items():
        judged = name in tolerance
        estimate = metric.estimate(outcomes) if outcomes is not None else None
        many = len(tolerance) if judged else 1
        now = interval(estimate, numbers_of(blocks), confidence=confidence, comparisons=many) if estimate else None
        before = _promise(promised.get(name))
        gain = _gain(now, before, metric) if now and before else None
        found.append(
            MetricResult(
                name=name,
                label=metric.label,
                better=metric.better,
                now=span_of(now),
                promised=span_of(before),
                gain=span_of(gain),
                tolerance=tolerance.get(name),
                state=_state(gain, tolerance[name]) if judged and gain else None,
            )
        )
    return tuple(found)


def _promise(given: Mapping[str, float] | None) -> Interval | None:
    if given is None or "value" not in given:
        return None
    value = given["value"]
    return Interval(value, given.get("low", value), given.get("high", value))


def _gain(now: Interval, before: Interval, metric: Metric) -> Interval | None:
    if metric.better is None:
        return None
    gain = difference_of(now, before)
    return gain if metric.better == "higher" else Interval(-gain.value, -gain.high, -gain.low)


def _state(gain: Interval, tolerance: float) -> State:
    if gain.value < -tolerance and gain.high < 0:
        return "worse"
    return "held" if gain.low > -tolerance else "unclear"

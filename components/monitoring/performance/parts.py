"""What explains a window's performance: slices that deviate, which rows have labels, the window before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.statistics.blocks import Blocks
from headway.components._shared.statistics.estimates import Floats, mean_of
from headway.components._shared.statistics.intervals import Interval, difference_of, interval
from headway.components._shared.statistics.metrics import Metric, Outcomes
from headway.components._shared.statistics.slices import automatic_columns, measure_slices, slice_rows
from headway.components._shared.verdicts import SliceOutcome, Verdict
from headway.components.monitoring.config import Performance
from headway.components.monitoring.performance.measures import MetricResult, Span, span_of
from headway.components.monitoring.performance.result import PerformanceResult, SliceState
from headway.components.monitoring.performance.rows import Answered

_FEWEST_SELECTED = 30


def slices(
    answers: Answered,
    labelled: Outcomes,
    blocks: Blocks | None,
    primary: Metric,
    promise: Verdict,
    manifest: ModelManifest,
    settings: Performance,
) -> tuple[SliceState, ...]:
    """The slices in which the primary metric deviates from all rows, the worst first."""
    frame = answers.frame.filter(pl.Series(answers.known))
    automatic = settings.slices == "auto"
    columns = automatic_columns(frame, manifest.schema_, manifest.target) if automatic else list(settings.slices)
    found = measure_slices(
        slice_rows(frame, [name for name in columns if name in frame.columns]),
        primary,
        labelled,
        blocks,
        min_support=settings.min_rows,
        confidence=settings.confidence,
    )
    promised = {(each.slice, each.metric): each for each in promise.slices}
    deviating = [
        (each.deviation.value, each)
        for each in found
        if each.deviation and each.p_value is not None and each.p_value < 1 - settings.confidence
    ]
    return tuple(
        SliceState(
            slice=each.name,
            now=SliceOutcome(
                slice=each.name,
                metric=primary.name,
                rows=each.size,
                value=each.single.value,
                low=each.single.low,
                high=each.single.high,
            ),
            promised=promised.get((each.name, primary.name)),
            rows=each.size,
            p_value=each.p_value,
        )
        for _, each in sorted(deviating, key=lambda pair: pair[0])
        if each.single is not None and each.p_value is not None
    )


def selection(answers: Answered, confidence: float) -> Span | None:
    """How the predictions of rows with a label differ from those of the others, in the mean."""
    said = _scores(answers.outcomes)
    if said is None or min(answers.known.sum(), (~answers.known).sum()) < _FEWEST_SELECTED:
        return None
    sides = (answers.known, ~answers.known)
    with_label, without = (interval(mean_of(said[rows]), confidence=confidence) for rows in sides)
    return span_of(difference_of(with_label, without))


def _scores(outcomes: Outcomes) -> Floats | None:
    if outcomes.task == "regression":
        return outcomes.predicted
    if outcomes.probabilities is None:
        return None
    binary = outcomes.task == "binary"
    scores: Floats = outcomes.probabilities[:, 1] if binary else np.max(outcomes.probabilities, axis=1)
    return scores


def since(now: tuple[MetricResult, ...], before: PerformanceResult, known: Mapping[str, Metric]) -> dict[str, Span]:
    """Metric to its gain over the window before."""
    earlier = {metric.name: metric.now for metric in before.metrics if metric.now}
    gains = {}
    for metric in now:
        better = known[metric.name].better
        if metric.now is None or metric.name not in earlier or better is None:
            continue
        first, second = (Interval(s.value, s.low, s.high) for s in (metric.now, earlier[metric.name]))
        found = difference_of(first, second) if better == "higher" else difference_of(second, first)
        gains[metric.name] = Span(value=found.value, low=found.low, high=found.high)
    return gains

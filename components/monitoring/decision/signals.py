"""Makes signals of what the other components found in a window."""

from __future__ import annotations

from collections.abc import Iterator

from headway.components._shared.decisions import Signal
from headway.components._shared.reports.formats import counted
from headway.components.monitoring.config import Policy
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.result import WindowResult


def signals_of(
    window: WindowResult,
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    policy: Policy,
    service: ServiceResult | None = None,
) -> dict[str, Signal]:
    """Each signal that can be told of a window; what was not looked at is not there.

    Args:
        window: Of collect_window.
        drift: Of detect_drift.
        performance: Of measure_performance.
        policy: Limits.
        service: Of measure_service.
    """
    found = {"data": _data(window, drift), "no_rows": Signal(fired=not window.rows, told=_rows(window))}
    if window.coverage is not None:
        share = window.coverage
        found["few_labels"] = Signal(
            fired=share < policy.few_labels,
            told=f"{share:.1%} of the rows have a label",
            value=share,
            limit=policy.few_labels,
        )
    if drift is not None and drift.enough:
        found |= _drift(drift, policy)
    if performance is not None:
        found |= _performance(performance, policy)
    if service is not None:
        found |= dict(_service(service))
    return found


def _data(window: WindowResult, drift: DriftResult | None) -> Signal:
    """What is wrong with the feed rather than with the world."""
    conflicts = window.labels.conflicts if window.labels else 0
    unlike = drift.not_compared if drift is not None and drift.enough else ()
    wrong = [
        f"{counted(len(window.damaged), 'file')} of the log unreadable" if window.damaged else "",
        f"{counted(len(window.foreign), 'file')} of the log with other columns" if window.foreign else "",
        f"{counted(conflicts, 'id')} with different labels" if conflicts else "",
        f"columns that cannot be compared: {', '.join(c.name for c in unlike[:5])}" if unlike else "",
    ]
    told = "; ".join(filter(None, wrong))
    return Signal(fired=bool(told), told=told or "complete")


def _rows(window: WindowResult) -> str:
    refused = sum(window.refused.values())
    return f"{counted(window.rows, 'row')}{f', {refused:,} refused requests' if refused else ''}"


def _drift(drift: DriftResult, policy: Policy) -> dict[str, Signal]:
    names = ", ".join(column.name for column in drift.drifted[:5]) or "no column"
    found = {
        "drift": Signal(fired=bool(drift.drifted), told=f"{names} drifted", value=float(len(drift.drifted)), limit=1.0)
    }
    if drift.drifted_share is not None:
        found["much_drift"] = Signal(
            fired=drift.drifted_share >= policy.much_drift,
            told=f"{drift.drifted_share:.0%} of the columns{' by importance' if drift.by_importance else ''} drifted",
            value=drift.drifted_share,
            limit=policy.much_drift,
        )
    if drift.predictions:
        changed = [column.name for column in drift.predictions if column.drifted]
        told = f"{', '.join(changed)} drifted" if changed else "as in the evaluation"
        found["predictions"] = Signal(fired=bool(changed), told=told, value=float(len(changed)), limit=1.0)
    if drift.separation:
        found["separation"] = Signal(
            fired=drift.separation.found,
            told=f"rows are told from the reference's with an AUC of {drift.separation.auc:.3f}",
            value=drift.separation.auc,
        )
    return found


def _performance(performance: PerformanceResult, policy: Policy) -> dict[str, Signal]:
    found = dict(_bias(performance, policy.bias))
    for state in ("worse", "unclear"):
        metrics = [metric for metric in performance.judged if metric.state == state]
        if performance.state is None:
            continue
        told = ", ".join(
            f"{m.name} {m.now.value:.3g}, promised {m.promised.value:.3g}" for m in metrics if m.now and m.promised
        )
        gains = [metric.gain.value / metric.tolerance for metric in metrics if metric.gain and metric.tolerance]
        found[state] = Signal(
            fired=bool(metrics), told=told or "as promised", value=min(gains) if gains else None, limit=-1.0
        )
    estimate = _estimate(performance)
    return found | ({"estimate": estimate} if estimate else {})


def _service(service: ServiceResult) -> Iterator[tuple[str, Signal]]:
    levels = {"slow": service.slower, "errors": service.errors, "refused": service.refused}
    words = {"slow": "were slower than allowed", "errors": "failed", "refused": "were refused"}
    for name, level in levels.items():
        if level and service.enough:
            told = f"{level.share.value:.2%} of the requests {words[name]}"
            yield name, Signal(fired=level.exceeded, told=told, value=level.share.value, limit=level.limit)

    if service.restarts:
        count, fine = service.restarts
        yield "restarts", Signal(fired=count > fine, told=f"{count:g} restarts of containers", value=count, limit=fine)
    if service.memory:
        share, most = service.memory
        yield (
            "memory",
            Signal(fired=share > most, told=f"a pod used {share:.0%} of its memory", value=share, limit=most),
        )


def _bias(performance: PerformanceResult, limit: float) -> Iterator[tuple[str, Signal]]:
    """Whether probabilities are too high or too low on the whole, as they are when what happens has become rarer.

    Neither ranks of rows nor features need to change for that, so these are signals of their own.
    """
    metrics = {metric.name: metric.now for metric in performance.metrics}
    span = metrics.get("bias")
    if span is None or "log_loss" not in metrics:
        return
    for name, off, proven in (("too_high", span.value, span.low > 0), ("too_low", -span.value, span.high < 0)):
        fired = proven and off > limit
        told = f"probabilities are {off:.3f} too {name.removeprefix('too_')} on average" if fired else "as it came true"
        yield name, Signal(fired=fired, told=told, value=off, limit=limit)


def _estimate(performance: PerformanceResult) -> Signal | None:
    """Whether an estimate that the truth does not contradict lies below the promise by more than the tolerance."""
    promised = {metric.name: metric for metric in performance.judged}
    worst: Signal | None = None
    for estimate in performance.estimates:
        metric = promised.get(estimate.name)
        if metric is None or metric.promised is None or metric.tolerance is None or estimate.surprise:
            continue
        span, promise = estimate.all_rows, metric.promised
        more_is_better = metric.better == "higher"
        loss = promise.value - span.value if more_is_better else span.value - promise.value
        proven = span.high < promise.low if more_is_better else span.low > promise.high
        told = f"{estimate.name} is estimated at {span.value:.3g}, promised {promise.value:.3g}"
        signal = Signal(fired=proven and loss > metric.tolerance, told=told, value=-loss, limit=-metric.tolerance)
        if worst is None or (signal.fired and not worst.fired):
            worst = signal
    return worst

"""The step `decide`: what follows from a window, by rules over it and the windows before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    describe,
    read_document,
    show_metrics,
    write_document,
)
from headway.components._shared.audit import record_event
from headway.components._shared.config import parse
from headway.components._shared.decisions import Decision, severity
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State
from headway.components._shared.steps import decided, keep_report, step
from headway.components.monitoring.config import Policy
from headway.components.monitoring.decision.history import History, Past
from headway.components.monitoring.decision.report import write_report
from headway.components.monitoring.decision.rules import conclude
from headway.components.monitoring.decision.signals import signals_of
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.result import WindowResult


@step("decide")
def decide(
    window: Artifact,
    decision: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    policy: Mapping[str, Any],
    drift: Artifact | None = None,
    performance: Artifact | None = None,
    service: Artifact | None = None,
    state_uri: str,
) -> None:
    """Judges a window by the policy, and keeps the decision; a window that was judged already keeps the one it has."""
    settings, state = parse(Policy, policy, parameter="policy"), State(state_uri)
    found = read_document(window, WindowResult, "window", "collect_window")
    drifted = read_document(drift, DriftResult, "drift", "detect_drift") if drift else None
    performed = (
        read_document(performance, PerformanceResult, "performance", "measure_performance") if performance else None
    )
    served = read_document(service, ServiceResult, "service", "measure_service") if service else None
    _require_one_window(found, drifted, performed)
    _require_same_span(found, served)

    history = History(state, found.model_name)
    result, past = decide_on(found, drifted, performed, settings, history, state, served)

    write_document(decision, result)
    write_report(report.path, result, past)
    keep_report(report.path)
    describe(decision, decision=told(result), outcome=result.outcome, model_digest=result.model_digest)
    fired = {f"signal_{name}": float(signal.fired) for name, signal in result.signals.items()}
    show_metrics(metrics, {"severity": float(severity(result.outcome)), **fired})
    decided(told(result), outcome=result.outcome, rule=result.rule)


def decide_on(
    window: WindowResult,
    drift: DriftResult | None,
    performance: PerformanceResult | None,
    policy: Policy,
    history: History,
    state: State,
    service: ServiceResult | None = None,
) -> tuple[Decision, Past]:
    """Judges a window, keeps the decision and, unless all is well, has it in the audit trail; gives the past too.

    Raises:
        HeadwayError: `history.damaged`.
    """
    signals = signals_of(window, drift, performance, policy, service)
    past = history.past(window.start, window.label_cutoff or window.end)
    result = history.keep(conclude(window, signals, past, policy))
    if result.outcome != "ok":
        _audit(state, result)
    return result, past


def told(decision: Decision) -> str:
    """The decision in one line."""
    return f"{decision.outcome.replace('_', ' ')}: {decision.reason}"


def _audit(state: State, result: Decision) -> None:
    evidence = {"window": result.start, "end": result.end, "label_cutoff": result.label_cutoff, "reason": result.reason}
    record_event(
        state,
        result.model_name,
        f"monitoring_{result.outcome}",
        model_digest=result.model_digest,
        evidence=evidence,
        once_by=("window", "end", "label_cutoff"),
    )


def _require_one_window(window: WindowResult, drift: DriftResult | None, performance: PerformanceResult | None) -> None:
    """Everything is about the same rows and the same model."""
    others = {"drift": drift, "performance": performance}
    for name, found in others.items():
        if found is None:
            continue
        # Of a profile that was put together nobody knows the rows any more.
        other_rows = found.fingerprint not in ("", window.fingerprint)
        if found.model_digest not in (None, window.model_digest) or other_rows:
            raise HeadwayError(
                "decision.other_window",
                f"What was given as {name!r} is about other rows or another model than the window.",
                value=found.fingerprint,
                remedy="Give what was found in this very window about this very model.",
            )


def _require_same_span(window: WindowResult, service: ServiceResult | None) -> None:
    if service is None:
        return
    ours = (window.model_digest, window.start, window.end)
    theirs = (service.model_digest, service.start, service.end)
    if ours != theirs:
        raise HeadwayError(
            "decision.other_window",
            "What was given as 'service' is about another window or another model.",
            value=" ".join(theirs[1:]),
            remedy="Give what was found in this very window about this very model.",
        )

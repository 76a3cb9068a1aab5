"""The step `measure_performance`: how good the answers of a window were, against what the evaluation promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    ModelManifest,
    describe,
    read_document,
    read_manifest,
    show_metrics,
    write_document,
)
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, load_model
from headway.components._shared.inference_logs import TIME
from headway.components._shared.reports.formats import counted
from headway.components._shared.statistics.blocks import numbers_of, widest
from headway.components._shared.statistics.calibration import Calibration, calibrate
from headway.components._shared.statistics.metrics import PRIMARY, Metric, metrics_of
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.times import format_time
from headway.components._shared.verdicts import Verdict, read_verdict
from headway.components.monitoring.config import Performance
from headway.components.monitoring.performance.estimates import estimated
from headway.components.monitoring.performance.importance import importance_on
from headway.components.monitoring.performance.measures import MetricResult, measured, span_of
from headway.components.monitoring.performance.parts import selection, since, slices
from headway.components.monitoring.performance.report import write_report
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.performance.rows import read_answers


@step("measure_performance")
def measure_performance(
    window: Artifact,
    model: Artifact,
    verdict: Artifact,
    findings: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    performance: Mapping[str, Any],
    before: Artifact | None = None,
    seed: int = 0,
    state_uri: str | None = None,  # noqa: ARG001 - the step keeps its records there
) -> None:
    """Measures what has labels, estimates the rest, and says what is worse than promised."""
    settings = parse(Performance, performance, parameter="performance")
    manifest, promise = read_manifest(model.path), read_verdict(verdict.path)
    _require_same_model(manifest, promise)
    earlier = read_document(before, PerformanceResult, "before", "measure_performance") if before is not None else None
    loaded = (lambda: load_model(model.path)) if settings.importance_rows else None
    rows = open_dataset(window.path)
    result, calibration = judge(rows, manifest, promise, settings, before=earlier, model=loaded, seed=seed)

    write_document(findings, result)
    write_report(report.path, result, calibration, settings)
    keep_report(report.path)
    describe(findings, rows=result.rows, model_digest=result.model_digest, decision=told(result))
    shown = {metric.name: metric.now.value for metric in result.metrics if metric.now}
    estimates = {f"estimated_{estimate.name}": estimate.all_rows.value for estimate in result.estimates}
    show_metrics(metrics, {"rows": result.rows, "labelled": result.labelled, **shown, **estimates})
    decided(told(result), rows=result.rows, labelled=result.labelled, state=result.state)


def judge(
    window: Dataset,
    manifest: ModelManifest,
    promise: Verdict,
    settings: Performance,
    *,
    before: PerformanceResult | None = None,
    model: Callable[[], LoadedModel] | None = None,
    seed: int = 0,
) -> tuple[PerformanceResult, Calibration | None]:
    """Measures a window; gives the calibration too, for the report.

    Args:
        window: Of collect_window.
        manifest: Of the model.
        promise: The verdict about it.
        settings: What decides.
        before: The window before.
        model: Loads the model, where the importance of features is to be measured.
        seed: Of draws.

    Raises:
        HeadwayError: `performance.metric_unknown`, `performance.no_promise`, `data.column_missing`.
    """
    known = metrics_of(manifest.task)
    judged, primary = _judged(known, promise, settings), known[_primary(known, manifest, settings)]
    tolerance = {name: _tolerance(name, promise, settings) for name in judged}
    answers = read_answers(window, manifest)
    labelled = answers.labelled()
    count, enough = len(labelled.actual), len(labelled.actual) >= settings.min_rows
    confidence = settings.confidence
    blocks = widest(labelled, answers.blocks(), primary, confidence=confidence) if enough else None
    found = measured(known, labelled if enough else None, blocks, promise.metrics, tolerance, confidence=confidence)
    calibration = calibrate(labelled, numbers_of(blocks), confidence=confidence, seed=seed) if enough else None
    times, rows = answers.frame[TIME], settings.importance_rows
    importance = (
        importance_on(model(), answers, primary, rows, threshold=promise.threshold, seed=seed)
        if enough and model and rows
        else ()
    )
    result = PerformanceResult(
        model_digest=manifest.model_digest,
        fingerprint=window.fingerprint,
        start=format_time(times.min()),  # type: ignore[arg-type]
        end=format_time(times.max()),  # type: ignore[arg-type]
        rows=window.rows,
        labelled=count,
        enough=enough,
        blocks=blocks.words if blocks else None,
        primary=primary.name,
        metrics=tuple(metric for metric in found if metric.now or metric.tolerance is not None),
        slices=slices(answers, labelled, blocks, primary, promise, manifest, settings) if enough else (),
        calibration_error=span_of(calibration.ece if calibration else None),
        estimates=estimated(
            {name: known[name] for name in judged}, answers.outcomes, answers.known, confidence=confidence, seed=seed
        ),
        selection=selection(answers, confidence),
        since_before=since(found, before, known) if before else None,
        importance=importance,
    )
    return result, calibration


def told(result: PerformanceResult) -> str:
    """The result in one line."""
    if not result.enough:
        estimate = next(iter(result.estimates), None)
        said = f"{counted(result.labelled, 'row')} with a label: too few to measure anything"
        return said if estimate is None else f"{said}; {estimate.name} is estimated at {estimate.all_rows.value:.3g}"
    worse = [metric for metric in result.judged if metric.state == "worse"]
    if worse:
        return "; ".join(f"{m.name} {_short(m)}, worse than promised" for m in worse)
    words = {"held": "as promised", "unclear": "may be worse than promised, the rows do not tell", None: "not judged"}
    return "; ".join(f"{m.name} {_short(m)}, {words[m.state]}" for m in result.judged)


def _short(metric: MetricResult) -> str:
    if metric.now is None:
        return "undefined on these rows"
    return f"{metric.now.value:.3g} [{metric.now.low:.3g}, {metric.now.high:.3g}]"


def _judged(known: Mapping[str, Metric], promise: Verdict, settings: Performance) -> list[str]:
    """The metrics that decide, in the order in which they were named."""
    for name in [*settings.metrics, *settings.tolerance]:
        _require_known(name, known)
    if settings.metrics:
        without = [name for name in settings.metrics if known[name].better is None]
        if without:
            raise HeadwayError(
                "performance.metric_unknown",
                f"Of {without[0]} neither more nor less is better, so it cannot be worse.",
                value=without[0],
                remedy=f"Name some of {', '.join(name for name, m in known.items() if m.better)}.",
            )
        return list(dict.fromkeys(settings.metrics))
    gated = [gate.metric for gate in promise.gates if gate.metric in known and known[gate.metric].better]
    return list(dict.fromkeys(gated)) or [settings.primary_metric or PRIMARY[promise.task]]


def _primary(known: Mapping[str, Metric], manifest: ModelManifest, settings: Performance) -> str:
    name = settings.primary_metric or PRIMARY[manifest.task]
    _require_known(name, known)
    return name


def _require_known(name: str, known: Mapping[str, Metric]) -> None:
    if name not in known:
        raise HeadwayError(
            "performance.metric_unknown",
            "The model's task has no metric of that name.",
            value=name,
            remedy=f"Name some of {', '.join(known)}.",
        )


def _tolerance(name: str, promise: Verdict, settings: Performance) -> float:
    promised = promise.metrics.get(name)
    if promised is None:
        raise HeadwayError(
            "performance.no_promise",
            f"The evaluation did not measure {name}, so there is nothing to hold the window against.",
            value=name,
            remedy=f"Name some of {', '.join(promise.metrics) or '(none were measured)'}.",
        )
    return settings.tolerance.get(name, settings.relative_tolerance * abs(promised["value"]))


def _require_same_model(manifest: ModelManifest, verdict: Verdict) -> None:
    if manifest.model_digest != verdict.model_digest:
        raise HeadwayError(
            "verdict.other_model",
            f"The verdict is about model {verdict.model_digest[:12]}, not about {manifest.model_digest[:12]}.",
            value=verdict.model_digest,
            remedy="Pass the verdict that evaluate_model gave for this very model.",
        )

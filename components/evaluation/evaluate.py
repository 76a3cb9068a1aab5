"""The step evaluate_model: measures a model, compares it with the champion, decides its gates, writes the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    ModelManifest,
    describe,
    manifest_digest,
    show_metrics,
    verify_model,
)
from headway.components._shared.audit import record_event
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset, write_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import load_model
from headway.components._shared.profiles.predictions import predicted_of
from headway.components._shared.state import State, checked_model_name, run_id
from headway.components._shared.statistics.intervals import Interval
from headway.components._shared.statistics.metrics import PRIMARY, Metric, metrics_of
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.times import format_time, now
from headway.components._shared.verdicts import SliceOutcome, Verdict, write_verdict
from headway.components.evaluation.champion import Comparison, load_champion
from headway.components.evaluation.config import Evaluation, Gates
from headway.components.evaluation.examine import Question, examine
from headway.components.evaluation.gate_checks import check_gates, gap_columns, sliced_columns
from headway.components.evaluation.gates import blessing, decide, figures
from headway.components.evaluation.report import write_report
from headway.components.evaluation.result import Result
from headway.components.evaluation.rows import check_showable
from headway.components.evaluation.worries import worries


@step("evaluate_model")
def evaluate(
    model: Artifact,
    data: Artifact,
    verdict: Artifact,
    golden: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    champion: Artifact | None = None,
    gates: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    model_name: str | None = None,
    seed: int = 0,
    state_uri: str | None = None,
) -> None:
    """Measures a model on held-out rows and decides whether it may go on; see the component's docstring."""
    settings = parse(Evaluation, evaluation or {}, parameter="evaluation")
    asked = parse(Gates, gates or {}, parameter="gates")
    name = None if model_name is None else checked_model_name(model_name)
    manifest = verify_model(model.path)
    primary = check_parameters(settings, asked, manifest)
    dataset = open_dataset(data.path)
    _check_held_out(dataset, manifest)
    rival = load_champion(None if champion is None else champion.path, manifest, list(dataset.columns))
    question = Question(settings, asked, primary, int(seed))
    result = examine(load_model(model.path), Path(model.path), dataset, rival, question)

    footer = {"kind": "golden", "model_digest": manifest.model_digest}
    kept = write_dataset({"golden": result.golden}, golden.path, footer)
    given = _verdict(result, asked, manifest_digest(model.path), kept.fingerprint)
    write_verdict(given, verdict.path)
    write_report(result, given, report.path, name)
    keep_report(report.path)
    describe(verdict, blessed=given.blessed, model_digest=manifest.model_digest)
    describe(
        golden, rows=kept.rows, columns=len(kept.columns), size_bytes=kept.size_bytes, fingerprint=kept.fingerprint
    )
    found = {name: ends["value"] for name, ends in given.metrics.items()}
    show_metrics(metrics, found | figures(asked, given.gates))
    if state_uri and name:
        _record(State(state_uri), name, given)
    headline, passed = _headline(given, primary), sum(g.passed for g in given.gates)
    decided(
        f"blessed: {headline}, {_passed(passed)}" if given.blessed else f"not blessed: {headline}; {given.reason}",
        rows=dataset.rows,
        blessed=given.blessed,
        reason=given.reason,
        headline=headline,
        gates=f"{passed} of {len(given.gates)} passed",
        failed_gates=[outcome.reason for outcome in given.gates if not outcome.passed],
        metrics=given.metrics,
        threshold=given.threshold,
    )


def check_parameters(settings: Evaluation, gates: Gates, manifest: ModelManifest) -> Metric:
    """Refuses what can never be measured, before anything is computed; gives the primary metric.

    Raises:
        HeadwayError: `evaluation.metric_unknown`, `evaluation.binary_only`, `evaluation.column_unknown`,
            `evaluation.column_personal`, or one of `gate_checks.check_gates`.
    """
    known = metrics_of(manifest.task)
    name = settings.primary_metric or PRIMARY[manifest.task]
    usable = [m.name for m in known.values() if m.better and (m.name != "cost" or settings.costs)]
    if name not in usable:
        raise HeadwayError(
            "evaluation.metric_unknown",
            f"The primary metric is none that this {manifest.task} model can be judged by.",
            value=name,
            remedy=f"Use one of {', '.join(usable)}.",
        )
    if manifest.task != "binary" and (settings.costs is not None or settings.threshold is not None):
        raise HeadwayError(
            "evaluation.binary_only",
            f"`costs` and `threshold` belong to binary tasks, and the model's is {manifest.task}.",
            value=manifest.task,
            remedy="Leave both out of `evaluation`.",
        )
    columns = [c.name for c in manifest.schema_.columns]
    check_gates(gates, manifest.task, columns, costs_stated=settings.costs is not None)
    named = [] if settings.slices == "auto" else list(settings.slices)
    check_showable(manifest.schema_, [*named, *settings.groups], parameter="`evaluation`")
    check_showable(manifest.schema_, [*sliced_columns(gates), *gap_columns(gates)], parameter="`gates`")
    return known[name]


def _check_held_out(dataset: Dataset, manifest: ModelManifest) -> None:
    """A model that learned from these very rows looks better than it is, whatever its intervals say."""
    if dataset.fingerprint == manifest.data_fingerprint and not manifest.adopted:
        raise HeadwayError(
            "evaluation.training_data",
            "The evaluation data is the data that the model was trained on.",
            value=dataset.fingerprint,
            remedy="Evaluate on the `test_data` of split_data.",
        )


def _verdict(result: Result, gates: Gates, manifest_sha256: str, golden_fingerprint: str) -> Verdict:
    evidence = result.evidence()
    outcomes = decide(gates, evidence)
    blessed, reason = blessing(outcomes)
    return Verdict(
        model_digest=result.manifest.model_digest,
        manifest_sha256=manifest_sha256,
        data_fingerprint=result.data_fingerprint,
        golden_fingerprint=golden_fingerprint,
        task=result.manifest.task,
        threshold=None if result.threshold is None else result.threshold.value,
        metrics={name: _finite_ends(found) for name, found in evidence.metrics.items()},
        gates=outcomes,
        slices=_slice_outcomes(result),
        predicted=predicted_of(result.outcomes, result.manifest.classes),
        warnings=tuple(worries(result)),
        blessed=blessed,
        reason=reason,
        champion_digest=result.comparison.champion_digest if isinstance(result.comparison, Comparison) else None,
        time=format_time(now().replace(microsecond=0)),
        run_id=run_id(),
    )


def _finite_ends(found: Interval) -> dict[str, float]:
    """A value and the ends of its interval, without one that nothing bounds."""
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {name: end for name, end in ends.items() if math.isfinite(end)}


def _slice_outcomes(result: Result) -> tuple[SliceOutcome, ...]:
    return tuple(
        SliceOutcome(slice=s.name, metric=metric, rows=s.size, value=s.joint.value, low=s.joint.low, high=s.joint.high)
        for metric, found in result.slices.items()
        for s in found
        if s.joint is not None
    )


def _record(state: State, model_name: str, verdict: Verdict) -> None:
    evidence = verdict.model_dump(mode="json", exclude={"model_digest", "time", "run_id"})
    # Not by the figures: a second try measures other latencies.
    same = ("run_id", "blessed", "reason", "data_fingerprint", "golden_fingerprint", "champion_digest")
    record_event(state, model_name, "verdict", model_digest=verdict.model_digest, evidence=evidence, once_by=same)


def _passed(gates: int) -> str:
    return "its only gate passed" if gates == 1 else f"{gates} of {gates} gates"


def _headline(verdict: Verdict, primary: Metric) -> str:
    found = verdict.metrics.get(primary.name)
    if found is None:
        return f"{primary.label} cannot be measured"
    return f"{primary.label} {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"

"""The step `detect_drift`: profiles a window and holds it against what the model has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.components._shared.artifacts import (
    Artifact,
    Metrics,
    ModelManifest,
    describe,
    read_manifest,
    show_metrics,
    write_document,
)
from headway.components._shared.config import parse
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import PREDICTED
from headway.components._shared.profiles import BINNING, Profile, merge, profile_dataset, read_profile, write_profile
from headway.components._shared.profiles.predictions import profile_in, profile_predictions
from headway.components._shared.profiles.references import read_reference
from headway.components._shared.reports.formats import counted
from headway.components._shared.schemas import Column, Schema, columns_in
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.verdicts import Verdict, read_verdict
from headway.components.monitoring.config import Drift
from headway.components.monitoring.drift.classifier import separation
from headway.components.monitoring.drift.columns import ColumnResult, drifted_share, judge_columns
from headway.components.monitoring.drift.report import write_report
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.performance.rows import read_answers


@step("profile_shard")
def profile_shard(
    data: Artifact,
    reference: Artifact,
    profile: Artifact,
    *,
    state_uri: str | None = None,  # noqa: ARG001 - the step keeps its records there
) -> None:
    """Profiles a part of a window, in the reference's columns."""
    known, manifest = _reference(reference.path)
    dataset = open_dataset(data.path)
    found = profile_dataset(dataset, _schema(known, manifest, dataset))
    write_profile(found, profile.path)
    describe(profile, rows=found.rows, digest=found.digest(), fingerprint=dataset.fingerprint, binning=BINNING)
    decided(f"{counted(found.rows, 'row')}, {counted(len(found.columns), 'column')}", rows=found.rows)


@step("merge_profiles")
def merge_profiles(
    profiles: Sequence[Artifact],
    profile: Artifact,
    *,
    state_uri: str | None = None,  # noqa: ARG001 - the step keeps its records there
) -> None:
    """Puts the profiles of parts together: the bytes that one pass over all rows gives, in whatever order they come."""
    merged = merge([read_profile(each.path) for each in profiles])
    write_profile(merged, profile.path)
    describe(profile, rows=merged.rows, digest=merged.digest(), binning=BINNING)
    decided(f"{counted(merged.rows, 'row')} of {counted(len(profiles), 'part')}", rows=merged.rows)


@step("detect_drift")
def detect_drift(
    data: Artifact | None,
    reference: Artifact,
    findings: Artifact,
    profile: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    drift: Mapping[str, Any],
    before: Artifact | None = None,
    verdict: Artifact | None = None,
    window: Artifact | None = None,
    seed: int = 0,
    state_uri: str | None = None,  # noqa: ARG001 - the step keeps its records there
) -> None:
    """Says which columns of a window differ from the reference, by how much, and whether that may be chance."""
    settings = parse(Drift, drift, parameter="drift")
    known, manifest = _reference(reference.path)
    earlier = read_profile(before.path) if before is not None else None
    promise = read_verdict(verdict.path) if verdict is not None else None
    if (data is None) == (window is None):
        raise HeadwayError(
            "drift.no_window",
            "A window is given as its rows or as its profile, and here it is both or neither.",
            remedy="Give `data`, or `window`: the profile of profile_shard or merge_profiles.",
        )
    if data is not None:
        dataset = open_dataset(data.path)
        result, now = compare(known, dataset, settings, manifest=manifest, promise=promise, before=earlier, seed=seed)
    else:
        assert window is not None
        now = read_profile(window.path)
        result = judge(known, now, settings, manifest=manifest, before=earlier, seed=seed)

    write_profile(now, profile.path)
    write_document(findings, result)
    write_report(report.path, result, known, now, settings)
    keep_report(report.path)
    describe(profile, digest=now.digest(), fingerprint=result.fingerprint or None, binning=BINNING)
    describe(findings, rows=result.rows, model_digest=result.model_digest, decision=told(result))
    shown = {
        "rows": result.rows,
        "drifted_columns": len(result.drifted),
        "drifted_share": result.drifted_share,
        "separation_auc": result.separation.auc if result.separation else None,
    }
    show_metrics(metrics, shown)
    decided(told(result), rows=result.rows, drifted_columns=len(result.drifted), drifted_share=result.drifted_share)


def compare(
    reference: Profile,
    window: Dataset,
    settings: Drift,
    *,
    manifest: ModelManifest | None = None,
    promise: Verdict | None = None,
    before: Profile | None = None,
    seed: int = 0,
) -> tuple[DriftResult, Profile]:
    """Profiles a window and holds it against the reference, as `judge` does; gives the window's profile too.

    With a model and the verdict about it, its predictions are held against those of its evaluation.
    """
    now = profile_dataset(window, _schema(reference, manifest, window))
    fingerprint = window.fingerprint
    found = judge(reference, now, settings, manifest=manifest, before=before, seed=seed, fingerprint=fingerprint)
    if found.enough and manifest and promise and promise.predicted and PREDICTED in window.columns:
        said = profile_predictions(read_answers(window, manifest).outcomes, manifest.classes, promise.predicted.step)
        predictions = judge_columns(profile_in(promise.predicted), said, settings)
        found = found.model_copy(update={"predictions": predictions})
    return found, now


def judge(
    reference: Profile,
    current: Profile,
    settings: Drift,
    *,
    manifest: ModelManifest | None = None,
    before: Profile | None = None,
    seed: int = 0,
    fingerprint: str = "",
) -> DriftResult:
    """Holds the profile of a window against that of the reference.

    Args:
        reference: What the model has learned from.
        current: The window.
        settings: Measures and limits.
        manifest: Of the model; only its features are looked at then, weighed by their importance.
        before: Profile of the window before.
        seed: Of the classifier.
        fingerprint: Of the window's rows.
    """
    head = DriftResult(
        rows=current.rows,
        fingerprint=fingerprint,
        reference_rows=reference.rows,
        model_digest=manifest.model_digest if manifest else None,
        enough=current.rows >= settings.min_rows,
    )
    if not head.enough:
        return head
    importance = _importance(manifest)
    watched = _watched(reference, manifest)
    columns = judge_columns(watched, current, settings, importance)
    compared = [column.name for column in columns if not column.not_compared]
    changed = judge_columns(before, current, settings) if before else None
    classifier = settings.classifier
    return head.model_copy(
        update={
            "columns": tuple(sorted(columns, key=lambda column: (not column.drifted, -(column.importance or 0.0)))),
            "drifted_share": drifted_share(columns),
            "by_importance": bool(importance),
            "separation": separation(reference.sample, current.sample, compared, classifier, seed)
            if classifier
            else None,
            "since_before": None if changed is None else tuple(c.name for c in changed if c.drifted),
        }
    )


def told(result: DriftResult) -> str:
    """The result in one line."""
    if not result.enough:
        return f"{counted(result.rows, 'row')}: too few to say anything"
    drifted, compared = result.drifted, len(result.columns) - len(result.not_compared)
    named = ", ".join(_shortly(column) for column in drifted[:3]) + (", ..." if len(drifted) > 3 else "")
    said = f"{len(drifted)} of {counted(compared, 'column')} drifted{f' ({named})' if named else ''}"
    if result.not_compared:
        said += f", {len(result.not_compared)} could not be compared"
    if changed := [column for column in result.predictions if column.drifted]:
        said += f"; predictions: {_shortly(changed[0])}"
    if result.separation and result.separation.found:
        said += f"; rows are told from the reference's with an AUC of {result.separation.auc:.2f}"
    return said


def _shortly(column: ColumnResult) -> str:
    worst = max((f for f in column.findings if f.found), key=lambda finding: abs(finding.value) / finding.limit)
    what = column.measure if worst.what == "values" else worst.what
    return f"{column.name}: {what} {worst.value:.3g}"


def _reference(path: str) -> tuple[Profile, ModelManifest | None]:
    found = read_reference(path)
    if found is None:
        raise HeadwayError(
            "drift.no_reference",
            "There is no champion, so there is nothing to compare with.",
            remedy="Give the model that the window's predictions come from, or a profile.",
        )
    return found, read_manifest(path) if Path(path).is_dir() else None


def _schema(reference: Profile, manifest: ModelManifest | None, dataset: Dataset) -> Schema:
    """The reference's columns that the window has, each with the type that it has there."""
    known = (
        manifest.schema_.columns
        if manifest
        else tuple(
            Column(name=column.name, type=column.type) for column in reference.columns if column.binning != "withheld"
        )
    )
    columns = columns_in(Schema(columns=known), dataset.columns)
    if not columns:
        raise HeadwayError(
            "data.other",
            "No column of the reference is in the window.",
            value=sorted(dataset.columns)[:20],
            remedy="Give a window of the model that the reference belongs to.",
        )
    return Schema(columns=columns)


def _watched(reference: Profile, manifest: ModelManifest | None) -> Profile:
    """The features of a model; everything where there is no model."""
    if manifest is None:
        return reference
    names = {feature.name for feature in manifest.features}
    kept = tuple(column for column in reference.columns if column.name in names)
    return Profile(reference.rows, kept, reference.hashed_sample)


def _importance(manifest: ModelManifest | None) -> Mapping[str, float]:
    """Feature to its share; what did not help counts as nothing."""
    given = {name: max(value, 0.0) for name, value in (manifest.importance if manifest else {}).items()}
    total = sum(given.values())
    return {name: value / total for name, value in given.items()} if total else {}

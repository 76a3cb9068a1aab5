"""Measures everything about a model that the gates and the report ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.datasets import Dataset
from headway.components._shared.estimators import LoadedModel
from headway.components._shared.profiles import read_profile
from headway.components._shared.statistics.blocks import Blocks, numbers_of, widest
from headway.components._shared.statistics.calibration import calibrate
from headway.components._shared.statistics.metrics import Metric, Outcomes, metrics_of
from headway.components._shared.statistics.slices import (
    Slice,
    automatic_columns,
    known_slices,
    measure_slices,
    slice_rows,
)
from headway.components.evaluation.champion import Comparison, compare, compare_slices, predict_champion
from headway.components.evaluation.classes import measure_classes
from headway.components.evaluation.config import Evaluation, Gates, SliceGate
from headway.components.evaluation.gate_checks import check_slices, gap_columns, sliced_columns
from headway.components.evaluation.golden import golden_rows
from headway.components.evaluation.groups import GAP_METRICS, Gap, measure_gap
from headway.components.evaluation.measure import measure, outcomes_of, skill
from headway.components.evaluation.result import Result
from headway.components.evaluation.rows import read_rows
from headway.components.evaluation.speed import calls_to_bound_tail, time_model
from headway.components.evaluation.threshold import Threshold, find_threshold


@dataclass(frozen=True)
class Question:
    """What an evaluation is to find out.

    Attributes:
        settings: How to measure.
        gates: What will be asked of the result.
        primary: The leading metric.
        seed: Of the folds that choose the threshold, and of the calibration error's bootstrap.
    """

    settings: Evaluation
    gates: Gates
    primary: Metric
    seed: int


def examine(model: LoadedModel, folder: Path, dataset: Dataset, champion: LoadedModel | str, asked: Question) -> Result:
    """Measures a model.

    Args:
        model: The model.
        folder: Where it lies.
        dataset: Held-out rows.
        champion: To compare with, or the words why there is none.
        asked: What to find out.
    """
    settings, confidence = asked.settings, asked.settings.confidence
    manifest, schema = model.manifest, model.manifest.schema_
    rows = read_rows(dataset, manifest, settings, _columns(manifest, champion, asked))
    automatic = settings.slices == "auto"
    columns = automatic_columns(rows.frame, schema, manifest.target) if automatic else list(settings.slices)
    slices = slice_rows(rows.frame, list(dict.fromkeys([*columns, *sliced_columns(asked.gates)])))
    known = known_slices(rows.frame, schema, sliced_columns(asked.gates))
    check_slices(asked.gates, known, [piece.name for piece in slices])

    predictions = model.predict(rows.frame)
    raw = outcomes_of(predictions, rows.actual, manifest)
    blocks = widest(raw, rows.blocks, asked.primary, confidence=confidence)
    threshold, outcomes = _labelled(raw, blocks, asked)
    measured = measure(outcomes, blocks, confidence=confidence)
    by_metric = {
        name: measure_slices(
            slices,
            metrics_of(manifest.task)[name],
            outcomes,
            blocks,
            min_support=settings.min_support,
            confidence=confidence,
        )
        for name in {asked.primary.name: 0}
        | {g.metric: 0 for g in asked.gates.root.values() if isinstance(g, SliceGate)}
    }
    comparison: Comparison | str
    gains = {}
    if isinstance(champion, str):
        comparison = champion
    else:
        theirs = _labelled(
            outcomes_of(predict_champion(champion, rows.frame), rows.actual, champion.manifest), blocks, asked
        )[1]
        digest = champion.manifest.model_digest
        comparison = compare(measured, outcomes, theirs, digest, blocks, confidence=confidence)
        supported = {s.name for s in by_metric[asked.primary.name] if s.single is not None}
        pieces = [piece for piece in slices if piece.name in supported]
        gains = compare_slices(pieces, asked.primary, outcomes, theirs, blocks, confidence=confidence)
    skills = {name: skill(found, blocks, confidence=confidence) for name, found in measured.items()}
    return Result(
        manifest=manifest,
        data_fingerprint=dataset.fingerprint,
        settings=settings,
        outcomes=outcomes,
        span=rows.span,
        blocks=blocks,
        primary=asked.primary,
        measured=measured,
        skills={name: gain for name, gain in skills.items() if gain is not None},
        classes=measure_classes(outcomes, blocks, confidence=confidence),
        threshold=threshold,
        calibration=calibrate(outcomes, numbers_of(blocks), confidence=confidence, seed=asked.seed),
        slices=by_metric,
        slice_gains=gains,
        gaps=_gaps(rows.frame, outcomes, blocks, asked),
        comparison=comparison,
        speed=time_model(model, rows.frame, folder, calls=_calls(asked), confidence=confidence),
        unseen=_unseen(rows.frame, manifest, folder),
        golden=golden_rows(
            rows.frame,
            model,
            predictions,
            threshold=None if threshold is None else threshold.value,
            count=settings.golden_rows,
        ),
    )


def _columns(manifest: ModelManifest, champion: LoadedModel | str, asked: Question) -> list[str]:
    """What is needed beside the model's features and the columns with roles."""
    theirs = [] if isinstance(champion, str) else [f.name for f in champion.manifest.features]
    text = [c.name for c in manifest.schema_.columns if c.type in ("string", "boolean")]
    sliced = text if asked.settings.slices == "auto" else list(asked.settings.slices)
    return [*theirs, *sliced, *asked.settings.groups, *sliced_columns(asked.gates), *gap_columns(asked.gates)]


def _labelled(raw: Outcomes, blocks: Blocks | None, asked: Question) -> tuple[Threshold | None, Outcomes]:
    """Labels by the threshold; those of the model itself where there is none to choose."""
    if raw.task != "binary" or raw.probabilities is None:
        return None, raw
    costs = asked.settings.costs
    threshold = find_threshold(
        raw.actual,
        raw.probabilities[:, 1],
        costs=costs,
        given=asked.settings.threshold,
        blocks=numbers_of(blocks),
        seed=asked.seed,
    )
    stated = None if costs is None else (costs.false_positive, costs.false_negative)
    return threshold, replace(raw, predicted=threshold.labels, costs=stated)


def _gaps(frame: pl.DataFrame, outcomes: Outcomes, blocks: Blocks | None, asked: Question) -> Sequence[Gap]:
    """The usual gaps of every group column, and those that gates ask for."""
    wanted = {(column, name): 0 for column in asked.settings.groups for name in GAP_METRICS[outcomes.task]}
    wanted |= {(gate.column, gate.metric): 0 for gate in asked.gates.root.values() if gate.kind == "gap"}
    pieces: dict[str, list[Slice]] = {column: slice_rows(frame, [column]) for column, _ in wanted}
    return [
        measure_gap(
            pieces[column],
            metrics_of(outcomes.task)[name],
            outcomes,
            blocks,
            min_support=asked.settings.min_support,
            confidence=asked.settings.confidence,
        )
        for column, name in wanted
    ]


def _calls(asked: Question) -> int:
    gated = any(gate.metric == "latency_p99_ms" for gate in asked.gates.root.values())
    return asked.settings.latency_calls or (max(400, calls_to_bound_tail(asked.settings.confidence)) if gated else 100)


def _unseen(frame: pl.DataFrame, manifest: ModelManifest, folder: Path) -> dict[str, int]:
    """Feature to the number of rows with a text value that the training data does not hold."""
    if manifest.reference_profile is None:
        return {}
    profile = read_profile(folder / manifest.reference_profile)
    found = {}
    for feature in manifest.features:
        column = profile.column(feature.name)
        known = column.value_counts() if column is not None and feature.type == "string" else {}
        if known:
            values = frame[feature.name].drop_nulls().cast(pl.String)
            found[feature.name] = int((~values.is_in([str(k) for k in known])).sum())
    return {name: count for name, count in found.items() if count}

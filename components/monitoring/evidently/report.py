"""The step `report_to_evidently`: a window's drift as a report of Evidently, and in its workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import polars as pl
from evidently import DataDefinition, Dataset, Report
from evidently.core.report import Snapshot
from evidently.presets import DataDriftPreset, DataSummaryPreset

from headway.components._shared.artifacts import Artifact, describe, read_document
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import Profile, read_profile
from headway.components._shared.profiles.references import read_reference
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State, checked_model_name
from headway.components._shared.steps import decided, keep_report, step
from headway.components._shared.times import format_time, parse_time
from headway.components.monitoring.drift.columns import ColumnResult
from headway.components.monitoring.drift.measures import Measure
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.evidently.figures import figures_of
from headway.components.monitoring.evidently.workspace import add_snapshot

# What Evidently calls our measures.
_THEIRS: dict[Measure, str] = {
    "psi": "psi",
    "jensen_shannon": "jensenshannon",
    "kullback_leibler": "kl_div",
    "wasserstein": "wasserstein",
    "kolmogorov_smirnov": "ks",
    "total_variation": "TVD",
}


@step("report_to_evidently")
def report_to_evidently(
    reference: Artifact,
    profile: Artifact,
    findings: Artifact,
    report: Artifact,
    *,
    model_name: str,
    start: str,
    end: str,
    workspace_uri: str | None = None,
    state_uri: str | None = None,
) -> None:
    """Writes the report, and adds it to the history of the model in the workspace."""
    known, now = read_reference(reference.path), read_profile(profile.path)
    if known is None:
        raise HeadwayError(
            "drift.no_reference",
            "There is no champion, so there is nothing to compare with.",
            remedy="Give what detect_drift was given.",
        )
    result = read_document(findings, DriftResult, "findings", "detect_drift")
    place = workspace_uri or (State(state_uri).uri_of("evidently") if state_uri else None)
    snapshot, left_out = draw(known, now, result, checked_model_name(model_name), start, end)
    Path(report.path).parent.mkdir(parents=True, exist_ok=True)
    snapshot.save_html(report.path)
    keep_report(report.path)
    said = f"{counted(now.sample.height, 'row')} of {now.rows} beside {known.sample.height} of {known.rows}"
    if left_out:
        said += f"; Evidently cannot compare {', '.join(left_out)}"
    if place:
        key = "/".join((result.model_digest or "", *_times(start, end), result.fingerprint or now.digest()))
        measures = [(column.name, str(column.measure)) for column in result.columns if column.measure]
        added = add_snapshot(place, model_name, snapshot, key, measures)
        describe(report, snapshot=added)
    decided(said, rows=now.sample.height)


def draw(
    reference: Profile, current: Profile, result: DriftResult, model_name: str, start: str, end: str
) -> tuple[Snapshot, list[str]]:
    """Evidently's report of a window, with our figures first, and which columns its presets cannot compare.

    Args:
        reference: What the model has learned from; of it and of the window Evidently sees the samples.
        current: The window.
        result: What detect_drift has found of both.
        model_name: The endpoint.
        start: Of the window.
        end: Of the window.

    Raises:
        HeadwayError: `drift.no_rows`.
    """
    if not current.rows or not reference.rows:
        raise HeadwayError(
            "drift.no_rows", "There is a profile without rows.", remedy="Give a window that has some, and a reference."
        )
    compared = [column for column in result.columns if column.measure and not column.not_compared]
    frames = [_frame(side.sample, compared) for side in (reference, current)]
    usable = [column for column in compared if all(frame[column.name].notna().any() for frame in frames)]
    left_out = [column.name for column in result.columns if column not in usable]
    numbers = [column.name for column in usable if column.type in ("integer", "number")]
    categories = [column.name for column in usable if column.name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    metrics = [*figures_of(result), *(_presets(usable) if usable else [])]
    named = numbers + categories
    before, now = (Dataset.from_pandas(frame[named] if named else _NOTHING, definition) for frame in frames)
    first, last = _times(start, end)
    about = {
        "model": result.model_digest or "none",
        "start": first,
        "end": last,
        "sampled rows": f"{len(frames[1])} of {current.rows}",
        "sampled rows of the reference": f"{len(frames[0])} of {reference.rows}",
    }
    made = Report(metrics, metadata=about, tags=["headway"], include_tests=False)
    at = parse_time(end).replace(tzinfo=None)
    return made.run(now, before, timestamp=at, name=f"{model_name} {first} to {last}"), left_out


# Evidently wants a row even where only known figures are shown.
_NOTHING = pd.DataFrame({"none": [0]})


def _times(start: str, end: str) -> tuple[str, str]:
    return format_time(parse_time(start)), format_time(parse_time(end))


def _presets(columns: Sequence[ColumnResult]) -> list[object]:
    """Its presets, by our measures and limits, so that both speak of the same."""
    methods = {column.name: _THEIRS[column.measure] for column in columns if column.measure}
    # Of Kolmogorov and Smirnov it asks for a p-value instead.
    judged = [column for column in columns if column.measure != "kolmogorov_smirnov"]
    limits = {column.name: found.limit for column in judged if (found := column.finding("values"))}
    return [DataDriftPreset(per_column_method=methods, per_column_threshold=limits), DataSummaryPreset()]


def _frame(sample: pl.DataFrame, columns: Sequence[ColumnResult]) -> pd.DataFrame:
    """What Evidently can read: numbers without infinities, and text."""
    wanted = []
    for column in columns:
        values = sample[column.name]
        if column.type in ("integer", "number"):
            numbers = values.cast(pl.Float64)
            wanted.append(pl.select(pl.when(numbers.is_finite()).then(numbers)).to_series().alias(column.name))
        else:
            wanted.append(values.cast(pl.String))
    return pl.DataFrame(wanted).to_pandas()

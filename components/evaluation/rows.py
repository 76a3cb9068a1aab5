"""Reads the rows that a model is measured on, and says which of them depend on each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.datasets import Dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted
from headway.components._shared.schemas import Role, Schema, require_columns
from headway.components._shared.statistics.blocks import MIN_BLOCKS, Blocks, blocks_by
from headway.components._shared.statistics.estimates import Floats
from headway.components._shared.times import format_time
from headway.components.evaluation.config import Dependence, Evaluation

MIN_ROWS = 30
# Values of columns with these roles name a person or a row, and must not reach a report.
_NAMING: tuple[Role, ...] = ("id", "entity", "subject", "personal")


@dataclass(frozen=True)
class Rows:
    """Rows to measure on.

    Attributes:
        frame: All columns that anything here needs.
        actual: Shape (rows,): class numbers in the model's order, or the target's values.
        blocks: Candidates for dependence, by the evaluation's setting; empty for independent rows.
        span: Earliest and latest time, ISO 8601; None without a time column.
    """

    frame: pl.DataFrame
    actual: Floats
    blocks: tuple[Blocks, ...]
    span: tuple[str, str] | None


def read_rows(
    dataset: Dataset, manifest: ModelManifest, evaluation: Evaluation, more_columns: Iterable[str] = ()
) -> Rows:
    """Reads the rows that a model is measured on.

    Args:
        dataset: With the model's features and its target.
        manifest: The model's.
        evaluation: How it is measured.
        more_columns: What else is needed, if it is there, such as the champion's features.

    Raises:
        HeadwayError: `data.column_missing`, `evaluation.too_few_rows`, `evaluation.target_null`,
            `evaluation.target_not_finite`, `evaluation.target_one_class`, `evaluation.label_unknown`,
            `evaluation.too_few_blocks`.
    """
    have = list(dataset.columns)
    schema = manifest.schema_
    require_columns(have, [f.name for f in manifest.features], what="The evaluation data")
    require_columns(have, [manifest.target], what="The evaluation data")
    named = [evaluation.dependence.column] if isinstance(evaluation.dependence, Dependence) else []
    require_columns(have, named, what="The evaluation data")
    roles = [c.name for c in schema.columns if {"id", "time", "group", "subject", "entity"}.intersection(c.roles)]
    wanted = {f.name for f in manifest.features} | {manifest.target, *roles, *named, *more_columns}
    frame = dataset.read([name for name in have if name in wanted])
    if frame.height < MIN_ROWS:
        raise HeadwayError(
            "evaluation.too_few_rows",
            f"The evaluation data has {counted(frame.height, 'row')}, too few to measure anything.",
            value=frame.height,
            remedy=f"Evaluate on at least {MIN_ROWS} rows, better on thousands: widen the test window.",
        )
    return Rows(
        frame, _actual(frame[manifest.target], manifest), find_blocks(frame, schema, evaluation), _span(frame, schema)
    )


def check_showable(schema: Schema, columns: Iterable[str], *, parameter: str) -> None:
    """Refuses columns whose values must not reach a report, and columns that the schema does not know.

    Raises:
        HeadwayError: `evaluation.column_unknown` or `evaluation.column_personal`.
    """
    for name in columns:
        column = schema.column(name)
        if column is None:
            raise HeadwayError(
                "evaluation.column_unknown",
                f"{parameter} names a column that the model's schema does not know.",
                value=name,
                remedy=f"Name one of {', '.join(c.name for c in schema.columns)}.",
            )
        if set(_NAMING).intersection(column.roles):
            raise HeadwayError(
                "evaluation.column_personal",
                f"{parameter} names a column whose values may identify somebody; they must not reach a report.",
                value=name,
                remedy="Name a coarser column, or correct the column's roles in the schema.",
            )


def _actual(target: pl.Series, manifest: ModelManifest) -> Floats:
    nulls = target.null_count()
    if nulls:
        raise HeadwayError(
            "evaluation.target_null",
            f"The target {target.name!r} is missing in {nulls:,} of {len(target):,} rows.",
            value=nulls,
            remedy="Set rows without a label aside before the evaluation: split_data does and counts them.",
        )
    if manifest.task == "regression":
        values: Floats = target.cast(pl.Float64).to_numpy()
        infinite = int((~np.isfinite(values)).sum())
        if infinite:
            raise HeadwayError(
                "evaluation.target_not_finite",
                f"The target {target.name!r} is infinite or not a number in {counted(infinite, 'row')}.",
                value=infinite,
                remedy="Correct or leave out these rows at ingestion.",
            )
        return values
    numbers = {label: number for number, label in enumerate(manifest.classes)}
    labels = target.unique().to_list()
    unknown = sorted(str(label) for label in labels if label not in numbers)
    if unknown:
        raise HeadwayError(
            "evaluation.label_unknown",
            f"The target {target.name!r} has labels that the model was not trained on: {', '.join(unknown[:10])}.",
            value=unknown[:10],
            remedy=f"Train on all labels, or correct the data; known are {', '.join(map(str, manifest.classes))}.",
        )
    if len(labels) < 2:
        raise HeadwayError(
            "evaluation.target_one_class",
            f"The target {target.name!r} has only one class in the evaluation data, so nothing can be told apart.",
            value=str(labels[0]),
            remedy="Widen the test window, or stratify the split, so that at least two classes occur.",
        )
    return np.array([numbers[label] for label in target.to_list()], dtype=np.float64)


def find_blocks(frame: pl.DataFrame, schema: Schema, evaluation: Evaluation) -> tuple[Blocks, ...]:
    """The ways in which rows may depend on each other, by the evaluation's setting.

    Raises:
        HeadwayError: `evaluation.too_few_blocks`: of a column that was named.
    """
    setting = evaluation.dependence
    if setting == "none":
        return ()
    if isinstance(setting, Dependence):
        named = blocks_by(frame, setting.column, setting.period)
        if named.count < MIN_BLOCKS:
            raise HeadwayError(
                "evaluation.too_few_blocks",
                f"`dependence` makes {counted(named.count, 'block')} ({named.words}) of these rows, too few to tell "
                "how blocks differ.",
                value=setting.column,
                remedy=f"Take a shorter `period` or another column, so that there are at least {MIN_BLOCKS}.",
            )
        return (named,)
    roles: tuple[Role, ...] = ("group", "subject", "entity")
    found = [blocks_by(frame, name, None) for role in roles for name in schema.names(role) if name in frame.columns]
    found += [blocks_by(frame, name, "1d") for name in schema.names("time") if name in frame.columns]
    return tuple(b for b in found if MIN_BLOCKS <= b.count < frame.height)


def _span(frame: pl.DataFrame, schema: Schema) -> tuple[str, str] | None:
    names = [name for name in schema.names("time") if name in frame.columns]
    if not names:
        return None
    times = frame[names[0]].cast(pl.Datetime("us"), strict=False)
    low, high = times.min(), times.max()
    return None if low is None or high is None else (format_time(low), format_time(high))  # type: ignore[arg-type]

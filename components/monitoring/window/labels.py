"""The labels of a window: those that were known by the cutoff, one an id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.datasets import Dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import ID, id_column, logged_ids
from headway.components._shared.schemas import require_columns

LABEL_TIME = "_label_time"


@dataclass(frozen=True)
class Labels:
    """Labels by id.

    Attributes:
        frame: `_id`, the target under its own name (classes as text), `_label_time` where that is known.
        target: Name of the target.
        given: Rows of the dataset.
        later: Left out, since they became known after the cutoff.
        missing: Left out, since they have no value.
        unknown_class: Left out, since the model has no such class.
        repeated: Left out, since the same id has the same label once more.
        conflicts: Ids with different labels: the one that became known last counts, none where that is not known.
    """

    frame: pl.DataFrame
    target: str
    given: int
    later: int = 0
    missing: int = 0
    unknown_class: int = 0
    repeated: int = 0
    conflicts: int = 0


def read_labels(dataset: Dataset, manifest: ModelManifest, cutoff: datetime | None) -> Labels:
    """Reads labels: a dataset with the model's id column and its target, as training had them.

    Args:
        dataset: The labels; other columns but that with the role `label_time` are ignored.
        manifest: Of the model.
        cutoff: Only what was known by then counts; needs a column with the role `label_time`.

    Raises:
        HeadwayError: `data.column_missing`, `labels.no_id`, `labels.no_time`, `labels.no_class_known`.
    """
    by = id_column(manifest)
    if by is None:
        raise HeadwayError(
            "labels.no_id",
            "The model's schema has no column with the role id, so labels and rows cannot find each other.",
            remedy="Give one column the role id at ingestion, and train again; callers then send it along.",
        )
    known_at = next((n for n in manifest.schema_.names("label_time") if n in dataset.columns), None)
    if cutoff is not None and known_at is None:
        raise HeadwayError(
            "labels.no_time",
            "A cutoff was given, and the labels do not say when they became known.",
            value=manifest.schema_.names("label_time") or None,
            remedy="Give the labels the column that has the role label_time, or leave the cutoff out.",
        )
    target = manifest.target
    require_columns(dataset.columns, [by.name, target], what="The dataset of labels")
    read = dataset.read([by.name, target, *([known_at] if known_at else [])])
    frame = pl.DataFrame(
        [
            pl.Series(ID, logged_ids(read[by.name], by), dtype=pl.String()),
            _as_logged(read[target], manifest).alias(target),
            *([read[known_at].cast(pl.Datetime("us", "UTC")).alias(LABEL_TIME)] if known_at else []),
        ]
    )
    counts: dict[str, int] = {}
    if cutoff is not None:
        frame, counts["later"] = _kept(frame, pl.col(LABEL_TIME) <= cutoff)
    frame, counts["missing"] = _kept(frame, pl.col(target).is_not_null())
    if manifest.classes:
        classes = [str(label) for label in manifest.classes]
        frame, counts["unknown_class"] = _kept(frame, pl.col(target).is_in(classes))
        _require_a_class(frame, counts["unknown_class"], classes)
    before = frame.height
    frame = frame.unique([ID, target], keep="first", maintain_order=True) if not known_at else _first_known(frame)
    counts["repeated"] = before - frame.height
    frame, counts["conflicts"] = _without_conflicts(frame)
    return Labels(frame, target, read.height, **counts)


def _as_logged(values: pl.Series, manifest: ModelManifest) -> pl.Series:
    """Classes as the log has them, as text; numbers as numbers."""
    if not manifest.classes:
        return values.cast(pl.Float64())
    if values.dtype == pl.Boolean():
        return values.replace_strict({True: "True", False: "False"}, default=None, return_dtype=pl.String())
    if values.dtype.is_float() and all(isinstance(label, int) for label in manifest.classes):
        values = values.cast(pl.Int64(), strict=False)
    return values.cast(pl.String())


def _kept(frame: pl.DataFrame, condition: pl.Expr) -> tuple[pl.DataFrame, int]:
    kept = frame.filter(condition)
    return kept, frame.height - kept.height


def _first_known(frame: pl.DataFrame) -> pl.DataFrame:
    """Each label of each id with the time at which it was first known."""
    return frame.sort(LABEL_TIME).unique([ID, frame.columns[1]], keep="first", maintain_order=True)


def _without_conflicts(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """One label an id: the last one where times tell which that is, none where they do not."""
    twice = frame.filter(pl.col(ID).is_duplicated())
    conflicts = twice[ID].n_unique()
    if not conflicts:
        return frame, 0
    single = frame.filter(pl.col(ID).is_unique())
    if LABEL_TIME not in frame.columns:
        return single, conflicts
    last = twice.filter(pl.col(LABEL_TIME) == pl.col(LABEL_TIME).max().over(ID)).filter(pl.col(ID).is_unique())
    return pl.concat([single, last]), conflicts


def _require_a_class(frame: pl.DataFrame, unknown: int, classes: list[str]) -> None:
    if unknown and not frame.height:
        raise HeadwayError(
            "labels.no_class_known",
            f"None of {unknown:,} labels is a class of the model.",
            value=classes[:20],
            remedy="Prepare the labels as the training data was: the same names of the classes.",
        )

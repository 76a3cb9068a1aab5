"""Divides the training rows into folds: by time, by group, stratified or at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import CrossValidation, Strategy
from headway.components._shared.reports.formats import counted
from headway.components.training.rows import Rows

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """Row numbers to learn from and to judge on."""

    train: Index
    test: Index


def make_folds(rows: Rows, cv: CrossValidation, seed: int) -> tuple[list[Fold], str]:
    """Makes the folds and says in words how.

    Raises:
        HeadwayError: `tuning.cv_impossible`.
    """
    strategy = _chosen(rows, cv)
    if strategy == "time":
        folds = _time_folds(rows, cv.folds)
        words = f"{cv.folds} folds in order of time, each learning from what came before it"
        if rows.known is not None:
            words += " and whose label was known by then"
    else:
        folds = _drawn_folds(rows, strategy, cv.folds, seed)
        words = {
            "group": f"{cv.folds} folds with no group on both sides",
            "stratified": f"{cv.folds} folds with every class in its share",
            "random": f"{cv.folds} folds drawn at random",
        }[strategy]
    empty = [number for number, fold in enumerate(folds) if not len(fold.train) or not len(fold.test)]
    if empty or len(folds) < cv.folds:
        raise _impossible(cv, f"{len(rows):,} rows do not give {cv.folds} folds with rows on both sides.")
    return folds, words


def _chosen(rows: Rows, cv: CrossValidation) -> Strategy:
    has = {
        "time": rows.time is not None,
        "group": rows.group is not None,
        "stratified": rows.task != "regression",
        "random": True,
    }
    if cv.strategy == "auto":
        order: tuple[Strategy, ...] = ("time", "group", "stratified", "random")
        return next(strategy for strategy in order if has[strategy])
    if not has[cv.strategy]:
        why = "regression has no classes" if cv.strategy == "stratified" else f"the schema has no {cv.strategy} column"
        raise _impossible(cv, f"Folds by {cv.strategy!r} cannot be made: {why}.")
    return cv.strategy


def _time_folds(rows: Rows, count: int) -> list[Fold]:
    """Expanding window over count + 1 blocks; a block never begins within one moment, and labels are not foreseen."""
    time = rows.time
    assert time is not None
    if np.isnat(time).any():
        raise HeadwayError(
            "tuning.cv_impossible",
            f"The time is missing in {counted(int(np.isnat(time).sum()), 'row')}.",
            remedy="Drop these rows at ingestion, or choose another cv.strategy.",
        )
    cuts = [int(np.searchsorted(time, time[len(time) * block // (count + 1)])) for block in range(1, count + 1)]
    ends = [*cuts[1:], len(time)]
    folds = []
    for start, end in zip(cuts, ends, strict=True):
        train = np.arange(start)
        if rows.known is not None and start < len(time):
            train = train[rows.known[:start] <= time[start]]
        folds.append(Fold(train, np.arange(start, end)))
    return folds


def _drawn_folds(rows: Rows, strategy: Strategy, count: int, seed: int) -> list[Fold]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    splitter: Any = {
        "group": (GroupKFold if rows.task == "regression" else StratifiedGroupKFold),
        "stratified": StratifiedKFold,
        "random": KFold,
    }[strategy](n_splits=count, shuffle=True, random_state=seed)
    try:
        parts = list(splitter.split(np.zeros(len(rows)), rows.codes(), rows.group))
    except ValueError as error:
        raise _impossible(CrossValidation(strategy=strategy, folds=count), f"{error}") from None
    return [Fold(np.sort(train), np.sort(test)) for train, test in parts]


def _impossible(cv: CrossValidation, why: str) -> HeadwayError:
    return HeadwayError(
        "tuning.cv_impossible",
        why,
        value=cv.model_dump(),
        remedy="Give the schema the role that it needs, choose another cv.strategy, or fewer folds.",
    )

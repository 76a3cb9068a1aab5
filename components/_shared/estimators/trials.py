"""What a trial is told: everything about it but the searched parameters. Written by tuning, read by training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from headway.components._shared.config import Config
from headway.components._shared.estimators.codings import Coding

Strategy = Literal["auto", "time", "group", "stratified", "random"]


class CrossValidation(Config):
    """How the training data is divided to judge parameters; evaluation data is never touched.

    Attributes:
        strategy: `time`: each fold learns from what came before it; needs a time column. `group`: no group is on
            both sides; needs a group column. `stratified`: every class in its share. `random`. `auto` takes the
            first of these that the schema and the task allow.
        folds: Number of folds.
    """

    strategy: Strategy = "auto"
    folds: int = Field(default=3, ge=2, le=20)


class TrialSpec(Config):
    """A trial without its parameters.

    Attributes:
        data: Folder of the training Dataset; a relative one lies beside the file of this spec.
        schema_path: File of its Schema; a relative one too.
        estimator: Import path.
        params: Parameters that every trial shares; the searched ones are laid over them.
        searched: Names of the searched parameters.
        class_weight: As in train_model.
        objective: Name of the objective; None for the task's usual one.
        cv: How the folds are made.
        rows: At most so many rows, evenly spaced in time; None for all.
        seed: Seed of everything random.
        codings: How a search service writes the searched parameters.
        code_digest: The code that a trial must run; None for any.
        data_fingerprint: The data that it must find; None for any.
    """

    data: str
    schema_path: str
    estimator: str
    params: dict[str, Any] = {}
    searched: tuple[str, ...] = ()
    class_weight: dict[str, Any] = {}
    objective: str | None = None
    cv: CrossValidation = CrossValidation()
    rows: int | None = Field(default=None, ge=2)
    seed: int = 0
    codings: dict[str, Coding] = {}
    code_digest: str | None = None
    data_fingerprint: str | None = None


class Setting(Config):
    """What the trials will work on, as their own code sees it.

    Attributes:
        rows: Rows that the trials use.
        available: Rows of the training data.
        task: binary, multiclass or regression.
        objective: What is optimised, in its natural unit.
        direction: Which way is better.
        cv: How the folds were made, in words.
        folds: Number of folds.
        test_to_train: Mean over folds of validation rows per training row.
        defaults: The estimator's parameters where `params` says nothing.
        code_digest: Of the code that the trials run.
        data_fingerprint: Of the training data.
        schema_digest: Of its schema.
    """

    rows: int
    available: int
    task: Literal["binary", "multiclass", "regression"]
    objective: str
    direction: Literal["maximize", "minimize"]
    cv: str
    folds: int
    test_to_train: float
    defaults: dict[str, Any]
    code_digest: str
    data_fingerprint: str
    schema_digest: str


def falls_behind(values: Sequence[float], bars: Sequence[float], direction: Literal["maximize", "minimize"]) -> bool:
    """Whether a trial's mean so far is worse than the bar after its last fold."""
    if not values or len(values) > len(bars):
        return False
    mean, bar = sum(values) / len(values), bars[len(values) - 1]
    return mean < bar if direction == "maximize" else mean > bar

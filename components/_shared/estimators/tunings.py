"""The result of a search for parameters: what tuning writes and training reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from headway.components._shared.config import Config, parse
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import dump_json


class Trial(Config):
    """One set of parameters and how it did.

    Attributes:
        number: 0 is the baseline.
        params: The estimator's parameters, base ones included.
        state: `succeeded`, `pruned` (stopped early: worse than the median), or `failed`.
        folds: The objective on each fold that was fitted.
        value: Mean over all folds; None unless succeeded.
        cause: Why it failed or was pruned.
        log: The last lines of what its process said, where that ended badly.
        seconds: Wall time.
        code_digest: Of the code; a trial that finds other code fails.
        data_fingerprint: Of the training data; a trial that finds other data fails.
    """

    number: int
    params: dict[str, Any]
    state: Literal["succeeded", "pruned", "failed"]
    folds: tuple[float, ...] = ()
    value: float | None = None
    cause: str | None = None
    log: str | None = None
    seconds: float = 0.0
    code_digest: str | None = None
    data_fingerprint: str | None = None


class Gain(Config):
    """What the best parameters gained over the baseline, in the objective's unit; positive is better.

    Attributes:
        value: Mean difference over the folds.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Of the interval.
        without_selection: The same, each fold judged by parameters that were chosen on the other folds.
    """

    value: float
    low: float
    high: float
    confidence: float
    without_selection: float


class TuningResult(Config):
    """What a search found.

    Attributes:
        estimator: Import path.
        params: The best parameters, complete.
        objective: What was optimised, in its natural unit.
        direction: `maximize` or `minimize`.
        best_trial: Its number; 0 means that the baseline was not beaten.
        best_value: Its objective.
        baseline_value: The baseline's objective; None if it failed.
        gain: Best over baseline; None if there is nothing to compare.
        reason: What was decided and how far to trust it, in words.
        engine: Who ran the trials.
        cv: How the folds were made.
        rows: Rows that the trials used.
        trials: All of them, in order.
        code_digest: Of the code that the trials ran.
        data_fingerprint: Of the training data.
        schema_digest: Of its schema.
        seed: Seed of everything random.
    """

    schema_version: Literal[1] = 1
    kind: Literal["tuning"] = "tuning"
    estimator: str
    params: dict[str, Any]
    objective: str
    direction: Literal["maximize", "minimize"]
    best_trial: int
    best_value: float
    baseline_value: float | None
    gain: Gain | None
    reason: str
    engine: str
    cv: str
    rows: int
    trials: tuple[Trial, ...]
    code_digest: str
    data_fingerprint: str
    schema_digest: str
    seed: int


def write_tuning(result: TuningResult, path: str | Path) -> None:
    """Writes a tuning result (one JSON file)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(dump_json(result.model_dump(mode="json")))


def read_tuning(path: str | Path) -> TuningResult:
    """Reads a tuning result.

    Raises:
        HeadwayError: `tuning.unreadable`.
    """
    try:
        given = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        given = None
    if not isinstance(given, dict) or given.get("kind") != "tuning":
        raise HeadwayError(
            "tuning.unreadable",
            "This is not the result of a search for parameters.",
            value=Path(path).name,
            remedy="Pass the output `tuning` of tune_model unchanged.",
        )
    return parse(TuningResult, given, parameter="tuning")

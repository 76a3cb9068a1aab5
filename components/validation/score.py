"""The quality score: one number for a dataset, and its past values."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime

from headway.components._shared.config import Config
from headway.components._shared.state import State, dump_json, run_id
from headway.components._shared.times import format_time
from headway.components.validation.findings import Finding

WEIGHTS = {"error": 1.0, "warning": 0.5, "info": 0.0}
LEAST = 0.05  # what a finding costs its column however few rows it concerns, before its weight
FORMULA = (
    "Every column, and the dataset as a whole, starts at 1. Each finding takes away its weight (error 1, warning 0.5, "
    "info 0) times the share of rows that it concerns, but at least 5%; nothing falls below 0. The score is the mean."
)
SHOWN = 60


class PastScore(Config):
    """One entry of a model's quality history.

    Attributes:
        time: When the data was judged first.
        data_end: Last time in the data, where it has times.
        run_id: Pipeline run.
        fingerprint: Of the data.
        rows: Number of rows.
        score: Quality score.
        errors: Number of errors.
        warnings: Number of warnings.
    """

    schema_version: int = 1
    time: str
    data_end: str | None = None
    run_id: str | None = None
    fingerprint: str
    rows: int
    score: float
    errors: int
    warnings: int


def quality_score(columns: Sequence[str], findings: Sequence[Finding]) -> float:
    """The score by `FORMULA`.

    Args:
        columns: Names of the contract's columns.
        findings: All findings; those about other columns count against the dataset.
    """
    left = dict.fromkeys([None, *columns], 1.0)
    for finding in findings:
        place = finding.column if finding.column in left else None
        left[place] = max(0.0, left[place] - WEIGHTS[finding.severity] * max(finding.share, LEAST))
    return sum(left.values()) / len(left)


def keep_score(state: State, model_name: str, score: PastScore, *digests: str) -> None:
    """Adds an entry to the history unless the same data was judged in the same way before.

    Args:
        state: Where the history is.
        model_name: The model.
        score: The entry.
        digests: Of the data, the contract and the checks.
    """
    moment = (score.data_end or "undated").replace(":", "")  # so that keys sort by the data's time
    entry = f"quality/{'_'.join([moment, *(digest[:12] for digest in digests)])}.json"
    state.storage.create(state.history_key(model_name, entry), dump_json(score.model_dump(mode="json")))


def past_scores(state: State, model_name: str) -> list[PastScore]:
    """The latest entries, oldest first, by the time of their data; damaged ones are left out."""
    entries = state.storage.list(state.history_key(model_name, "quality"))
    scores = []
    for entry in entries[-SHOWN:]:
        with contextlib.suppress(ValueError):
            scores.append(PastScore.model_validate_json(state.storage.read(entry.key)))
    return scores


def past_score(
    judged: datetime, data_end: datetime | None, fingerprint: str, rows: int, score: float, findings: Sequence[Finding]
) -> PastScore:
    """An entry of the history."""
    return PastScore(
        time=format_time(judged),
        data_end=None if data_end is None else format_time(data_end),
        run_id=run_id(),
        fingerprint=fingerprint,
        rows=rows,
        score=score,
        errors=sum(finding.severity == "error" for finding in findings),
        warnings=sum(finding.severity == "warning" for finding in findings),
    )

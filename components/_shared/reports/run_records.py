"""What the steps of a run left behind, read together: how each ended, when, and where its report is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from headway.components._shared.state import State
from headway.components._shared.times import parse_time


@dataclass(frozen=True)
class Failure:
    """Why a step failed, as its error says."""

    code: str
    message: str
    remedy: str
    value: str | None = None


@dataclass(frozen=True)
class StepEnd:
    """How one step ended.

    Attributes:
        step: The component's name.
        status: `adopted` when an earlier run's result was served again.
        started: When it began; for an adopted step, when that earlier run's did.
        seconds: Wall time.
        decision: What it decided, in one line.
        rows: Rows handled.
        cpu_seconds: Processor time.
        peak_memory_bytes: Peak resident memory.
        details: What else it recorded.
        adopted_from: The run whose result was served again.
        failure: Why it failed.
        report: Key of its report below the run's folder.
    """

    step: str
    status: Literal["succeeded", "adopted", "failed"]
    started: datetime
    seconds: float
    decision: str = ""
    rows: int | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    adopted_from: str | None = None
    failure: Failure | None = None
    report: str | None = None

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return self.started + timedelta(seconds=self.seconds)


def read_run(state: State, run: str, order: Sequence[str] | None = None) -> list[StepEnd]:
    """Every step of a run that left a record. Of a step that was tried again, the last attempt counts.

    Args:
        state: Where the records are.
        run: The run's id.
        order: Names of steps, as they shall stand; the others follow by the time at which they began.
    """
    root = state.run_key(run, "")
    names = [stat.key.removeprefix(root) for stat in state.storage.list(root.rstrip("/"))]
    reports = {name for name in names if name.startswith("reports/")}
    last: dict[str, StepEnd] = {}
    for name in names:
        if name.startswith(("steps/", "failures/")) and name.endswith(".json"):
            end = _step_end(state.read_json(root + name), reports)
            if end.step not in last or end.ended >= last[end.step].ended:
                last[end.step] = end
    rank = {step: position for position, step in enumerate(order or ())}
    return sorted(last.values(), key=lambda end: (rank.get(end.step, len(rank)), end.started, end.step))


def failures(ends: Sequence[StepEnd]) -> list[tuple[StepEnd, Failure]]:
    """The failed steps with their causes, the earliest first."""
    failed = [(end, end.failure) for end in ends if end.failure is not None]
    return sorted(failed, key=lambda pair: pair[0].ended)


def refusals(ends: Sequence[StepEnd]) -> list[StepEnd]:
    """Steps that did their work and refused to let the model go on."""
    return [end for end in ends if end.details.get("outcome") == "refused"]


def _step_end(record: Mapping[str, Any], reports: set[str]) -> StepEnd:
    step, status = str(record["step"]), record["status"]
    report = f"reports/{step}.html"
    failure = None
    if status == "failed":
        failure = Failure(record["code"], record["message"], record["remedy"], record.get("value"))
    return StepEnd(
        step=step,
        status=status,
        started=parse_time(record.get("started") or record["time"]),
        seconds=float(record.get("seconds") or 0),
        decision=record.get("decision") or "",
        rows=record.get("rows"),
        cpu_seconds=record.get("cpu_seconds"),
        peak_memory_bytes=record.get("peak_memory_bytes"),
        details=record.get("details") or {},
        adopted_from=record.get("adopted_from"),
        failure=failure,
        report=report if report in reports else None,
    )

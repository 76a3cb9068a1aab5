"""What happens around the work of every step: logs, its one closing line, its record, and its failure record."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import UNUSABLE, State, require_writable, run_id
from headway.components._shared.times import format_time, now

log = logging.getLogger("headway")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Step:
    """The step that is running: what it will say at its end."""

    name: str
    state: State | None
    run: str | None
    decision: str = ""
    rows: int | None = None
    details: dict[str, object] = field(default_factory=dict)


_current: ContextVar[Step | None] = ContextVar("step", default=None)


def decided(message: str, *, rows: int | None = None, **details: object) -> None:
    """States what the step did or decided; shown in its closing line, its record and the run's index page.

    Args:
        message: One line for a person, such as `blessed: AUC 0.712 [0.708, 0.716]`.
        rows: Rows handled.
        details: JSON values for the record (numbers must be finite).
    """
    step = _current.get()
    if step is not None:
        step.decision, step.rows = message, rows if rows is not None else step.rows
        step.details.update(details)


def keep_report(path: str | Path) -> str | None:
    """Copies a step's HTML report beside its record, where it stays readable when the step fails; gives its address."""
    step = _current.get()
    if step is None or step.state is None or step.run is None:
        return None
    key = step.state.run_key(step.run, f"reports/{step.name}.html")
    step.state.storage.write(key, Path(path).read_bytes())
    return step.state.uri_of(key)


def step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function the work of a component.

    The function may take `state_uri: str | None`; with it and inside a run, the step leaves
    `runs/<run>/steps/<name>.json` or, when it fails, `runs/<run>/failures/<name>.json`.
    A `HeadwayError` ends the process with its message as the last line; a bug of ours with its traceback.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            _configure_logging()
            bound = inspect.signature(function).bind(*args, **kwargs).arguments
            state_uri = bound.get("state_uri")
            current = Step(name, State(str(state_uri)) if state_uri else None, run_id())
            token, started, cpu = _current.set(current), _began(), 0.0 if _in_executor() else _cpu_seconds()
            try:
                if state_uri:
                    require_writable(str(state_uri))
                result = function(*args, **kwargs)
            except HeadwayError as error:
                where = record_failure(current, error, started)
                _end_with_message(error, where)
                raise
            except Exception as error:
                bug = HeadwayError("bug", f"{type(error).__name__}: {error}", remedy="Please report this with its log.")
                record_failure(current, bug, started)
                raise
            finally:
                _current.reset(token)
            _record_success(current, format_time(started), (now() - started).total_seconds(), _cpu_seconds() - cpu)
            return result

        return run

    return decorate


def _record_success(step: Step, started: str, seconds: float, cpu_seconds: float) -> None:
    record: dict[str, object] = {
        "schema_version": 1,
        "step": step.name,
        "status": "succeeded",
        "started": started,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "rows": step.rows,
        "decision": step.decision,
        "details": step.details,
    }
    if step.state is not None and step.run is not None:
        step.state.write_json(step.state.run_key(step.run, f"steps/{step.name}.json"), record)
    rows = "" if step.rows is None else f", {step.rows:,} rows"
    log.info(
        f"{step.name}: {step.decision or 'done'} ({seconds:.1f} s, {cpu_seconds:.1f} CPU s, "
        f"{peak_memory_bytes() / 2**20:.0f} MiB{rows})"
    )


def record_failure(step: Step, error: HeadwayError, started: datetime) -> str | None:
    """Leaves the cause where an exit handler finds it; gives its address."""
    if step.state is None or step.run is None or error.code == UNUSABLE:
        return None
    record: dict[str, object] = {
        "schema_version": 1,
        "step": step.name,
        "status": "failed",
        "started": format_time(started),
        "seconds": round((now() - started).total_seconds(), 3),
        "time": format_time(now()),
        "peak_memory_bytes": peak_memory_bytes(),
        "attempt": int(os.environ.get("KFP_RETRY_INDEX") or 0),
        "code": error.code,
        "message": error.message,
        "value": None if error.value is None else str(error.value),
        "remedy": error.remedy,
    }
    return step.state.write_json(step.state.run_key(step.run, f"failures/{step.name}.json"), record)


def _end_with_message(error: HeadwayError, where: str | None) -> None:
    """Inside a KFP executor the last line is the message, not a traceback."""
    if where:
        error.args = (f"{error} Record: {where}",)
    if _in_executor():
        log.error(error.args[0])
        sys.stdout.flush()
        sys.stderr.flush()
        sys.exit(1)


def _in_executor() -> bool:
    """Whether this process is a KFP step and nothing else."""
    return os.environ.get("_KFP_RUNTIME") == "true"


def _began() -> datetime:
    """When the step began: a KFP step with its process, so that its imports count."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        age = 0.0
    return now() - timedelta(seconds=age if _in_executor() else 0.0)


def peak_memory_bytes() -> int:
    """Peak resident memory of this process since its start."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": format_time(now()), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _configure_logging() -> None:
    """One JSON object a line in a cluster, human text on a terminal or under `headway run`."""
    if log.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
    handler.setFormatter(_JsonLines() if in_cluster else logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False

"""The step `monitor_models`: every window of every model that is over and not judged yet, in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from headway.components._shared.artifacts import Artifact, Metrics, describe, show_metrics, write_document
from headway.components._shared.decisions import OUTCOMES, Decision, Fleet, Outcome, Problem, Watched, severity
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State
from headway.components._shared.steps import decided, keep_report, log, step
from headway.components._shared.storage.folders import scratch_folder
from headway.components._shared.times import format_time, now, parse_time
from headway.components._shared.tracking import find_champion, registered_name
from headway.components._shared.tracking.client import Client, is_unborn, tracking_address
from headway.components.monitoring.config import Monitoring, settings_of
from headway.components.monitoring.fleet.page import Shown, write_page
from headway.components.monitoring.fleet.watch import Watch
from headway.components.monitoring.fleet.windows import Due

_RECENT = 30


@step("monitor_models")
def monitor_models(
    decisions: Artifact,
    metrics: Metrics,
    report: Artifact,
    *,
    models: Mapping[str, Any],
    monitoring: Mapping[str, Any],
    start: str | None = None,
    end: str | None = None,
    as_of: str | None = None,
    scheduled: str | None = None,
    environment: str = "dev",
    tracking_uri: str = "auto",
    seed: int = 0,
    state_uri: str,
) -> Fleet:
    """Judges every model; one that cannot be judged is told and does not keep the others from it."""
    wanted, state = settings_of(models, monitoring), State(state_uri)
    asked = _Asked(state, _window(start, end), _time(as_of, scheduled), environment, tracking_uri, seed)
    with scratch_folder() as folder:
        shown = [_watched(asked, name, settings, folder) for name, settings in wanted.items()]
    fleet = Fleet(as_of=format_time(asked.as_of), models=tuple(each.watched for each in shown))
    write_document(decisions, fleet)
    write_page(report.path, fleet, shown)
    keep_report(report.path)
    describe(decisions, decision=told(fleet))
    show_metrics(metrics, _figures(fleet))
    decided(told(fleet), outcome=_worst(fleet), models={each.model_name: _outcome(each) for each in fleet.models})
    _require_one(fleet)
    return fleet


def told(fleet: Fleet) -> str:
    """How all of them fare, in one line."""
    many = {outcome: sum(_outcome(each) == outcome for each in fleet.models) for outcome in (*OUTCOMES, "problem")}
    said = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in many.items() if count)
    judged = sum(len(each.judged) for each in fleet.models)
    closing = f"{counted(len(fleet.models), 'model')}, {counted(judged, 'window')} judged"
    if len(fleet.models) == 1 and (latest := fleet.models[0].latest) and judged:
        return f"{closing}; {latest.outcome.replace('_', ' ')}: {latest.reason}"
    return f"{closing}; {said or 'nothing judged yet'}"


@dataclass(frozen=True)
class _Asked:
    """What holds for every model."""

    state: State
    window: Due | None
    as_of: datetime
    environment: str
    tracking_uri: str
    seed: int


def _watched(asked: _Asked, name: str, settings: Monitoring, folder: Path) -> Shown:
    try:
        champion = _champion(asked, name)
        watch = Watch(asked.state, name, champion, settings, folder / name, asked.seed)
        watched = watch.judge_all([asked.window] if asked.window else watch.due(asked.as_of))
    except HeadwayError as error:
        log.error(f"{name}: {error}")
        problem = Problem(code=error.code, message=error.message, remedy=error.remedy)
        return Shown(Watched(model_name=name, problem=problem))
    return Shown(watched, tuple(watch.recent(_RECENT)), watch.evidence.of)


def _champion(asked: _Asked, name: str) -> str:
    address = tracking_address(asked.tracking_uri, asked.state.uri)
    found = None if is_unborn(address) else find_champion(Client(address), name, asked.environment)
    if found is None:
        raise HeadwayError(
            "monitoring.no_champion",
            f"{registered_name(name, asked.environment)} has no champion, so no model is in service.",
            value=name,
            remedy="Deploy a model first (deploy_model makes it champion), or give the environment in which it is.",
        )
    return found.model_digest


def _time(as_of: str | None, scheduled: str | None) -> datetime:
    """The time that is asked for, else that of the schedule, else now.

    Locally there is no schedule, and KFP's placeholder arrives as it is; without a schedule it may be the year 1970.
    """
    if as_of:
        return parse_time(as_of)
    if scheduled and not scheduled.startswith("{{") and (time := parse_time(scheduled)).year > 1970:
        return time
    return now()


def _window(start: str | None, end: str | None) -> Due | None:
    if not start and not end:
        return None
    if not (start and end) or parse_time(start) >= parse_time(end):
        raise HeadwayError(
            "window.backwards",
            "A single window needs a start and an end, in this order.",
            value=f"{start} to {end}",
            remedy="Give both, as half-open [start, end) in UTC; or neither, to judge every window that is due.",
        )
    return Due(parse_time(start), parse_time(end))


def _outcome(watched: Watched) -> str:
    if watched.problem:
        return "problem"
    return watched.latest.outcome if watched.latest else "nothing yet"


def _worst(fleet: Fleet) -> Outcome:
    found = [each.latest.outcome for each in fleet.models if each.latest]
    return max(found, key=severity, default="ok")


def _figures(fleet: Fleet) -> dict[str, float]:
    judged: list[Decision] = [each for watched in fleet.models for each in watched.judged]
    return {
        "models": len(fleet.models),
        "windows": len(judged),
        "problems": sum(each.problem is not None for each in fleet.models),
        "incidents": sum(each.since is not None for each in fleet.models),
        "severity": severity(_worst(fleet)),
    }


def _require_one(fleet: Fleet) -> None:
    """Fails where not one model could be judged: then something is wrong with all of them."""
    problems = [each.problem for each in fleet.models if each.problem]
    if len(problems) == len(fleet.models):
        first = problems[0]
        many = f" None of {len(problems)} models could be judged." if len(problems) > 1 else ""
        raise HeadwayError(first.code, f"{first.message}{many}", remedy=first.remedy)

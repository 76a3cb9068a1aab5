"""The step `send_alert`: tells people of incidents, once when one begins, worsens or is over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headway.components._shared.artifacts import Artifact, describe, write_document
from headway.components._shared.config import parse
from headway.components._shared.decisions import OUTCOMES, Decision, Fleet, Problem, severity
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State, dump_json, run_id
from headway.components._shared.steps import decided, log, step
from headway.components._shared.times import in_a_name
from headway.components.alerting.channels import Kind, send
from headway.components.alerting.config import Channel, Channels

Event = Literal["begins", "worsens", "is over", "is not judged"]
_OVER = "over"
_DONE = {
    "watch": "Nothing is done.",
    "alert": "Nothing was done: somebody should look.",
    "retrain": "Retraining is asked for",
    "roll_back": "Going back to the release before is asked for",
}


@step("send_alert")
def send_alert(
    decision: Artifact, told: Artifact, *, channels: Mapping[str, Any], state_uri: str, report_url: str | None = None
) -> None:
    """Tells the channels what they do not know yet; one that cannot be told is named, and is told by the next run."""
    wanted, state = parse(Channels, channels, parameter="channels"), State(state_uri)
    decisions, problems = _read(decision)
    result = tell(decisions, wanted, state, where=report_url or _index(state), problems=problems)
    write_document(told, {"schema_version": 1, "kind": "alerts", "channels": result})
    dead = [name for name, found in result.items() if found["problem"]]
    for name in dead:
        log.error(f"The channel {name} was not told: {result[name]['problem']}.")
    said = [name for name, found in result.items() if found["told"] and name not in dead]
    closing = f"told {', '.join(said)}" if said else "nothing new to tell"
    closing = f"could not tell {', '.join(dead)}" + (f"; {closing}" if said else "") if dead else closing
    describe(told, decision=closing)
    decided(closing, channels=result)


def tell(
    decisions: Sequence[Decision],
    channels: Channels,
    state: State,
    *,
    where: str | None,
    problems: Sequence[Unjudged] = (),
) -> dict[str, Any]:
    """Sends every channel one message about all that is new to it, and remembers what was taken.

    Args:
        decisions: Of one window each, of a model in the order in which they were made.
        channels: Who is told of what.
        state: Where it is remembered: `history/NAME/alerts/CHANNEL/`, one entry an incident and outcome.
        where: Where to look.
        problems: Models that could not be judged.

    Returns:
        Channel to `told` (model to event), `delivered`, `attempts` and `problem`.
    """
    result: dict[str, Any] = {}
    for name, channel in channels.root.items():
        news: list[_News] = []
        for decision in decisions:
            news += filter(None, [_news(state, name, channel, decision, [each.key for each in news])])
        news += filter(None, [_unjudged(state, name, channel, problem) for problem in problems])
        if not news:
            result[name] = {"told": {}, "delivered": False, "attempts": 0, "problem": ""}
            continue
        title, text, kind = _message(news, where)
        delivery = send(channel, title, text, kind)
        if delivery.delivered:
            for each in news:
                state.storage.create(each.key, dump_json({"event": each.event, "title": each.title}))
        result[name] = {
            "told": {each.model_name: each.event for each in news},
            "delivered": delivery.delivered,
            "attempts": delivery.attempts,
            "problem": delivery.problem,
        }
    return result


@dataclass(frozen=True)
class Unjudged:
    """A model that could not be judged.

    Attributes:
        model_name: The endpoint.
        problem: Why.
        day: When, in UTC: it is told once a day.
    """

    model_name: str
    problem: Problem
    day: str


@dataclass(frozen=True)
class _News:
    """What a channel does not know yet.

    Attributes:
        model_name: Of which model.
        event: What happened.
        rank: How severe it is, as of outcomes; -1 is good news.
        title: In a few words.
        lines: The text.
        key: Under which it is remembered that the channel was told.
    """

    model_name: str
    event: Event
    rank: int
    title: str
    lines: tuple[str, ...]
    key: str


def _news(state: State, name: str, channel: Channel, decision: Decision, told_now: Sequence[str]) -> _News | None:
    """What there is to tell; a message that was taken is not sent again, whoever runs again."""
    folder = state.history_key(decision.model_name, f"alerts/{name}")
    if decision.incident and severity(decision.outcome) >= severity(channel.from_outcome):
        prefix = f"{folder}/{in_a_name(decision.incident.id)}_"
        known = _known(state, prefix, told_now)
        if any(outcome == _OVER or OUTCOMES.index(outcome) >= severity(decision.outcome) for outcome in known):
            return None
        return _of_decision("worsens" if known else "begins", decision, f"{prefix}{decision.outcome}.json")
    if decision.recovered and channel.recovery:
        prefix = f"{folder}/{in_a_name(decision.recovered)}_"
        known = _known(state, prefix, told_now)
        if known and _OVER not in known:
            return _of_decision("is over", decision, f"{prefix}{_OVER}.json")
    return None


def _unjudged(state: State, name: str, channel: Channel, found: Unjudged) -> _News | None:
    """A model that cannot be judged is as bad as an alert."""
    if severity(channel.from_outcome) > severity("alert"):
        return None
    key = state.history_key(found.model_name, f"alerts/{name}/unjudged_{found.day}_{found.problem.code}.json")
    if state.storage.stat(key) is not None:
        return None
    title = f"{found.model_name}, not judged: {found.problem.code}"
    lines = (f"What: {found.problem.message}", f"To do: {found.problem.remedy}")
    return _News(found.model_name, "is not judged", severity("alert"), title, lines, key)


def _known(state: State, prefix: str, told_now: Sequence[str]) -> list[str]:
    """Outcomes of an incident that a channel was told of, or is told of in this message."""
    folder = prefix.rpartition("/")[0]
    keys = [*(stat.key for stat in state.storage.list(folder)), *told_now]
    return [key.removeprefix(prefix).removesuffix(".json") for key in keys if key.startswith(prefix)]


def _message(news: Sequence[_News], where: str | None) -> tuple[str, str, Kind]:
    worst = max(news, key=lambda each: each.rank)
    kind: Kind = "success" if worst.rank < 0 else "failure" if worst.rank > severity("alert") else "warning"
    parts = ["\n".join([each.title, *each.lines]) for each in news]
    names = dict.fromkeys(each.model_name for each in news)
    title = worst.title if len(names) == 1 else f"{counted(len(names), 'model')}, {', '.join(names)}"
    return f"Headway: {title}", "\n\n".join([*parts, *([f"Where to look: {where}"] if where else [])]), kind


def _of_decision(event: Event, decision: Decision, key: str) -> _News:
    over = event == "is over"
    title = f"{decision.model_name}, {decision.outcome.replace('_', ' ')}: {decision.rule or 'incident'}"
    if over:
        title = f"{decision.model_name} is well again"
    rank = -1 if over else severity(decision.outcome)
    return _News(decision.model_name, event, rank, title, tuple(_lines(event, decision)), key)


def _lines(event: Event, decision: Decision) -> Iterator[str]:
    if event == "is over":
        yield f"The incident since {decision.recovered} is over: {decision.reason}."
    else:
        yield f"What: {decision.reason}."
        assert decision.incident
        many = counted(decision.incident.windows, "window")
        yield f"Since: {decision.incident.id}, {many}{'; it got worse' if event == 'worsens' else ''}."
        yield from (f"Signal: {name}: {each.told}" for name, each in decision.signals.items() if each.fired)
        yield f"Done: {_done(decision)}"
    by = f", labels known by {decision.label_cutoff}" if decision.label_cutoff else ""
    yield f"Window: {decision.start} to {decision.end}{by}. Model {decision.model_digest[:12]}."


def _done(decision: Decision) -> str:
    said = _DONE[decision.outcome]
    if decision.held_back:
        return f"nothing: {decision.held_back}."
    if decision.outcome in ("retrain", "roll_back"):
        return f"{said}{f' from {decision.act_from} on' if decision.act_from else ''}."
    return said


def _index(state: State) -> str | None:
    run = run_id()
    return state.uri_of(state.run_key(run, "index.html")) if run else None


def _read(artifact: Artifact) -> tuple[list[Decision], list[Unjudged]]:
    """The decisions of decide or monitor_models, and what the latter could not judge."""
    try:
        content = json.loads(Path(artifact.path).read_bytes())
        if content.get("kind") != "fleet":
            return [Decision.model_validate(content)], []
        fleet = Fleet.model_validate(content)
    except (OSError, ValueError, AttributeError):
        raise HeadwayError(
            "input.unreadable",
            "The file given as 'decision' is not what decide or monitor_models writes.",
            value=artifact.path,
            remedy="Give the output `decision` of decide, or `decisions` of monitor_models, unchanged.",
        ) from None
    day = fleet.as_of[:10]
    problems = [Unjudged(each.model_name, each.problem, day) for each in fleet.models if each.problem]
    return [decision for each in fleet.models for decision in each.judged], problems

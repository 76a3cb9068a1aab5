"""The step `send_alert`: tells people of incidents, once when one begins, worsens or is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from headway.components._shared.artifacts import Artifact, describe
from headway.components._shared.config import parse
from headway.components._shared.decisions import OUTCOMES, Decision, severity
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State, dump_json, run_id
from headway.components._shared.steps import decided, log, step
from headway.components._shared.times import in_a_name
from headway.components.alerting.channels import Kind, send
from headway.components.alerting.config import Channel, Channels

Event = Literal["begins", "worsens", "is over"]
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
    result = tell([_read(decision)], wanted, state, where=report_url or _index(state))
    Path(told.path).parent.mkdir(parents=True, exist_ok=True)
    Path(told.path).write_bytes(dump_json({"schema_version": 1, "kind": "alerts", "channels": result}))
    dead = [name for name, found in result.items() if found["problem"]]
    for name in dead:
        log.error(f"The channel {name} was not told: {result[name]['problem']}.")
    said = [name for name, found in result.items() if found["told"] and name not in dead]
    closing = f"told {', '.join(said)}" if said else "nothing new to tell"
    closing = f"could not tell {', '.join(dead)}" + (f"; {closing}" if said else "") if dead else closing
    describe(told, decision=closing)
    decided(closing, channels=result)


def tell(decisions: Sequence[Decision], channels: Channels, state: State, *, where: str | None) -> dict[str, Any]:
    """Sends every channel one message about all that is new to it, and remembers what was taken.

    Args:
        decisions: Of one window each.
        channels: Who is told of what.
        state: Where it is remembered: `history/NAME/alerts/CHANNEL/`, one entry an incident and outcome.
        where: Where to look.

    Returns:
        Channel to `told` (model to event), `delivered`, `attempts` and `problem`.
    """
    result: dict[str, Any] = {}
    for name, channel in channels.root.items():
        news = [each for decision in decisions if (each := _news(state, name, channel, decision))]
        if not news:
            result[name] = {"told": {}, "delivered": False, "attempts": 0, "problem": ""}
            continue
        title, text, kind = _message(news, where)
        delivery = send(channel, title, text, kind)
        if delivery.delivered:
            for each in news:
                entry = {"event": each.event, "window": each.decision.start, "outcome": each.decision.outcome}
                state.storage.create(each.key, dump_json(entry))
        result[name] = {
            "told": {each.decision.model_name: each.event for each in news},
            "delivered": delivery.delivered,
            "attempts": delivery.attempts,
            "problem": delivery.problem,
        }
    return result


@dataclass(frozen=True)
class _News:
    """What a channel does not know yet, and the key under which it is remembered that it does."""

    event: Event
    decision: Decision
    key: str


def _news(state: State, name: str, channel: Channel, decision: Decision) -> _News | None:
    """What there is to tell; a message that was taken is not sent again, whoever runs again."""
    folder = state.history_key(decision.model_name, f"alerts/{name}")
    if decision.incident and severity(decision.outcome) >= severity(channel.from_outcome):
        known = list(_known(state, f"{folder}/{in_a_name(decision.incident.id)}_"))
        if any(outcome == _OVER or OUTCOMES.index(outcome) >= severity(decision.outcome) for outcome in known):
            return None
        key = f"{folder}/{in_a_name(decision.incident.id)}_{decision.outcome}.json"
        return _News("worsens" if known else "begins", decision, key)
    if decision.recovered and channel.recovery:
        known = list(_known(state, f"{folder}/{in_a_name(decision.recovered)}_"))
        if known and _OVER not in known:
            return _News("is over", decision, f"{folder}/{in_a_name(decision.recovered)}_{_OVER}.json")
    return None


def _known(state: State, prefix: str) -> Iterator[str]:
    """Outcomes of an incident that a channel was told of."""
    folder = prefix.rpartition("/")[0]
    for stat in state.storage.list(folder):
        if stat.key.startswith(prefix):
            yield stat.key.removeprefix(prefix).removesuffix(".json")


def _message(news: Sequence[_News], where: str | None) -> tuple[str, str, Kind]:
    worst = max(news, key=lambda each: -1 if each.event == "is over" else severity(each.decision.outcome))
    kind: Kind = "success" if worst.event == "is over" else "warning"
    if kind == "warning" and severity(worst.decision.outcome) > severity("alert"):
        kind = "failure"
    parts = ["\n".join(_lines(each)) for each in news]
    title = _headline(worst)
    if len(news) > 1:
        title = f"Headway: {counted(len(news), 'model')}, {', '.join(each.decision.model_name for each in news)}"
    return title, "\n\n".join([*parts, *([f"Where to look: {where}"] if where else [])]), kind


def _headline(news: _News) -> str:
    decision = news.decision
    if news.event == "is over":
        return f"Headway: {decision.model_name} is well again"
    return f"Headway: {decision.model_name}, {decision.outcome.replace('_', ' ')}: {decision.rule or 'incident'}"


def _lines(news: _News) -> Iterator[str]:
    decision = news.decision
    yield _headline(news).removeprefix("Headway: ")
    if news.event == "is over":
        yield f"The incident since {decision.recovered} is over: {decision.reason}."
    else:
        yield f"What: {decision.reason}."
        assert decision.incident
        many = counted(decision.incident.windows, "window")
        yield f"Since: {decision.incident.id}, {many}{'; it got worse' if news.event == 'worsens' else ''}."
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


def _read(artifact: Artifact) -> Decision:
    try:
        return Decision.model_validate_json(Path(artifact.path).read_bytes())
    except (OSError, ValidationError):
        raise HeadwayError(
            "alert.input_unreadable",
            "The file given as 'decision' is not what decide writes.",
            value=artifact.path,
            remedy="Give the output `decision` of decide unchanged.",
        ) from None

"""Applies a policy to a window and its past: which rules fire, what holds retraining back, which incident it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from headway.components._shared.decisions import Decision, Fired, Incident, Outcome, Signal, severity
from headway.components._shared.reports.formats import counted
from headway.components._shared.times import format_time, parse_duration, parse_time
from headway.components.monitoring.config import BusinessHours, Policy, Rule
from headway.components.monitoring.decision.history import Past, gaps
from headway.components.monitoring.window.result import WindowResult


def conclude(window: WindowResult, signals: Mapping[str, Signal], past: Past, policy: Policy) -> Decision:
    """The decision that follows; the same for the same window, past and policy, whenever it is made.

    Args:
        window: Of collect_window.
        signals: What was found in it.
        past: What was decided before.
        policy: Rules and what holds them back.
    """
    head = Decision(
        model_name=window.model_name,
        model_digest=window.model_digest,
        start=window.start,
        end=window.end,
        label_cutoff=window.label_cutoff,
        outcome="ok",
        reason="no rule fired",
        signals=dict(signals),
    )
    looked_at = max((rule.of_last for rule in policy.rules), default=1)
    same_model = past.windows(looked_at - 1, window.model_digest)
    fired = [found for rule in policy.rules if (found := _fire(rule, head, same_model))]
    # The first of the most severe ones, in the order of the policy.
    deciding = max(fired, key=lambda each: severity(each.outcome), default=None)
    outcome: Outcome = deciding.outcome if deciding else "ok"
    held_back = _held_back(head, past, policy) if outcome == "retrain" else None
    outcome = "alert" if held_back else outcome
    incident = _incident(head, outcome, past)
    return head.model_copy(
        update={
            "outcome": outcome,
            "reason": _reason(deciding, head, policy, held_back),
            "rule": deciding.rule if deciding else None,
            "fired": tuple(fired),
            "held_back": held_back,
            "act_from": _act_from(outcome, head, policy),
            "incident": incident,
            "recovered": _recovered(incident, past),
            "missing": tuple(gaps(same_model, window.start)),
            "damaged": past.damaged,
        }
    )


def _fire(rule: Rule, now: Decision, before: Sequence[Decision]) -> Fired | None:
    """The windows that have all signals of a rule, if this one has and they are enough."""
    last = [*before[len(before) - (rule.of_last - 1) :], now] if rule.of_last > 1 else [now]
    having = [each for each in last if all(_has(each, name) for name in rule.when)]
    if now not in having or len(having) < rule.at_least:
        return None
    return Fired(rule=rule.name, outcome=rule.outcome, windows=tuple(each.start for each in having))


def _has(decision: Decision, name: str) -> bool:
    return name in decision.signals and decision.signals[name].fired


def _held_back(now: Decision, past: Past, policy: Policy) -> str | None:
    """Why there is no retraining after those that there were."""
    time = parse_time(now.time)
    longest = max(parse_duration(policy.cooldown), parse_duration(policy.budget.per))
    decisions = past.judged_since(format_time(time - longest))
    began = [parse_time(each.time) for each in decisions if each.outcome == "retrain"]
    recent = [each for each in began if each > time - parse_duration(policy.cooldown)]
    if recent:
        return f"the last retraining was decided {format_time(max(recent))}, within the cooldown of {policy.cooldown}"
    spent = [each for each in began if each > time - parse_duration(policy.budget.per)]
    if len(spent) >= policy.budget.retrainings:
        return f"{counted(len(spent), 'retraining')} within {policy.budget.per}: no more are in the budget"
    return None


def _reason(deciding: Fired | None, now: Decision, policy: Policy, held_back: str | None) -> str:
    if deciding is None:
        return "no rule fired"
    rule = next(rule for rule in policy.rules if rule.name == deciding.rule)
    told = "; ".join(now.signals[name].told for name in rule.when)
    many = f", in {len(deciding.windows)} of the last {rule.of_last} windows" if rule.of_last > 1 else ""
    return f"{rule.name}: {told}{many}" + (f"; not retrained: {held_back}" if held_back else "")


def _act_from(outcome: Outcome, now: Decision, policy: Policy) -> str | None:
    if policy.business_hours is None or outcome not in ("retrain", "roll_back"):
        return None
    time = parse_time(now.time)
    begin = _next_hour(time, policy.business_hours)
    return format_time(begin) if begin > time else None


def _next_hour(time: datetime, hours: BusinessHours) -> datetime:
    """The time itself if it lies in business hours, else when they begin next."""
    local = time.astimezone(ZoneInfo(hours.timezone))
    for day in range(9):
        date = local.date() + timedelta(days=day)
        if date.weekday() not in hours.days:
            continue
        midnight = datetime(date.year, date.month, date.day, tzinfo=ZoneInfo(hours.timezone))
        opens = midnight.replace(hour=hours.start)
        closes = midnight.replace(hour=hours.end) if hours.end < 24 else midnight + timedelta(days=1)
        if local < closes:
            return max(time, opens.astimezone(time.tzinfo))
    return time


def _incident(now: Decision, outcome: Outcome, past: Past) -> Incident | None:
    """The incident that this window belongs to: its own judged earlier, that of the window before, or a new one."""
    if severity(outcome) < severity("alert"):
        return None
    own = [each for each in past.of_window(now.start, now.end) if each.incident]
    before = _incident_before(past)
    known = own[-1].incident if own else before
    if known is None:
        return Incident(id=now.start, windows=1, worsened=True)
    members = past.of_incident(known.id)
    worst = max(severity(each.outcome) for each in members)
    windows = len({each.start for each in members} | {now.start})
    return Incident(id=known.id, windows=windows, worsened=severity(outcome) > worst)


def _recovered(incident: Incident | None, past: Past) -> str | None:
    before = _incident_before(past)
    return before.id if before and incident is None else None


def _incident_before(past: Past) -> Incident | None:
    return next((each.incident for each in past.windows(1)), None)

"""What is said about a run: one text for people, and the same as fields for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from headway.components._shared.reports.run_records import StepEnd, failures, refusals
from headway.components._shared.times import format_time
from headway.components.alerting.run_history import Streak

Event = Literal["failure", "refusal", "success"]
_SAID_AT_MOST = 500


@dataclass(frozen=True)
class Run:
    """All that is known about a run when it ends.

    Attributes:
        model_name: The model that it is about.
        succeeded: Whether KFP says that it went well.
        state: KFP's own word for how it ended.
        job: KFP's name for the run.
        run_id: The run's id, where the environment tells it.
        said: KFP's own message, mostly empty.
        ends: How its steps ended.
        streak: What the runs before it were like.
        index: Address of the run's index page.
        root: Address of the run's folder, with `/` at its end.
    """

    model_name: str
    succeeded: bool
    state: str
    job: str
    run_id: str | None = None
    said: str = ""
    ends: tuple[StepEnd, ...] = ()
    streak: Streak | None = None
    index: str | None = None
    root: str = ""

    def enriched(self, ends: tuple[StepEnd, ...], streak: Streak, index: str, *, root: str) -> Run:
        """The same run with what its records tell."""
        return replace(self, ends=ends, streak=streak, index=index, root=root)


@dataclass(frozen=True)
class Message:
    """What is said.

    Attributes:
        event: Which kind of ending.
        headline: One line.
        text: The whole, as plain lines.
        fields: The same for programs; JSON values.
    """

    event: Event
    headline: str
    text: str
    fields: dict[str, object]

    def payload(self) -> dict[str, object]:
        """What a webhook gets: `text` as Slack and Mattermost show it, and the fields beside it."""
        # Slack reads <...> as links and mentions; nothing out of an error text may call a whole channel.
        shown = self.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": shown, **self.fields}


def message_about(run: Run) -> Message:
    """Says how a run ended, why, what to do, since when, and where to look."""
    event: Event = "failure" if not run.succeeded else "refusal" if refusals(run.ends) else "success"
    headline = _headline(run, event)
    lines = [headline, *_causes(run, event), *_since(run), *_places(run)]
    return Message(event, headline, "\n".join(lines), _fields(run, event))


def _headline(run: Run, event: Event) -> str:
    subject = f"{run.model_name}: run {run.run_id or run.job}"
    if event == "success":
        return f"{subject} succeeded."
    if event == "refusal":
        return f"{subject} went well, and the model was refused."
    steps = [end.step for end, _ in failures(run.ends)]
    return f"{subject} failed{' in ' + ' and '.join(steps) if steps else ''}."


def _causes(run: Run, event: Event) -> list[str]:
    if event == "refusal":
        return [f"{end.step}: {end.decision}" for end in refusals(run.ends)]
    if event == "success":
        return [f"{end.step}: {end.decision}" for end in run.ends if end.decision]
    lines = []
    for end, cause in failures(run.ends):
        given = "" if cause.value is None else f" Given: {cause.value}."
        lines += [f"{end.step} [{cause.code}]: {cause.message}{given}", f"Remedy: {cause.remedy}"]
    if lines:
        return lines
    said = f" KFP says: {run.said[:_SAID_AT_MOST]}" if run.said else ""
    return [
        f"KFP's state is {run.state}; no step left a record of why.{said}",
        "Remedy: read the log of the failed step in the UI; components that get a state_uri leave their cause.",
    ]


def _since(run: Run) -> list[str]:
    if run.streak is None or run.succeeded:
        return []
    last = "never" if run.streak.last_success is None else _to_the_second(run.streak.last_success)
    times = "the first time" if run.streak.failed == 1 else f"{run.streak.failed} runs in a row"
    return [f"Failing since {_to_the_second(run.streak.since)}, {times}; last success: {last}."]


def _places(run: Run) -> list[str]:
    reports = [f"Report of {end.step}: {run.root}{end.report}" for end, _ in failures(run.ends) if end.report]
    return reports + ([f"All about this run: {run.index}"] if run.index else [])


def _fields(run: Run, event: Event) -> dict[str, object]:
    streak = run.streak if not run.succeeded else None
    last = streak.last_success if streak else None
    return {
        "schema_version": 1,
        "event": event,
        "model": run.model_name,
        "job": run.job,
        "run_id": run.run_id,
        "state": run.state,
        "failures": [
            {
                "step": end.step,
                "time": _to_the_second(end.ended),
                "code": cause.code,
                "message": cause.message,
                "value": cause.value,
                "remedy": cause.remedy,
            }
            for end, cause in failures(run.ends)
        ],
        "failing_since": _to_the_second(streak.since) if streak else None,
        "failed_in_a_row": streak.failed if streak else 0,
        "last_success": _to_the_second(last) if last else None,
        "decisions": _decisions(run.ends),
        "index": run.index,
        "reports": {end.step: f"{run.root}{end.report}" for end in run.ends if end.report},
    }


def _decisions(ends: Sequence[StepEnd]) -> dict[str, str]:
    return {end.step: end.decision for end in ends if end.decision}


def _to_the_second(time: datetime) -> str:
    return format_time(time.replace(microsecond=0))

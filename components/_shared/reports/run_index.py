"""The index page of a run: what each step did, what failed and why, where the reports are, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headway.components._shared import reports
from headway.components._shared.reports import Block, Page, Tone, Value
from headway.components._shared.reports.formats import counted
from headway.components._shared.reports.page import linked_back
from headway.components._shared.reports.run_advice import detail, next_steps, unblessed
from headway.components._shared.reports.run_records import StepEnd, failures, read_run, refusals
from headway.components._shared.reports.structures import rounded, yaml_text
from headway.components._shared.state import State
from headway.components._shared.times import format_time

_BADGES: dict[str, tuple[str, Tone]] = {
    "succeeded": ("done", "good"),
    "adopted": ("kept", "neutral"),
    "failed": ("failed", "bad"),
}


def write_run_index(
    state: State,
    run: str,
    *,
    pipeline: str,
    parameters: Mapping[str, Any],
    order: Sequence[str] | None = None,
    model_name: str = "",
    succeeded: bool = True,
) -> str:
    """Writes `runs/<run>/index.html` from the records of the run's steps, with a link to it in their reports.

    Args:
        state: Where the records are; the page goes beside them.
        run: The run's id.
        pipeline: The pipeline's name; empty if that is not known.
        parameters: What the run was started with; empty if that is not known.
        order: Names of the steps as they shall stand; by default, as they began.
        model_name: The model that it is about; by default the parameter of that name.
        succeeded: Whether the run went well as a whole; a step that was killed leaves no record.

    Returns:
        The page's address.
    """
    ends = read_run(state, run, order)
    name = model_name or str(parameters.get("model_name") or "")
    key = state.run_key(run, "index.html")
    page = run_page(ends, run, pipeline, parameters, name, state.uri, succeeded)
    state.storage.write(key, page.html().encode())
    for end in ends:
        if end.report:
            _link_back(state, state.run_key(run, end.report))
    return state.uri_of(key)


def run_page(
    ends: Sequence[StepEnd],
    run: str,
    pipeline: str,
    parameters: Mapping[str, Any],
    model_name: str,
    state_uri: str,
    succeeded: bool,
) -> Page:
    """The page itself; links are relative to the run's folder."""
    status, lead, tone = _outcome(ends, succeeded)
    page = Page(
        title=f"{model_name}: run {run}" if model_name else f"Run {run}",
        kind=f"Pipeline {pipeline}" if pipeline else "Pipeline run",
        status=status,
        lead=lead,
        tone=tone,
        facts={**_results(ends), **_times(ends)},
    )
    if failed := failures(ends):
        page.section("What failed", *(_failure(end, told=number == 0) for number, (end, _) in enumerate(failed)))
    page.section("What to do next", *next_steps(ends, model_name, state_uri, succeeded))
    page.section("Steps", _steps(ends), *_step_details(ends))
    if parameters:
        page.section("Parameters", _values(parameters, "What the run was started with"))
    return page


def _link_back(state: State, key: str) -> None:
    """Only the copies beside the index lead back to it: elsewhere, as in KFP's UI, there is no such place."""
    content = state.storage.read(key).decode()
    linked = linked_back(content, "All steps of this run", "../index.html")
    if linked != content:
        state.storage.write(key, linked.encode())


def _outcome(ends: Sequence[StepEnd], succeeded: bool) -> tuple[str, str, Tone]:
    failed, refused, evaluation = failures(ends), refusals(ends), unblessed(ends)
    if failed:
        end, cause = failed[0]
        return "Failed", f"{end.step} failed: {_first_line(cause.message)}", "bad"
    if not succeeded:
        return "Failed", "A step failed and left no record of why.", "bad"
    if evaluation or refused:
        said = f"{refused[0].step}: {refused[0].decision}" if refused else ""
        if evaluation:
            stopped = f", so {' and '.join(end.step for end in refused)} let it go no further" if refused else ""
            said = f"{evaluation.details.get('headline') or evaluation.step}: the model was not blessed{stopped}."
        return "Finished, and the model was refused", said, "warn"
    if not ends:
        return "Nothing recorded", "No step of this run has left a record yet.", "neutral"
    adopted = sum(end.status == "adopted" for end in ends)
    kept = f"; {adopted} kept from an earlier run" if adopted else ""
    return "Succeeded", f"{'' if len(ends) == 1 else 'All '}{counted(len(ends), 'step')} ended well{kept}.", "good"


def _results(ends: Sequence[StepEnd]) -> dict[str, Value]:
    registered = next((end.decision for end in ends if end.details.get("outcome") in ("registered", "unchanged")), "")
    found = {
        "Metric": detail(ends, "headline"),
        "Gates": detail(ends, "gates"),
        "Registered": registered.partition(": ")[2],
        "Endpoint": detail(ends, "endpoint"),
    }
    return {name: str(value) for name, value in found.items() if value}


def _times(ends: Sequence[StepEnd]) -> dict[str, Value]:
    ran = [end for end in ends if end.status != "adopted"]
    if not ran:
        return {}
    started = min(end.started for end in ran)
    return {
        "Started": format_time(started.replace(microsecond=0)),
        "Time from first to last step": reports.duration((max(end.ended for end in ran) - started).total_seconds()),
        "Processor time": reports.duration(sum(end.cpu_seconds or 0 for end in ran)),
        "Peak memory of a step": reports.size(max((end.peak_memory_bytes or 0 for end in ran), default=0) or None),
    }


def _failure(end: StepEnd, *, told: bool) -> Block:
    """What is known of a failure; `told` where the page has said the first line of its message."""
    assert end.failure is not None
    message = end.failure.message.strip()
    shown_message = "" if told and message == _first_line(message) else reports.note(message, "bad").html
    given: dict[str, Value] = {} if end.failure.value is None else {"Value at fault": reports.mono(end.failure.value)}
    shown: dict[str, Value] = {"Step": end.step, "Error": reports.mono(end.failure.code), **given}
    shown["Failed at"] = format_time(end.ended.replace(microsecond=0))
    if end.report:
        shown["Report"] = reports.link("Open the report", end.report)
    return Block(shown_message + reports.facts(shown).html)


def _steps(ends: Sequence[StepEnd]) -> Block:
    ran = [end for end in ends if end.status != "adopted"]
    first = min((end.started for end in ran), default=None)
    total = max(((end.ended - first).total_seconds() for end in ran if first), default=0.0)
    rows: list[list[Value]] = []
    for end in ends:
        label, tone = _badge(end)
        kept, when = end.status == "adopted", _origin(end)
        if first is not None and not kept:
            when = reports.span((end.started - first).total_seconds(), (end.ended - first).total_seconds(), total, tone)
        rows.append(
            [
                reports.link(end.step, end.report) if end.report else end.step,
                reports.badge(label, tone),
                _told(end, ends),
                when,
                reports.duration(None if kept else end.seconds),
                end.rows,
                reports.size(None if kept else end.peak_memory_bytes),
            ]
        )
    columns = ["Step", "Outcome", "What it decided", "When", "Time", "Rows", "Peak memory"]
    return reports.table(columns, rows, "The steps of this run; a name leads to the step's report")


def _badge(end: StepEnd) -> tuple[str, Tone]:
    if end.details.get("outcome") == "refused":
        return "refused", "warn"
    return ("not blessed", "warn") if end.details.get("blessed") is False else _BADGES[end.status]


def _told(end: StepEnd, ends: Sequence[StepEnd]) -> str:
    """What a step says, without the verdict's reason where another step has said that."""
    if end.failure is not None:
        return _first_line(end.failure.message)
    evaluation = unblessed(ends)
    reason = str(evaluation.details.get("reason") or "") if evaluation else ""
    if evaluation and reason and end is not evaluation:
        return end.decision.replace(reason, f"see {evaluation.step}")
    return end.decision


def _origin(end: StepEnd) -> Value:
    """The run whose result a step kept."""
    if end.adopted_from is None:
        return None
    return reports.Cell(f"in run {reports.link(end.adopted_from, f'../{end.adopted_from}/index.html').html}")


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]


def _step_details(ends: Sequence[StepEnd]) -> list[Block]:
    return [
        reports.details(f"What {end.step} recorded", _values(rounded(dict(sorted(end.details.items()))), None))
        for end in ends
        if end.details
    ]


def _values(values: Mapping[str, Any], caption: str | None) -> Block:
    rows: list[list[Value]] = [[name, reports.lines(yaml_text(value))] for name, value in values.items()]
    return reports.table(["Name", "Value"], rows, caption)

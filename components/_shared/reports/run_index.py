"""The index page of a run: what each step did, what failed and why, where the reports are, what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from headway.components._shared import reports
from headway.components._shared.reports import Block, Page, Tone, Value, formats
from headway.components._shared.reports.run_records import StepEnd, failures, read_run, refusals
from headway.components._shared.state import State
from headway.components._shared.times import format_time

_BADGES: dict[str, tuple[str, Tone]] = {
    "succeeded": ("done", "good"),
    "adopted": ("adopted", "neutral"),
    "refused": ("refused", "warn"),
    "failed": ("failed", "bad"),
}


def write_run_index(
    state: State,
    run: str,
    *,
    pipeline: str,
    parameters: Mapping[str, Any],
    order: Sequence[str] | None = None,
    summary: Mapping[str, Value] | None = None,
) -> str:
    """Writes `runs/<run>/index.html` from the records of the run's steps; gives its address.

    Args:
        state: Where the records are; the page goes beside them.
        run: The run's id.
        pipeline: The pipeline's name; empty if that is not known.
        parameters: What the run was started with; empty if that is not known.
        order: Names of the steps as they shall stand; by default, as they began.
        summary: Facts to put first.
    """
    ends = read_run(state, run, order)
    key = state.run_key(run, "index.html")
    state.storage.write(key, run_page(ends, run, pipeline, parameters, summary or {}).html().encode())
    return state.uri_of(key)


def run_page(
    ends: Sequence[StepEnd],
    run: str,
    pipeline: str,
    parameters: Mapping[str, Any],
    summary: Mapping[str, Value],
) -> Page:
    """The page itself; links are relative to the run's folder."""
    status, lead, tone = _outcome(ends)
    page = Page(
        title=f"Run {run}",
        kind=f"Pipeline {pipeline}" if pipeline else "Pipeline run",
        status=status,
        lead=lead,
        tone=tone,
        facts={**{name.capitalize(): value for name, value in summary.items()}, **_times(ends)},
    )
    failed = failures(ends)
    if failed:
        page.section("What failed", *(_failure(end) for end, _ in failed))
    page.section("What to do next", reports.listing(_advice(ends)))
    page.section("Steps", _steps(ends), *_step_details(ends))
    if parameters:
        rows: list[list[Value]] = [[name, reports.mono(_json(value))] for name, value in parameters.items()]
        page.section("Parameters", reports.table(["Parameter", "Value"], rows, "What the run was started with"))
    return page


def _outcome(ends: Sequence[StepEnd]) -> tuple[str, str, Tone]:
    failed, refused = failures(ends), refusals(ends)
    if failed:
        end, cause = failed[0]
        return "Failed", f"{end.step} failed: {_first_line(cause.message)} {cause.remedy}", "bad"
    if refused:
        return "Finished, and the model was refused", f"{refused[0].step}: {refused[0].decision}", "warn"
    if not ends:
        return "Nothing recorded", "No step of this run has left a record yet.", "neutral"
    adopted = sum(end.status == "adopted" for end in ends)
    served = f"; {adopted} adopted from an earlier run" if adopted else ""
    steps = "1 step" if len(ends) == 1 else f"All {len(ends)} steps"
    return "Succeeded", f"{steps} ended well{served}.", "good"


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


def _failure(end: StepEnd) -> Block:
    assert end.failure is not None
    given: dict[str, Value] = {} if end.failure.value is None else {"Value at fault": reports.mono(end.failure.value)}
    shown: dict[str, Value] = {"Step": end.step, "Error": reports.mono(end.failure.code), **given}
    shown["Failed at"] = format_time(end.ended.replace(microsecond=0))
    if end.report:
        shown["Report"] = reports.link("Open the report", end.report)
    return Block(reports.note(end.failure.message, "bad").html + reports.facts(shown).html)


def _advice(ends: Sequence[StepEnd]) -> list[Value]:
    failed, refused = failures(ends), refusals(ends)
    if failed:
        return [
            *(f"{end.step}: {cause.remedy}" for end, cause in failed),
            "Then start the run again: steps whose inputs did not change are not computed a second time.",
        ]
    if refused:
        evidence = [reports.link(f"Read the report of {end.step}", end.report) for end in ends if end.report]
        return ["Look at the gates: each names its limit, what was measured, and why it did not pass.", *evidence]
    if not ends:
        return ["Give the components a state_uri, so that their steps leave records."]
    if any(end.report for end in ends):
        return ["Nothing has to be done. The reports say on which evidence each step decided."]
    return ["Nothing has to be done."]


def _steps(ends: Sequence[StepEnd]) -> Block:
    ran = [end for end in ends if end.status != "adopted"]
    first = min((end.started for end in ran), default=None)
    total = max(((end.ended - first).total_seconds() for end in ran if first), default=0.0)
    refused = refusals(ends)
    rows: list[list[Value]] = []
    for end in ends:
        label, tone = _BADGES["refused" if end in refused else end.status]
        when: Value = None
        if first is not None and end.status != "adopted":
            when = reports.span((end.started - first).total_seconds(), (end.ended - first).total_seconds(), total, tone)
        rows.append(
            [
                reports.link(end.step, end.report) if end.report else end.step,
                reports.badge(label, tone),
                _told(end),
                when,
                reports.duration(end.seconds),
                end.rows,
                reports.size(end.peak_memory_bytes),
            ]
        )
    columns = ["Step", "Outcome", "What it decided", "When", "Time", "Rows", "Peak memory"]
    return reports.table(columns, rows, "The steps of this run; a name leads to the step's report")


def _told(end: StepEnd) -> str:
    if end.failure is not None:
        return _first_line(end.failure.message)
    return f"{end.decision} (from run {end.adopted_from})" if end.adopted_from else end.decision


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]


def _step_details(ends: Sequence[StepEnd]) -> list[Block]:
    return [
        reports.details(
            f"What {end.step} recorded",
            reports.facts({name: _json(value) for name, value in sorted(end.details.items())}),
        )
        for end in ends
        if end.details
    ]


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return formats.number(value)
    return json.dumps(value, ensure_ascii=False, default=str)

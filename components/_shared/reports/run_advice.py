"""What to do after a run: ask the endpoint, mend what failed, or see why the model was refused and what to try."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from headway.components._shared import reports
from headway.components._shared.reports import Block, Value
from headway.components._shared.reports.run_records import StepEnd, failures, refusals

_AGAIN = "start the run again: steps whose inputs did not change are not computed a second time."


def next_steps(ends: Sequence[StepEnd], model_name: str, state_uri: str, succeeded: bool) -> list[Block]:
    """What a person can do now, the most useful first.

    Args:
        ends: How the run's steps ended.
        model_name: The model; empty if that is not known.
        state_uri: Where the endpoints of the run are recorded.
        succeeded: Whether the run went well as a whole.
    """
    if not succeeded and not failures(ends):
        words = "Read the end of the run's log: a step without a record was killed, often for want of memory."
        return [reports.listing([words, f"Then {_AGAIN}"])]
    if not ends:
        return [reports.text("Give the components a state_uri, so that their steps leave records.")]
    if failures(ends):
        remedies = [f"{end.step}: {cause.remedy}" for end, cause in failures(ends)]
        return [reports.listing([*remedies, f"Then {_AGAIN}"])]
    if unblessed(ends) or refusals(ends):
        return _after_refusal(ends)
    if endpoint := detail(ends, "endpoint"):
        return _after_deployment(ends, endpoint, model_name, state_uri)
    if detail(ends, "outcome") in ("registered", "unchanged"):
        words = "The model is registered and nothing was deployed: the pipeline `delivery`, with the same parameters, "
        return [reports.text(f"{words}brings it to traffic.")]
    told = " The reports say on which evidence each step decided." if any(end.report for end in ends) else ""
    return [reports.text(f"Nothing has to be done.{told}")]


def unblessed(ends: Sequence[StepEnd]) -> StepEnd | None:
    """The evaluation, if its verdict is negative."""
    return next((end for end in ends if end.details.get("blessed") is False), None)


def detail(ends: Sequence[StepEnd], name: str) -> Any:
    """What the last step that recorded something under a name recorded."""
    return next((end.details[name] for end in reversed(ends) if end.details.get(name) is not None), None)


def _after_refusal(ends: Sequence[StepEnd]) -> list[Block]:
    evaluation = unblessed(ends)
    if evaluation is None:
        return [reports.listing(f"{end.step}: {end.decision}" for end in refusals(ends))]
    reasons = evaluation.details.get("failed_gates") or [str(evaluation.details.get("reason") or evaluation.decision)]
    link = reports.link(f"Read the report of {evaluation.step}", evaluation.report) if evaluation.report else None
    trials: list[Value] = [
        "Where the interval crosses the limit, nothing is proven yet: evaluate on more rows (a longer test part).",
        "Where the value itself misses it: train on more or newer rows, add features, or search longer "
        "(`study.trials`, `search_space`).",
        f"Where the limit asks too much, change it in `gates`, and {_AGAIN}",
    ]
    return [
        reports.text("What stands against the model:"),
        reports.listing(reasons),
        reports.text("What to try:"),
        reports.listing([*([link] if link else []), *trials]),
    ]


def _after_deployment(ends: Sequence[StepEnd], endpoint: str, model_name: str, state_uri: str) -> list[Block]:
    blocks = [reports.text(f"The model answers at {endpoint}.")]
    if request := detail(ends, "example_request"):
        blocks = [reports.text(f"The model answers at {endpoint}; ask it:"), reports.code(request)]
    if detail(ends, "engine") == "local":
        where = f"--state {shlex.quote(state_uri)}"
        commands = f"headway endpoint list {where}\nheadway endpoint stop {model_name or 'NAME'} {where}"
        blocks += [reports.text("See what it serves, or stop it:"), reports.code(commands)]
    return blocks

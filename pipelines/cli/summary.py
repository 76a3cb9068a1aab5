"""What a local run says: one line a step, and at the end what was decided and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from headway.pipelines.cli.local import LocalRun, StepEnd

_MARKS = {"succeeded": ("done", "green"), "adopted": ("kept", "cyan"), "failed": ("FAIL", "red")}


def say_step(end: StepEnd) -> None:
    """One line: status, step, time, what it decided or why it failed."""
    mark, colour = _MARKS[end.status]
    told = (
        end.record.get("decision")
        or end.record.get("message")
        or ("unchanged inputs" if end.status == "adopted" else "")
        or ("it left no record; see the log" if end.status == "failed" else "")
    )
    # The time that the step's record, and so the index page, tells; only a step without one is timed from outside.
    seconds = end.seconds if end.status == "adopted" else float(end.record.get("seconds", end.seconds))
    click.echo(f"{click.style(mark, fg=colour)}  {end.step:<17} {seconds:6.1f} s  {told}")
    if end.status == "failed":
        for label, key in (("given", "value"), ("code", "code"), ("remedy", "remedy")):
            if end.record.get(key) is not None:
                click.echo(f"      {label + ':':<8}{end.record[key]}")


def say_summary(run: LocalRun, pipeline: str, parameters: Mapping[str, Any]) -> None:
    """The closing summary; also writes the run's index page."""
    from headway.components._shared.reports.run_index import write_run_index

    evaluation = run.details("evaluate_model")
    deployment = run.details("deploy_model")
    facts = {
        "metric": evaluation.get("headline"),
        "gates": evaluation.get("gates"),
        "verdict": _decision(run, "evaluate_model"),
        "registered": _decision(run, "register_model"),
        "endpoint": deployment.get("endpoint") or _decision(run, "deploy_model"),
    }
    if run.refused and evaluation:  # the verdict has the reason
        facts |= {"registered": "nothing", "endpoint": "none for this model" if deployment else None}
    summary = {key: str(value) for key, value in facts.items() if value}
    index = write_run_index(
        run.state,
        run.run_id,
        pipeline=pipeline,
        parameters=parameters,
        order=[end.step for end in run.ends],
        succeeded=run.ok,
    )
    if run.stopped:
        click.echo(
            f"{click.style('stop', fg='red')}  {run.running or 'between two steps'}: {run.stopped} ended the run"
        )
        click.echo("      remedy: start it again; steps that ended are not computed a second time")
    if run.met_damage and run.adopted:
        click.echo(
            "      Results kept from earlier runs may be damaged; they are forgotten, and a next run computes them anew"
        )
    click.echo("")
    for key, value in {**summary, "report": index, "log": _short(run.log)}.items():
        click.echo(f"{key:<11}{value}")
    if run.ok and deployment.get("example_request"):
        click.echo(f"\n{deployment['example_request']}")


def _decision(run: LocalRun, step: str) -> str | None:
    return next(
        (str(end.record["decision"]) for end in run.ends if end.step == step and end.record.get("decision")), None
    )


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)

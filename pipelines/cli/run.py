"""`headway run`: a pipeline on this machine, with the parameters of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from headway.pipelines.cli.options import home_option, params_option
from headway.pipelines.cli.summary import say_step, say_summary

REFUSED = 3


@click.command("run")
@click.argument("pipeline")
@params_option
@home_option
@click.option("--fresh", is_flag=True, help="Adopt no result of an earlier run.")
@click.option("--fail-if-refused", is_flag=True, help="Exit with 3 when the model was refused.")
def run_command(pipeline: str, params: Path, home: Path, fresh: bool, fail_if_refused: bool) -> None:
    """Run a pipeline on this machine with the parameters of a file.

    In the file, `@FILE` stands for that file's content, `./PATH` is relative to it, and `package://PACKAGE/PATH` is a
    file of an installed package.

    Exit codes: 0, every step ended well, also when a gate refused the model; 1, a step failed or the parameters
    are wrong; 3, the model was refused and --fail-if-refused was given; 128 plus its number, a signal ended the run.
    """
    from headway.components._shared.state import require_writable
    from headway.pipelines.cli.local import forget_results
    from headway.pipelines.cli.parameters import read_parameters

    require_writable(str(home))
    if fresh:
        forget_results(home)
    asked = read_parameters(params, home / "data", pipeline=pipeline)
    run_and_tell(pipeline, asked.parameters, home, fail_if_refused)


def run_and_tell(pipeline: str, parameters: dict[str, Any], home: Path, fail_if_refused: bool = False) -> None:
    """Checks the parameters, runs the pipeline, tells every step and the outcome; exits as `headway run` documents."""
    from headway.components._shared.state import require_writable
    from headway.pipelines.cli.check import check_parameters
    from headway.pipelines.cli.local import is_computed_anew, run_locally
    from headway.pipelines.cli.stops import stopping_on_signals

    parameters = {"state_uri": str(home.absolute() / "state"), **parameters}
    check_parameters(pipeline, parameters)
    require_writable(parameters["state_uri"])
    named = parameters.get("model_name") or ", ".join(parameters.get("models", ()))
    click.echo(f"pipeline {pipeline}, {f'model {named}, ' if named else ''}in {home}")
    if is_computed_anew(home):
        click.echo("Headway or a library has changed since the last run here, so every step is computed anew")
    with stopping_on_signals():
        run = run_locally(pipeline, parameters, home, say_step)
    say_summary(run, pipeline, parameters)
    if run.stopped:
        raise SystemExit(run.stopped.exit_code)
    if not run.ok:
        raise SystemExit(1)
    if fail_if_refused and run.refused:
        raise SystemExit(REFUSED)

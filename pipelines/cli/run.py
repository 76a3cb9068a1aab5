"""`headway run`: a pipeline on this machine, with the parameters of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from headway.pipelines.cli.summary import say_step, say_summary


@click.command("run")
@click.argument("pipeline")
@click.option(
    "--params", "params", type=click.Path(path_type=Path), required=True, help="Parameter file (YAML or JSON)."
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path(".headway"),
    show_default=True,
    help="Folder for state, artifacts and cache.",
)
def run_command(pipeline: str, params: Path, home: Path) -> None:
    """Run a pipeline on this machine with the parameters of a file."""
    from headway.pipelines.cli.parameters import read_parameters

    run_and_tell(pipeline, read_parameters(params, home / "data").parameters, home)


def run_and_tell(pipeline: str, parameters: dict[str, Any], home: Path) -> None:
    """Checks the parameters, runs the pipeline, tells every step and the outcome; exits 1 when a step failed."""
    from headway.pipelines.cli.check import check_parameters
    from headway.pipelines.cli.local import run_locally

    check_parameters(pipeline, {"state_uri": str(home / "state"), **parameters})
    click.echo(f"pipeline {pipeline}, model {parameters['model_name']}, in {home}")
    run = run_locally(pipeline, parameters, home, say_step)
    if not say_summary(run, pipeline, parameters):
        raise SystemExit(1)
